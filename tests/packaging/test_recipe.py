"""The recipe for releases names only what is there."""

import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")


def test_it_can_be_read_and_releases_after_everything_else():
    jobs = yaml.safe_load(RECIPE)["jobs"]
    assert set(jobs["release"]["needs"]) == set(jobs) - {"release"}
    for job in jobs.values():
        assert all("uses" in step or "run" in step for step in job["steps"])


def test_every_target_and_script_that_it_names_is_there():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"run: make ([\w-]+)", RECIPE)
    assert named
    assert set(named) <= set(targets)
    for file in re.findall(r"resources/install/[\w.]+", RECIPE):
        assert (ROOT / file).is_file(), file


def test_every_value_that_the_windows_script_wants_is_given():
    script = (ROOT / "resources/install/windows.nsi").read_text(encoding="utf-8")
    own = set(re.findall(r"!define (\w+)", script))
    plugins = {"If", "AndIfNot", "EndIf", "FileExists", "Errors", "GetSize"}
    wanted = set(re.findall(r"\$\{(\w+)\}", script)) - own - plugins
    assert wanted == set(re.findall(r"-D(\w+)=", RECIPE))
