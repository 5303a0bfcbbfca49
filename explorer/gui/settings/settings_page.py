"""Settings: how the window looks, where the model runs, where everything is kept.

Every change is reported at once and takes effect at once; there is nothing to confirm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from explorer.engine.hardware.device import Option
from explorer.engine.memory_estimate import gigabytes
from explorer.gui.fields.number_fields import Number
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import GAP, PADDING, UNIT
from explorer.gui.widgets.controls import label, tab_to_checked
from explorer.gui.widgets.flow import Flow
from explorer.gui.widgets.open_externally import show_folder
from explorer.system.settings import MOST_MINUTES

_THEMES = (("Follow the system", "system"), ("Light", "light"), ("Dark", "dark"))
_AUTO = ("Automatic", "auto", "An NVIDIA GPU if one can be used, else the CPU")
MOST_THREADS = 256
_WIDEST = 190 * UNIT
"""Pixels of the drawings: lines of a card are no longer than can be read."""


@guarded
class SettingsPage(QScrollArea):
    """Theme, text size, device, threads, and the places where data lives."""

    theme_changed = Signal(str)
    """``system``, ``light`` or ``dark``."""
    text_size_asked = Signal(int)
    """1 = larger, -1 = smaller, 0 = as in the beginning."""
    device_changed = Signal(str)
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    unload_changed = Signal(int)
    """Idle minutes after which the model is unloaded; 0 = never."""
    threads_changed = Signal(int)
    """Threads on the CPU; 0 = one a physical core."""
    message = Signal(str)

    def __init__(
        self, places: Sequence[tuple[str, Path]] = (), parent: QWidget | None = None
    ) -> None:
        """Make the page; ``places`` are (what lives there, where)."""
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.themes = QButtonGroup(self)
        self.devices = QButtonGroup(self)
        self.device_note = label("", "muted", wrap=True)
        self._listed = QVBoxLayout()
        self._listed.setSpacing(UNIT)
        self._wishes: list[str] = []
        self._wish = "auto"
        self.unload = Number(
            "Idle minutes until the model is unloaded", 0, MOST_MINUTES, (0, "never"), " min"
        )
        self.unload.setKeyboardTracking(False)
        self.text_size = label("", "label", name="Size of the text")
        self.threads = Number("Threads on the CPU", 0, MOST_THREADS, (0, "one a core"))
        self.threads.setKeyboardTracking(False)
        page = QWidget()
        page.setProperty("role", "background")
        # A column, and not each of its cards, is limited in width: a layout asks how high they are
        # at the width of the page, and lines that are shorter need more height.
        cards = self._cards = QWidget()
        row = QHBoxLayout(page)
        row.setContentsMargins(2 * PADDING, 2 * PADDING, 2 * PADDING, 2 * PADDING)
        row.addWidget(cards, 1)
        row.addStretch()
        column = QVBoxLayout(cards)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self._appearance())
        column.addWidget(self._engine())
        column.addWidget(self._data(places))
        column.addStretch()
        self._column = column
        self.setWidget(page)
        self._fit()
        tab_to_checked(self.themes)
        tab_to_checked(self.devices)
        self.themes.idClicked.connect(self._on_theme)
        self.devices.idClicked.connect(self._on_device)
        self.threads.valueChanged.connect(self.threads_changed)
        self.unload.valueChanged.connect(self.unload_changed)

    def changeEvent(self, event: QEvent) -> None:
        """Give the cards the width that lines of another size need."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._fit()

    def _fit(self) -> None:
        self._cards.setMaximumWidth(theme.wide(_WIDEST))

    def add_card(self, card: QWidget) -> None:
        """Put one more card behind the others."""
        self._column.insertWidget(self._column.count() - 1, card)

    # What the window tells

    def set_theme(self, mode: str) -> None:
        """Show which theme is in use."""
        _check(self.themes, _THEMES, mode)

    def set_text_size(self, px: float) -> None:
        """Show the size of prompt and machine text."""
        self.text_size.setText(f"{px:g} px")

    def set_device(self, wish: str, note: str = "") -> None:
        """Show which device is asked for; ``note`` says which one really runs and why."""
        self._wish = wish
        self._check_device()
        self.device_note.setText(note)
        self.device_note.setVisible(bool(note))

    def set_options(self, options: Sequence[Option]) -> None:
        """List the devices there are, with what is known of each; one that cannot work is grey."""
        had_focus = any(button.hasFocus() for button in self.devices.buttons())
        for button in self.devices.buttons():
            self.devices.removeButton(button)
        while (item := self._listed.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._wishes = []
        self._add_device(*_AUTO, works=True)
        for option in options:
            self._add_device(option.name, option.id, about(option), works=option.works)
        self._check_device()
        before: QWidget = self._before_devices
        if before.window() is self.window():  # while the page is made they come in order anyway
            for button in self.devices.buttons():
                QWidget.setTabOrder(before, button)
                before = button
        chosen = self.devices.checkedButton()
        if had_focus and chosen is not None:
            chosen.setFocus()

    def set_unload(self, minutes: int) -> None:
        """Show the idle time without reporting it."""
        blocked = self.unload.blockSignals(True)
        self.unload.setValue(minutes)
        self.unload.blockSignals(blocked)

    def set_threads(self, threads: int) -> None:
        """Show the number of threads without reporting it."""
        blocked = self.threads.blockSignals(True)
        self.threads.setValue(threads)
        self.threads.blockSignals(blocked)

    def take_focus(self) -> None:
        """Take the keyboard: the theme in use."""
        if (chosen := self.themes.checkedButton()) is not None:
            chosen.setFocus(Qt.FocusReason.OtherFocusReason)

    # Building

    def _appearance(self) -> QFrame:
        card, column = _card("Appearance")
        row = Flow()
        for number, (words, _) in enumerate(_THEMES):
            button = QRadioButton(words)
            button.setAccessibleName(f"Theme: {words}")
            self.themes.addButton(button, number)
            row.add(button)
        column.addLayout(row)
        size = Flow()
        size.add(label("Text", "label"))
        for words, name, step, keys in (
            ("A−", "Smaller text", -1, "Ctrl+-"),
            ("A+", "Larger text", 1, "Ctrl++"),
            ("Reset", "Text size as in the beginning", 0, "Ctrl+0"),
        ):
            press = QPushButton(words)
            press.setAccessibleName(name)
            press.setToolTip(f"{name} ({keys})")
            press.setProperty("step", step)
            press.clicked.connect(self._on_text_size)
            size.add(press)
            self._before_devices = press
        size.add(self.text_size)
        column.addLayout(size)
        return card

    def _engine(self) -> QFrame:
        card, column = _card("Where the model runs")
        column.addLayout(self._listed)
        self.set_options((Option("cuda", "NVIDIA GPU", True), Option("cpu", "CPU", True)))
        column.addWidget(self.device_note)
        row = Flow()
        row.add(label("Threads on the CPU", "label", buddy=self.threads))
        self.threads.fit("one a core")
        row.add(self.threads)
        column.addLayout(row)
        row = Flow()
        row.add(label("Unload the model when idle for", "label", buddy=self.unload))
        self.unload.fit("1440 min")
        row.add(self.unload)
        column.addLayout(row)
        column.addWidget(
            label(
                "Another device, precision or build is another hunt: its tries are counted apart.",
                "muted",
                wrap=True,
            )
        )
        return card

    def _add_device(self, words: str, wish: str, note: str, *, works: bool) -> None:
        button = QRadioButton(words)
        button.setAccessibleName(f"Device: {words}")
        button.setAccessibleDescription(note)
        button.setEnabled(works)
        self.devices.addButton(button, len(self._wishes))
        self._wishes.append(wish)
        self._listed.addWidget(button)
        if note:
            line = label(note, "muted", wrap=True)
            line.setContentsMargins(6 * UNIT, 0, 0, UNIT)
            self._listed.addWidget(line)

    def _check_device(self) -> None:
        # "cuda" stands for the first GPU that works.
        wishes = [wish for wish in self._wishes if wish == self._wish]
        if not wishes and self._wish == "cuda":
            works = [self.devices.button(n).isEnabled() for n in range(len(self._wishes))]
            pairs = zip(self._wishes, works, strict=True)
            wishes = [wish for wish, ok in pairs if ok and wish.startswith("cuda")]
        if wishes:
            self.devices.button(self._wishes.index(wishes[0])).setChecked(True)

    def _data(self, places: Sequence[tuple[str, Path]]) -> QFrame:
        card, column = _card("Where data lives")
        grid = QGridLayout()
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(UNIT)
        grid.setColumnStretch(1, 1)
        for row, (what, path) in enumerate(places):
            where = label(str(path), "muted", wrap=True, name=f"Path: {what}")
            where.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse
                | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
            show = QPushButton("Show")
            show.setProperty("role", "quiet")
            show.setProperty("folder", str(path if path.is_dir() else path.parent))
            show.setAccessibleName(f"Show the folder: {what}")
            show.clicked.connect(self._on_show)
            grid.addWidget(label(what, "label"), row, 0)
            grid.addWidget(where, row, 1)
            grid.addWidget(show, row, 2)
        column.addLayout(grid)
        column.addWidget(
            label(
                "Everything stays here. Nothing is fetched unless you ask for a download on the"
                " Models page; no statistics are sent.",
                "muted",
                wrap=True,
            )
        )
        return card

    # What a person does

    def _on_theme(self, number: int) -> None:
        self.theme_changed.emit(_THEMES[number][1])

    def _on_device(self, number: int) -> None:
        self._wish = self._wishes[number]
        self.device_changed.emit(self._wish)

    def _on_text_size(self) -> None:
        self.text_size_asked.emit(self.sender().property("step"))

    def _on_show(self) -> None:
        folder = self.sender().property("folder")
        if said := show_folder(Path(folder)):
            self.message.emit(said)


def about(option: Option) -> str:
    """Return what is known of a device in one line: why it does not work, or versions and memory.

    An empty text where nothing is known.
    """
    if not option.works:
        driver = f" (driver {option.driver})" if option.driver else ""
        return (
            option.reason
            if option.driver and option.driver in option.reason
            else (option.reason + driver)
        )
    parts = [f"driver {option.driver}" if option.driver else "", option.libraries]
    if option.total_bytes is not None:
        free = "" if option.free_bytes is None else f"{gigabytes(option.free_bytes)} free of "
        parts.append(f"{free}{gigabytes(option.total_bytes)}")
    return " · ".join(part for part in parts if part)


def _card(title: str) -> tuple[QFrame, QVBoxLayout]:
    card = QFrame()
    card.setProperty("role", "card")
    column = QVBoxLayout(card)
    column.setContentsMargins(PADDING, PADDING, PADDING, PADDING)
    column.setSpacing(2 * UNIT)
    column.addWidget(label(title, "title"))
    return card, column


def _check(group: QButtonGroup, options: Sequence[tuple[str, str]], value: str) -> None:
    values = [option for _, option in options]
    if value in values:
        group.button(values.index(value)).setChecked(True)
