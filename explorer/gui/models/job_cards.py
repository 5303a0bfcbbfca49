"""What goes on with models: one card a task, with one bar, its words, and what can be done.

A download that was paused, or that an earlier start of the program left, has a card as well, and so
has a task that failed, until it is dismissed. Only a second press throws away what was fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from explorer.gui.model_parts.model_tasks import Task
from explorer.gui.style.theme import GAP, UNIT, set_role
from explorer.gui.widgets.controls import label
from explorer.gui.widgets.labels import Elided
from explorer.weights.hub.downloads import Unfinished
from explorer.weights.hub.transfer_rate import size

STEPS = 1000

_QUESTION = "Delete what has arrived? It would have to be fetched again from its start."


class JobCard(QFrame):
    """One task; buttons that mean nothing for it are hidden."""

    pause_asked = Signal()
    resume_asked = Signal(str)
    """Go on with a download: its repository."""
    cancel_asked = Signal(object)
    dismiss_asked = Signal(object)
    discard_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty card."""
        super().__init__(parent)
        self.setProperty("role", "card")
        self._task: Task | None = None
        self._repository = ""
        self._asked: Literal["", "cancel", "discard"] = ""
        """What waits for a second press."""
        self._show_again: Callable[[], None] = lambda: None
        self.title = Elided()
        self.title.setProperty("role", "title")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.words = label("", "muted", wrap=True)
        self.pause = _button("Pause", self.pause_asked.emit)
        self.resume = _button("Resume", self._on_resume)
        self.cancel = _button("Cancel", self._on_cancel)
        self.discard = _button("Discard", self._on_discard)
        self.dismiss = _button("Dismiss", self._on_dismiss)
        self.delete = _button("Delete", self._on_delete)
        self.keep = _button("Keep", self._on_keep)
        head = QHBoxLayout()
        head.setSpacing(UNIT)
        head.addWidget(self.title, 1)
        for button in self.buttons():
            head.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP, 2 * UNIT, 2 * UNIT, 2 * UNIT)
        column.setSpacing(UNIT)
        column.addLayout(head)
        column.addWidget(self.bar)
        column.addWidget(self.words)

    def buttons(self) -> tuple[QPushButton, ...]:
        """Return what can be pressed, hidden or not, in the order of the screen."""
        return (
            *(self.pause, self.resume, self.cancel, self.discard, self.dismiss),
            *(self.delete, self.keep),
        )

    def show_task(self, task: Task, repository: str = "") -> None:
        """Show a task that runs or failed; ``repository`` is where a failed download can go on."""
        failed = bool(task.problem)
        if self._asked == ("discard" if not failed else "cancel"):
            self._asked = ""  # it was about something that is over
        self._task, self._repository = task, repository
        self._show_again = partial(self.show_task, task, repository)
        set_role(self, "problem" if failed else "card")
        words = task.problem or task.words or "Starting …"
        self._show(f"✕ {task.title} failed" if failed else task.title, words)
        self.bar.setVisible(not failed)
        self.bar.setRange(0, 0 if task.fraction is None else STEPS)
        self.bar.setValue(0 if task.fraction is None else round(STEPS * task.fraction))
        self.bar.setAccessibleDescription(words)
        self._offer(
            pause=not failed and task.pausable,
            cancel=not failed,
            resume=failed and bool(repository),
            discard=failed and bool(repository),
            dismiss=failed,
        )

    def show_unfinished(self, left: Unfinished, busy: str = "") -> None:
        """Show a download that can go on, unless something else is busy just now."""
        if self._asked == "cancel":
            self._asked = ""
        self._task, self._repository = None, left.repository
        self._show_again = partial(self.show_unfinished, left, busy)
        set_role(self, "card")
        rest = f"{size(left.done)} of {size(left.total)} are here" if left.total else "Begun"
        self._show(f"{left.name or left.repository}: download not finished", f"{rest}.")
        self.bar.setVisible(left.total > 0)
        self.bar.setRange(0, STEPS)
        self.bar.setValue(round(STEPS * min(left.done / left.total, 1)) if left.total else 0)
        self.bar.setAccessibleDescription(rest)
        self._offer(resume=True, discard=True)
        self.resume.setEnabled(not busy)
        self.resume.setToolTip(f"{busy} is still going on." if busy else "")

    def _show(self, title: str, words: str) -> None:
        self.title.setText(title)
        self.title.setAccessibleName(title)
        self.words.setText(_QUESTION if self._asked else words)
        self.bar.setAccessibleName(f"Progress: {title}")

    def _offer(self, **shown: bool) -> None:
        self.resume.setEnabled(True)
        had_focus = any(button.hasFocus() for button in self.buttons())
        for button in self.buttons():
            word = button.text()
            button.setAccessibleName(f"{word}: {self.title.text()}")
            offered = word in ("Delete", "Keep") if self._asked else shown.get(word.lower(), False)
            button.setVisible(offered)
        still = [button for button in self.buttons() if button.isVisible()]
        if had_focus and still and not any(button.hasFocus() for button in still):
            # Not somewhere else on the page, and on the harmless answer of two.
            still[-1 if self._asked else 0].setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_resume(self) -> None:
        self.resume_asked.emit(self._repository)

    def _on_discard(self) -> None:
        self._ask("discard")

    def _on_cancel(self) -> None:
        if self._task is not None and self._task.pausable:
            self._ask("cancel")
        else:
            self.cancel_asked.emit(self._task)

    def _ask(self, what: Literal["", "cancel", "discard"]) -> None:
        self._asked = what
        self._show_again()

    def _on_keep(self) -> None:
        self._ask("")

    def _on_delete(self) -> None:
        asked, self._asked = self._asked, ""
        if asked == "discard":
            self.discard_asked.emit(self._repository)
        elif asked == "cancel":
            self.cancel_asked.emit(self._task)

    def _on_dismiss(self) -> None:
        self.dismiss_asked.emit(self._task)


class JobCards(QWidget):
    """All of them, the newest first; a card stays where it is while its task goes on."""

    pause_asked = Signal()
    resume_asked = Signal(str)
    cancel_asked = Signal(object)
    dismiss_asked = Signal(object)
    discard_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        """Make an empty column, which takes no room."""
        super().__init__(parent)
        self.cards: dict[str, JobCard] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2 * UNIT)
        self.hide()

    def show_tasks(self, tasks: Iterable[Task], unfinished: Iterable[Unfinished]) -> None:
        """Show what runs, what failed, and what could go on."""
        tasks = list(tasks)
        left = {each.repository: each for each in unfinished}
        busy = next((t.title for t in tasks if t.place == "work" and not t.problem), "")
        wanted: dict[str, Task | Unfinished] = {f"{t.kind} {t.subject}": t for t in tasks}
        for repository, each in left.items():  # a card that failed offers to go on itself
            wanted.setdefault(f"download {repository}", each)
        for key in [key for key in self.cards if key not in wanted]:
            card = self.cards.pop(key)
            self._column.removeWidget(card)
            card.hide()
            card.deleteLater()
        for key, thing in wanted.items():
            running = isinstance(thing, Task) and not thing.problem
            card = self.cards.get(key) or self._add(key, 0 if running else -1)
            if isinstance(thing, Task):
                there = thing.kind == "download" and thing.subject in left
                card.show_task(thing, thing.subject if there else "")
            else:
                card.show_unfinished(thing, busy)
        self.setVisible(bool(self.cards))

    def buttons(self) -> list[QPushButton]:
        """Return what can be pressed, in the order of the screen."""
        cards = sorted(self.cards.values(), key=self._column.indexOf)
        return [button for card in cards for button in card.buttons()]

    def focused(self) -> JobCard | None:
        """Return the card that has the keyboard."""
        cards = self.cards.values()
        return next((card for card in cards if any(b.hasFocus() for b in card.buttons())), None)

    def take_focus(self) -> None:
        """Give the keyboard to what can be done about the task that runs, else the first one."""
        ready = [each for each in self.buttons() if each.isVisible() and each.isEnabled()]
        running = {b for card in self.cards.values() for b in (card.pause, card.cancel)}
        for button in sorted(ready, key=lambda each: each not in running)[:1]:
            button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _add(self, key: str, place: int) -> JobCard:
        card = JobCard()
        card.pause_asked.connect(self.pause_asked)
        card.resume_asked.connect(self.resume_asked)
        card.cancel_asked.connect(self.cancel_asked)
        card.dismiss_asked.connect(self.dismiss_asked)
        card.discard_asked.connect(self.discard_asked)
        self.cards[key] = card
        self._column.insertWidget(place, card)
        card.show()  # at once: it may be given the keyboard
        return card


def _button(word: str, act: object) -> QPushButton:
    button = QPushButton(word)
    button.setProperty("role", "small")
    button.clicked.connect(act)
    return button
