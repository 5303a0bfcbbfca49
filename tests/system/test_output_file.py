"""What stands where an output goes: files are replaced whole, all else is written through."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from explorer.system.output_file import is_stdout, is_written_through, part_of, replacing, why_not

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, pipes and devices with names")


def write(target: Path, text: str = "new\n") -> None:
    with replacing(target) as file:
        file.write(text)


def test_a_file_changes_when_it_is_complete_and_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for mode in (0o640, 0o600, 0o755):
        target.write_text("old")
        target.chmod(mode)
        with replacing(target) as file:
            file.write("new\n")
            file.flush()
            assert target.read_text() == "old"
        assert target.read_text() == "new\n"
        assert stat.S_IMODE(target.stat().st_mode) == mode
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    os.chown(target, 12345, 23456)
    write(target)
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 23456)


def test_a_new_file_has_the_mode_that_the_person_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as file:
            file.write("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("relative", [False, True])
def test_a_link_stays_and_what_it_leads_to_is_replaced_there(
    tmp_path: Path, relative: bool
) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    real, link = tmp_path / "far" / "away" / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(Path("far/away/real") if relative else real)
    second = tmp_path / "second"
    second.symlink_to(link)
    with replacing(second) as file:
        file.write("new\n")
        assert part_of(second).parent == real.parent
        assert os.listdir(real.parent) != ["real"]
    assert second.is_symlink()
    assert link.is_symlink()
    assert real.read_text() == "new\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert os.listdir(real.parent) == ["real"]


def test_a_link_to_nothing_yet_makes_the_file_where_it_leads(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("real")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / "real").read_text() == "new\n"


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="links"):
        write(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_trap_in_the_place_of_the_part_is_not_written_into(tmp_path: Path) -> None:
    target, other = tmp_path / "out", tmp_path / "other"
    other.write_text("somebody's")
    part_of(target).symlink_to(other)
    write(target)
    assert other.read_text() == "somebody's"
    assert target.read_text() == "new\n"


def test_a_name_as_long_as_a_name_may_be_is_written(tmp_path: Path) -> None:
    target = tmp_path / ("ü" * 127)
    write(target)
    assert target.read_text() == "new\n"


@pytest.mark.timeout(20)
def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe, link, got = tmp_path / "pipe", tmp_path / "link", []
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link):
        reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
        reader.start()
        write(target)
        reader.join()
        assert stat.S_ISFIFO(os.lstat(pipe).st_mode)
        assert is_written_through(target)
    assert got == ["new\n", "new\n"]
    assert link.is_symlink()


def test_a_device_is_written_through(tmp_path: Path) -> None:
    before = os.stat("/dev/null")
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    for target in (Path("/dev/null"), link):
        write(target)
    assert os.path.samestat(before, os.stat("/dev/null"))
    assert os.stat("/dev/null").st_rdev == before.st_rdev
    assert link.is_symlink()
    if os.path.exists("/dev/full"):
        with pytest.raises(OSError, match="space"):
            write(Path("/dev/full"))


def test_folders_sockets_and_disks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(served))
        assert why_not(served) == "a socket"
        with pytest.raises(OSError, match="a socket"):
            write(served)
        assert stat.S_ISSOCK(os.lstat(served).st_mode)
    for folder in (tmp_path, Path("/"), Path()):
        assert why_not(folder) == "a folder"
    monkeypatch.setattr("explorer.system.output_file._mode", lambda _: stat.S_IFBLK | 0o660)
    assert why_not(tmp_path / "sda") == "a disk"
    with pytest.raises(OSError, match="a disk"):
        write(tmp_path / "sda")


def test_a_file_that_may_not_be_written_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything
    with pytest.raises(PermissionError):
        write(target)
    assert target.read_text() == "old"


SCRIPT = """
import sys
from pathlib import Path
from explorer.system.output_file import replacing
print("before")
with replacing(Path(sys.argv[1])) as file:
    file.write("text\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["file", "pipe"])
def test_standard_output_has_names_of_its_own(tmp_path: Path, name: str, into: str) -> None:
    if not os.path.exists(name):
        pytest.skip("this system has no such name")
    assert is_stdout(Path(name))
    out = tmp_path / "out"
    line = [sys.executable, "-c", SCRIPT, name]
    if into == "file":
        with out.open("w") as file:
            subprocess.run(line, stdout=file, cwd=ROOT, check=True)
        found = out.read_text()
    else:
        found = subprocess.run(line, stdout=-1, cwd=ROOT, check=True, text=True).stdout
    assert found == "before\ntext\nafter\n"
    assert not is_stdout(out)
