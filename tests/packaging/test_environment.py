"""What `make` does first: it asks for what a target needs, and says how far that is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import installed
from tests.desktop import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks for Debian's packages")

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "resources" / "install"
USED = (
    *("awk", "date", "env", "find", "id", "mktemp", "mkdir", "rm", "sed", "sh", "sleep", "sort"),
    *("stty", "tail", "uname", "wc"),
)
"""What the scripts themselves are written with."""
NEEDS = {
    "run": set(),
    "test": {"xvfb", "xdotool"},
    "build": {"git", "binutils"},
    "packages": {"git", "binutils", "dpkg", "tar", "xz-utils"},
    "package": {
        *("git", "binutils", "dpkg", "tar", "xz-utils", "debootstrap", "coreutils", "mount"),
        *("util-linux", "xvfb", "xdotool"),
    },
}
FONTS = {"fonts-dejavu-core", "fonts-urw-base35", "fonts-noto-core"}


@pytest.fixture
def checkout(tmp_path):
    """A checkout with an environment whose pip does nothing, and a machine with few programs."""
    (tmp_path / "resources" / "install").mkdir(parents=True)
    for name in ("environment.sh", "progress.sh"):
        shutil.copy(SCRIPTS / name, tmp_path / "resources" / "install")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in USED:
        (programs / name).symlink_to(shutil.which(name))
    write(programs / "apt-get", 'echo "$*" >>"$ASKED"; exit 3')
    write(
        tmp_path / ".venv" / "bin" / "python", 'case "$*" in *"-m pip"*) echo "$*"; exit 3;; esac'
    )
    return tmp_path


def write(path, words):
    """Write a program of the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)


def prepare(checkout, purpose, **variables):
    """Run environment.sh where /usr/sbin, which it looks into as well, has nothing for it."""
    script = checkout / "resources" / "install" / "environment.sh"
    script.write_text(script.read_text().replace(":/usr/sbin:/sbin", ""))
    environment = {
        "PATH": str(checkout / "programs"),
        "HOME": str(checkout),
        "ASKED": str(checkout / "asked"),
        **variables,
    }
    return subprocess.run(
        ["/bin/sh", str(script), purpose],
        cwd=checkout, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("purpose", "packages"), NEEDS.items())
def test_what_a_target_needs_is_asked_for_before_anything_else(checkout, purpose, packages):
    done = prepare(checkout, purpose)
    asked = checkout / "asked"
    lines = asked.read_text().splitlines() if asked.exists() else []
    assert lines[:1] == (["update -qq"] if packages else [])
    assert done.returncode != 0  # neither apt-get nor pip does anything here
    if packages:
        assert "pip" not in done.stderr
        found = {word.strip() for word in done.stderr.splitlines()[-1].split()[4:]} - FONTS
        assert found == packages


def test_for_gpus_the_same_is_asked_for(checkout):
    for purpose in ("build", "packages", "package"):
        plain, cuda = (prepare(checkout, each).stderr for each in (purpose, f"{purpose}-cuda"))
        assert cuda == plain.replace(f"'{purpose}'", f"'{purpose}-cuda'")


def test_a_purpose_that_there_is_not_is_refused(checkout):
    done = prepare(checkout, "breakfast")
    assert done.returncode == 2
    assert "one of run, test, build" in done.stderr


def test_a_failure_of_pip_shows_what_it_said_last(checkout):
    lines = "; ".join(f"echo line {n}" for n in range(40))
    write(checkout / ".venv/bin/python", f'case "$*" in *"-m pip"*) {lines}; exit 1;; esac')
    done = prepare(checkout, "run")
    assert done.returncode == 1
    assert "pip could not install what 'run' needs" in done.stderr
    assert re.findall(r"line (\d+)", done.stderr) == [str(n) for n in range(28, 40)]
    assert "\r" not in done.stderr


LOG = """\
Collecting PySide6-Essentials
  Downloading pyside6_essentials-6.11.3-cp310-abi3-manylinux_2_34_x86_64.whl (80.3 MB)
"""


@pytest.fixture
def progress(checkout):
    """Run progress.sh on a log that a test writes; it ends with the process that it looks after."""
    log, folder = checkout / "log", checkout / "downloads"
    folder.mkdir()
    log.write_text("")
    owner = subprocess.Popen(["sleep", "600"])
    begun = []

    def begin(output):
        words = ["/bin/sh", str(SCRIPTS / "progress.sh"), str(log), str(folder), str(owner.pid)]
        begun.append(subprocess.Popen(words, cwd=checkout, stderr=output))
        return log, folder

    yield begin
    owner.kill()
    owner.wait()
    assert [each.wait(60) for each in begun] == [0] * len(begun)


def test_without_a_terminal_there_is_a_plain_line_for_what_takes_long(progress, tmp_path):
    out = tmp_path / "out"
    with out.open("w") as output:
        log, _ = progress(output)
    log.write_text(LOG)
    wait_for("the large file", lambda: "pyside6" in out.read_text())
    log.write_text(LOG + "Installing collected packages: a, b, c\n")
    wait_for("the rest", lambda: "packages" in out.read_text())
    assert out.read_text() == (
        "  downloading pyside6_essentials-6.11.3 (80.3 MB)\n  installing 3 packages\n"
    )


def test_on_a_terminal_one_line_says_how_much_is_here(progress):
    ours, theirs = os.openpty()
    log, folder = progress(theirs)
    os.close(theirs)
    said = b""

    def told(words):
        nonlocal said
        said += os.read(ours, 4096)
        return words in said

    (folder / "pip-unpack-1").mkdir()
    file = folder / "pip-unpack-1" / LOG.split("Downloading ")[1].split()[0]
    file.write_bytes(bytes(45_300_000))
    log.write_text(LOG)
    wait_for(
        "how much of it is here", lambda: told(b"downloading pyside6_essentials-6.11.3, 45.3 of")
    )
    log.write_text(LOG + "Installing collected packages: a, b, c\n")
    wait_for("the packages", lambda: told(b"installing packages, 0 of 3"))
    assert b"\n" not in said
    assert re.search(rb"\r\x1b\[K  \d+ s: ", said)


def test_the_proof_of_a_package_names_what_it_lacks_at_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    package = tmp_path / "sample-explorer_0_amd64.deb"
    monkeypatch.setattr(sys, "argv", ["installed", str(package)])
    with pytest.raises(SystemExit, match=r"There is no package .*`make packages` makes it"):
        installed.main()
    package.touch()
    with pytest.raises(SystemExit, match=r"apt-get install coreutils debootstrap dpkg mount"):
        installed.main()
    for name in installed.PROGRAMS:
        write(tmp_path / name, "")
    assert installed.lacking(made=False, picture=False) == []
    assert installed.lacking(made=True, picture=True) == ["debootstrap", "imagemagick"]
