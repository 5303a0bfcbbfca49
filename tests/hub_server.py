"""A Hugging Face hub on loopback: the routes that ``huggingface_hub`` uses, and every way to fail.

``api/models/...`` tells commit, files, sizes and hashes; ``resolve`` serves small files itself and
redirects large ones to a "CDN" on another host name, as the real one does. How a file is served can
be changed request by request: :meth:`HubServer.script` queues :class:`Serving`, the rest is normal.
Also understands the requests that a client sends to an HTTP proxy.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

_PIECE = 1 << 14


@dataclass
class Serving:
    """How one request is answered; the defaults are a hub in good health."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Other bytes than the true ones."""
    length: int | None = None
    """Content-Length that is told instead of the true one."""
    drop_after: int | None = None
    """Close the connection after this many bytes of the body."""
    stall_after: int | None = None
    """Be silent after this many bytes, until the server is closed or :meth:`HubServer.go_on`."""
    ignore_range: bool = False
    dribble: str = ""
    """``head`` or ``body``: send it byte by byte; ``continue``: say 100 Continue without an end."""
    pause: float = 0.05
    """Seconds between two bytes, or two lines, of what is dribbled."""


@dataclass
class Repo:
    """What the hub has under one name."""

    files: dict[str, bytes]
    revision: str
    licence: str
    told: dict[str, Any]
    """Entries of the answer that are told instead of the true ones."""
    small: frozenset[str]
    """Files that git itself keeps."""
    older: tuple[str, ...] = ()
    """Further commits, which hold the same."""


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    proxied: bool

    @property
    def file(self) -> str:
        """The file that was asked for, or nothing."""
        return self.path.partition("?file=")[2] or self.path.partition("/resolve/")[2][41:]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what many tests are about."""


class HubServer:
    """The hub; use it in a ``with`` statement."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.seen: list[Seen] = []
        self.stalled = threading.Event()
        """Set when a request has been made to wait."""
        self._release = threading.Event()
        self._scripts: dict[str, list[Serving]] = defaultdict(list)
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.cdn = f"http://localhost:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()

    def add(
        self,
        name: str,
        files: Path | Mapping[str, bytes],
        *,
        revision: str = "",
        licence: str = "mit",
        told: Mapping[str, Any] | None = None,
    ) -> Repo:
        """Offer a folder, or files by name; whatever is not a text file is large."""
        if isinstance(files, Path):
            paths = (path for path in files.rglob("*") if path.is_file())
            files = {path.relative_to(files).as_posix(): path.read_bytes() for path in paths}
        small = frozenset(
            file for file in files if file.endswith((".json", ".txt", ".md", "LICENSE"))
        )
        revision = revision or hashlib.sha1(name.encode()).hexdigest()
        self.repos[name] = Repo(dict(files), revision, licence, dict(told or {}), small)
        return self.repos[name]

    def script(self, place: str, *servings: Serving) -> None:
        """Answer the next requests for ``place`` so: ``owner/name`` (the question what there is),
        or ``owner/name/file`` (its bytes)."""
        self._scripts[place] += servings

    def go_on(self) -> None:
        """Let those that wait get the rest."""
        self._release.set()

    def asked(self, file: str) -> list[str]:
        """Return the Range of every request for the bytes of a file; empty: from the beginning."""
        return [
            seen.headers.get("range", "")
            for seen in self.seen
            if seen.file == file and (seen.path.startswith("/cdn/") or file in self._smalls())
        ]

    def fetched(self) -> set[str]:
        """Return the files that were asked for."""
        return {seen.file for seen in self.seen} - {""}

    def next_serving(self, place: str) -> Serving:
        """Return how to answer now."""
        script = self._scripts[place]
        return script.pop(0) if script else Serving()

    def wait(self) -> None:
        """Be silent until somebody says so."""
        self.stalled.set()
        self._release.wait(60)

    def pause(self, seconds: float) -> bool:
        """Wait so long; whether the server is to be closed."""
        return self._release.wait(seconds)

    def _smalls(self) -> set[str]:
        return {file for repo in self.repos.values() for file in repo.small}


def blob_id(data: bytes) -> str:
    """Return git's name of these contents."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _siblings(repo: Repo) -> list[dict[str, Any]]:
    found = []
    for name, data in repo.files.items():
        entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
        if name not in repo.small:
            sha256 = hashlib.sha256(data).hexdigest()
            entry["blobId"] = blob_id(sha256.encode())  # of the pointer that git keeps
            entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        found.append(entry)
    return found


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path) + ("?" + parts.query if parts.query else "")
            headers = {name.lower(): value for name, value in self.headers.items()}
            hub.seen.append(Seen(self.command, path, headers, bool(parts.netloc)))
            if found := re.fullmatch(r"/api/models/(.+?)(?:/revision/([^?]+))?(?:\?.*)?", path):
                self._model(found[1], found[2])
            elif found := re.fullmatch(r"/(.+)/resolve/([^/]+)/([^?]+)", path):
                self._resolve(found[1], found[3])
            elif found := re.fullmatch(r"/cdn/(.+)\?file=(.+)", path):
                self._bytes(found[1], found[2], {})
            else:
                self._refuse(404, "")

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _model(self, name: str, revision: str | None) -> None:
            serving, repo = hub.next_serving(name), hub.repos.get(name)
            if serving.status != 200 or serving.body is not None:
                self._send(serving, serving.body or b"", {})
            elif repo is None:
                self._refuse(401, "RepoNotFound")
            elif revision not in (None, "main", repo.revision, *repo.older):
                self._refuse(404, "RevisionNotFound")
            else:
                values = {
                    "_id": "0",
                    "id": name,
                    "modelId": name,
                    "sha": revision if revision in repo.older else repo.revision,
                    "private": False,
                    "tags": ["gpt2", f"license:{repo.licence}"] if repo.licence else [],
                    "siblings": _siblings(repo),
                    **repo.told,
                }
                self._send(serving, json.dumps(values).encode(), {})

        def _resolve(self, name: str, file: str) -> None:
            repo = hub.repos.get(name)
            if repo is None or file not in repo.files:
                self._refuse(404, "EntryNotFound")
                return
            commit = {"X-Repo-Commit": repo.revision}
            if file in repo.small:
                etag = {"ETag": f'"{blob_id(repo.files[file])}"'}
                self._bytes(name, file, {**commit, **etag})
                return
            sha256 = hashlib.sha256(repo.files[file]).hexdigest()
            linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(repo.files[file]))}
            place = {"Location": f"{hub.cdn}/cdn/{name}?file={file}"}
            self._send(Serving(302), b"", {**commit, **linked, **place})

        def _bytes(self, name: str, file: str, headers: dict[str, str]) -> None:
            serving = hub.next_serving(f"{name}/{file}")
            data = hub.repos[name].files[file] if serving.body is None else serving.body
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if found and not serving.ignore_range and serving.status == 200:
                start = int(found[1])
                if start >= len(data):
                    self._refuse(416, "")
                    return
                serving = replace(serving, status=206)
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                data = data[start:]
            self._send(serving, data, {"Accept-Ranges": "bytes", **headers})

        def _refuse(self, status: int, code: str) -> None:
            self._send(Serving(status, {"X-Error-Code": code} if code else {}), b"", {})

        def _dribble(self, serving: Serving, data: bytes) -> None:
            for at in range(len(data)):
                self.wfile.write(data[at : at + 1])
                if hub.pause(serving.pause):
                    return

        def _send(self, serving: Serving, body: bytes, headers: Mapping[str, str]) -> None:
            try:
                if serving.dribble == "head":
                    self._dribble(serving, b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000)
                elif serving.dribble == "continue":
                    while not hub.pause(serving.pause):
                        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            except OSError:
                pass  # the client has gone
            if serving.dribble in ("head", "continue"):
                self.close_connection = True
                return
            self.send_response(serving.status)
            length = len(body) if serving.length is None else serving.length
            for name, value in {**headers, **serving.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command == "HEAD":
                return
            stops = [n for n in (serving.drop_after, serving.stall_after) if n is not None]
            stop = min([*stops, len(body)])
            try:
                if serving.dribble == "body":
                    self._dribble(serving, body)
                    return
                for place in range(0, stop, _PIECE):
                    self.wfile.write(body[place : min(place + _PIECE, stop)])
                self.wfile.flush()
                if serving.stall_after is not None:
                    hub.wait()
                    self.wfile.write(body[stop:])
            except OSError:
                pass  # the client has gone
            self.close_connection = bool(stops) or length != len(body)

    return Handler
