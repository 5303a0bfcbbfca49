"""A measurement that is cancelled in the window leaves no builds behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytestqt.qtbot import QtBot

from explorer.gui.model_parts.model_jobs import ModelJobs
from explorer.system.paths import Paths
from tests.gui.scripted_works import ScriptedWorks


def test_builds_of_a_killed_measurement_go(tmp_path: Path, qtbot: QtBot) -> None:
    paths = replace(Paths.default(tmp_path / "data"), bundled_models=tmp_path / "bundled")
    for kind, left in (("measure", False), ("verify", True)):
        desk = ModelJobs(paths, lambda: "cpu-int8", ScriptedWorks().works)
        getattr(desk, kind)("tiny")
        made = paths.cache / "studies" / "model" / "cpu-fp32"
        made.mkdir(parents=True)
        (task,) = desk.tasks()
        desk.cancel_task(task)
        assert made.exists() == left
        assert desk.tasks() == ()
