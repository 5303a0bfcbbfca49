"""The longest names that can be given: no panel grows, nothing is pushed out of the window."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QApplication, QWidget

from explorer.gui.window.main_window import COLLECTION, EXPLORE, HISTORY, MODELS, SMALLEST
from tests.gui.conftest import demo
from tests.gui.models.test_models_page import HUB, manifest
from tests.gui.scripted_works import Bare, ScriptedWorks

pytestmark = pytest.mark.layout


def fill(desk, letter: str, longest: bool) -> None:
    """Give everything that has a name a short one of this letter, or the longest there is."""

    def name(length: int) -> str:
        return letter * (length if longest else 3)

    window = desk.window
    loaded = demo()
    manifest_ = replace(loaded.manifest, name=name(64))
    window.engine_loop.loading.load(replace(loaded, manifest=manifest_), "auto")
    desk.tick()
    desk.generate(name(500), name(300), "three", "four", "five")
    desk.finish()
    window.do("keep")
    desk.tick()
    window.panel.set_collection(window._library_access.collections.create(name(200)).id)
    repository = f"{name(96)}/{name(96)}"
    source = {**HUB, "repository": repository, "revision": name(40), "licence": name(96)}
    made = manifest(name(64), "cpu-int8", source=source)
    models = [
        Bare(name(64), manifest=made, bytes_on_disk=1),
        Bare(name(63), problem=f"{name(120)} is damaged."),
    ]
    works = ScriptedWorks()
    works.leave(repository)
    window.models.model_jobs._works = works.works
    window.models.model_jobs.measure(name(64))
    works.last.fail(f"There is no room in {name(150)}.")
    window.models.model_jobs._on_tick()
    window.models.model_jobs.models = lambda: models  # also when the page comes up
    window.models_page.set_models(models, (name(64), "cpu-int8"))
    window.explore.models.set_models(models, name(64), "cpu-int8")
    window.history.refresh()
    for _ in range(3):
        QApplication.processEvents()


def outside(window) -> list[str]:
    """Return what is shown beyond the right edge of the window."""
    found = []
    for widget in window.pages.currentWidget().findChildren(QWidget):
        if widget.window() is not window or not widget.isVisible():
            continue
        right = widget.mapTo(window, QPoint(widget.width(), 0)).x()
        if right > window.width():
            found.append(f"{type(widget).__name__} {widget.accessibleName()!r}: {right}")
    return found


@pytest.mark.parametrize("page", [EXPLORE, COLLECTION, HISTORY, MODELS])
@pytest.mark.parametrize("width", [SMALLEST.width(), 1280])
def test_the_longest_names_widen_nothing(desk, page, width):
    window = desk.window
    window.resize(width, 800)
    window.show_page(page)
    fill(desk, "i", longest=False)
    assert outside(window) == []
    needed, widths = window.minimumSizeHint().width(), window.explore.widths()
    fill(desk, "W", longest=True)
    assert outside(window) == []
    assert window.minimumSizeHint().width() <= max(needed, width)
    assert window.explore.widths() == widths
    assert window.width() == width
