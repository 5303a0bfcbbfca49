"""What goes into the packaged program and what stays out; build.spec asks here.

Paths are those inside the program, with forward slashes, as PyInstaller plans them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

from explorer.system.licences import Licence

LARGEST_CPU_BUILD = 350e6
"""Bytes, unpacked, on Linux."""

# What is never imported at run time but found by following imports: tests, tools, other backends.
EXCLUDED = [
    "IPython", "PyInstaller", "PySide6.QtNetwork", "PySide6.QtOpenGL", "PySide6.QtQml",
    "PySide6.QtQuick", "PySide6.QtTest", "_pytest", "doctest", "hf_xet", "hypothesis",
    "lib2to3", "matplotlib", "mypy", "numpy.f2py", "numpy.testing", "onnx.backend",
    "onnx.reference", "onnxruntime.quantization", "onnxruntime.tools",
    "onnxruntime.transformers", "pip", "pydoc_data", "pygments", "pytest", "safetensors",
    "scipy", "setuptools", "sympy", "tkinter", "torch", "unittest.mock",
]  # fmt: skip

# Libraries and plugins that come along with what is needed and are not.
_UNUSED = re.compile(
    r"providers_tensorrt|cudnn"
    r"|Qt6?(Qml|Quick|Pdf|VirtualKeyboard|Network|OpenGLWidgets|Designer|ShaderTools|Test|EglF[Ss])"
    r"|plugins/(tls|networkinformation|qmltooling|qmllint|sqldrivers|printsupport|designer|generic)/"
    r"|plugins/egldeviceintegrations/"
    r"|platformthemes/libqgtk3"  # would mix the desktop's GTK with libraries packed here
    r"|platforms/libq(eglfs|linuxfb|minimalegl|vkkhrdisplay|vnc)"
    r"|PySide6/Qt/translations/|PySide6/translations/|onnxruntime/datasets/"
    r"|(^|/)tests?/"
)
_CUDA = re.compile(
    r"providers_cuda|(^|/)nvidia/|(^|/)(lib)?(cudart|cublas|curand|cufft|nvrtc)\w*\."
)

# What every Linux desktop has in a version that fits its own drivers and settings: another one
# packed here would be in their way.
_FROM_SYSTEM = re.compile(
    r"lib(stdc\+\+|gcc_s|X11|X11-xcb|xcb|fontconfig|freetype|expat|z|GL|EGL|GLX|OpenGL|drm|gbm"
    r"|dbus-1|glib-2\.0|gthread-2\.0|gobject-2\.0|gio-2\.0|gmodule-2\.0|wayland-\w+)\.so[.\d]*"
)

CUDA_LIBRARIES = ("cudart", "cublas", "cublasLt", "curand")
"""What the CUDA provider cannot do without, beside the driver."""


def is_unused(path: str, cuda: bool) -> bool:
    """Whether a file that PyInstaller found is to be left out; ``cuda`` is the GPU build."""
    path = path.replace("\\", "/")
    return bool(_UNUSED.search(path)) or (not cuda and bool(_CUDA.search(path)))


Entry = tuple[str, str, str]
"""(path in the program, file here, kind), as PyInstaller lists what it packs."""


def without_strangers(binaries: Sequence[Entry], own: tuple[str, ...]) -> list[Entry]:
    """Return the binaries without libraries of this system that nothing of ours asks for any more.

    ``own`` are the folders of Python and its packages; a file elsewhere is one of the system's.
    Those that every desktop has are left to it.
    """
    if sys.platform != "linux":
        return list(binaries)
    strangers = {
        entry[0]: entry
        for entry in binaries
        if "/" not in entry[0] and entry[2] != "SYMLINK" and not entry[1].startswith(own)
    }
    ours = [entry for entry in binaries if entry not in strangers.values()]
    kept: list[Entry] = []
    asking = [file for _, file, kind in ours if kind != "SYMLINK"]
    while asking:
        names = [name for name in _needed(asking) if not _FROM_SYSTEM.fullmatch(name)]
        found = [strangers.pop(name) for name in names if name in strangers]
        kept += found
        asking = [file for _, file, _ in found]
    return [*ours, *kept]


def with_one_copy(binaries: Sequence[Entry]) -> list[Entry]:
    """Return the binaries with links in place of second copies of a file at the top.

    PyInstaller packs CUDA's libraries twice, where they lie and where the loader would look.
    """
    if sys.platform == "win32":  # which has no links that everybody may make
        return list(binaries)
    placed = {file: path for path, file, kind in binaries if "/" in path and kind != "SYMLINK"}
    return [
        (path, placed[file], "SYMLINK")
        if "/" not in path and file in placed
        else (path, file, kind)
        for path, file, kind in binaries
    ]


def _needed(files: Sequence[str]) -> list[str]:
    """Return the names of the libraries that these files ask for, in order."""
    said = subprocess.run(["objdump", "-p", *files], capture_output=True, text=True, check=False)
    return sorted(set(re.findall(r"^\s+NEEDED\s+(\S+)$", said.stdout, re.MULTILINE)))


def nvidia_libraries(places: Iterable[Path]) -> list[tuple[str, str]]:
    """Return (file, folder in the program) of the CUDA libraries below ``nvidia`` folders.

    The tree is kept, since ``onnxruntime.preload_dlls`` looks for it beside its own package.
    Ends the build where one that is needed is not installed.
    """
    found = []
    for place in places:
        for path in sorted(place.rglob("*")):
            inside = path.relative_to(place)
            if re.search(r"\.so(\.\d+)*$|\.dll$", path.name) and "cudnn" not in str(inside):
                found.append((str(path), (Path("nvidia") / inside.parent).as_posix()))
    names = " ".join(Path(file).name for file, _ in found)
    for library in CUDA_LIBRARIES:
        if not re.search(rf"\b(lib{library}\.so|{library}64_)", names):
            sys.exit(f"The CUDA library {library} is not installed: pip install '.[cuda]' first.")
    return found


def sizes(program: Path) -> list[tuple[str, int]]:
    """Return (part, bytes) of a built program, the largest first; small ones are one part."""
    parts: dict[str, int] = {}
    for path in program.rglob("*"):
        if path.is_file() and not path.is_symlink():
            name = _part(path.relative_to(program))
            parts[name] = parts.get(name, 0) + path.stat().st_size
    small = sum(size for size in parts.values() if size < 1e6)
    large = [(name, size) for name, size in parts.items() if size >= 1e6]
    return [*sorted(large, key=lambda each: -each[1]), ("everything below 1 MB", small)]


def _part(path: Path) -> str:
    parts = path.parts[1:] if path.parts[0] in ("_internal", "Contents") else path.parts
    first = parts[0]
    if len(parts) == 1 or first.startswith(("python3.", "lib-dynload")):
        system = re.search(r"^lib.*\.so|\.dylib$|\.dll$", first) and "python" not in first
        return "system libraries" if system else "Python and the program itself"
    return re.sub(r"\.(libs|dist-info)$|-[\d.]+\.dist-info$", "", first)


def report(program: Path, largest: float = float("inf")) -> None:
    """Print the sizes of a built program by part; end the build where it is too large."""
    found = sizes(program)
    total = sum(size for _, size in found)
    print(f"\n{program.name} by part, in MB:")
    for name, size in [*found, ("total", total)]:
        print(f"{size / 1e6:8.1f}  {name}")
    if total > largest:
        sys.exit(f"That is more than the {largest / 1e6:.0f} MB that it may have.")


def distributions(names: Iterable[str]) -> set[str]:
    """Return the installed distributions that these modules and files are of.

    ``names`` are as PyInstaller lists them: ``onnx.helper`` or ``onnx/onnx_cpp2py_export.so``.
    """
    owners = packages_distributions()
    tops = {re.split(r"[./\\]", name)[0] for name in names}
    return {owner for top in tops for owner in owners.get(top, ())}


def system_licences(files: Iterable[str]) -> Iterator[Licence]:
    """Yield the licences of shared libraries of the system that were packed, package by package.

    Debian and its kin can say which package a file is of; elsewhere the libraries are named.
    """
    packages: dict[str, list[str]] = {}
    for file in sorted(set(files)):
        packages.setdefault(_package(file), []).append(Path(file).name)
    for package, names in packages.items():
        if not package:
            yield Licence("System libraries", "", "see the system they are from", ", ".join(names))
            continue
        words = ["dpkg-query", "--show", "--showformat=${Version}", package]
        version = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        notice = Path("/usr/share/doc", package.partition(":")[0], "copyright")
        text = notice.read_text(encoding="utf-8", errors="replace") if notice.is_file() else ""
        terms = sorted(set(re.findall(r"^License: *(\S+)$", text, re.MULTILINE)))
        yield Licence(package.partition(":")[0], version, ", ".join(terms), text)


def _package(file: str) -> str:
    """Return the Debian package of a file, empty where none is known."""
    # Since /usr was merged a file may be listed under its old place.
    spellings: Sequence[str] = (file, str(Path(file).resolve()), file.removeprefix("/usr"))
    for path in dict.fromkeys(spellings):
        try:
            done = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True)
        except OSError:
            return ""
        if done.returncode == 0:
            return done.stdout.splitlines()[0].partition(": ")[0].split(",")[0]
    return ""
