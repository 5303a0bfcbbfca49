"""The Windows installer, compiled against a stand-in for the program; no Windows is here."""

import shutil
import subprocess
from pathlib import Path

import pytest

from resources.install import icons

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "resources" / "install" / "windows.nsi"


def compiled(folder: Path) -> subprocess.CompletedProcess[str]:
    """Compile the installer of what is in ``folder/program``; warnings are errors."""
    (folder / "app.ico").write_bytes(icons.ico(ROOT / "resources/icons/app.svg"))
    values = {
        "VERSION": "1.2.3",
        "PROGRAM": "program",
        "ICON": "app.ico",
        "OUTPUT": "explorer-setup.exe",
    }
    words = [f"-D{name}={value}" for name, value in values.items()]
    return subprocess.run(
        ["makensis", "-NOCD", "-WX", "-V2", *words, str(SCRIPT)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(shutil.which("makensis") is None, reason="makensis is not installed")
def test_the_script_is_valid(tmp_path):
    inside = tmp_path / "program" / "_internal"
    inside.mkdir(parents=True)
    (inside / "LICENSE").write_text("MIT", encoding="utf-8")
    (tmp_path / "program/sample-explorer.exe").write_bytes(b"MZ")
    done = compiled(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "explorer-setup.exe").read_bytes()[:2] == b"MZ"
    # What it says of itself, in UTF-16 as Windows keeps it.
    assert "1.2.3".encode("utf-16-le") in (tmp_path / "explorer-setup.exe").read_bytes()


@pytest.mark.skipif(shutil.which("makensis") is None, reason="makensis is not installed")
def test_without_a_program_there_is_no_installer(tmp_path):
    (tmp_path / "program").mkdir()
    assert compiled(tmp_path).returncode != 0
    assert not (tmp_path / "explorer-setup.exe").exists()


def test_what_a_person_made_is_never_removed():
    """Whatever the script deletes is named here; the library and portable data are not among it."""
    lines = [line.split(";")[0].strip() for line in SCRIPT.read_text(encoding="utf-8").splitlines()]
    deleting = {line for line in lines if line.startswith(("RMDir", "Delete "))}
    assert deleting == {
        'RMDir /r "$INSTDIR\\_internal"',
        'Delete "$INSTDIR\\${NAME}.exe"',
        'Delete "$INSTDIR\\${NAME}.ico"',
        'Delete "$INSTDIR\\uninstall.exe"',
        'RMDir "$INSTDIR"',
        'Delete "$SMPROGRAMS\\${TITLE}.lnk"',
    }


def test_it_needs_no_administrator():
    text = SCRIPT.read_text(encoding="utf-8")
    assert "RequestExecutionLevel user" in text
    assert "HKLM" not in text
    assert "$LOCALAPPDATA\\Programs" in text
