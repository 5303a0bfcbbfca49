"""``models verify`` and ``models compare``, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.__main__ import main
from explorer.studies.quality.measure import read_quality
from explorer.system.paths import Paths
from tests.tiny import TEXT, make_tiny

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command where one model, ``tiny``, is installed with an int8 build."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["--data-dir", str(tmp_path / "data"), *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    source = make_tiny(tmp_path / "gpt2", width=32, context=128)
    code, _, _ = run("models", "import", str(source), "--name", "tiny", "--precision", "int8")
    assert code == 0
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Paths.default(tmp_path / "data").models / "tiny"


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "own.txt"
    path.write_text(TEXT)
    return str(path)


def test_a_sound_model_and_one_with_a_flipped_bit(run: Run, folder: Path) -> None:
    code, out, err = run("models", "verify", "tiny")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("ok    source: 3 files")
    assert lines[-1] == "tiny is sound."
    path = folder / "cpu-int8" / "weights.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 8
    path.write_bytes(data)
    code, out, _ = run("models", "verify", "tiny")
    assert code == 1
    wrong = [line for line in out.splitlines() if line.startswith("WRONG ")]
    assert len(wrong) == 1
    assert "weights.bin is not the file that was written" in wrong[0]
    assert out.splitlines()[-1] == "tiny: 1 thing is wrong."


def test_what_a_finding_says_to_do_helps(run: Run, folder: Path) -> None:
    path = folder / "cpu-int8" / "weights.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    _, out, _ = run("models", "verify", "tiny")
    advice = out.partition("with: sample-explorer ")[2].partition(".\n")[0]
    assert run(*advice.split())[0] == 0
    assert run("models", "verify", "tiny")[0] == 0


def test_a_table_and_one_sentence(run: Run, folder: Path, text: str) -> None:
    code, out, err = run("models", "compare", "tiny", "--text", text)
    assert (code, err) == (0, "")
    first, heads, *rows, last = out.splitlines()
    assert first.startswith("tiny on ")
    assert first.endswith(" tokens of own.txt")
    assert heads.split()[:3] == ["build", "MB", "KL"]
    assert [row.split()[0] for row in rows] == ["cpu-fp32", "cpu-int8", "cpu-int4"]
    assert all(len(row.split()) == 8 for row in rows)
    assert "is the default" in last
    assert set(read_quality(folder)) == {"cpu-fp32", "cpu-int8", "cpu-int4"}
    assert not (folder / "cpu-int4").exists()


def test_json_is_what_is_kept(run: Run, folder: Path, text: str) -> None:
    code, out, _ = run(
        "models", "compare", "tiny", "--text", text, "--precisions", "int8", "--json"
    )
    assert code == 0
    assert out == (folder / "quality.json").read_text()
    assert list(json.loads(out)["builds"]) == ["cpu-fp32", "cpu-int8"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify", "nobody"], "no model or folder 'nobody'"),
        (["compare", "nobody"], "no model or folder 'nobody'"),
        (["compare", "tiny", "--text", "/no/such/file"], "/no/such/file cannot be read"),
        (["compare", "tiny", "--text", "/dev/null"], "too short"),
        (["compare", "tiny", "--precisions", "int2"], "int2"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, words: list[str], said: str) -> None:
    code, out, err = run("models", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
