"""One model in full: what it is, where it came from, its builds, and what can be done with it.

Removing deletes what cannot be brought back by this program, so it asks first, in the page and not
in a box in front of it, and says how much goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QVBoxLayout,
    QWidget,
)

from explorer.core.manifest import build_to_open
from explorer.gui.model_parts.model_tasks import Task
from explorer.gui.model_parts.model_words import ModelAdvice, parameters
from explorer.gui.models.build_rows import BuildRows
from explorer.gui.models.model_facts import ModelFacts
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, PADDING, UNIT, set_role
from explorer.gui.widgets.confirm_strip import ConfirmStrip
from explorer.gui.widgets.controls import label, noted_button
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.open_externally import show_folder
from explorer.gui.widgets.scroll_column import ScrollColumn
from explorer.studies.quality.verify import Finding
from explorer.weights.hub.transfer_rate import size
from explorer.weights.store.store import Installed

SETTLE_MS = 50
NARROW = 110 * UNIT
"""Pixels of the drawings: below this width the buttons of a build stand below its words."""


@guarded
class ModelDetails(QFrame):
    """The chosen model."""

    use_asked = Signal(str, str)
    convert_asked = Signal(str, str)
    verify_asked = Signal(str)
    measure_asked = Signal(str)
    remove_asked = Signal(str)
    remove_build_asked = Signal(str, str)
    message = Signal(str)

    def __init__(
        self, insight: ModelAdvice, wanted_build: Callable[[], str], parent: QWidget | None = None
    ) -> None:
        """Make an empty pane; ``wanted_build`` names the build that suits this machine."""
        super().__init__(parent)
        self.setProperty("role", "card")
        self._insight, self._wanted_build = insight, wanted_build
        self._model: Installed | None = None
        self._used = ""
        self._damage: tuple[str, str] | None = None
        self._asked_build = ""
        self._findings: dict[str, tuple[Finding, ...]] = {}
        self._make()
        self._arrange()
        self._connect()
        self.show_model(None)

    # What the page tells

    def show_model(
        self, model: Installed | None, used: str = "", damage: tuple[str, str] | None = None
    ) -> None:
        """Show a model; ``used`` names the build of it that hunts run on.

        ``damage`` is the build, or an empty text for all of it, that could not be opened, and why.
        """
        if model is None or self._model is None or model.name != self._model.name:
            self.question.hide()
        self._model, self._used, self._damage = model, used, damage
        self._body.setVisible(model is not None)
        if model is None:
            return
        manifest = model.manifest
        self.name.setText(model.name)
        self.amount.setText(f"{parameters(manifest.parameters)} parameters" if manifest else "")
        problem = model.problem or (damage[1] if damage else "")
        self._problem.setVisible(bool(problem))
        self.problem.setText(problem)
        self.not_made.setVisible(manifest is None and not model.problem)
        self.facts.setVisible(manifest is not None)
        self.builds.setVisible(not model.problem)
        if manifest is not None:
            self.facts.show_model(model, manifest)
        self._show_findings()

    def set_busy(self, task: Task | None, removal: Task | None) -> None:
        """Allow what can be done while these go on."""
        model = self._model
        why = f"{task.title} is still going on." if task else ""
        usable = model is not None and not model.problem
        made = usable and model is not None and model.manifest is not None
        self.use.setEnabled(usable and not self._used)
        self.use.setText("In use" if self._used else "Use")
        self.builds.allow(use=usable, make=not task and usable, used=self._used, why_not=why)
        for button in (self.verify, self.measure):
            button.setEnabled(made and not task)
            button.setToolTip(why or button.property("note"))
        bundled = model is not None and model.bundled
        self.remove.setEnabled(not bundled and not self._used and removal is None)
        self.remove.setToolTip(
            "It belongs to the program and stays."
            if bundled
            else "It is in use; open another model first."
            if self._used
            else ""
        )

    def set_findings(self, name: str, findings: Iterable[Finding]) -> None:
        """Keep what a check of a model found, and show it where that model is shown."""
        self._findings[name] = tuple(findings)
        self._show_findings()
        if self._model is not None and self._model.name == name:
            # After its place is known: they stand at the end, which may be out of sight.
            QTimer.singleShot(SETTLE_MS, self, self._show_end)

    def _show_end(self) -> None:
        self._area.ensureWidgetVisible(self._findings_box, 0, 0)

    def forget_findings(self, name: str) -> None:
        """Forget what a check found of a model that is no longer what it was."""
        self._findings.pop(name, None)

    def ask_to_remove(self) -> None:
        """Ask whether the model is to go, with all that it takes along."""
        if self._model is not None and self.remove.isEnabled():
            bytes_ = size(self._model.bytes_on_disk)
            self._ask(
                "",
                f"This deletes {self._model.name} with all its builds and its source, {bytes_}."
                " It cannot be undone; to have it again you must import or download it again."
                " Samples and hunts that were made with it stay.",
            )

    # Building

    def _make(self) -> None:
        self.name = label("", "title", wrap=True, name="Name of the model")
        self.amount = label("", "muted")
        self.use = noted_button("Use", "Use the model", "Open it on the Explore page", "primary")
        self.problem = label("", "label", wrap=True)
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.not_made = label(
            "It is converted for this machine when it is used for the first time.",
            "muted",
            wrap=True,
        )
        self.facts = ModelFacts()
        self.builds = BuildRows()
        self.verify = noted_button(
            "Verify",
            "Verify the model",
            "Check the hashes of its files, and what each of its builds computes",
        )
        self.measure = noted_button(
            "Measure quality",
            "Measure the quality of its builds",
            "Compare each build with the exact weights on held-out text",
        )
        self.reveal = noted_button("Show in file manager", "Show the model's folder")
        self.remove = noted_button("Remove…", "Remove the model", role="rejected")
        self.question = ConfirmStrip("Delete for good", "Delete for good", "Remove nothing")

    def _arrange(self) -> None:
        self._problem = QFrame()
        self._problem.setProperty("role", "problem")
        strip = QVBoxLayout(self._problem)
        strip.setContentsMargins(GAP, 2 * UNIT, GAP, 2 * UNIT)
        strip.addWidget(self.problem)
        self._findings_box = QWidget()
        self._findings_column = QVBoxLayout(self._findings_box)
        self._findings_column.setContentsMargins(0, 0, 0, 0)
        self._findings_column.setSpacing(UNIT)
        area = self._area = ScrollColumn()
        column = area.lines
        column.setContentsMargins(0, 0, 2 * UNIT, 0)
        column.setSpacing(GAP)
        for widget in (self._problem, self.not_made, self.facts, self.builds):
            column.addWidget(widget)
        column.addWidget(self._findings_box)
        column.addStretch(1)  # takes all that is left; the builds would like some of it
        head = Flow()
        head.add(self.name, 1)
        head.add(self.amount)
        head.add(self.use)
        buttons = Flow()
        for button in (self.verify, self.measure, self.reveal):
            buttons.add(button)
        buttons.addStretch()
        buttons.add(self.remove)
        self._body = QWidget()
        lines = QVBoxLayout(self._body)
        lines.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
        lines.setSpacing(GAP)
        lines.addLayout(head)
        lines.addWidget(area, 1)
        lines.addWidget(self.question)
        lines.addLayout(buttons)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._body)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave the words of the builds room where there is little."""
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        """Leave them room in another size of text."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._fit()

    def _fit(self) -> None:
        self.builds.set_narrow(self.width() < theme.wide(NARROW))

    def _connect(self) -> None:
        self.use.clicked.connect(self._on_use)
        self.builds.use_asked.connect(self._on_use_build)
        self.builds.make_asked.connect(self._on_make)
        self.builds.remove_asked.connect(self._on_remove_build)
        self.facts.message.connect(self.message)
        self.verify.clicked.connect(lambda: self._tell(self.verify_asked))
        self.measure.clicked.connect(lambda: self._tell(self.measure_asked))
        self.reveal.clicked.connect(self._on_reveal)
        self.remove.clicked.connect(self.ask_to_remove)
        self.question.confirmed.connect(self._on_confirmed)

    # What is shown

    def _show_builds(self, damaged: Iterable[str]) -> None:
        if (model := self._model) is None:
            return
        manifest = model.manifest
        builds = manifest.builds if manifest else {}
        needs = {name: self._insight.need(manifest, name) for name in self.builds.rows if manifest}
        wrong = {*damaged, *(name for name in builds if not model.has(name))}
        wrong |= {self._damage[0]} if self._damage else set()
        quality = self._insight.quality(model.folder)
        self.builds.show_builds(builds, quality, needs, self._used, wrong)

    def _show_findings(self) -> None:
        while (item := self._findings_column.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        found = self._findings.get(self._model.name, ()) if self._model else ()
        self._findings_box.setVisible(bool(found))
        if found:
            bad = sum(not each.ok for each in found)
            words = f"✕ {bad} of {len(found)} parts are not as they should be" if bad else ""
            head = label(words or "✓ Verified: everything is as it should be", "title", wrap=True)
            set_role(head, "rejected" if bad else "kept")
            self._findings_column.addWidget(head)
        for each in found:
            line = label(f"{'✓' if each.ok else '✕'} {each.words}", "note", wrap=True)
            line.setProperty("tone", "muted" if each.ok else "rejected")
            self._findings_column.addWidget(line)
        self._show_builds(each.part for each in found if not each.ok)

    # What a person does

    def _tell(self, signal: object) -> None:
        if self._model is not None:
            signal.emit(self._model.name)  # type: ignore[attr-defined]

    def preferred_build(self) -> str:
        """Return the build that Use opens."""
        made = self._model.manifest.builds if self._model and self._model.manifest else ()
        return build_to_open(self._wanted_build(), made)

    def _on_use(self) -> None:
        if self._model is not None:
            self.use_asked.emit(self._model.name, self.preferred_build())

    def _on_use_build(self, build: str) -> None:
        if self._model is not None:
            self.use_asked.emit(self._model.name, build)

    def _on_make(self, build: str) -> None:
        if self._model is not None:
            self.convert_asked.emit(self._model.name, build)

    def _on_reveal(self) -> None:
        model = self._model
        if model is None:
            return
        folder = model.folder if model.folder.is_dir() else model.source or model.folder.parent
        if said := show_folder(Path(folder)):
            self.message.emit(said)

    def _on_remove_build(self, build: str) -> None:
        manifest = self._model.manifest if self._model else None
        made = manifest.builds.get(build) if manifest else None
        if made is not None:
            self._ask(
                build,
                f"This deletes the {build} build, {size(made.bytes)}. It can be converted again"
                " from the model's source, which stays.",
            )

    def _ask(self, build: str, words: str) -> None:
        self._asked_build = build
        act = self.question.act_button
        act.setText("Delete the build" if build else "Delete for good")
        act.setAccessibleName(act.text())
        self.question.ask(words, self.builds.rows[build].remove if build else self.remove)

    def _on_confirmed(self) -> None:
        if self._model is None:
            return
        if self._asked_build:
            self.remove_build_asked.emit(self._model.name, self._asked_build)
        else:
            self.remove_asked.emit(self._model.name)
