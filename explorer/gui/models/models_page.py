"""The models: every one that is installed, the chosen one in full, and what is being done to them.

A model that cannot be used stands there with its reason and stops nothing. Long work shows as a
card below the list, wherever one looks meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QPushButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from explorer.core.wording import number_of
from explorer.gui.model_parts.import_button import ImportButton
from explorer.gui.model_parts.import_panel import ImportPanel
from explorer.gui.model_parts.model_jobs import ModelJobs
from explorer.gui.model_parts.model_words import ModelAdvice, last_used, origin, parameters, reason
from explorer.gui.models.catalogue_panel import CataloguePanel
from explorer.gui.models.job_cards import JobCards
from explorer.gui.models.model_details import ModelDetails
from explorer.gui.models.model_facts import BUNDLED
from explorer.gui.models.model_rows import Row, RowList
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, PADDING, UNIT
from explorer.gui.widgets.controls import Fold, label
from explorer.gui.widgets.flow import Flow
from explorer.studies.quality.verify import Verification
from explorer.weights.hub.catalogue import CatalogueEntry
from explorer.weights.hub.download_preview import DownloadPreview
from explorer.weights.hub.transfer_rate import size
from explorer.weights.store.store import Installed

NARROW = 200 * UNIT
EMPTY = (
    "No model is here yet. Download one, or import a GPT-2 that you have: a folder or a file, which"
    " you can also drop on the window."
)


@guarded
class _Listing(QFrame):
    """The card of the list, which scrolls: what stands below takes its height from that."""

    def __init__(self) -> None:
        """Make an empty card."""
        super().__init__()
        self.setProperty("role", "card")

    def hasHeightForWidth(self) -> bool:
        """Say no: Qt would take the height that the list would like for the least."""
        return False


@guarded
class ModelsPage(QWidget):
    """List and tasks on the left; on the right the chosen model, or what can be downloaded."""

    use_asked = Signal(str, str)
    """A model is to be opened with a build: ``(name, build)``."""
    import_asked = Signal(Path)
    """A folder or file is to be imported; :attr:`naming` asks for the rest."""
    message = Signal(str)
    shown = Signal()
    """The page came up: others may have changed models or memory since."""

    def __init__(
        self,
        model_jobs: ModelJobs,
        catalogue: Sequence[CatalogueEntry] = (),
        insight: ModelAdvice | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """Show what ``model_jobs`` has; call :meth:`set_models` when that changes."""
        super().__init__(parent)
        self._model_jobs = model_jobs
        self._models: dict[str, Installed] = {}
        self._pressed: QWidget | None = None  # what began a task, for the keyboard to come back to
        self._fetched: dict[tuple[str, str], str] = {}
        self._used: tuple[str, str] | None = None
        self._damage: dict[str, tuple[str, str]] = {}  # by name: the build, if it is one; why
        self.list = RowList("Models")
        self.amount = label("", "muted")
        self.nothing = label(EMPTY, "muted", wrap=True)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.import_button = ImportButton()
        self.naming = ImportPanel(self.list)
        self.download_button = QPushButton("Download…")
        self.download_button.setAccessibleName("Download a model")
        self.download_button.setCheckable(True)
        self.tasks = JobCards()
        self._tasks = Fold(self.tasks)
        self.tasks.setProperty("role", "background")
        self.tasks.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._tasks.hide()
        self.details = ModelDetails(insight or ModelAdvice(), model_jobs.wanted_build)
        self.catalogue = CataloguePanel(catalogue, model_jobs.wanted_build())
        self._arrange()
        self._connect()

    def _arrange(self) -> None:
        head = Flow()
        head.setContentsMargins(2 * UNIT, 0, 2 * UNIT, 0)
        head.add(label("Models", "title"))
        head.add(self.amount)
        head.addStretch()
        head.add(self.import_button)
        head.add(self.download_button)
        pages = QWidget()
        self._pages = QStackedLayout(pages)
        self._pages.addWidget(self.list)
        self._pages.addWidget(self.nothing)
        card = _Listing()
        rows = QVBoxLayout(card)
        rows.setContentsMargins(2 * UNIT, PADDING, 2 * UNIT, PADDING)
        rows.setSpacing(2 * UNIT)
        rows.addLayout(head)
        rows.addWidget(pages, 1)
        left = QVBoxLayout()
        left.setSpacing(2 * UNIT)
        left.addWidget(card, 1)
        left.addWidget(self.naming)
        left.addWidget(self._tasks)
        right = QWidget()
        self._right = QStackedLayout(right)
        self._right.addWidget(self.details)
        self._right.addWidget(self.catalogue)
        page = QHBoxLayout(self)
        page.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        page.setSpacing(GAP)
        page.addLayout(left, 1)
        page.addWidget(right, 1)

    def _connect(self) -> None:
        model_jobs = self._model_jobs
        self.list.chosen.connect(self._on_chosen)
        self.list.taken.connect(self._on_taken)
        self.list.delete_asked.connect(self._on_delete_asked)
        self.import_button.chosen.connect(self.import_asked)
        self.download_button.clicked.connect(self._on_download_button)
        self.catalogue.closed.connect(self._on_catalogue_closed)
        self.catalogue.look_asked.connect(model_jobs.look)
        self.catalogue.download_asked.connect(self._on_download_asked)
        self.details.use_asked.connect(self.use_asked)
        self.details.convert_asked.connect(partial(self._follow, model_jobs.convert))
        self.details.verify_asked.connect(partial(self._follow, model_jobs.verify))
        self.details.measure_asked.connect(partial(self._follow, model_jobs.measure))
        for asked, remove in (
            (self.details.remove_asked, model_jobs.remove),
            (self.details.remove_build_asked, model_jobs.remove_build),
        ):
            asked.connect(self.take_focus)  # the question that had it is gone
            asked.connect(remove)
        self.details.message.connect(self.message)
        self.tasks.pause_asked.connect(model_jobs.pause)
        self.tasks.resume_asked.connect(model_jobs.resume)
        self.tasks.cancel_asked.connect(model_jobs.cancel_task)
        self.tasks.dismiss_asked.connect(model_jobs.dismiss)
        self.tasks.discard_asked.connect(model_jobs.discard)
        model_jobs.tasks_changed.connect(self.show_tasks)
        model_jobs.looked.connect(self._on_looked)
        model_jobs.verified.connect(self._on_verified)
        model_jobs.arrived.connect(self._on_arrived)
        model_jobs.altered.connect(self._on_altered)

    # What the window tells

    def set_models(self, models: Sequence[Installed], used: tuple[str, str] | None = None) -> None:
        """Show the installed models; ``used`` is (name, build) of the one that hunts run on."""
        self._models = {model.name: model for model in models}
        sources = {model.name: model.manifest.source for model in models if model.manifest}
        self._fetched = {
            (source.get("repository", ""), source.get("revision", "")): name
            for name, source in sources.items()
        }
        self._used = used
        chosen, row = self.list.current(), self.list.currentIndex().row()
        self.list.rows.set_rows(self._row(model) for model in models)
        total = sum(model.bytes_on_disk for model in models)
        self.amount.setText(f"{number_of(len(models), 'model')} · {size(total)}" if models else "")
        self._pages.setCurrentWidget(self.list if models else self.nothing)
        if models and not self.list.choose(chosen):
            there = self.list.rows.find(used[0] if used else "")
            last = self.list.rows.index(min(max(row, 0), len(models) - 1))
            self.list.setCurrentIndex(there if there.isValid() and not chosen else last)
        self._show_details()
        self.show_tasks()

    def note_damage(self, name: str, build: str, sentence: str) -> None:
        """Show a model, or one build of it, as broken: it could not be opened."""
        self._damage[name] = build, sentence
        self.set_models(list(self._models.values()), self._used)

    def forget_damage(self, name: str, build: str) -> None:
        """Show no more that a model is broken whose build was opened."""
        if self._damage.get(name, ("", ""))[0] in ("", build):
            self._damage.pop(name, None)

    def show_tasks(self) -> None:
        """Show how far everything is."""
        task = self._model_jobs.busy()
        busy = task.title if task else ""
        before = set(self.tasks.cards)
        focused = self.tasks.focused()
        self.tasks.show_tasks(self._model_jobs.tasks(), self._model_jobs.unfinished())
        self._tasks.setVisible(bool(self.tasks.cards))
        if set(self.tasks.cards) - before:
            # They stand between the list and the right side, and so does the Tab key find them.
            for one, other in pairwise((self.list, *self.tasks.buttons())):
                QWidget.setTabOrder(one, other)
        self.import_button.set_busy(busy)
        self.catalogue.set_state(self._fetched, self._models, busy)
        self.details.set_busy(task, self._model_jobs.busy("remove"))
        if focused is not None and focused not in self.tasks.cards.values():
            # Qt would go on to what is next: perhaps to Discard of another card.
            pressed, self._pressed = self._pressed, None
            if pressed is not None and pressed.isVisible() and pressed.isEnabled():
                pressed.setFocus(Qt.FocusReason.OtherFocusReason)
            else:
                self.take_focus()

    def show_catalogue(self) -> None:
        """Show what can be downloaded in the place of the chosen model."""
        self.download_button.setChecked(True)
        self._right.setCurrentWidget(self.catalogue)
        self.catalogue.begin()

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that what is shown may be old."""
        super().showEvent(event)
        self.shown.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the buttons their words where there is little width."""
        super().resizeEvent(event)
        self._tasks.setMaximumHeight(self.height() // 2)  # the rest scrolls

    def take_focus(self) -> None:
        """Take the keyboard where the page comes up: the list, or the way to a first model."""
        if self.catalogue.isVisible():
            self.catalogue.begin()
            return
        empty = self._pages.currentWidget() is self.nothing
        first = self.import_button if empty else self.list
        first.setFocus(Qt.FocusReason.OtherFocusReason)

    # Rows

    def _row(self, model: Installed) -> Row:
        manifest = model.manifest
        source = manifest.source if manifest else {}
        there = manifest.builds if manifest else ()
        bad, why = self._damage.get(model.name, ("", ""))
        problem = model.problem or ("" if bad else why)
        builds = ", ".join(
            name if model.has(name) and name != bad else f"{name} ✕ damaged" for name in there
        )
        first = BUNDLED if model.bundled else origin(source)
        notes = (builds or "nothing converted yet", first, source.get("licence", ""))
        return Row(
            model.name,
            model.name,
            parameters(manifest.parameters) if manifest else "",
            "in use" if self._used and self._used[0] == model.name else "",
            size(model.bytes_on_disk) if model.bytes_on_disk else "",
            " · ".join(filter(None, notes)),
            "" if problem else last_used(model.used),
            reason(problem, model.folder),
        )

    def _show_details(self) -> None:
        model = self._models.get(self.list.current())
        used = self._used[1] if model and self._used and self._used[0] == model.name else ""
        self.details.show_model(model, used, self._damage.get(model.name) if model else None)
        self.details.set_busy(self._model_jobs.busy(), self._model_jobs.busy("remove"))

    # What a person does

    def _on_chosen(self, _name: str) -> None:
        self._close_catalogue()
        self._show_details()

    def _on_taken(self, _name: str) -> None:
        self.details.use.click()

    def _on_delete_asked(self, _name: str) -> None:
        self._close_catalogue()
        self.details.ask_to_remove()

    def _on_download_button(self, on: bool) -> None:
        if on:
            self.show_catalogue()
        else:
            self._close_catalogue()

    def _on_catalogue_closed(self) -> None:
        self._close_catalogue()
        self.download_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _close_catalogue(self) -> None:
        self.download_button.setChecked(False)
        self._right.setCurrentWidget(self.details)

    def _on_download_asked(self, *wanted: str) -> None:
        self._follow(self._model_jobs.download, *wanted)

    def _follow(self, begin: Callable[..., None], *arguments: str) -> None:
        """Begin a task and give the keyboard to its card: the button that was pressed sleeps."""
        pressed = QApplication.focusWidget()
        begin(*arguments)
        if self._model_jobs.busy() is not None:
            self._pressed = pressed
            self.tasks.take_focus()

    # What the model jobs tell

    def _on_looked(self, found: DownloadPreview) -> None:
        self.show_tasks()  # what has just ended is in nobody's way any more
        self.catalogue.show_found(found)

    def _on_arrived(self, name: str) -> None:
        if not self.download_button.isChecked():  # somebody may be choosing another one there
            self.list.choose(name)

    def _on_altered(self, name: str, _build: str) -> None:
        self._damage.pop(name, None)
        self.details.forget_findings(name)

    def _on_verified(self, name: str, outcome: Verification) -> None:
        self.details.set_findings(name, outcome.findings)
        bad = sum(not finding.ok for finding in outcome.findings)
        verdict = f"damaged in {number_of(bad, 'place')}" if bad else "as it should be"
        self.message.emit(f"{name} was verified: it is {verdict}.")
