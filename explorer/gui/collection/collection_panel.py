"""The collection: kept samples, newest first, with what each one cost.

One collection is shown at a time; new keeps go into it. What was taken away last can be brought
back by the strip at the foot, which is undo, as long as nothing else was done since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from PySide6.QtCore import QEvent, QMargins, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QAction, QActionGroup, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from explorer.core.errors import ExplorerError
from explorer.core.wording import number_of, tries
from explorer.gui.cards.card_list import CardList
from explorer.gui.cards.card_model import Card, CardModel
from explorer.gui.cards.excerpt import leading_to, one_line
from explorer.gui.fields.escape_field import EscapeField
from explorer.gui.style import theme
from explorer.gui.style.guard import guarded
from explorer.gui.style.theme import PADDING, UNIT
from explorer.gui.widgets.clipboard import copy
from explorer.gui.widgets.confirm_strip import ConfirmStrip
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.flow import Flow
from explorer.library.collection import MAX_NAME, Collection, Collections
from explorer.library.samples import DamagedSample, Sample, Samples
from explorer.library.search import Needle, Search

NAME_SHOWN = 42 * UNIT
"""Pixels of the drawings that a collection's name has in the heading; its tool tip has the rest."""
_MENU_SIGN = " ▾"
EMPTY = "Samples that you keep appear here, with the number of tries each one took."


@guarded
class CollectionPanel(QWidget):
    """Choose, fill, sort and read collections."""

    opened = Signal(int)
    """A sample is to be read in full: the id of its try."""
    export_requested = Signal(int)
    """A collection is to be exported: its id."""
    collection_changed = Signal(int)
    """Another collection is shown, and takes the next keeps."""
    message = Signal(str)
    """Something to say in the status bar, an error among them."""
    changed = Signal()
    """Something was done to samples or collections here, which undo would reverse next."""
    undo_asked = Signal()
    """What was done here last is to be reversed."""

    def __init__(
        self,
        samples: Samples,
        collections: Collections,
        words: Search | None = None,
        parent: QWidget | None = None,
    ) -> None:
        """Show the oldest collection; ``words`` makes the filter quick over many samples."""
        super().__init__(parent)
        self._words = words
        self._samples = samples
        self._collections = collections
        self._current: Collection | None = None
        self._offered: int | None = None  # the action that the strip would reverse
        self._deleted: int | None = None  # the collection that goes with it
        self._renaming = False
        self.heading = QPushButton()
        self.heading.setProperty("role", "quiet")
        self.heading.setProperty("tone", "title")
        self.heading.setAccessibleName("Collection")
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.heading.setMenu(self.menu)
        self.name = EscapeField()  # Enter takes it, Escape forgets it
        self.name.setMaxLength(MAX_NAME)
        self.name.setAccessibleName("Name of the collection")
        self.name.hide()
        self.name_note = label("", "note", wrap=True)
        self.name_note.setProperty("tone", "caution")
        self.name_note.hide()
        self.amount = label("", "muted")
        self.list = CardList(CardModel(self._read), self._search, "Samples", EMPTY, lines=3)
        self.question = ConfirmStrip(
            "Delete", "Delete the collection and its samples", "Do not delete the collection"
        )
        self._strip = QFrame()
        self._strip.setProperty("role", "notice")
        self.undo_words = label("", "label", wrap=True)
        self.undo = QPushButton("Undo")
        self.undo.setAccessibleName("Bring back what was removed")
        self._strip.hide()
        self._arrange()
        self._connect()
        self.refresh()

    def _arrange(self) -> None:
        head = Flow()
        head.setContentsMargins(0, 0, 2 * UNIT, 0)  # as far in as the heading's own words
        head.add(self.heading)
        head.add(self.name, 1)
        head.addStretch()
        head.add(self.amount)
        strip = Flow(self._strip)
        strip.setContentsMargins(2 * UNIT, UNIT, UNIT, UNIT)
        strip.add(self.undo_words, 1)
        strip.addStretch()
        strip.add(self.undo)
        column = QVBoxLayout(self)
        column.setContentsMargins(PADDING - 2 * UNIT, PADDING, PADDING - 2 * UNIT, PADDING)
        column.setSpacing(2 * UNIT)
        column.addLayout(head)
        column.addWidget(self.name_note)
        column.addWidget(self.list, 1)
        column.addWidget(self.question)
        column.addWidget(self._strip)

    def _connect(self) -> None:
        self.list.opened.connect(self.opened)
        self.list.menu_asked.connect(self._on_menu_asked)
        self.list.delete_asked.connect(self.remove_sample)
        self.list.copy_asked.connect(self.copy_sample)
        self.list.amount_changed.connect(self._on_amount)
        self.name.textChanged.connect(self._on_name_typed)
        self.name.returnPressed.connect(self._on_name_entered)
        self.name.escaped.connect(self._close_name)
        self.question.confirmed.connect(self._delete)
        self.undo.clicked.connect(self.undo_asked)

    # What the window asks and tells

    def collection(self) -> int | None:
        """Return the id of the collection shown, None where there is none to keep into."""
        return self._current.id if self._current else None

    def set_collection(self, collection_id: int | None) -> None:
        """Show another collection; one that is not there any more gives way to the oldest."""
        before = self.collection()
        self._current = self._find(collection_id)
        self.refresh()
        after = self.collection()
        if after is not None and after != before:
            self.collection_changed.emit(after)

    def refresh(self) -> None:
        """Read the collection again: something was kept, undone, moved or removed."""
        self.question.hide()  # what it said may be true no longer
        self._take_offer_back()
        self._current = self._find(self.collection())
        current = self._current
        if current is None:
            self.heading.setText("No collection ▾")
            self.list.set_ids([])
            return
        self._show_name()
        self.list.set_source(
            lambda limit, after: self._samples.ids(current.id, limit=limit, after=after)
        )

    def changeEvent(self, event: QEvent) -> None:
        """Show as much of the name as fits in another size of text."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._show_name()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as much of the name as fits."""
        super().resizeEvent(event)
        self._show_name()

    def _show_name(self) -> None:
        """Show no more of the name than leaves the panel its width."""
        if self._current is None:
            return
        self.heading.ensurePolished()
        metrics, end = self.heading.fontMetrics(), Qt.TextElideMode.ElideRight
        layout = self.layout()
        sides = layout.contentsMargins() if layout is not None else QMargins()
        frame = self.heading.sizeHint().width() - metrics.horizontalAdvance(self.heading.text())
        room = self.width() - sides.left() - sides.right() - frame
        room -= metrics.horizontalAdvance(_MENU_SIGN)
        shown = metrics.elidedText(self._current.name, end, min(room, theme.wide(NAME_SHOWN)))
        self.heading.setText(_plain(shown) + _MENU_SIGN)
        self.heading.setToolTip(self._current.name)

    def step(self, rows: int) -> None:
        """Open the sample that stands ``rows`` below the current one, if there is one."""
        model, index = self.list.model, self.list.view.currentIndex()
        row = index.row() + rows
        if index.isValid() and 0 <= row < model.rowCount():
            self.list.view.setCurrentIndex(model.index(row))
            self.opened.emit(model.ids()[row])

    def copy_sample(self, try_id: int, captioned: bool) -> None:
        """Copy the text of a sample, or all that belongs to it."""
        try:
            sample = self._samples.get(try_id)
        except ExplorerError as error:
            self.message.emit(str(error))
            return
        self.message.emit(copy(sample.captioned_text if captioned else sample.text, captioned))

    def remove_sample(self, try_id: int) -> None:
        """Take a sample out of the collection; the strip brings it back."""
        if self._carry_out(lambda: self._samples.remove(try_id)):
            self._offer("Sample removed.")

    def move_sample(self, try_id: int, collection_id: int) -> None:
        """Put a sample into another collection; the strip takes it back."""
        if self._carry_out(lambda: self._samples.move(try_id, collection_id)):
            self._offer(f"Moved to “{self._collections.get(collection_id).name}”.")

    # Rows

    def _find(self, collection_id: int | None) -> Collection | None:
        try:
            there = {each.id: each for each in self._collections.list()}
            return there.get(collection_id or -1) or self._collections.default()
        except ExplorerError:
            return None  # read-only and empty: nothing can be kept either

    def _read(self, ids: Sequence[int]) -> Mapping[int, Card]:
        found = {sample.id: _card(sample) for sample in self._samples.page(ids)}
        absent = [key for key in ids if key not in found]
        return found | {each.id: _damaged_card(each) for each in self._samples.damaged(absent)}

    def _search(self, ids: Sequence[int], needle: str) -> Iterable[int]:
        if self._words is not None:
            yield from self._words.samples(ids, needle)
            return
        wanted = Needle(needle)
        for sample in self._samples.page(ids):
            texts = (sample.text, sample.hunt.prompt_text, sample.note, sample.hunt.model.name)
            if any(wanted.is_in(text) for text in texts):
                yield sample.id

    def _on_amount(self, amount: int) -> None:
        self.amount.setText(number_of(amount, "sample") if self._current else "")

    # Collections

    def _fill_menu(self) -> None:
        self.menu.clear()
        group = QActionGroup(self.menu)
        for collection in self._collections.list():
            action = self.menu.addAction(f"{_plain(collection.name)}\t{collection.samples:,}")
            action.setCheckable(True)
            action.setChecked(collection.id == self.collection())
            action.setData(collection.id)
            group.addAction(action)
            action.triggered.connect(self._on_collection_chosen)
        self.menu.addSeparator()
        self.menu.addAction("New collection…", self._on_new)
        if self._current is not None:
            self.menu.addAction("Rename…", self._on_rename)
            self.menu.addAction("Delete…", self._on_delete)
            self.menu.addSeparator()
            self.menu.addAction("Export…", self._on_export)

    def _on_collection_chosen(self) -> None:
        action = self.sender()
        if isinstance(action, QAction):
            self.set_collection(action.data())

    def _on_new(self) -> None:
        self._open_name("", renaming=False)

    def _on_rename(self) -> None:
        if self._current is not None:
            self._open_name(self._current.name, renaming=True)

    def _open_name(self, text: str, *, renaming: bool) -> None:
        self._renaming = renaming
        self.name.setText(text)
        self.name.setPlaceholderText("Name of the new collection")
        self.name.selectAll()
        self.heading.hide()
        self.name.show()
        self.name.setFocus(Qt.FocusReason.OtherFocusReason)

    @Slot(str)
    def _on_name_typed(self, name: str) -> None:
        """Say at the field what would be refused."""
        of = self._current.id if self._renaming and self._current is not None else None
        problem = self._collections.problem(name, of)
        self.name_note.setText(problem)
        self.name_note.setVisible(bool(problem))
        self.name.setAccessibleDescription(problem)

    def _close_name(self) -> None:
        self.name.hide()
        self.name_note.hide()
        self.heading.show()
        self.heading.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_name_entered(self) -> None:
        current = self._current
        if self._renaming and current is not None:
            if self._carry_out(lambda: self._collections.rename(current.id, self.name.text())):
                self._close_name()
                self.message.emit(f"It is called “{self._collections.get(current.id).name}” now.")
            return
        made: list[Collection] = []
        if self._carry_out(lambda: made.append(self._collections.create(self.name.text()))):
            self._close_name()
            self.set_collection(made[0].id)
            self.message.emit(f"New keeps go into “{made[0].name}”.")

    def _on_delete(self) -> None:
        gone = self._find(self.collection())
        if gone is not None and gone.samples:
            words = (
                f"This deletes “{gone.name}” with {number_of(gone.samples, 'sample')}. Ctrl+Z"
                " brings all of it back, and the tries stay readable in History."
            )
            self.question.ask(words, self.heading)
        else:
            self._delete()

    def _delete(self) -> None:
        gone = self._find(self.collection())
        inside = f" with {number_of(gone.samples, 'sample')}" if gone and gone.samples else ""
        if gone is not None and self._carry_out(lambda: self._collections.delete(gone.id)):
            self._offer(f"“{gone.name}” deleted{inside}.", gone.id)
            after = self.collection()
            if after is not None:
                self.collection_changed.emit(after)

    def _on_export(self) -> None:
        if self._current is not None:
            self.export_requested.emit(self._current.id)

    # One sample

    def _on_menu_asked(self, try_id: int, place: QPoint) -> None:
        self.sample_menu(try_id).popup(place)

    def sample_menu(self, try_id: int) -> QMenu:
        """Return the context menu of a sample."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Open", lambda: self.opened.emit(try_id))
        menu.addAction("Copy text", lambda: self.copy_sample(try_id, False))
        menu.addAction("Copy with caption", lambda: self.copy_sample(try_id, True))
        others = menu.addMenu("Move to")
        self.fill_moves(others, try_id)
        others.setEnabled(not others.isEmpty())
        menu.addSeparator()
        menu.addAction("Remove", lambda: self.remove_sample(try_id))
        return menu

    def fill_moves(self, menu: QMenu, try_id: int) -> None:
        """Fill a menu with the collections that a sample can move to."""
        menu.clear()
        for collection in self._collections.list():
            if collection.id != self.collection():
                name, target = _plain(collection.name), collection.id
                menu.addAction(name, partial(self.move_sample, try_id, target))

    # Doing and undoing

    def _carry_out(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except ExplorerError as error:
            self.message.emit(str(error))
            return False
        self.refresh()
        self.changed.emit()
        return True

    def _offer(self, words: str, deleted: int | None = None) -> None:
        self._offered, self._deleted = self._samples.newest_action(), deleted
        self.undo_words.setText(words)
        self._strip.show()

    def _take_offer_back(self) -> None:
        """Hide the strip where undo would reverse something else by now."""
        if self._offered is None or self._samples.newest_action() == self._offered:
            return
        if self._deleted is not None and any(
            each.id == self._deleted for each in self._collections.list()
        ):
            self._current = self._find(self._deleted)  # it was brought back
        self._offered = self._deleted = None
        if self.undo.hasFocus():  # it is about to go, and the focus would cross the window
            self.list.view.setFocus(Qt.FocusReason.OtherFocusReason)
        self._strip.hide()


def _card(sample: Sample) -> Card:
    hunt = sample.hunt
    noted = " · noted" if sample.note else ""
    return Card(
        words=one_line(sample.text) or "(empty)",
        lead=tries(sample.cost),
        rest=f"{hunt.recipe.describe()} · {hunt.model.name}{noted}",
        before=leading_to(hunt.prompt_text, sample.text or " "),
        named=hunt.model.name,
        note=one_line(sample.note),
    )


def _damaged_card(sample: DamagedSample) -> Card:
    return Card(
        words=sample.sentence,
        lead="damaged",
        rest=one_line(sample.prompt or sample.text),
        tone="caution",
    )


def _plain(name: str) -> str:
    """Return a name for a menu or a button, where an ampersand would mark a shortcut."""
    return name.replace("&", "&&").replace("\t", " ")
