"""The wheel: built, installed into a fresh environment, and run from another folder."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from explorer.gui.help.docs_dialog import PAGES

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WINDOWS = sys.platform == "win32"


def pip(*words: str) -> None:
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    found = subprocess.run(line, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # With the build backend of this environment: nothing is downloaded.
    pip("wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder))
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of an environment that has the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(make, check=True)
    scripts = folder / ("Scripts" if WINDOWS else "bin")
    python = scripts / ("python.exe" if WINDOWS else "python")
    pip("--python", str(python), "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    words = "import sysconfig; print(sysconfig.get_path('purelib'))"
    place = subprocess.run([python, "-c", words], capture_output=True, text=True, check=True)
    # Files named in a .pth are not read again for more of them, so the checkout, which is installed
    # here as editable, stays out.
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(place.stdout.strip()) / "dependencies.pth").write_text("\n".join(sorted(here)))
    return scripts


@pytest.fixture
def environment() -> dict[str, str]:
    """Variables that name nothing of this checkout."""
    unwanted = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QT_QPA_PLATFORM")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def test_the_wheel_holds_the_program_its_resources_and_the_model(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "explorer/app.py",
        "explorer/resources/prompts.json",
        "explorer/resources/heldout.txt",
        "explorer/resources/quality.json",
        "explorer/resources/icons/app.svg",
        "explorer/models/demo/config.json",
        "explorer/models/demo/model.safetensors",
        "explorer/models/demo/tokenizer.json",
        "explorer/models/demo/README.md",
        "explorer/models/demo/CREDITS.tsv",
        *(f"explorer/docs/{page}" for page in PAGES),
    ):
        assert name in names
    assert not [name for name in names if name.startswith("explorer/docs/images")]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"explorer", "sample_explorer"}
    assert not [name for name in names if "test_" in name or name.endswith((".part", ".pyc"))]
    assert sum(info.file_size for info in zipfile.ZipFile(wheel).infolist()) < 40e6


def test_the_wheel_asks_for_exactly_the_dependencies_of_the_project(wheel: Path) -> None:
    """The environment below borrows them, so a missing one would not be missed there."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(archive.read(name))
    extras = PROJECT["optional-dependencies"]
    wanted = {parted(line) for line in PROJECT["dependencies"]}
    wanted |= {(*parted(line)[:3], extra) for extra, lines in extras.items() for line in lines}
    assert {parted(line) for line in metadata.get_all("Requires-Dist", [])} == wanted
    assert set(metadata.get_all("Provides-Extra", [])) == set(extras)
    assert metadata["Requires-Python"] == PROJECT["requires-python"]


def parted(line: str) -> tuple[str, str, str, str]:
    """Return name, versions, marker and extra of a requirement."""
    requirement = Requirement(line)
    marker, extra = str(requirement.marker or ""), ""
    if found := re.search(r"""(?: and )?extra == ["'](.+?)["']$""", marker):
        marker, extra = marker[: found.start()], found[1]
    if marker.startswith("(") and marker.endswith(")") and extra:
        marker = marker[1:-1]
    return canonicalize_name(requirement.name), str(requirement.specifier), marker, extra


def test_whatever_the_program_imports_is_among_its_dependencies() -> None:
    asked = {parted(line)[0] for line in PROJECT["dependencies"]}
    owners = packages_distributions()
    for path in (ROOT / "explorer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - {"explorer"}:
                given_by = {canonicalize_name(owner) for owner in owners.get(top, [])}
                known = top in sys.stdlib_module_names or given_by & asked
                assert known, f"{path.name} imports {top}, and no dependency brings it"


def test_the_installed_program_tests_itself_from_another_folder(
    scripts: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    found = subprocess.run(
        [scripts / ("sample-explorer.exe" if WINDOWS else "sample-explorer"), "--self-test"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    lines = found.stdout.splitlines()
    assert [line.split(":")[0].split() for line in lines[1:4]] == [
        ["ok", "window"],
        ["ok", "library"],
        ["ok", "engine"],
    ]
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


def test_it_is_the_installed_program_that_runs(
    scripts: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    words = (
        "import explorer; from explorer.system.paths import Paths;"
        "from explorer.system.version import version;"
        "print(explorer.__file__, Paths.default().bundled_models, version(), sep='\\n')"
    )
    python = scripts / ("python.exe" if WINDOWS else "python")
    line = [python, "-c", words]
    found = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    package, models, number = found.stdout.splitlines()
    assert Path(package).is_relative_to(scripts.parent)
    assert Path(models).is_relative_to(scripts.parent)
    assert (Path(models) / "demo" / "config.json").is_file()
    assert f'version = "{number}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
