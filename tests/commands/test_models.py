"""``models import``, ``list``, ``convert``, ``remove``, as they are typed, mistyped and broken."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.__main__ import main
from explorer.system.paths import Paths
from explorer.weights.hub.transfer_rate import size
from tests.tiny import make_tiny

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "gpt2", width=32, context=128)


@pytest.fixture
def run(data: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command where one model, ``tiny``, is installed with an int8 build."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--data-dir", str(data), *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    code, _, _ = run("models", "import", str(source), "--name", "tiny", "--precision", "int8")
    assert code == 0
    return run


@pytest.fixture
def folder(data: Path) -> Path:
    return Paths.default(data).models / "tiny"


def line(out: str, name: str) -> str:
    return next(line for line in out.splitlines() if line.startswith(f"{name}:"))


def test_a_damaged_build_is_listed_as_one(run: Run, folder: Path) -> None:
    there = size(sum(path.stat().st_size for path in (folder / "cpu-int8").iterdir()))
    assert re.fullmatch(r"\d+ kB", there)
    assert f"cpu-int8 ({there})" in line(run("models", "list")[1], "tiny")
    total = size(sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()))
    assert f"; {total} on disk; " in line(run("models", "list")[1], "tiny")
    (folder / "cpu-int8" / "weights.bin").write_bytes(b"x")
    assert "cpu-int8 (damaged)" in line(run("models", "list")[1], "tiny")
    assert run("models", "convert", "tiny", "--precision", "int8")[0] == 0
    assert f"cpu-int8 ({there})" in line(run("models", "list")[1], "tiny")


def test_a_damaged_source_is_a_failure_and_not_an_input(run: Run, folder: Path) -> None:
    (folder / "source" / "tokenizer.json").unlink()
    code, out, err = run("models", "convert", "tiny", "--precision", "fp32")
    assert (code, out) == (1, "")
    assert "tiny was made from files that are damaged now" in err
    assert err.endswith("; remove the model and import it again.\n")
    assert err.count("\n") == 1


def test_an_installed_model_is_not_imported_but_its_source_can_be(run: Run, folder: Path) -> None:
    code, _, err = run("models", "import", str(folder))
    assert code == 2
    assert f"or import {folder / 'source'}." in err
    assert run("models", "import", str(folder / "source"), "--name", "again")[0] == 0


def test_a_text_from_stdin_has_a_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    code, _, err = run("models", "compare", "tiny", "--text", "-")
    assert code == 2
    assert "stdin is too short" in err


def test_a_link_among_the_models_is_removed_without_what_it_leads_to(
    run: Run, folder: Path, source: Path
) -> None:
    try:
        (folder.parent / "link").symlink_to(source)
    except OSError:
        pytest.skip("links need rights here")
    assert run("models", "remove", "link")[0] == 0
    assert not (folder.parent / "link").is_symlink()
    assert (source / "config.json").is_file()


def test_what_stands_where_models_should_is_said(run: Run, data: Path, source: Path) -> None:
    (data.parent / "other").mkdir()
    (data.parent / "other" / "models").write_text("a file")
    code = main(["--data-dir", str(data.parent / "other"), "models", "import", str(source)])
    assert code == 1
    assert run("models", "list")[0] == 0


def spawn(data: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "main.py"), "--data-dir", str(data), "models", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def left(data: Path) -> set[str]:
    return {path.name for path in Paths.default(data).models.iterdir()} - {".lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl+C to the whole console")
def test_ctrl_c_during_an_import_leaves_nothing(data: Path, tmp_path: Path) -> None:
    large = make_tiny(tmp_path / "large", layers=8, width=768, heads=12, vocabulary=2000)
    importing = spawn(data, "import", str(large), "--precision", "int4")
    parts = Paths.default(data).models
    end = time.monotonic() + 60
    while not any(parts.glob("*.part/cpu-int4")):
        assert importing.poll() is None, importing.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(importing.pid, signal.SIGINT)
    out, err = importing.communicate(timeout=60)
    assert (importing.returncode, out, err) == (130, "", "")
    assert left(data) == set()


def test_two_imports_at_once_wait_for_each_other(data: Path, source: Path) -> None:
    both = [spawn(data, "import", str(source)) for _ in range(3)]
    found = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], found
    assert left(data) == {"gpt2", "gpt2-2", "gpt2-3"}
    assert {out.split(":")[0] for out, _ in found} == left(data)


def test_a_name_can_be_taken_by_one_of_two_only(data: Path, source: Path) -> None:
    both = [spawn(data, "import", str(source), "--name", "one") for _ in range(2)]
    found = [process.communicate(timeout=120) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    assert sum("already a model named 'one'" in err for _, err in found) == 1
    assert left(data) == {"one"}


def test_removing_beside_a_conversion_waits_and_leaves_nothing(run: Run, data: Path) -> None:
    several = [
        spawn(data, "convert", "tiny", "--precision", "fp32"),
        spawn(data, "convert", "tiny", "--precision", "int4"),
        spawn(data, "remove", "tiny"),
        spawn(data, "remove", "tiny"),
        spawn(data, "verify", "tiny"),
    ]
    found = [process.communicate(timeout=120) for process in several]
    for process, (out, err) in zip(several, found, strict=True):
        assert process.returncode in (0, 1, 2), err
        assert err == "" or (err.count("\n") == 1 and err.startswith("sample-explorer: ")), err
        assert "unexpected" not in err
        assert bool(out) != bool(err)
    assert "tiny was removed." in {out.strip() for out, _ in found}
    assert left(data) == set()


def test_a_file_is_imported_and_said_to_be_the_one(run: Run, source: Path, tmp_path: Path) -> None:
    other = make_tiny(tmp_path / "other", width=32, context=128, seed=1)
    chosen = source / "model_ema.safetensors"
    (other / "model.safetensors").rename(chosen)
    code, out, _ = run("models", "import", str(chosen), "--name", "ema", "--precision", "int8")
    assert code == 0
    assert line(out, "ema").endswith(f"from {source}, {chosen.name}")
    code, _, err = run("generate", "--model", str(chosen), "--prompt", "a", "--count", "1")
    assert code == 2
    assert "is a file" in err
    assert "models import" in err
    notes = source / "notes.txt"
    notes.write_text("hello")
    code, _, err = run("generate", "--model", str(notes), "--prompt", "a", "--count", "1")
    assert code == 2
    assert "notes.txt is no part of a GPT-2" in err
