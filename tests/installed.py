"""Prove a Debian package: ``python -m tests.installed dist/sample-explorer_0.1.0_amd64.deb``.

It is installed into a fresh Debian that has nothing but what the package declares, and started
there by an ordinary user on a virtual display: prompt, stream, keep, quit, start again, find it.
What it printed and logged is searched for tracebacks, warnings of Qt and missing libraries; then it
is removed, and the library has to be there still. Needs root, debootstrap (or ``--root FOLDER``, a
system made before), Xvfb and xdotool, which `make package` sees to; ImageMagick for ``--picture``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.desktop import TITLE, Desktop, wait_for
from tests.test_journey import count, generate, quit_program, rows

USER = "person"
HOME = f"/home/{USER}"
PROMPT = "The old captain looked out over the sea and"
BAD = re.compile(
    r"Traceback|QObject|QWidget|QPainter|qt\.(?!text\.font\.db)|Warning|CRITICAL|ERROR"
    r"|cannot open shared object|error while loading|No such file|not found|Segmentation"
)
"""What no log of the installed program may hold; that a font lacks a sign is no fault of ours."""
PROGRAMS = {
    **{name: "mount" for name in ("mount", "umount")},
    "chroot": "coreutils",
    "dpkg-deb": "dpkg",
    "setpriv": "util-linux",
    "Xvfb": "xvfb",
    "xdotool": "xdotool",
}
"""What the proof runs, and the Debian package that each program is of."""


def main() -> None:
    """Prove the package and say what was seen; an error says what was not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("deb", type=Path)
    parser.add_argument("--root", type=Path, help="a fresh Debian, instead of making one")
    parser.add_argument("--suite", default="bookworm", help="which Debian to make")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--picture", type=Path, help="where to save what the screen shows")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit(
            "Installing into a clean root needs root: sudo .venv/bin/python -m tests.installed"
        )
    if not arguments.deb.is_file():
        sys.exit(f"There is no package {arguments.deb}; `make packages` makes it.")
    if packages := lacking(made=arguments.root is None, picture=arguments.picture is not None):
        words = " ".join(packages)
        sys.exit(f"Proving a package needs programs that are not here: apt-get install {words}")
    with tempfile.TemporaryDirectory(prefix="clean-root-") as temporary:
        root = arguments.root or Path(temporary) / "root"
        if arguments.root is None:
            begin(root, arguments.suite, arguments.mirror)
        with mounted(root):
            install(root, arguments.deb)
            log = Path(temporary) / "out.log"
            drive(root, log, arguments.picture)
            searched(root, log)
            removed(root, field(arguments.deb, "Package"))
    print("The package is proved.")


def lacking(*, made: bool, picture: bool) -> list[str]:
    """Return the Debian packages whose programs the proof would look for in vain.

    ``made`` says whether a root has to be made first, ``picture`` whether one is to be taken.
    """
    needed = dict(PROGRAMS)
    needed |= {"debootstrap": "debootstrap"} if made else {}
    needed |= {"import": "imagemagick"} if picture else {}
    return sorted({package for name, package in needed.items() if shutil.which(name) is None})


def begin(root: Path, suite: str, mirror: str) -> None:
    """Make a Debian with as little in it as there can be."""
    print(f"Making a clean {suite}", flush=True)
    words = ["debootstrap", "--variant=minbase", suite, str(root), mirror]
    with tempfile.TemporaryFile() as log:
        if subprocess.run(words, stdout=log, stderr=log, check=False).returncode:
            log.seek(0)
            sys.exit(log.read().decode()[-3000:])


def field(deb: Path, name: str) -> str:
    """Return a field of a package's control file."""
    return subprocess.run(
        ["dpkg-deb", "--field", str(deb), name], capture_output=True, text=True, check=True
    ).stdout.strip()


@contextlib.contextmanager
def mounted(root: Path) -> Iterator[None]:
    """Give a root what a running system has; taken away again at the end."""
    places = {"proc": ["-t", "proc", "proc"], "tmp": ["-t", "tmpfs", "tmpfs"]}
    (root / "tmp").mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        for name, words in places.items():
            subprocess.run(["mount", *words, str(root / name)], check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", str(root / name)], check=False)
        # The socket of the virtual display, which lies outside.
        sockets = root / "tmp/.X11-unix"
        sockets.mkdir()
        subprocess.run(["mount", "--bind", "/tmp/.X11-unix", str(sockets)], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", str(sockets)], check=False)
        yield


def inside(root: Path, *words: str) -> str:
    """Run a command in the root as root and return what it printed."""
    done = subprocess.run(
        ["chroot", str(root), *words], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def install(root: Path, deb: Path) -> None:
    """Install the package with what it depends on and nothing that it recommends; make a user."""
    name = field(deb, "Package")
    packages = ("dpkg-query", "--show", "--showformat=${Package}\n")
    shutil.copy(deb, root / "package.deb")
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    before = set(inside(root, *packages).splitlines())
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--no-install-recommends")
    inside(root, *apt, "install", "--yes", "/package.deb")
    came = sorted(set(inside(root, *packages).splitlines()) - before)
    print(f"Installed {name}, with {len(came) - 1} packages: {' '.join(came)}", flush=True)
    (root / "package.deb").unlink()
    inside(root, "useradd", "--create-home", USER)
    status = inside(root, "dpkg-query", "--show", "--showformat=${Status}", name)
    assert status == "install ok installed", status
    libraries = [p for p in (root / "usr/lib/sample-explorer").rglob("*.so*") if p.is_file()]
    places = [f"/{path.relative_to(root)}" for path in libraries]
    # The start program names the folder of the libraries to the loader in the same way. libcuda is
    # a part of the driver.
    search = ("env", "LD_LIBRARY_PATH=/usr/lib/sample-explorer/_internal")
    told = inside(root, *search, "ldd", *places).splitlines()
    missing = {line.strip() for line in told if "not found" in line and "libcuda." not in line}
    assert not missing, missing
    print(f"{len(libraries)} libraries have all that they ask for", flush=True)
    said = inside(root, *as_user({}), "sample-explorer", "--self-test")
    assert said.rstrip().endswith("All is well."), said
    print(said, flush=True)


def as_user(environment: dict[str, str]) -> list[str]:
    """Return the words before a command of the ordinary user, who inherits nothing."""
    variables = {"HOME": HOME, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", **environment}
    words = [f"{name}={value}" for name, value in variables.items()]
    return ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env", "-i", *words]


def drive(root: Path, log: Path, picture: Path | None) -> None:
    """Do the main job in the window of the installed program, twice started."""
    data = root / HOME.lstrip("/") / ".local/share/sample-explorer"
    with Desktop(1280, 800) as desktop:
        display = {"DISPLAY": desktop.environment["DISPLAY"], "QT_LOGGING_TO_CONSOLE": "1"}
        command = ["chroot", str(root), *as_user(display), "sample-explorer"]
        with desktop.running(command, log) as program:
            began = time.monotonic()
            generate(desktop, data, PROMPT)
            print(f"Four tries streamed, {time.monotonic() - began:.1f} s after the window came")
            assert rows(data, "select text from prompts") == [(PROMPT,)]
            desktop.key("x")
            wait_for(
                "the rejection",
                lambda: (
                    count(data, "select count(*) from verdicts where verdict = 'rejected'") == 1
                ),
            )
            time.sleep(3)
            desktop.key("a")
            wait_for("the sample", lambda: count(data, "select count(*) from samples") == 1)
            time.sleep(2)
            if picture is not None:
                desktop.picture(picture)
            quit_program(desktop, program)
        exported = root / HOME.lstrip("/") / "kept.jsonl"
        with desktop.running(command, log) as program:
            desktop.key("ctrl+e")
            desktop.focus("Export")
            desktop.key("Tab", "ctrl+a")
            desktop.type(f"{HOME}/kept.jsonl")
            desktop.key("Return")
            wait_for("what was kept, in a file", exported.exists)
            desktop.key("Escape")
            desktop.focus(TITLE)
            quit_program(desktop, program)
    text = exported.read_text(encoding="utf-8")
    assert '"caption": "machine-written, 5 tries (1 rejected' in text, text
    print("Kept, quit, started again, found and exported with its 5 tries", flush=True)


def searched(root: Path, log: Path) -> None:
    """Fail on anything in what was printed and logged that a user should not meet."""
    logs = [log, *(root / HOME.lstrip("/") / ".local/state/sample-explorer/log").iterdir()]
    assert len(logs) > 1, "no log was written"
    for path in logs:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            assert not BAD.search(line), f"{path.name}: {line}"
    print(f"Nothing bad in {', '.join(path.name for path in logs)}", flush=True)


def removed(root: Path, name: str) -> None:
    """Remove the package: the program goes, the library stays and is named."""
    said = inside(root, "dpkg", "--remove", name)
    assert "~/.local/share/sample-explorer" in said, said
    assert not (root / "usr/lib/sample-explorer").exists()
    assert (root / HOME.lstrip("/") / ".local/share/sample-explorer/library.sqlite").exists()
    print("Removed; the library is still there", flush=True)


if __name__ == "__main__":
    main()
