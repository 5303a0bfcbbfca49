"""Where no window can be opened, one sentence says why, and nothing is aborted."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PySide6.QtCore import QLibraryInfo

from explorer.core.errors import ExplorerError
from explorer.system import display
from tests.desktop import missing_tools

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath))
NAMES = ("DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "XDG_SESSION_TYPE", "QT_QPA_PLATFORM",
         "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "XAUTHORITY")  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asked on Linux only")


def asked(environment: dict[str, str]) -> str:
    """Return what is wrong with such an environment; empty if nothing is."""
    try:
        with display.reachable(environment, PLUGINS):
            return ""
    except ExplorerError as error:
        return str(error)


def started(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start the window in such an environment and nothing else of the kind."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "--data-dir", str(folder)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


WITHOUT = [
    {},
    {"DISPLAY": ""},
    {"DISPLAY": ":7741"},
    {"DISPLAY": "nonsense"},
    {"DISPLAY": "localhost:7741.3"},
    {"DISPLAY": "/nowhere/at/all:0"},
    {"DISPLAY": "\udcff:1"},
    {"WAYLAND_DISPLAY": "wayland-77"},
    {"WAYLAND_DISPLAY": "/nowhere/at/all"},
    {"WAYLAND_DISPLAY": "w" * 300},
    {"WAYLAND_DISPLAY": "wayland-77", "DISPLAY": ":7741"},
    {"XDG_SESSION_TYPE": "wayland"},
    {"QT_QPA_PLATFORM": "xcb", "WAYLAND_DISPLAY": "wayland-77"},
    {"QT_QPA_PLATFORM": "wayland-egl;xcb:extra", "DISPLAY": ":7741"},
    {"QT_QPA_PLATFORM": "nonsense", "DISPLAY": ":7741"},
]


@pytest.mark.parametrize("environment", WITHOUT, ids=str)
def test_a_start_without_a_server_is_one_sentence(tmp_path, environment):
    done = started(tmp_path, environment)
    assert done.returncode == 1
    assert re.fullmatch(r"sample-explorer: [^\n]+\.\n", done.stderr), done.stderr
    assert done.stdout == ""
    assert done.stderr == f"sample-explorer: {asked(environment)}\n"


@pytest.mark.parametrize(
    "platform", ["offscreen", "minimal", "minimal:enable_fonts", "vnc:port=0", "xcb;offscreen"]
)
def test_platforms_without_a_server_are_taken_as_they_are(platform):
    assert asked({"QT_QPA_PLATFORM": platform}) == ""


def test_plugins_of_somebody_else_are_taken_as_they_are(tmp_path):
    theirs = {"QT_QPA_PLATFORM": "theirs", "QT_PLUGIN_PATH": str(tmp_path)}
    assert asked(theirs) == ""
    assert "no platform called 'theirs'" in asked({"QT_QPA_PLATFORM": "theirs"})


def test_other_systems_are_not_asked(monkeypatch):
    for system in ("win32", "darwin"):
        monkeypatch.setattr(sys, "platform", system)
        assert asked({"DISPLAY": ":7741"}) == ""


@contextmanager
def xvfb(*words: str) -> Iterator[str]:
    """Start a server that, as they do by themselves, starts anew when its last program leaves."""
    read, write = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), *words], pass_fds=(write,), stderr=subprocess.DEVNULL
    ) as server:
        try:
            os.close(write)
            with os.fdopen(read) as pipe:
                yield f":{pipe.readline().strip()}"
        finally:
            server.terminate()


@pytest.mark.skipif(bool(missing_tools()), reason="needs Xvfb")
def test_a_server_that_answers_is_found_and_stays():
    script = (
        "import os\nfrom pathlib import Path\nfrom PySide6.QtCore import QLibraryInfo\n"
        "from PySide6.QtWidgets import QApplication\nfrom explorer.system import display\n"
        "plugins = QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)\n"
        "with display.reachable(os.environ, Path(plugins)):\n"
        "    app = QApplication([])\n"
        "print(app.platformName(), len(app.screens()))\n"
    )
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    with xvfb() as number:
        for environment in (
            {"DISPLAY": number},
            {"DISPLAY": f"{number}.0", "WAYLAND_DISPLAY": "wayland-77"},
            {"DISPLAY": number, "XDG_SESSION_TYPE": "wayland"},
        ):
            done = subprocess.run(
                [sys.executable, "-c", script],
                env={**kept, **environment},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.stdout.split() == ["xcb", "1"], done.stderr


@pytest.mark.skipif(bool(missing_tools()), reason="needs Xvfb")
def test_a_server_that_lets_nobody_in_is_said(tmp_path, monkeypatch):
    name, cookie = b"MIT-MAGIC-COOKIE-1", bytes(range(16))
    texts = (b"", b"", name, cookie)  # address, number, kind, key; for a server of any name
    key = tmp_path / "key"
    key.write_bytes(b"\xff\xff" + b"".join(len(x).to_bytes(2, "big") + x for x in texts))
    with xvfb("-auth", str(key)) as number:
        monkeypatch.setenv("XAUTHORITY", str(tmp_path / "none"))
        assert "does not let us in" in asked({"DISPLAY": number})
        monkeypatch.setenv("XAUTHORITY", str(key))
        assert asked({"DISPLAY": number}) == ""


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libxcb-cursor.so.0", "libxcb-cursor0"),
        ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
        ("libX11-xcb.so.1", "libx11-xcb1"),
        ("libxcb-icccm.so.4", "libxcb-icccm4"),
        ("libEGL.so.1", "libegl1"),
        ("libdbus-1.so.3", "libdbus-1-3"),
        ("libfontconfig.so.1", "libfontconfig1"),
        ("libwayland-cursor.so.0", "libwayland-cursor0"),
    ],
)
def test_a_library_is_named_with_its_package(library, package):
    assert display.package_of(library) == package
    said = display.library_problem(f"{library}: cannot open shared object file: No such file")
    assert library in said
    assert f"apt install {package})" in said
    assert display.library_problem("something else") == ""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a compiler")
def test_a_plugin_whose_library_is_missing_is_said_before_qt_aborts(tmp_path):
    lost = tmp_path / "libxcb-lost.so.7"
    subprocess.run(["gcc", "-shared", "-o", lost, "-Wl,-soname,libxcb-lost.so.7", "-xc", "-"],
                   input="int lost;", text=True, check=True)  # fmt: skip
    plugin = tmp_path / "libqxcb.so"
    subprocess.run(["gcc", "-shared", "-o", plugin, "-Wl,--no-as-needed", lost, "-xc", "-"],
                   input="int plugin;", text=True, check=True)  # fmt: skip
    lost.unlink()
    done = started(
        tmp_path / "data", {"DISPLAY": ":7741", "QT_QPA_PLATFORM_PLUGIN_PATH": str(tmp_path)}
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the system lacks libxcb-lost.so.7" in done.stderr
    assert "sudo apt install libxcb-lost7" in done.stderr


def test_a_library_that_qt_itself_lacks_is_said(tmp_path):
    script = (
        "import sys, types\n"
        "class Lacking:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'PySide6.QtWidgets':\n"
        "            raise ImportError('libEGL.so.1: cannot open shared object file')\n"
        "sys.meta_path.insert(0, Lacking())\n"
        "from explorer.__main__ import main\n"
        "sys.exit(main(['--data-dir', sys.argv[1]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "libegl1" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wayland_server_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(display, "_loading_problem", lambda *_: "")
    environment = {"WAYLAND_DISPLAY": "wayland-5", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert "No Wayland compositor answers" in asked(environment)
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(tmp_path / "wayland-5"))
        server.listen()
        assert asked(environment) == ""
        assert asked({"WAYLAND_DISPLAY": str(tmp_path / "wayland-5")}) == ""
    assert asked({"WAYLAND_DISPLAY": "wayland-9", "WAYLAND_SOCKET": "7"}) == ""
