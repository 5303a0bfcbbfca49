"""Downloads, from a hub on loopback, through the real library, in real child processes.

What needs no death of a process runs as one list of downloads in one child (:func:`several`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from explorer.core.errors import DownloadError, ExplorerError, InputError
from explorer.core.manifest import Manifest
from explorer.jobs.job import Done, Event, Failed, Job, Report
from explorer.system.paths import Paths
from explorer.weights.hub import downloads as work
from explorer.weights.hub.downloads import discard_download, download_model, unfinished
from explorer.weights.hub.hub import Timeouts
from explorer.weights.store.store import Store
from tests.hub_server import HubServer, Serving
from tests.tiny import make_tiny, write_tokenizer

QUICK = Timeouts(connect=5, silence=5, retries=2, pause=0.01)
HASTY = Timeouts(connect=1, silence=0.4, retries=0, pause=0.01)
BUILD = "cpu-fp32"
WEIGHTS = "model.safetensors"
ENVIRONMENT = ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Outcome(NamedTuple):
    """What became of one download."""

    name: str
    """Of the model; empty where there is none."""
    kind: str
    """Of the error."""
    words: str
    told: list[tuple[float, str]]
    """Progress on the way."""


def several(report: Report, paths: Paths, calls: list[dict[str, Any]]) -> list[Outcome]:
    """Download one after the other, whatever becomes of each."""
    outcomes = []
    for call in calls:
        told: list[tuple[float, str]] = []
        try:
            model = download_model(lambda *step: told.append(step), paths, **call)  # noqa: B023
        except ExplorerError as error:
            outcomes.append(Outcome("", type(error).__name__, str(error), told))
        else:
            outcomes.append(Outcome(model.name, "", "", told))
    return outcomes


def with_a_full_disk(report: Report, paths: Paths, repository: str) -> list[Outcome]:
    """Download with room for nothing, then with a disk that fills in the middle."""
    call = {"repository": repository, "build": BUILD, "patience": QUICK}
    usage = shutil.disk_usage(paths.data)
    shutil.disk_usage = lambda path: usage._replace(free=1000)
    before = several(report, paths, [call])
    shutil.disk_usage = lambda path: usage
    write = work.Incoming.write

    def full(self: work.Incoming, block: bytes) -> None:
        if self.size > 20_000:
            self._stream.close()
            self._stream = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
        write(self, block)

    work.Incoming.write = full
    during = several(report, paths, [call])
    (item,) = unfinished(paths)
    assert 20_000 < item.done < item.total
    work.Incoming.write = write
    return before + during + several(report, paths, [call])


def die_while_converting(report: Report, paths: Paths, repository: str) -> None:
    """Download, and be killed in the middle of the conversion."""

    def progress(fraction: float, text: str) -> None:
        if text.startswith("Making") and fraction > 0.92:
            os.kill(os.getpid(), signal.SIGKILL)

    download_model(progress, paths, repository, build=BUILD, patience=QUICK)


def finished(job: Job, until: Callable[[], bool] = lambda: False) -> list[Event]:
    """Poll a job until it has ended, or until something is so."""
    events: list[Event] = []
    end = time.monotonic() + 60
    while job.running and not until():
        assert time.monotonic() < end, "the job does not end"
        events += job.poll()
        time.sleep(0.01)
    return events


def result(job: Job) -> Any:
    (*_, last) = finished(job)
    assert isinstance(last, Done), last
    return last.result


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a GPT-2 of some hundred kB, with what else a repository has."""
    folder = make_tiny(tmp_path_factory.mktemp("repo") / "tiny", width=64, context=32)
    (folder / "README.md").write_text("A card.")
    (folder / "LICENSE").write_text("Do what you like.")
    (folder / "pytorch_model.bin").write_bytes(b"code")
    (folder / "flax_model.msgpack").write_bytes(b"other weights")
    (folder / "training_args.json").write_text("{}")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """Return a hub that every child talks to, and nothing else in the environment."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    data = tmp_path / "data"
    none = tmp_path / "none"
    return Paths(data, data / "cache", data / "logs", none, none)


def start(paths: Paths, repository: str, **options: Any) -> Job:
    options = {"build": BUILD, "patience": QUICK, **options}
    return Job.start(download_model, paths, repository, **options)


def left(paths: Paths) -> list[str]:
    """Return what downloads and conversions have left behind."""
    return sorted(
        path.name
        for place in (paths.downloads, paths.models)
        for path in place.glob("*")
        if not path.name.startswith(".")
    )


def test_a_download_becomes_a_model(
    hub: HubServer, paths: Paths, tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A token that lies about at home is nobody's business.
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_home")
    repo = hub.add("somebody/tiny-gpt2", tiny)
    call = {"repository": "https://huggingface.co/somebody/tiny-gpt2/tree/main", "build": BUILD}
    outcome, again = result(Job.start(several, paths, [call, call]))
    model = Store(paths).find(outcome.name)
    assert (model.name, model.has(BUILD), model.problem) == ("tiny-gpt2", True, "")
    manifest = Manifest.read(model.folder)
    assert manifest.source == {
        "kind": "hub",
        "repository": "somebody/tiny-gpt2",
        "revision": repo.revision,
        "licence": "mit",
    }
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in repo.files.items()}
    kept = (WEIGHTS, "tokenizer.json", "config.json")
    assert manifest.hashes == {name: hashes[name] for name in kept}
    source = model.folder / "source"
    for name in (*kept, "LICENSE", "README.md"):
        assert (source / name).read_bytes() == repo.files[name]
    assert model.bytes_on_disk > len(repo.files[WEIGHTS])

    assert hub.fetched() == {*kept, "LICENSE", "README.md"}
    assert not [seen.path for seen in hub.seen if "api" in seen.path and "models" not in seen.path]
    assert not [seen for seen in hub.seen if "authorization" in seen.headers]
    assert (left(paths), unfinished(paths)) == (["tiny-gpt2"], [])

    fractions, texts = zip(*outcome.told, strict=True)
    assert list(fractions) == sorted(fractions)
    assert fractions[-1] == 1
    total = sum(len(repo.files[name]) for name in hub.fetched()) / 1e3
    assert any(text.startswith(f"{total:.0f} of {total:.0f} kB") for text in texts)
    assert f"Making the {BUILD} build" in texts
    assert again.kind == "InputError"
    assert "is here already, as tiny-gpt2" in again.words


def refused(paths: Paths, repository: str, **options: Any) -> str:
    """Return the sentence that a download ends with."""
    (*_, last) = finished(start(paths, repository, **options))
    assert isinstance(last, Failed), last
    assert not last.details, last  # else it was a bug
    return last.message


# Everything that a hub can do to us, in one child


FILES = ("config.json", "tokenizer.json", WEIGHTS)


def scripts(hub: HubServer, tiny: Path) -> dict[str, tuple[str, str]]:
    """Prepare one repository a failure; return the kind of error and words that it must give."""
    whole = {name: (tiny / name).read_bytes() for name in FILES}
    weights = whole[WEIGHTS]
    expected: dict[str, tuple[str, str]] = {}

    def case(name: str, kind: str, words: str, **add: Any) -> str:
        repository = f"bad/{name}"
        if add:
            hub.add(repository, **add)
        expected[repository] = (kind, words)
        return repository

    def without(*names: str, **others: bytes) -> dict[str, bytes]:
        return {n: d for n, d in whole.items() if n not in names} | {
            n.replace("__", ".").replace("_dash_", "-"): d for n, d in others.items()
        }

    case("absent", "DownloadError", "There is no repository bad/absent, or it is private")
    for name, status, headers, words in (
        ("gated", 403, {"X-Error-Code": "GatedRepo"}, "accepted its terms"),
        ("forbidden", 403, {}, "forbids access"),
        ("private", 401, {}, "HF_TOKEN"),
        ("gone", 404, {}, "There is no repository bad/gone"),
        ("disabled", 403, {"X-Error-Message": "Access to this resource is disabled."}, "disabled"),
        ("busy", 429, {"Retry-After": "77"}, "try again in 77 seconds"),
        ("broken", 500, {}, "status 500"),
        ("teapot", 418, {}, "status 418"),
    ):
        hub.script(case(name, "DownloadError", words), Serving(status, headers))
    page = b"<html>Welcome to our hotel</html>"
    hub.script(case("hotel", "DownloadError", "sign in first"), Serving(body=page))
    hub.script(case("list", "DownloadError", "does not answer like a hub"), Serving(body=b"[]"))
    hub.script(case("cut", "DownloadError", "broke off"), Serving(body=b"{", length=99))
    for name, words, serving in (
        ("endless", "more than 17 MB", Serving(body=b" " * (17 << 20))),
        ("deep", "not readable JSON", Serving(body=b"[" * 200_000)),
        ("crowded", "more lists and objects", Serving(body=b"[" + b"[]," * 1_000_001 + b"0]")),
        ("packed", "a compressed answer", Serving(headers={"Content-Encoding": "gzip"})),
        ("odd-list", "does not answer like a hub", Serving(body=b'{"sha": 1, "siblings": [3]}')),
        # Of a refusal only the head is read, whatever comes behind it.
        ("wordy", "There is no repository bad/wordy", Serving(404, body=b"x" * 99, stall_after=9)),
    ):
        hub.script(case(name, "DownloadError", words, files=whole), serving)
    case("no-sha", "DownloadError", "no commit", files=whole, told={"sha": None})
    case("odd-sha", "DownloadError", "no commit", files=whole, told={"sha": "../../x"})
    huge = {"siblings": [{"rfilename": "config.json", "size": 10**400}]}
    case("huge-number", "DownloadError", "no config.json", files=whole, told=huge)
    case("no-list", "DownloadError", "no config.json", files=whole, told={"siblings": []})
    case(
        "no-hash",
        "DownloadError",
        "gives no hash of config.json",
        files=whole,
        told={"siblings": [{"rfilename": n, "size": len(d)} for n, d in whole.items()]},
    )
    case("pickle", "DownloadError", "can run code", files=without(WEIGHTS, pytorch_model__bin=b"x"))
    case("gguf", "DownloadError", "llama.cpp", files=without(WEIGHTS, model__gguf=b"x"))
    case("bare", "DownloadError", "no weights", files=without(WEIGHTS))
    case("mute", "DownloadError", "no tokenizer", files=without("tokenizer.json"))
    case("unset", "DownloadError", "no config.json", files=without("config.json"))
    evil = {f"../../{WEIGHTS}": weights, f"..\\{WEIGHTS}": weights, f"/{WEIGHTS}": weights}
    case("paths", "DownloadError", "no weights", files=without(WEIGHTS) | evil)
    llama = {**whole, "config.json": b'{"model_type": "llama"}'}
    case("llama", "CheckpointError", "llama", files=llama)
    case("nonsense", "CheckpointError", "header", files={**whole, WEIGHTS: weights[::-1]})

    def bytes_case(name: str, words: str, file: str, *servings: Serving) -> None:
        hub.script(f"{case(name, 'DownloadError', words, files=whole)}/{file}", *servings)

    other = bytes([weights[0] ^ 1]) + weights[1:]
    bytes_case("forged", "so it was deleted", WEIGHTS, Serving(body=other))
    bytes_case(
        "forged-small",
        "so it was deleted",
        "config.json",
        Serving(body=b" " * len(whole["config.json"])),
    )
    bytes_case("short", f"{len(weights) - 9:,} bytes as", WEIGHTS, Serving(body=weights[:-9]))
    bytes_case("long", f"{len(weights) + 9:,} bytes as", WEIGHTS, Serving(body=weights + bytes(9)))
    unsized = {"Content-Encoding": "identity, identity"}
    bytes_case("longer", "more bytes", WEIGHTS, Serving(body=weights * 2, headers=unsized))
    gzip = {"Content-Encoding": "gzip, gzip"}
    bytes_case("packed-file", "a compressed answer", WEIGHTS, Serving(headers=gzip))
    lie = Serving(length=len(weights), body=weights[:-9])
    bytes_case("liar", "announces", WEIGHTS, lie, *[Serving(body=weights[:-9])] * 3)
    bytes_case(
        "lost", "(status 503)", WEIGHTS, *[Serving(drop_after=5000)] * 2, *[Serving(503)] * 9
    )
    bytes_case("silent", "does not answer", WEIGHTS, *[Serving(stall_after=5000)])
    bytes_case("vanished", "has no tokenizer.json", "tokenizer.json", Serving(404))
    return expected


def test_whatever_a_hub_does_ends_in_a_sentence(hub: HubServer, paths: Paths, tiny: Path) -> None:
    expected = scripts(hub, tiny)
    calls = [
        {
            "repository": repository,
            "build": BUILD,
            "patience": HASTY if repository == "bad/silent" else QUICK,
        }
        for repository in expected
    ]
    calls.append({"repository": "bad/forged", "revision": "elsewhere", "patience": QUICK})
    *outcomes, elsewhere = result(Job.start(several, paths, calls))
    assert elsewhere.words == "bad/forged has no revision 'elsewhere'."
    for (repository, (kind, words)), outcome in zip(expected.items(), outcomes, strict=True):
        found = outcome.kind.replace("LostError", "DownloadError")  # its child
        assert (found, outcome.name) == (kind, ""), (repository, outcome)
        assert words in outcome.words, (repository, outcome.words)
        assert outcome.words.count("\n") == 0
    # The weights of what is no GPT-2 were never asked for.
    assert not [seen for seen in hub.seen if seen.path == f"/cdn/bad/llama?file={WEIGHTS}"]
    # What can be gone on with is there, as a part; nothing else is.
    assert {item.repository for item in unfinished(paths)} == {
        f"bad/{name}"
        for name in ("forged", "forged-small", "short", "long", "longer", "liar", "lost", "silent")
    } | {"bad/vanished", "bad/packed-file"}
    assert not list(paths.downloads.rglob(WEIGHTS))
    sizes = {item.name: item.stat().st_size for item in paths.downloads.rglob(f"{WEIGHTS}.part")}
    assert sizes
    assert not (paths.downloads / "bad--forged" / "files" / f"{WEIGHTS}.part").exists()
    assert (paths.downloads / "bad--lost" / "files" / f"{WEIGHTS}.part").stat().st_size == 10_000
    assert not list(paths.models.glob("[!.]*"))


def test_what_was_lost_is_gone_on_with(hub: HubServer, paths: Paths, tiny: Path) -> None:
    """Losses within one attempt and between two; servers that ignore Range; a changed revision."""
    size = (tiny / WEIGHTS).stat().st_size
    calls = []

    def case(name: str, *servings: Serving, attempts: int = 1, **options: Any) -> None:
        hub.add(f"good/{name}", {file: (tiny / file).read_bytes() for file in FILES})
        hub.script(f"good/{name}/{WEIGHTS}", *servings)
        calls.extend(
            [{"repository": f"good/{name}", "build": BUILD, "patience": QUICK, **options}]
            * attempts
        )

    case("drops", *[Serving(drop_after=40_000)] * 4)
    case("no-range", Serving(drop_after=70_000), Serving(ignore_range=True))
    case("stalls", Serving(stall_after=40_000), Serving(502), attempts=2, patience=HASTY)
    case("restart", Serving(drop_after=40_000), Serving(ignore_range=True), patience=HASTY,
         attempts=2)  # fmt: skip
    # Another revision is another download.
    case("another", Serving(drop_after=40_000), patience=HASTY)
    calls.append({**calls[-1], "revision": "a" * 40, "name": "Another"})
    hub.repos["good/another"].older = ("a" * 40,)
    outcomes = result(Job.start(several, paths, calls))
    names = [outcome.name for outcome in outcomes]
    assert names == ["drops", "no-range", "", "", "", "restart", "", "Another"], outcomes
    assert "What has arrived is kept" in outcomes[2].words
    assert "502" in outcomes[3].words
    assert "The connection was lost; trying again" in [text for _, text in outcomes[0].told]
    assert size > 4 * 40_000
    ranges = [
        (seen.path.split("/")[3].partition("?")[0], seen.headers.get("range", ""))
        for seen in hub.seen
        if seen.path.startswith("/cdn/")
    ]
    assert ranges == [
        *[("drops", f"bytes={at}-" if at else "") for at in range(0, 200_000, 40_000)],
        ("no-range", ""),
        ("no-range", "bytes=70000-"),
        ("stalls", ""),
        ("stalls", "bytes=40000-"),
        ("restart", ""),
        ("restart", "bytes=40000-"),
        ("another", ""),
        ("another", ""),
    ]
    for name in ("drops", "no-range", "restart"):
        assert (paths.models / name / "source" / WEIGHTS).read_bytes() == (
            tiny / WEIGHTS
        ).read_bytes()
    (item,) = unfinished(paths)
    assert (item.repository, item.build) == ("good/stalls", BUILD)
    assert 40_000 < item.done < item.total
    source = Manifest.read(paths.models / "Another").source
    assert source["revision"] == "a" * 40


def test_every_layout_that_can_be_read(hub: HubServer, paths: Paths, tmp_path: Path) -> None:
    shards = make_tiny(tmp_path / "shards", shards=3, tokenizer="vocab.json")
    hub.add("old/shards", shards)
    exports = Path(__file__).parents[2] / "data" / "onnx_exports"
    export = tmp_path / "export"
    shutil.copytree(exports / "source", export)
    write_tokenizer(export, 300)
    hub.add("plain/safetensors", export)
    (export / WEIGHTS).unlink()
    for name in ("model.onnx", "model.onnx.data"):
        shutil.copy(exports / "dynamo" / name, export / name)
    hub.add("new/beside", export)
    shutil.copytree(exports / "fp16" / "onnx", export / "onnx")
    (export / "model.onnx").unlink()
    (export / "model.onnx.data").unlink()
    hub.add("small/folder", export)
    names = ("old/shards", "plain/safetensors", "new/beside", "small/folder")
    calls = [{"repository": name, "build": BUILD, "patience": QUICK} for name in names]
    outcomes = result(Job.start(several, paths, calls))
    assert [outcome.name for outcome in outcomes] == [name.split("/")[1] for name in names], (
        outcomes
    )
    manifests = {name: Manifest.read(paths.models / name.split("/")[1]) for name in names}
    assert len([name for name in manifests["old/shards"].hashes if "safetensors" in name]) == 4
    assert manifests["new/beside"].fingerprint == manifests["plain/safetensors"].fingerprint
    assert set(manifests["new/beside"].hashes) == {
        "config.json", "tokenizer.json", "model.onnx", "model.onnx.data",
    }  # fmt: skip
    assert any(name.startswith("onnx/") for name in manifests["small/folder"].hashes)
    assert {item.source["kind"] for item in manifests.values()} == {"hub"}
    # What they were made from is there, so that other builds can be made.
    assert Store(paths).ensure("folder", "cpu-int8") == paths.models / "folder"
    assert unfinished(paths) == []


def test_killed_in_the_middle_of_a_file(hub: HubServer, paths: Paths, tiny: Path) -> None:
    hub.add("me/model", tiny)
    hub.script(f"me/model/{WEIGHTS}", Serving(stall_after=50_000))
    job = start(paths, "me/model", name="Mine")
    part = paths.downloads / "me--model" / "files" / f"{WEIGHTS}.part"
    finished(job, until=lambda: part.exists() and part.stat().st_size == 50_000)
    with pytest.raises(DownloadError, match="being downloaded already"):
        discard_download(paths, "me/model")
    with pytest.raises(DownloadError, match="being downloaded already"):
        download_model(lambda fraction, text: None, paths, "me/model")
    os.kill(job.pid, signal.SIGKILL)
    (*_, last) = finished(job)
    assert isinstance(last, Failed)

    (item,) = unfinished(paths)
    assert (item.repository, item.name, item.build) == ("me/model", "Mine", BUILD)
    assert item.revision == hub.repos["me/model"].revision
    assert 50_000 < item.done < item.total
    assert left(paths) == ["me--model"]

    questions = len([seen for seen in hub.seen if "/api/" in seen.path])
    model = result(start(paths, "me/model"))
    assert model.name == "Mine"
    assert hub.asked(WEIGHTS) == ["", "bytes=50000-"]
    assert len([seen for seen in hub.seen if "/api/" in seen.path]) == questions
    assert hub.asked("config.json") == [""]
    assert (left(paths), unfinished(paths)) == (["Mine"], [])


def test_pause_cancel_and_two_at_once(hub: HubServer, paths: Paths, tiny: Path) -> None:
    for name in ("a/one", "b/two"):
        hub.add(name, tiny)
        hub.script(f"{name}/{WEIGHTS}", Serving(stall_after=50_000))
    jobs = [start(paths, "a/one"), start(paths, "b/two")]
    parts = [paths.downloads / name / "files" / f"{WEIGHTS}.part" for name in ("a--one", "b--two")]
    for job, part in zip(jobs, parts, strict=True):
        finished(job, until=lambda part=part: part.exists() and part.stat().st_size == 50_000)
    began = time.monotonic()
    jobs[0].cancel()
    assert time.monotonic() - began < 5
    assert [item.repository for item in unfinished(paths)] == ["a/one", "b/two"]
    discard_download(paths, "a/one")
    discard_download(paths, "a/one")  # there is nothing: no error
    assert [item.repository for item in unfinished(paths)] == ["b/two"]
    hub.go_on()
    assert result(jobs[1]).name == "two"
    assert left(paths) == ["two"]


def test_killed_while_converting(hub: HubServer, paths: Paths, tiny: Path) -> None:
    hub.add("me/model", tiny)
    (*_, last) = finished(Job.start(die_while_converting, paths, "me/model"))
    assert isinstance(last, Failed)
    (item,) = unfinished(paths)
    assert item.done == item.total
    asked = len(hub.seen)
    model = result(start(paths, "me/model"))
    assert (model.name, len(hub.seen)) == ("model", asked)  # nothing was asked for again
    assert left(paths) == ["model"]


def test_killed_between_the_last_two_steps(paths: Paths, tiny: Path, tmp_path: Path) -> None:
    """The model is there and its files still lie in the download's folder."""
    origin = {"kind": "hub", "repository": "me/model", "revision": "a" * 40}
    store = Store(paths)
    for attempt in ("first", "again"):
        folder = shutil.copytree(tiny, tmp_path / attempt)
        model = store.import_download(folder, origin, {}, None, BUILD)
        assert model.name == "model"
    assert store.import_download(folder, origin, {}, None, "cpu-int8").has("cpu-int8")
    assert [model.name for model in store.list()] == ["model"]
    copy = shutil.copytree(tiny, tmp_path / "copy")
    assert store.import_download(copy, origin, {}, "Copy", BUILD).name == "Copy"


def test_a_full_disk(hub: HubServer, paths: Paths, tiny: Path) -> None:
    hub.add("me/model", tiny)
    paths.data.mkdir()
    before, during, after = result(Job.start(with_a_full_disk, paths, "me/model"))
    assert before.kind == "ModelError"
    assert "too little room" in before.words
    assert (during.kind, "is full" in during.words) == ("ModelError", True), during
    assert after.name == "model"
    assert hub.asked(WEIGHTS)[-1].startswith("bytes=")


# What the environment says


def test_offline_is_said_at_once(
    hub: HubServer, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        patience = Timeouts(retries=50, pause=50)
        error = refused(paths, "me/model", patience=patience)
    assert "cannot be reached" in error
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in refused(paths, "me/model")
    assert left(paths) == []


def test_proxy_and_token(
    hub: HubServer, paths: Paths, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("me/model", tiny)
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.invalid/")
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    assert result(start(paths, "me/model")).name == "model"
    assert all(seen.proxied for seen in hub.seen)
    tokens = {
        seen.path.startswith("/cdn/"): seen.headers.get("authorization", "") for seen in hub.seen
    }
    assert tokens == {False: "Bearer hf_mine", True: ""}
    monkeypatch.setenv("HTTP_PROXY", "nonsense://here")
    assert "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY" in refused(paths, "me/other")


def test_the_catalogue_knows_better_than_a_mirror(hub: HubServer, paths: Paths, tiny: Path) -> None:
    paths.resources.mkdir()
    entry = {
        "name": "tiny", "repository": "me/model", "revision": "b" * 40, "parameters": 1,
        "bytes": 1, "licence": "Ours", "about": "", "hashes": {WEIGHTS: "0" * 64},
    }  # fmt: skip
    catalogue = paths.resources / "catalogue.json"
    catalogue.write_text(json.dumps([entry]))
    hub.add("me/model", tiny, revision="b" * 40)
    assert "the catalogue knows" in refused(paths, "me/model")
    assert (left(paths), hub.fetched()) == ([], set())
    entry["hashes"] = {WEIGHTS: hashlib.sha256((tiny / WEIGHTS).read_bytes()).hexdigest()}
    catalogue.write_text(json.dumps([entry]))
    assert work.find_repository(paths, "TINY") == ("me/model", "b" * 40)
    model = result(start(paths, "me/model"))
    assert Manifest.read(model.folder).source["licence"] == "Ours"


def test_an_unknown_name_is_refused_before_anything(paths: Paths) -> None:
    for wrong in ({"repository": "../x"}, {"revision": "../x"}, {"name": "a/b"}, {"build": "x"}):
        with pytest.raises(InputError):
            download_model(
                lambda fraction, text: None, paths, **{"repository": "me/model", **wrong}
            )
    assert not paths.data.exists()


IMPATIENT = Timeouts(connect=1, silence=0.5, retries=1, pause=0.01)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("dribble", ["head", "body", "continue"])
@pytest.mark.parametrize("place", ["", f"/{WEIGHTS}", "/config.json"])
def test_a_server_that_dribbles_is_left(
    hub: HubServer, paths: Paths, tiny: Path, dribble: str, place: str
) -> None:
    hub.add("me/model", tiny)
    hub.script(f"me/model{place}", *[Serving(dribble=dribble)] * 5)
    call = {"repository": "me/model", "build": BUILD, "patience": IMPATIENT}
    (outcome,) = result(Job.start(several, paths, [call]))
    assert outcome.kind in ("DownloadError", "SlowError")
    assert "sends hardly anything." in outcome.words
    tries = [seen for seen in hub.seen if seen.file == place[1:]]
    assert 1 <= len(tries) <= 4  # a redirect counts too


@pytest.mark.timeout(60)
def test_a_byte_with_every_connection_is_not_gone_on_with_for_ever(
    hub: HubServer, paths: Paths, tiny: Path
) -> None:
    hub.add("me/model", tiny)
    hub.script(f"me/model/{WEIGHTS}", *[Serving(drop_after=1)] * 500)
    patience = Timeouts(connect=5, silence=5, retries=3, pause=0.02)
    call = {"repository": "me/model", "build": BUILD, "patience": patience}
    (outcome,) = result(Job.start(several, paths, [call]))
    assert "broke off" in outcome.words
    assert len(hub.asked(WEIGHTS)) < 50


@pytest.mark.timeout(60)
def test_what_stands_in_a_redirect_is_not_read(hub: HubServer, paths: Paths, tiny: Path) -> None:
    hub.add("me/model", tiny)
    away = {"Location": f"{hub.url}/api/models/me/model?again"}
    hub.script("me/model", Serving(302, away, body=b"x", length=1 << 40, stall_after=1))
    call = {"repository": "me/model", "build": BUILD, "patience": QUICK}
    (outcome,) = result(Job.start(several, paths, [call]))
    assert outcome.name == "model"
    hub.script("me/model", *[Serving(302, away, body=b"x")] * 50)
    call = {"repository": "me/model", "revision": "main", "name": "x", "patience": QUICK}
    (outcome,) = result(Job.start(several, paths, [call]))
    assert "one redirect after the other" in outcome.words
