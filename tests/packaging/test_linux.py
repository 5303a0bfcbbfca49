"""What a Linux desktop is told about the program, and installing it without root."""

import gzip
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "resources" / "install"))  # scripts that import each other

import linux  # noqa: E402
import manpage  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="made on Linux, for Linux")
WHEN = datetime(2026, 11, 23, tzinfo=UTC)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share")
    linux.make_share(folder, WHEN)
    return folder


def checked(tool, *words):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run([tool, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_desktop_entry_is_valid(share):
    entry = share / "applications" / "sample-explorer.desktop"
    assert not checked("desktop-file-validate", entry)


def test_the_description_for_software_centres_is_valid(share):
    (file,) = (share / "metainfo").iterdir()
    release = ElementTree.parse(file).find("releases/release")
    assert (release.get("version"), release.get("date")) == (VERSION, "2026-11-23")
    assert ElementTree.parse(file).findtext("launchable") == "sample-explorer.desktop"
    checked("appstreamcli", "validate", "--no-net", file)


@pytest.mark.parametrize("form", ["collection", "stranger"])
def test_an_exported_collection_is_known_by_its_first_line(share, tmp_path, form):
    """The words are those that the export writes; other JSON Lines are left alone."""
    found = ElementTree.parse(share / "mime/packages/sample-explorer.xml")
    space = {"m": "http://www.freedesktop.org/standards/shared-mime-info"}
    first = found.find(".//m:magic/m:match", space)
    second = first.find("m:match", space)
    line = '{"id": 0, "ended": true, "length": 3, "text": "' + "x" * 900 + '"'
    line += ', "machine_written": true}\n' if form == "collection" else "}\n"
    begins = line.startswith(first.get("value"))
    low, high = map(int, second.get("offset").split(":"))
    assert (begins and second.get("value") in line[low:high]) == (form == "collection")
    if shutil.which("update-mime-database") and shutil.which("xdg-mime"):
        shutil.copytree(share / "mime", tmp_path / "data" / "mime")
        checked("update-mime-database", tmp_path / "data" / "mime")


def test_the_export_writes_what_the_file_type_is_known_by():
    source = (ROOT / "explorer/library/export/collection_file.py").read_text()
    order = [source.index(f'"{key}": ') for key in ("id", "ended", "length", "text")]
    assert order == sorted(order)
    assert order[-1] < source.index('"machine_written": True')


def test_the_icons_are_there_in_all_sizes(share):
    for kind, name in (("apps", linux.NAME), ("mimetypes", linux.MIME_ICON)):
        sizes = {path.parts[-3] for path in (share / "icons").rglob(f"{kind}/{name}.*")}
        assert sizes == {"scalable", *(f"{size}x{size}" for size in linux.icons.HICOLOR_SIZES)}


def test_the_man_page_names_every_command_and_option(share):
    page = gzip.decompress((share / "man/man1/sample-explorer.1.gz").read_bytes()).decode()
    for words in ("--data-dir", "--self-test", "--top-k", "models download", "portable mode"):
        assert words.replace("-", "\\-") in page, words
    assert f"sample-explorer {VERSION}" in page
    assert "SUPPRESS" not in page
    assert page == manpage.page(WHEN)
    if shutil.which("groff"):
        said = subprocess.run(
            ["groff", "-man", "-Tutf8", "-wall", "-z"],
            input=page,
            capture_output=True,
            text=True,
            check=True,
        )
        assert not said.stderr


def test_what_a_program_asks_of_the_system_becomes_its_dependencies():
    found = linux.dependencies(["libc.so.6", "libX11.so.6", "libstdc++.so.6"], "2.35")
    assert {"libc6 (>= 2.35)", "libx11-6", "libstdc++6", "fontconfig-config"} <= set(found)
    with pytest.raises(SystemExit, match=r"Which package brings libodd\.so\.1"):
        linux.dependencies(["libodd.so.1"], "2.35")


# Installing without root, with a stand-in for the program


@pytest.fixture
def archive(share, tmp_path):
    """What is in the archive, unpacked."""
    top = tmp_path / "unpacked"
    shutil.copytree(share, top / "share")
    program = top / "program" / "sample-explorer"
    (program.parent / "_internal").mkdir(parents=True)
    program.write_text("#!/bin/sh\necho version one\n")
    program.chmod(0o755)
    for name in ("install.sh", "uninstall.sh"):
        shutil.copy(linux.MATERIAL / name, top / name)
    return top


@pytest.fixture
def person(tmp_path):
    """The variables of somebody with an odd home."""
    home = tmp_path / "home of & (someone)"
    home.mkdir()
    return {"HOME": str(home), "PATH": os.environ["PATH"]}


def run(script, person, *words):
    return subprocess.run(
        ["sh", str(script), *map(str, words)], env=person, capture_output=True, text=True
    )


def started(prefix):
    return subprocess.run(
        [prefix / "bin" / "sample-explorer"], capture_output=True, text=True, check=True
    ).stdout


def test_install_upgrade_uninstall(archive, person):
    prefix = Path(person["HOME"]) / ".local"
    library = prefix / "share" / "sample-explorer" / "library.sqlite"
    library.parent.mkdir(parents=True)
    library.write_text("everything a person did")
    before = {p for p in prefix.rglob("*") if p.is_file()}

    done = run(archive / "install.sh", person)
    assert done.returncode == 0, done.stderr
    assert started(prefix) == "version one\n"
    assert f"add {prefix}/bin to PATH" in done.stdout
    entry = (prefix / "share/applications/sample-explorer.desktop").read_text()
    assert f'Exec="{prefix}/lib/sample-explorer/sample-explorer"\n' in entry
    assert (prefix / "share/icons/hicolor/16x16/apps/sample-explorer.png").is_file()

    # The next version: one file fewer, and the program has changed.
    (archive / "program/sample-explorer").write_text("#!/bin/sh\necho version two\n")
    gone = "icons/hicolor/16x16/apps/sample-explorer.png"
    (archive / "share" / gone).unlink()
    done = run(archive / "install.sh", person)
    assert done.returncode == 0, done.stderr
    assert started(prefix) == "version two\n"
    assert not (prefix / "share" / gone).exists()

    done = run(prefix / "lib/sample-explorer/uninstall.sh", person)
    assert done.returncode == 0, done.stderr
    assert f"still in {library.parent}" in done.stdout
    assert library.read_text() == "everything a person did"
    caches = {"mimeinfo.cache", "icon-theme.cache"}
    left = {p for p in prefix.rglob("*") if p.is_file() and p.name not in caches} - before
    assert not {path for path in left if "share/mime" not in str(path)}


def test_portable_data_outlive_upgrade_and_removal(archive, person, tmp_path):
    prefix = tmp_path / "elsewhere"
    assert run(archive / "install.sh", person, "--prefix", prefix).returncode == 0
    data = prefix / "lib/sample-explorer/data"
    data.mkdir()
    (data / "library.sqlite").write_text("mine")
    assert run(archive / "install.sh", person, f"--prefix={prefix}").returncode == 0
    assert (data / "library.sqlite").read_text() == "mine"
    done = run(data.parent / "uninstall.sh", person)
    assert done.returncode == 0, done.stderr
    assert str(data) in done.stdout
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_what_is_not_ours_is_left_alone(archive, person):
    other = Path(person["HOME"]) / ".local/lib/sample-explorer"
    other.mkdir(parents=True)
    (other / "something").write_text("")
    done = run(archive / "install.sh", person)
    assert done.returncode == 1
    assert "is not the Sample Explorer" in done.stderr
    assert [path.name for path in other.iterdir()] == ["something"]
    assert [path.name for path in other.parent.iterdir()] == ["sample-explorer"]


@pytest.mark.parametrize("words", [("--prefix",), ("somewhere",), ("--prefix=",), ("a", "b")])
def test_words_that_make_no_sense_are_refused(archive, person, words):
    done = run(archive / "install.sh", person, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: sh install.sh")


# The packages, of a stand-in


@pytest.fixture
def program(tmp_path):
    """A built program, as small as one can be: a copy of an ELF file that is surely here."""
    program = tmp_path / "dist" / "sample-explorer"
    (program / "_internal" / "resources").mkdir(parents=True)
    shutil.copy(shutil.which("true"), program / "sample-explorer")
    (program / "_internal" / "resources" / "prompts.json").write_text("[]")
    (program / "_internal" / "libreal.so.1").write_bytes(b"")
    (program / "_internal" / "libreal.so").symlink_to("libreal.so.1")
    return program


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not all(map(shutil.which, ("dpkg-deb", "objdump", "xz"))),
    reason="needs dpkg-deb, objdump and xz on x86-64",
)
def test_packages_hold_the_program_and_are_the_same_each_time(program, tmp_path):
    made = []
    for turn in ("one", "two"):
        target = tmp_path / turn
        target.mkdir()
        made.append([make(program, target, WHEN) for make in (linux.make_deb, linux.make_archive)])
    for first, second in zip(*made, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    deb, archive = made[0]
    assert deb.name == f"sample-explorer_{VERSION}_amd64.deb"
    listed = checked("dpkg-deb", "--contents", deb)
    for line in (
        r"-rwxr-xr-x root/root .* \./usr/lib/sample-explorer/sample-explorer$",
        r"-rw-r--r-- root/root .* \./usr/lib/sample-explorer/_internal/resources/prompts\.json$",
        r"lrwx.* \./usr/lib/sample-explorer/_internal/libreal\.so -> libreal\.so\.1$",
        r"lrwx.* \./usr/bin/sample-explorer -> \.\./lib/sample-explorer/sample-explorer$",
        r"-rw-r--r-- .* \./usr/share/applications/sample-explorer\.desktop$",
        r"-rw-r--r-- .* \./usr/share/doc/sample-explorer/copyright$",
    ):
        assert re.search(line, listed, re.MULTILINE), line
    depends = checked("dpkg-deb", "--field", deb, "Depends")
    assert re.search(r"\blibc6 \(>= 2\.\d+\)", depends)
    assert "libx11-6" not in depends  # nothing here asks for it
    names = checked("tar", "--list", "--file", archive).split()
    top = f"sample-explorer-{VERSION}-linux-x86_64"
    for name in ("install.sh", "uninstall.sh", "program/sample-explorer", "LICENSE"):
        assert f"{top}/{name}" in names
    assert [path.name for path in (tmp_path / "one").iterdir() if path.is_dir()] == []
