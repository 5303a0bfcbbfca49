"""``library`` on the command line: what it prints, what it leaves, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from explorer import cli
from explorer.library.storage.backups import backups
from tests.library.desk import Desk
from tests.library.storage.test_backups import texts
from tests.library.storage.test_integrity import change


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    desk = Desk.at(tmp_path / "library.sqlite")
    desk.kept(desk.hunt(), "kept", rejected=2)
    desk.database.close()
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]):
    def run(*words: str) -> tuple[int, str, str]:
        args = cli.parse(["--data-dir", str(folder), "library", *words])
        code = cli.guarded(args, cli.run)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_check(run, folder: Path) -> None:
    code, out, _ = run("check")
    assert (code, out) == (0, f"{folder / 'library.sqlite'} is sound.\n")
    change(folder / "library.sqlite", "DELETE FROM completions")
    code, out, err = run("check", "--json")
    assert code == 1
    found = json.loads(out)
    assert not found["sound"]
    assert "without a text" in found["problems"][0]
    assert err == ""


def test_backup_restore_and_what_is_kept(run, folder: Path) -> None:
    code, out, _ = run("backup", "--json")
    assert code == 0
    (made,) = backups(folder / "library.sqlite")
    assert json.loads(out)["backup"] == str(made.path)
    change(folder / "library.sqlite", "DROP TABLE verdicts")
    code, out, _ = run("restore", "--list")
    assert str(made.path) in out
    code, out, _ = run("restore", str(made.day), "--json")
    assert code == 0
    assert texts(folder / "library.sqlite") == ["kept"]
    assert Path(json.loads(out)["kept"]).is_file()


def test_a_copy_goes_where_one_says_and_replaces_nothing(run, folder: Path) -> None:
    target = folder / "copies" / "mine.sqlite"
    target.parent.mkdir()
    assert run("backup", "--output", str(target))[0] == 0
    assert texts(target) == ["kept"]
    code, _, err = run("backup", "--output", str(target))
    assert code == 2
    assert "is there already" in err
    assert backups(folder / "library.sqlite") == []


def test_salvage_beside_and_in_place(run, folder: Path) -> None:
    change(folder / "library.sqlite", "PRAGMA user_version=-1")
    code, out, _ = run("salvage", "--json", "--output", str(folder / "new.sqlite"))
    assert code == 0
    found = json.loads(out)
    assert found["whole"]
    assert found["tables"]["tries"] == {"saved": 3, "mended": 0, "lost": 0, "made": 0}
    assert texts(folder / "new.sqlite") == ["kept"]
    code, out, _ = run("salvage", "--in-place")
    assert code == 0
    assert "Everything was read" in out
    assert texts(folder / "library.sqlite") == ["kept"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("restore",), 1),
        (("restore", "absent"), 2),
        (("salvage", "--in-place", "--output", "x"), 2),
    ],
)
def test_what_cannot_be_done_is_a_sentence(run, words, code: int) -> None:
    found, out, err = run(*words)
    assert (found, out) == (code, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize("action", ["check", "backup", "salvage"])
def test_without_a_library_there_is_nothing_to_do(run, folder: Path, action: str) -> None:
    (folder / "library.sqlite").unlink()
    code, _, err = run(action)
    assert code == 1
    assert "There is no library" in err
    assert not (folder / "library.sqlite").exists()
