"""``models download``, ``available`` and what ``models list`` says of both, in the real program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import HubServer, Serving
from tests.tiny import make_tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add("me/model", make_tiny(tmp_path / "tiny", width=64, context=32), licence="mit")
        yield server


def program(hub: HubServer, home: Path, *words: str) -> subprocess.Popen[str]:
    proxies = ("_proxy", "hf_token", "hf_hub_offline")
    inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith(proxies)}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), "--data-dir", str(home), "models", *words],
        env={**inherited, "HF_ENDPOINT": hub.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def run(hub: HubServer, home: Path, *words: str) -> tuple[int, str, str]:
    process = program(hub, home, *words)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_stopped_download_is_said_and_can_be_paused(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.script("me/model/model.safetensors", Serving(stall_after=50_000))
    process = program(hub, home, "download", "me/model", "--precision", "fp32")
    assert process.stderr
    part = home / "downloads" / "me--model" / "files" / "model.safetensors.part"
    end = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 50_000):
        assert time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    working = max(map(int, children))  # the other one is Python's own, started before
    os.kill(working, signal.SIGSTOP)
    assert "does not answer" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    with process:
        assert "paused; 56 of 494 kB are kept" in process.stderr.read()
    assert process.returncode == 130
    assert not Path(f"/proc/{working}").exists()


def test_ctrl_c_pauses_and_the_same_words_go_on(hub: HubServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.script("me/model/model.safetensors", Serving(stall_after=50_000))
    words = ("download", "me/model", "--precision", "fp32", "--name", "Mine")
    process = program(hub, home, *words)
    part = home / "downloads" / "me--model" / "files" / "model.safetensors.part"
    end = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 50_000):
        assert time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("sample-explorer: paused; 56 of 494 kB are kept.")
    assert err.endswith("Go on with: sample-explorer models download me/model\n")

    code, out, _ = run(hub, home, "list")
    assert code == 0
    assert "me/model: unfinished download, 56 of 494 kB; models download me/model goes on" in out

    code, out, err = run(hub, home, "download", "me/model")
    assert (code, out, err) == (0, "Mine is ready.\n", "")
    assert [seen.headers.get("range") for seen in hub.seen if "/cdn/" in seen.path] == [
        None,
        "bytes=50000-",
    ]
    (line,) = [line for line in run(hub, home, "list")[1].splitlines() if line.startswith("Mine")]
    revision = hub.repos["me/model"].revision
    assert "cpu-fp32 (" in line
    assert " MB on disk; " in line
    assert line.endswith(f"me/model at {revision[:7]}; mit")
    # A build whose files are gone is listed, and not as if it were there.
    (home / "models" / "Mine" / "cpu-fp32" / "weights.bin").unlink()
    (line,) = [line for line in run(hub, home, "list")[1].splitlines() if line.startswith("Mine")]
    assert "cpu-fp32 (damaged)" in line


def test_a_download_is_removed_by_its_repository(hub: HubServer, tmp_path: Path) -> None:
    hub.script("me/model/model.safetensors", Serving(drop_after=9), Serving(404))
    code, out, err = run(hub, tmp_path, "download", "me/model")
    assert (code, out) == (1, "")
    assert err == (
        f"sample-explorer: me/model has no model.safetensors at {hub.repos['me/model'].revision}.\n"
    )
    assert (tmp_path / "downloads" / "me--model").exists()
    code, out, _ = run(hub, tmp_path, "remove", "me/model")
    assert (code, out) == (0, "What was downloaded of me/model was removed.\n")
    assert not (tmp_path / "downloads" / "me--model").exists()


@pytest.mark.parametrize("name", ["../x", "a/b/c", "", "größe"])
def test_a_name_that_cannot_be_one_is_input(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from explorer.__main__ import main

    assert main(["models", "download", name]) == 2
    assert "no name of a repository" in capsys.readouterr().err


def test_what_is_available(capsys: pytest.CaptureFixture[str]) -> None:
    from explorer.__main__ import main

    assert main(["models", "available"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith(
        "gpt2-xl: 1558 M parameters, 6,432 MB to download; Modified MIT (OpenAI); "
        "openai-community/gpt2-xl at 15ea56d. "
    )
    assert len(lines) == 6


def test_a_download_is_removed_by_the_name_that_the_catalogue_has(tmp_path: Path) -> None:
    with HubServer() as hub:
        begun = tmp_path / "downloads" / "openai-community--gpt2"
        begun.mkdir(parents=True)
        code, out, _ = run(hub, tmp_path, "remove", "gpt2")
        assert (code, out) == (0, "What was downloaded of openai-community/gpt2 was removed.\n")
        assert not begun.exists()
        assert run(hub, tmp_path, "remove", "gpt2")[0] == 2


def test_of_an_installed_model_and_a_download_the_model_is_removed_first(
    hub: HubServer, tmp_path: Path
) -> None:
    assert run(hub, tmp_path, "download", "me/model", "--name", "gpt2")[0] == 0
    (tmp_path / "downloads" / "openai-community--gpt2").mkdir()
    assert run(hub, tmp_path, "remove", "gpt2")[1] == "gpt2 was removed.\n"
    assert run(hub, tmp_path, "remove", "gpt2")[1].startswith("What was downloaded")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--name", "demo"), "is reserved"),
        (("--name", "a/b"), "may hold letters"),
        (("--name", "there"), "already a model named 'there'"),
        (("--revision", "../x"), "is no revision"),
        (("--revision", ""), "is no revision"),
    ],
)
def test_what_cannot_be_used_is_input_and_said_before_anything_is_asked(
    hub: HubServer, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    source = make_tiny(tmp_path / "source", layers=1, width=8, context=16)
    assert run(hub, tmp_path, "import", str(source), "--name", "there")[0] == 0
    code, out, err = run(hub, tmp_path, "download", "me/model", *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert not hub.seen
    assert not (tmp_path / "downloads").exists()
