"""The door to the Hugging Face hub: what a repository holds, and the bytes of one file.

``huggingface_hub`` is imported here only, and only when somebody asks for a download. It knows the
routes, the mirror (``HF_ENDPOINT``) and the proxies of the environment; the answers are read from
its own session, because its functions keep no partial file from one process to the next, and take
an answer of any size into memory. Its telemetry is off, and a token is sent only where the person
has set ``HF_TOKEN``. Whatever goes wrong leaves here as one sentence.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from explorer.core.errors import CheckpointError, DownloadError, ExplorerError, InputError
from explorer.weights.formats.untrusted_folder import parse_json, shorten, shown
from explorer.weights.hub.slow_server import Watch

_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_REPOSITORY = re.compile(rf"(?:{_NAME}/)?{_NAME}")
_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_MAX_LISTING = 16 << 20
"""Bytes of the answer to what a repository holds; a thousand files take 0.3 MB."""

_MAX_REDIRECTS = 10
_MAX_SIZE = 1 << 53

_SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_XET": "1",
}
"""Read by the library when it is first imported."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a server may keep us waiting; seconds."""

    connect: float = 10.0
    """Until a connection is there."""
    silence: float = 30.0
    """Without one byte, at any time."""
    retries: int = 4
    """Attempts after a loss that bring nothing new, before giving up."""
    pause: float = 1.0
    """Before the first of them; it doubles with each."""
    slowest: float = 200.0
    """Bytes a second of a file below which a server is as good as silent."""

    @property
    def answer(self) -> float:
        """Until the head of an answer is there, after redirects too."""
        return self.connect + 2 * self.silence

    @property
    def listing(self) -> float:
        """Until what a repository holds is there whole."""
        return 4 * self.silence

    @property
    def window(self) -> float:
        """Over which the speed of a file is taken."""
        return 2 * self.silence


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository; it has one of the two hashes, or cannot be checked."""

    name: str
    """Relative to the repository, with ``/``."""
    size: int
    """Bytes."""
    sha256: str = ""
    """Of a large file."""
    blob: str = ""
    """Of a small file: SHA-1 of ``blob <size>``, a zero byte, and the contents, as git has it."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit."""

    name: str
    revision: str
    """The commit, 40 hex digits, whatever was asked for."""
    licence: str
    """As its card says; empty where it says nothing."""
    files: dict[str, HubFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of a file from ``start`` on, while the connection is open."""

    start: int
    total: int | None
    """Size of the whole file as this server has it, None where it does not say."""
    pieces: Iterator[bytes]
    """Raises :class:`LostError`."""


class LostError(DownloadError):
    """The server could not be reached, was silent or broke off; another attempt may do."""


class SlowError(LostError):
    """The server sends, but hardly anything."""


def check_repository(text: str) -> str:
    """Return ``owner/name`` (or the name alone) as typed or as pasted from the address line.

    Raises :class:`InputError`.
    """
    name = _ADDRESS.sub("", text.strip(), count=1)
    if name != text.strip():  # .../tree/main, ?library=...
        name = "/".join(re.split(r"[?#]", name)[0].strip("/").split("/")[:2])
    awkward = "--" in name or ".." in name or name.endswith((".", "-", ".git"))
    if not _REPOSITORY.fullmatch(name) or awkward:
        raise InputError(
            f"{shown(text)} is no name of a repository; it must read like openai-community/gpt2 "
            "(letters, digits, . _ - and one slash)."
        )
    return name


def check_revision(text: str) -> str:
    """Return a branch, tag or commit as typed; raises :class:`InputError`."""
    revision = text.strip()
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise InputError(f"{shown(text)} is no revision; give a branch, a tag or a commit.")
    return revision


def ask(repository: str, revision: str | None, patience: Timeouts) -> Repository:
    """Ask the hub what a repository holds at a revision, None for its main branch.

    Raises :class:`DownloadError`.
    """
    with _explained(repository, revision):
        from huggingface_hub import constants

        url = f"{constants.ENDPOINT}/api/models/{repository}"
        if revision is not None:
            url += f"/revision/{quote(revision, safe='')}"
        with _get(url, patience, params={"blobs": True}) as (response, watch):
            if response.status_code != 200:
                raise _refusal(response, repository, revision, "")
            answer = bytearray()
            with _not_slow(watch), watch.limit(patience.listing):
                for piece in response.iter_raw():
                    answer += piece
                    if len(answer) > _MAX_LISTING:
                        amount = f"{_MAX_LISTING / 1e6:.0f} MB"
                        raise DownloadError(_no_hub(f"more than {amount} of text"))
        try:
            values = parse_json(answer.decode("utf-8"), "its answer")
        except CheckpointError as error:
            raise DownloadError(_no_hub(str(error).rstrip("."))) from error
        return _repository(values, repository)


@contextlib.contextmanager
def open_file(
    repository: str, revision: str, name: str, start: int, patience: Timeouts
) -> Iterator[Answer]:
    """Ask for the bytes of a file from ``start`` on; the server may begin at 0 all the same.

    Raises :class:`LostError` where another attempt may help, else :class:`DownloadError`.
    """
    with contextlib.ExitStack() as opened:
        with _explained(repository, revision, name):
            from huggingface_hub.file_download import hf_hub_url

            headers = {"Range": f"bytes={start}-"} if start else {}
            url = hf_hub_url(repository, name, revision=revision)
            response, watch = opened.enter_context(_get(url, patience, headers=headers))
            if response.status_code not in (200, 206):
                raise _refusal(response, repository, revision, name)
            began, total = _extent(response)
        pieces = _pieces(response, watch, patience)
        yield Answer(began, total, _worded(pieces, repository, revision, name))


@contextlib.contextmanager
def _get(
    url: str,
    patience: Timeouts,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Any, Watch]]:
    """Open the answer to a request, with a watch; whoever reads it decides how much of it.

    The library's own check of a status would read the body of a refusal to its end.
    """
    from huggingface_hub.utils import build_hf_headers, get_session

    # A compressed answer could not be continued in its middle, and may grow without bound.
    # A connection of its own for each, so that the watch knows it.
    plain = {"Accept-Encoding": "identity", "Connection": "close"}
    wait = (patience.connect, patience.silence, patience.silence, patience.connect)
    watch = Watch()
    with contextlib.ExitStack() as opened:
        with _not_slow(watch), watch.limit(patience.answer):
            session = get_session()
            request = session.build_request(
                "GET",
                url,
                headers={**build_hf_headers(token=_token()), **plain, **(headers or {})},
                params=params,
                timeout=wait,
                extensions={"trace": watch.trace},
            )
            for _ in range(_MAX_REDIRECTS):
                response = session.send(request, stream=True, follow_redirects=False)
                opened.callback(response.close)
                if response.next_request is None:
                    break
                request = response.next_request
                response.close()  # what stands in it is not read, as the library would
            else:
                raise DownloadError(_no_hub("one redirect after the other"))
        if set(re.split(r"[,\s]+", response.headers.get("Content-Encoding", ""))) - {
            "",
            "identity",
        }:
            raise DownloadError(_no_hub("a compressed answer, where a plain one was asked for"))
        yield response, watch


@contextlib.contextmanager
def _not_slow(watch: Watch) -> Iterator[None]:
    """Raise :class:`SlowError` for whatever follows from a cut."""
    try:
        yield
    except Exception as error:
        if watch.has_cut:
            raise SlowError(f"{_endpoint()} sends hardly anything.") from error
        raise
    if watch.has_cut:
        raise SlowError(f"{_endpoint()} sends hardly anything.")


def _repository(values: dict[str, Any], asked: str) -> Repository:
    """Return what the hub said, checked: it decides neither our paths nor our types."""
    revision = values.get("sha")
    if not isinstance(revision, str) or not _COMMIT.fullmatch(revision):
        raise ValueError(f"no commit, but {shown(revision)}")
    files: dict[str, HubFile] = {}
    for sibling in values.get("siblings") or []:
        name, size, blob = (sibling.get(key) for key in ("rfilename", "size", "blobId"))
        sha256 = (sibling.get("lfs") or {}).get("sha256") or ""
        if not isinstance(name, str) or type(size) is not int or not 0 <= size < _MAX_SIZE:
            continue
        if not (isinstance(sha256, str) and (not sha256 or _SHA256.fullmatch(sha256))):
            raise ValueError(f"{shown(sha256)} is no SHA-256")
        known = isinstance(blob, str) and _COMMIT.fullmatch(blob) and not sha256
        files[name] = HubFile(name, size, sha256, blob if known else "")
    licences = [tag[8:] for tag in values.get("tags") or [] if str(tag).startswith("license:")]
    licence = shorten(licences[0], 60) if licences else ""
    return Repository(asked, revision, licence, files)


def _extent(response: Any) -> tuple[int, int | None]:
    """Return the first byte of an answer and the size of the whole file."""
    if response.status_code == 206:
        text = response.headers.get("Content-Range", "")
        if found := re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", text.strip()):
            return int(found[1]), None if found[2] == "*" else int(found[2])
        raise LostError(f"The server sent a part that it does not describe ({shown(text)}).")
    length = response.headers.get("Content-Length", "")
    plain = response.headers.get("Content-Encoding", "identity") == "identity"
    return 0, int(length) if plain and re.fullmatch(r"\d{1,18}", length) else None


def _pieces(response: Any, watch: Watch, patience: Timeouts) -> Iterator[bytes]:
    enough = int(patience.window * patience.slowest)
    with _not_slow(watch), watch.limit(patience.window, enough):
        for piece in response.iter_raw():
            watch.count(len(piece))
            yield piece


def _worded(pieces: Iterator[bytes], repository: str, revision: str, name: str) -> Iterator[bytes]:
    with _explained(repository, revision, name):
        yield from pieces


def _token() -> str | bool:
    """Return the person's token; False: none, not even one that lies in the home folder."""
    token = os.environ.get("HF_TOKEN", "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise DownloadError("HF_TOKEN holds characters that no token has; set it again.")
    return token or False


def _http() -> Any:
    """Return the HTTP library below: httpx for ``huggingface_hub`` 1, httpx2 for 2."""
    from huggingface_hub.utils import get_session

    try:
        session = get_session()
    except (ValueError, ImportError) as error:
        raise DownloadError(
            f"The proxy of the environment cannot be used ({shorten(str(error))}); check "
            "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY."
        ) from error
    return sys.modules[type(session).__module__.partition(".")[0]]


@contextlib.contextmanager
def _explained(repository: str, revision: str | None, name: str = "") -> Iterator[None]:
    """Turn what the library raises into a sentence."""
    os.environ.update(_SETTINGS)
    if not os.environ.get("HF_ENDPOINT", "").strip():
        os.environ.pop("HF_ENDPOINT", None)  # set to nothing it would be an address for the library
    from huggingface_hub import errors

    http = _http()
    try:
        yield
    except ExplorerError:
        raise
    except errors.OfflineModeIsEnabled as error:
        raise DownloadError(
            "HF_HUB_OFFLINE forbids to use the network; unset it and try again."
        ) from error
    except (http.InvalidURL, http.UnsupportedProtocol) as error:
        raise DownloadError(
            f"{_endpoint()} is no address of a hub ({shorten(str(error))}); check HF_ENDPOINT."
        ) from error
    except http.TimeoutException as error:
        raise LostError(f"{_endpoint()} does not answer.") from error
    except http.ProxyError as error:
        raise LostError(f"The proxy refuses ({shorten(str(error))}).") from error
    except http.TransportError as error:
        why = str(error).partition(" (")[0]  # what follows are numbers
        raise LostError(
            f"{_endpoint()} cannot be reached, or broke off ({shorten(why)})."
        ) from error
    except (http.HTTPError, http.StreamError) as error:
        raise DownloadError(_no_hub(shorten(str(error)))) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # What the library says when an answer is not what a hub would say, such as the page of a
        # hotel's network.
        raise DownloadError(_no_hub(shorten(f"{type(error).__name__}: {error}"))) from error


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _no_hub(reason: str) -> str:
    return (
        f"{_endpoint()} does not answer like a hub ({reason}); check HF_ENDPOINT, and whether this "
        "network wants you to sign in first."
    )


def _refusal(response: Any, repository: str, revision: str | None, name: str) -> DownloadError:
    """Return what an HTTP status, and the hub's own code beside it, mean to a person."""
    status = int(response.status_code)
    code = response.headers.get("X-Error-Code", "")
    token = (
        "make a token on https://huggingface.co/settings/tokens, put it into the environment "
        "variable HF_TOKEN and try again"
    )
    if code == "GatedRepo":
        return DownloadError(
            f"{repository} is only for those who have accepted its terms: do so on "
            f"https://huggingface.co/{repository}, {token}."
        )
    if code == "RevisionNotFound":
        return DownloadError(f"{repository} has no revision {shown(revision)}.")
    if "is disabled" in response.headers.get("X-Error-Message", ""):
        return DownloadError(f"{repository} was disabled by the hub.")
    if code == "RepoNotFound" or status == 401:
        if _token():
            return DownloadError(
                f"There is no repository {repository}, or the token in HF_TOKEN may not see it; "
                "check both."
            )
        return DownloadError(
            f"There is no repository {repository}, or it is private; check the name, or {token}."
        )
    if status == 403:
        return DownloadError(f"The hub forbids access to {repository}; for a private one, {token}.")
    if status == 404:
        what = f"{repository} has no {name}" if name else f"There is no repository {repository}"
        return DownloadError(f"{what} at {revision or 'its main branch'}.")
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        when = f"in {wait} seconds" if wait.isdigit() and len(wait) < 6 else "in some minutes"
        return DownloadError(f"The hub says that there were too many requests; try again {when}.")
    if status == 416:
        return DownloadError(f"The server has fewer bytes of {name} than the hub announces.")
    if status >= 500:
        return LostError(f"The hub has trouble of its own (status {status}); try again later.")
    return DownloadError(_no_hub(f"status {status}"))
