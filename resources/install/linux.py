"""Make the two Linux packages of a built program: ``python linux.py dist/sample-explorer [DIR]``.

A ``.deb`` for everybody on a machine, and a ``.tar.xz`` whose ``install.sh`` needs no root. Both
hold the same program and the same desktop files. What the .deb depends on is found by reading which
libraries the program asks of the system; one that no table entry knows ends the work. Needs
dpkg-deb, objdump, tar and xz. The same program gives the same bytes: times are the commit's.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import icons  # noqa: E402  a script beside this one
import manpage  # noqa: E402

from explorer.system.version import version  # noqa: E402

NAME = "sample-explorer"
IDENTIFIER = "io.github.sample_explorer.SampleExplorer"
MIME_ICON = "application-x-sample-explorer-collection"
MATERIAL = Path(__file__).parent / "linux"
ICONS = ROOT / "resources" / "icons"

PACKAGES = {
    "libc6": "ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libutil|libresolv",
    "libdbus-1-3": "libdbus-1",
    "libegl1": "libEGL",
    "libfontconfig1": "libfontconfig",
    "libfreetype6": "libfreetype",
    "libgcc-s1": "libgcc_s",
    "libgl1": "libGL",
    "libglib2.0-0": r"lib(glib|gthread|gobject|gio|gmodule)-2\.0",
    "libglx0": "libGLX",
    "libopengl0": "libOpenGL",
    "libstdc++6": r"libstdc\+\+",
    "libwayland-client0": "libwayland-client",
    "libwayland-cursor0": "libwayland-cursor",
    "libwayland-egl1": "libwayland-egl",
    "libx11-6": "libX11",
    "libx11-xcb1": "libX11-xcb",
    "libxcb1": "libxcb",
    "zlib1g": "libz",
}
"""Debian package -> the libraries (without .so and what follows) that it is asked for."""
ALWAYS = (
    "fontconfig-config",
    "fonts-dejavu-core | fonts-noto-core | fonts-freefont-ttf",
    "hicolor-icon-theme",
)
"""What no library asks for and the window cannot do without: settings and letters for its text."""
FROM_DRIVER = re.compile(r"libcuda\.so|libnvidia-")

DESCRIPTION = """\
 Type how a text begins, watch several continuations stream side by side on
 your own machine, keep the good ones and reject the rest. Every kept sample
 says what it cost, such as "machine-written, 7 tries".
 .
 A demonstration model is inside. Nothing is fetched unless you ask for it.
"""


def needed_libraries(program: Path) -> set[str]:
    """Return the names of shared libraries that the program asks of the system it runs on."""
    elves = [path for path in program.rglob("*") if path.is_file() and _is_elf(path)]
    said = subprocess.run(["objdump", "-p", *elves], capture_output=True, text=True, check=False)
    wanted = set(re.findall(r"^\s+NEEDED\s+(\S+)$", said.stdout, re.MULTILINE))
    given = {path.name for path in program.rglob("*.so*")}
    return {name for name in wanted - given if not FROM_DRIVER.match(name)}


def oldest_glibc(program: Path) -> str:
    """Return the newest version of glibc that any file of the program asks for, such as 2.34."""
    asked = {(2, 17)}
    for path in program.rglob("*"):
        if path.is_file() and not path.is_symlink() and _is_elf(path):
            asked |= {(2, int(n)) for n in re.findall(rb"GLIBC_2\.(\d+)\b", path.read_bytes())}
    return ".".join(map(str, max(asked)))


def dependencies(libraries: Iterable[str], glibc: str) -> list[str]:
    """Return Debian packages that bring these libraries; an unknown one ends the work."""
    found = set(ALWAYS)
    for library in sorted(libraries):
        stem = library.partition(".so")[0]
        names = [name for name, pattern in PACKAGES.items() if re.fullmatch(pattern, stem)]
        if not names:
            sys.exit(f"Which package brings {library}? Add it to PACKAGES in {__file__}.")
        found.add(f"libc6 (>= {glibc})" if names[0] == "libc6" else names[0])
    return sorted(found)


def make_share(share: Path, when: datetime) -> None:
    """Write everything that a desktop wants below ``share``: entries, icons, man page."""
    for file, folder, name in (
        ("sample-explorer.desktop", "applications", f"{NAME}.desktop"),
        ("sample-explorer.metainfo.xml", "metainfo", f"{IDENTIFIER}.metainfo.xml"),
        ("sample-explorer-mime.xml", "mime/packages", f"{NAME}.xml"),
    ):
        text = (MATERIAL / file).read_text(encoding="utf-8")
        text = text.replace("@VERSION@", version()).replace("@DATE@", f"{when:%Y-%m-%d}")
        target = share / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    theme = share / "icons" / "hicolor"
    icons.hicolor(ICONS / "app.svg", theme, "apps", NAME)
    icons.hicolor(ICONS / "collection-file.svg", theme, "mimetypes", MIME_ICON)
    man = share / "man" / "man1" / f"{NAME}.1.gz"
    man.parent.mkdir(parents=True)
    man.write_bytes(gzip.compress(manpage.page(when).encode(), mtime=0))


def make_deb(program: Path, target: Path, when: datetime) -> Path:
    """Write the Debian package of a built program into the folder ``target`` and return it."""
    package = program.name
    with tempfile.TemporaryDirectory(dir=target) as temporary:
        root = Path(temporary) / "root"
        make_share(root / "usr/share", when)
        shutil.copytree(program, root / "usr/lib" / NAME, symlinks=True)
        (root / "usr/bin").mkdir()
        (root / "usr/bin" / NAME).symlink_to(f"../lib/{NAME}/{NAME}")
        notices = root / "usr/share/doc" / package
        notices.mkdir(parents=True)
        parts = (ROOT / "LICENSE", ROOT / "resources/notices/THIRD-PARTY.md")
        words = "\n\n".join(part.read_text(encoding="utf-8") for part in parts)
        (notices / "copyright").write_text(words, encoding="utf-8")
        log = (ROOT / "CHANGELOG.md").read_bytes()
        (notices / "changelog.gz").write_bytes(gzip.compress(log, mtime=0))
        _modes(root)
        _control(root, package, dependencies(needed_libraries(program), oldest_glibc(program)))
        _dated(root, when)
        architecture = _architecture("x86_64", "amd64")
        deb = target / f"{package}_{version()}_{architecture}.deb"
        words = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(root), str(deb)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(int(when.timestamp()))}
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)
    return deb


def _control(root: Path, package: str, depends: Sequence[str]) -> None:
    """Write the folder DEBIAN: what the package is, its sums, and a word when it is removed."""
    other = {NAME: f"{NAME}-cuda", f"{NAME}-cuda": NAME}[package]
    size = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())
    kind = "for NVIDIA GPUs" if package.endswith("-cuda") else "for the CPU"
    lines = (
        f"Package: {package}",
        f"Version: {version()}",
        f"Architecture: {_architecture('x86_64', 'amd64')}",
        f"Maintainer: The Sample Explorer authors <{NAME}@localhost>",
        f"Installed-Size: {size // 1024}",
        f"Depends: {', '.join(depends)}",
        "Recommends: shared-mime-info, xdg-utils",
        f"Conflicts: {other}",
        f"Replaces: {other}",
        "Section: science",
        "Priority: optional",
        f"Description: see what GPT-2 really writes ({kind})",
    )
    control = root / "DEBIAN"
    control.mkdir(mode=0o755)
    (control / "control").write_text("\n".join(lines) + "\n" + DESCRIPTION, encoding="utf-8")
    sums = [
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}"
        for path in sorted(root.glob("usr/**/*"))
        if path.is_file() and not path.is_symlink()
    ]
    (control / "md5sums").write_text("\n".join(sums) + "\n", encoding="utf-8")
    removed = control / "postrm"
    shutil.copyfile(MATERIAL / "postrm", removed)
    removed.chmod(0o755)


def make_archive(program: Path, target: Path, when: datetime) -> Path:
    """Write the archive with ``install.sh`` into the folder ``target`` and return it."""
    name = f"{program.name}-{version()}-linux-{_architecture('x86_64', 'x86_64')}"
    with tempfile.TemporaryDirectory(dir=target) as temporary:
        top = Path(temporary) / name
        make_share(top / "share", when)
        shutil.copytree(program, top / "program", symlinks=True)
        for file in ("install.sh", "uninstall.sh"):
            shutil.copyfile(MATERIAL / file, top / file)
        shutil.copyfile(ROOT / "LICENSE", top / "LICENSE")
        _modes(top)
        for file in ("install.sh", "uninstall.sh"):
            (top / file).chmod(0o755)
        archive = target / f"{name}.tar.xz"
        words = ["tar", "--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]
        words += [f"--mtime=@{int(when.timestamp())}", "--use-compress-program=xz -T0 -6"]
        subprocess.run([*words, "--file", archive, "-C", temporary, name], check=True)
    return archive


def commit_time() -> datetime:
    """Return when the commit that is checked out was made; in an exported tree, the present."""
    words = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = int(done.stdout) if done.stdout.strip().isdigit() else None
    return datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _architecture(*names: str) -> str:
    """Return the last of ``names``, which are what one and the same machine is called."""
    if (machine := platform.machine()) != names[0]:
        sys.exit(f"Packages for {machine} are not known yet; only x86_64 is.")
    return names[-1]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _modes(folder: Path) -> None:
    """Give every file the modes that a package has, whatever the umask here is."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or (path.name == NAME and _is_elf(path))
            path.chmod(0o755 if runs else 0o644)


def _dated(folder: Path, when: datetime) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (when.timestamp(), when.timestamp()), follow_symlinks=False)


def main() -> None:
    """Make both packages and print their sums."""
    program = Path(sys.argv[1]).resolve()
    target = Path(sys.argv[2] if len(sys.argv) > 2 else program.parent).resolve()
    target.mkdir(parents=True, exist_ok=True)
    when = commit_time()
    for make in (make_deb, make_archive):
        made = make(program, target, when)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        print(f"{digest}  {made.name}  {made.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
