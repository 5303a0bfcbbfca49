"""What is known of a model: where it came from, how large it is, its hashes, and its card."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from explorer.core.manifest import Manifest
from explorer.gui.model_parts.model_words import card, last_used, origin
from explorer.gui.style.theme import GAP, UNIT
from explorer.gui.widgets.controls import label, noted_button
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.open_externally import open_file
from explorer.weights.hub.transfer_rate import size
from explorer.weights.store.store import Installed

FINGERPRINT = "Model fingerprint"
"""A kept sample names another one, that of the build."""
FACTS = ("Source", "Revision", "Licence", FINGERPRINT, "Context", "Vocabulary", "On disk")
BUNDLED = "comes with the program"
CARD_NOTE = "What it was trained on, by whom, and what it is for; README.md of its folder"
SHORT = 12
"""Hex digits of a fingerprint that are shown; Copy takes all of them."""


class ModelFacts(QWidget):
    """The facts about the chosen model, a line each."""

    message = Signal(str)

    def __init__(self) -> None:
        """Make lines without words."""
        super().__init__()
        self._model: Installed | None = None
        self._names = {name: label(name, "muted", wrap=True) for name in FACTS}
        self.values: dict[str, QLabel] = {}
        for name in FACTS:
            value = self.values[name] = label("", "label", wrap=name != FINGERPRINT, name=name)
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = noted_button("Copy", "Copy the whole model fingerprint", role="link")
        self.card = noted_button("Model card", "Model card", CARD_NOTE, "link")
        self.hashes_button = noted_button(
            "Show its hashes", "Show the hashes of its files", role="link"
        )
        self.hashes = label("", "muted", wrap=True)
        self.hashes.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.hashes.setAccessibleName("Hashes of the files")
        self.hashes.hide()
        self._arrange()
        self.copy.clicked.connect(self._on_copy)
        self.card.clicked.connect(self._on_card)
        self.hashes_button.clicked.connect(self._on_hashes)

    def show_model(self, model: Installed, manifest: Manifest) -> None:
        """Say what is known of ``model``."""
        self._model = model
        source = manifest.source
        texts = {
            "Source": BUNDLED if model.bundled else origin(source),
            "Revision": source.get("revision", ""),
            "Licence": source.get("licence", "")
            or ("MIT, as the program" if model.bundled else "not stated; ask whoever made it"),
            FINGERPRINT: manifest.fingerprint[:SHORT],
            "Context": f"{manifest.context:,} tokens",
            "Vocabulary": f"{manifest.vocabulary:,} tokens",
            "On disk": f"{size(model.bytes_on_disk)}, {last_used(model.used)}",
        }
        for name, text in texts.items():
            self.values[name].setText(text)
            for widget in (self.values[name], self._names[name]):
                widget.setVisible(bool(text))
        self.values["Source"].setToolTip(source.get("path", ""))
        self.values[FINGERPRINT].setToolTip(
            f"{manifest.fingerprint}\nOver weights, tokenizer and config: the same for the same"
            " model, whichever source it came from."
        )
        lines = [f"{name}\n{value}" for name, value in manifest.hashes.items()]
        for build in manifest.builds.values():
            lines += [f"{build.name}/{name}\n{value}" for name, value in build.hashes.items()]
        self.hashes.setText("SHA-256\n" + "\n".join(lines))
        self.hashes_button.setVisible(bool(lines))
        self.card.setVisible(card(model) is not None)

    def _arrange(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(UNIT)
        grid.setColumnStretch(1, 1)
        for row, (name, value) in enumerate(self.values.items()):
            grid.addWidget(self._names[name], row, 0, Qt.AlignmentFlag.AlignTop)
            if name == FINGERPRINT:
                line = Flow()
                line.add(value)
                line.add(self.copy)
                grid.addLayout(line, row, 1)
            else:
                grid.addWidget(value, row, 1)
        links = Flow(spacing=GAP)
        links.add(self.card)
        links.add(self.hashes_button)
        grid.addLayout(links, len(FACTS), 1)
        grid.addWidget(self.hashes, len(FACTS) + 1, 0, 1, 2)

    def _on_copy(self) -> None:
        if self._model is not None and self._model.manifest is not None:
            QGuiApplication.clipboard().setText(self._model.manifest.fingerprint)
            self.message.emit(f"{FINGERPRINT} copied.")

    def _on_hashes(self) -> None:
        shown = not self.hashes.isVisibleTo(self)
        self.hashes.setVisible(shown)
        word = "Hide" if shown else "Show"
        self.hashes_button.setText(f"{word} its hashes")
        self.hashes_button.setAccessibleName(f"{word} the hashes of its files")

    def _on_card(self) -> None:
        path = card(self._model) if self._model is not None else None
        if path is not None and (said := open_file(path, "the card")):
            self.message.emit(said)
