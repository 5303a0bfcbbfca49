"""How a text is read on the command line: control tokens, loose spaces, one too long."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.__main__ import main
from explorer.engine.text.tokens import Tokens
from explorer.library.history import History
from explorer.library.storage.database import Database
from explorer.system.paths import Paths
from tests.tiny import make_tiny

Run = Callable[..., tuple[int, str, str]]
USER, BOT = 298, 299
TALK = "<|user|>the lion<|bot|>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a model of two tokens of its own."""
    folder = tmp_path_factory.mktemp("prompts")
    make_tiny(folder / "gpt2", added=("<|user|>", "<|bot|>"), context=64)
    words = ["models", "import", str(folder / "gpt2"), "--precision", "fp32", "--name", "tiny"]
    assert main(["--data-dir", str(folder), *words]) == 0
    return folder


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and returns exit code, stdout and stderr."""

    def run(command: str, *words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        common = ["--model", "tiny", "--precision", "fp32", "--jsonl"]
        code = main(["--data-dir", str(home), command, *common, *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def tokens(home: Path) -> Tokens:
    return Tokens.from_folder(Paths.default(home).models / "tiny")


def recorded(home: Path) -> list[tuple[str, tuple[int, ...]]]:
    with Database.open(Paths.default(home).library) as database:
        history = History(database)
        hunts = [summary.hunt for summary in history.page(history.ids())]
        return [(hunt.prompt_text, tuple(hunt.prompt_ids)) for hunt in hunts]


def test_names_are_letters_or_control_tokens_and_so_two_hunts(
    run: Run, home: Path, tokens: Tokens
) -> None:
    words = ["--prompt", TALK, "--max-tokens", "3", "--record", "--seed", "1"]
    assert run("generate", *words)[0] == 0
    code, _, err = run("generate", *words, "--control-tokens")
    assert (code, err) == (0, "")
    assert recorded(home)[:2] == [
        (TALK, (USER, *tokens.encode("the lion"), BOT)),
        (TALK, tuple(tokens.encode(TALK))),
    ]


def test_a_text_is_scored_with_control_tokens(run: Run, home: Path, tokens: Tokens) -> None:
    (home / "talk.txt").write_text(TALK)
    words = ["--file", str(home / "talk.txt")]
    plain = [json.loads(line) for line in run("score", *words)[1].splitlines()]
    code, out, err = run("score", *words, "--control-tokens")
    control = [json.loads(line) for line in out.splitlines()]
    assert [row["id"] for row in plain] == tokens.encode(TALK)
    assert [row["id"] for row in control] == [USER, *tokens.encode("the lion"), BOT]
    assert "".join(row["token"] for row in control) == TALK
    assert (code, err) == (0, "")


def test_control_tokens_that_are_none_are_said(run: Run, home: Path) -> None:
    words = ["--control-tokens", "--max-tokens", "1", "--prompt", "<user>the"]
    code, _, err = run("generate", *words)
    assert code == 0
    (line,) = err.splitlines()
    assert "<|endoftext|>, <|user|>, <|bot|>" in line
    (home / "plain.txt").write_text("the lion")
    code, _, err = run("score", "--file", str(home / "plain.txt"), "--control-tokens")
    assert (code, len(err.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    ("prompt", "said"), [("the lion ", "a space"), ("the  ", "2 spaces"), ("the\n", ""), ("", "")]
)
def test_a_loose_space_is_said_once_and_used_all_the_same(
    run: Run, home: Path, tokens: Tokens, prompt: str, said: str
) -> None:
    words = ["--count", "3", "--max-tokens", "2", "--prompt", prompt, "--record"]
    code, _, err = run("generate", *words)
    assert code == 0
    assert len(err.splitlines()) == bool(said)
    assert said in err
    assert recorded(home)[0] == (prompt, tuple(tokens.encode(prompt)))


LONG = " ".join(["the lion and the mouse"] * 40)


@pytest.mark.parametrize("prompt", [LONG, "the lion " * 7 + "the mouse " * 8])
def test_a_prompt_that_is_too_long_is_refused_with_what_to_do(run: Run, prompt: str) -> None:
    code, out, err = run("generate", "--prompt", prompt)
    assert (code, out) == (2, "")
    assert "context holds 64" in err
    assert "--keep-last" in err
    assert "--keep-first" in err


@pytest.mark.parametrize("text", [LONG, "the lion and the mouse " * 40_000], ids=["long", "huge"])
@pytest.mark.parametrize("end", ["first", "last"])
def test_the_part_that_fits_is_used_and_said(
    run: Run, home: Path, tokens: Tokens, tmp_path: Path, text: str, end: str
) -> None:
    (tmp_path / "prompt.txt").write_text(text.strip())
    words = ["--prompt-file", str(tmp_path / "prompt.txt"), "--max-tokens", "10", "--record"]
    code, out, err = run("generate", *words, f"--keep-{end}")
    assert code == 0
    prompt, ids = recorded(home)[0]
    assert json.loads(out)["prompt"] == prompt
    assert (text.strip().startswith if end == "first" else text.strip().endswith)(prompt)
    assert ids == tuple(tokens.encode(prompt))
    assert 50 <= len(ids) <= 54  # 64 less the 10 that are to be written
    assert f"its {end} {len(ids)} tokens" in err


def test_a_prompt_that_fits_is_not_cut(run: Run, home: Path) -> None:
    code, _, err = run("generate", "--prompt", "the lion", "--keep-last", "--record")
    assert (code, err) == (0, "")
    assert recorded(home)[0][0] == "the lion"
