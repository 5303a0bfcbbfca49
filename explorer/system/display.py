"""Whether a window can be opened here: asked before Qt, which ends the whole program where not.

On Linux Qt loads a plugin for the kind of display that there is, and aborts where none can be
loaded or no server answers. So what it is going to do is tried first: the same plugins, loaded the
same way, and a connection to the server. That takes some milliseconds, of which Qt has most back.
Other systems have their one kind of display built in, and plugins without a server (``offscreen``,
``vnc``, ...) are taken as they are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from explorer.core.errors import ExplorerError

WINDOWLESS = "or use a command such as `sample-explorer generate`"

_X_LIBRARIES = (
    "libX11-xcb.so.1", "libxcb-cursor.so.0", "libxcb-icccm.so.4", "libxcb-image.so.0",
    "libxcb-keysyms.so.1", "libxcb-randr.so.0", "libxcb-render-util.so.0", "libxcb-render.so.0",
    "libxcb-shape.so.0", "libxcb-shm.so.0", "libxcb-sync.so.1", "libxcb-util.so.1",
    "libxcb-xfixes.so.0", "libxcb-xkb.so.1", "libxcb.so.1", "libxkbcommon-x11.so.0",
    "libxkbcommon.so.0",
)  # fmt: skip
_ABSENT = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")


@contextlib.contextmanager
def reachable(environment: Mapping[str, str], plugins: Path) -> Iterator[None]:
    """Raise :class:`ExplorerError` where Qt would find no display to open a window on.

    ``plugins`` is Qt's folder of them. Make the application inside: a server without any other
    program may start anew when the one that asked has gone.
    """
    with contextlib.ExitStack() as held:
        if sys.platform == "linux" and (problem := _problem(environment, plugins, held)):
            raise ExplorerError(problem)
        yield


def library_problem(said: str, others: tuple[str, ...] = ()) -> str:
    """Return a sentence for what the system's loader said; empty if it missed no library.

    ``others`` are libraries that are wanted too; those that are missing are named with it.
    """
    if (found := _ABSENT.search(said)) is None:
        return ""
    absent = [found[1], *(name for name in others if name != found[1] and not _loads(name))]
    packages = " ".join(package_of(name) for name in absent)
    names = ", ".join(absent)
    return (
        f"Qt cannot open a window because the system lacks {names}; install it (on Debian and"
        f" Ubuntu: sudo apt install {packages}), {WINDOWLESS}."
    )


def package_of(library: str) -> str:
    """Return how Debian calls the package of a library, by its rule for names."""
    name, _, version = library.lower().partition(".so")
    version = version.lstrip(".")
    return f"{name}-{version}" if version and name[-1:].isdigit() else f"{name}{version}"


def _problem(environment: Mapping[str, str], plugins: Path, held: contextlib.ExitStack) -> str:
    """Return why no display that Qt would try can be used; empty if one can."""
    problems: list[str] = []
    for wanted in _wanted(environment):
        name = wanted.partition(":")[0]
        kind = name.partition("-")[0]
        if kind == "xcb" and not environment.get("DISPLAY"):
            continue
        check = _CHECKS.get(kind)
        plugin = _plugin(environment, plugins, kind if check else name)
        if plugin is None and "QT_PLUGIN_PATH" not in environment:
            problems.append(
                f"Qt has no platform called {name!r}; unset QT_QPA_PLATFORM, {WINDOWLESS}."
            )
        elif check is None or plugin is None:
            return ""
        elif problem := check(environment, plugin, held):
            problems.append(problem)
        else:
            return ""
    # The last one is what Qt falls back to, and what most desktops have.
    nothing = "There is no display to open a window on; start the program in a desktop session"
    return problems[-1] if problems else f"{nothing}, {WINDOWLESS}."


def _wanted(environment: Mapping[str, str]) -> list[str]:
    """Return the platforms that Qt tries, in its order."""
    if named := [name for name in environment.get("QT_QPA_PLATFORM", "").split(";") if name]:
        return named
    wayland = environment.get("XDG_SESSION_TYPE") == "wayland" or "WAYLAND_DISPLAY" in environment
    return ["wayland", "xcb"] if wayland else ["xcb"]


def _plugin(environment: Mapping[str, str], plugins: Path, name: str) -> Path | None:
    own = environment.get("QT_QPA_PLATFORM_PLUGIN_PATH", "").split(os.pathsep)
    more = environment.get("QT_PLUGIN_PATH", "").split(os.pathsep)
    folders = [*map(Path, filter(None, own)), *(Path(each) / "platforms" for each in more if each)]
    files = [folder / f"libq{name}.so" for folder in (*folders, plugins / "platforms")]
    return next((file for file in files if file.is_file()), None)


def _x_problem(environment: Mapping[str, str], plugin: Path, held: contextlib.ExitStack) -> str:
    display = environment["DISPLAY"]
    if problem := _loading_problem(plugin, () if hasattr(sys, "frozen") else _X_LIBRARIES):
        return problem
    xcb = ctypes.CDLL("libxcb.so.1")
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    xcb.xcb_connection_has_error.argtypes = xcb.xcb_disconnect.argtypes = (ctypes.c_void_p,)
    connection = xcb.xcb_connect(os.fsencode(display), None)
    held.callback(xcb.xcb_disconnect, connection)
    if xcb.xcb_connection_has_error(connection):
        return (
            f"No X server answers at DISPLAY={display!r}, or it does not let us in; correct"
            f" DISPLAY, start the program in a desktop session, {WINDOWLESS}."
        )
    return ""


def _wayland_problem(
    environment: Mapping[str, str], plugin: Path, _held: contextlib.ExitStack
) -> str:
    if problem := _loading_problem(plugin):
        return problem
    if "WAYLAND_SOCKET" in environment:
        return ""  # a connection that was made already
    name = environment.get("WAYLAND_DISPLAY") or "wayland-0"
    place = Path(environment.get("XDG_RUNTIME_DIR", "")) / name
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(os.fsencode(place))
    except OSError:
        return (
            f"No Wayland compositor answers at WAYLAND_DISPLAY={name!r}; correct it, start the"
            f" program in a desktop session, {WINDOWLESS}."
        )
    return ""


_CHECKS: dict[str, Callable[[Mapping[str, str], Path, contextlib.ExitStack], str]] = {
    "xcb": _x_problem,
    "wayland": _wayland_problem,
}


def _loading_problem(plugin: Path, others: tuple[str, ...] = ()) -> str:
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return library_problem(str(error), others) or (
            f"Qt cannot open a window: {error}; install what is missing, {WINDOWLESS}."
        )
    return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
