"""Everything that can be done, as menu entries with their keys shown.

Keys that Qt may take anywhere (Ctrl+Enter, Esc) are real shortcuts. Those that must stay silent
while somebody types (:mod:`explorer.gui.widgets.shortcuts`) are only written beside the entry.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu, QToolButton

from explorer.gui.widgets.shortcuts import SHOWN
from explorer.gui.window.navigation import PAGES

Do = Callable[[str], None]
Entry = tuple[str, str, str] | tuple[str, str, str, bool]
"""(name, words, keys), and True where it can be ticked."""


class Actions:
    """The menu bar of the window; every entry calls ``do`` with its name."""

    def __init__(self, window: QMainWindow, do: Do) -> None:
        """Fill the menu bar of ``window``."""
        self._window, self._do = window, do
        self.by_name: dict[str, QAction] = {}
        bar = window.menuBar()
        bar.setAccessibleName("Menu")
        for more in bar.findChildren(QToolButton):  # shown where the window is too narrow for all
            more.setAccessibleName("More menus")
        self._fill(
            bar.addMenu("&File"),
            ("import_model", "&Import model folder…", "Ctrl+O"),
            ("download_model", "&Download model…", "Ctrl+D"),
            ("export", "&Export collection…", "Ctrl+E"),
            None,
            ("quit", "&Quit", "Ctrl+Q"),
        )
        self._fill(
            bar.addMenu("&Edit"),
            ("copy", "&Copy text", SHOWN["copy"]),
            ("copy_captioned", "Copy with c&aption", SHOWN["copy_captioned"]),
            None,
            ("filter", "&Filter the list", "Ctrl+F"),
        )
        hunt = bar.addMenu("&Hunt")
        self._fill(
            hunt,
            ("generate", "&Generate", "Ctrl+Return"),
            ("new_hunt", "Start a &new hunt", "Ctrl+Shift+Return"),
            ("stop", "&Stop", "Esc"),
            None,
            ("until_keep", "A &keep stops the hunt", "", True),
            ("hold", "A finished try &waits for its verdict", "", True),
            None,
            ("edit_prompt", "Edit the &prompt", "Ctrl+L"),
            ("all_tries", "All &tries…", "Ctrl+T"),
        )
        # The keypad's Enter is another key to Qt.
        self.by_name["generate"].setShortcuts(
            [QKeySequence("Ctrl+Return"), QKeySequence("Ctrl+Enter")]
        )
        self._fill(
            bar.addMenu("&Verdict"),
            ("keep", "&Keep", SHOWN["keep"]),
            ("keep_reject_rest", "Keep this, reject the &rest", SHOWN["keep_reject_rest"]),
            ("reject", "Re&ject", SHOWN["reject"]),
            ("skip", "&Skip", SHOWN["skip"]),
            None,
            ("undo", "&Undo", SHOWN["undo"]),
            ("redo", "Re&do", SHOWN["redo"]),
        )
        view = bar.addMenu("V&iew")
        self._fill(
            view, *((f"page_{n}", f"&{name}", f"Alt+{n + 1}") for n, name in enumerate(PAGES))
        )
        view.addSeparator()
        self._fill(view, ("collection", "Show the &collection beside the lanes", "Ctrl+B", True))
        lanes = view.addMenu("&Lanes")
        self._fill(lanes, *((f"lanes_{n}", f"&{n}", "", True) for n in range(1, 9)))
        self._exclusive(*(f"lanes_{n}" for n in range(1, 9)))
        look = view.addMenu("&Appearance")
        self._fill(
            look,
            ("theme_system", "As the &system", "", True),
            ("theme_light", "&Light", "", True),
            ("theme_dark", "&Dark", "", True),
        )
        self._exclusive("theme_system", "theme_light", "theme_dark")
        self._fill(
            view,
            ("larger", "L&arger text", "Ctrl++"),
            ("smaller", "S&maller text", "Ctrl+-"),
            ("normal_size", "&Normal text size", "Ctrl+0"),
        )
        # "+" is Shift+"=" on many keyboards.
        self.by_name["larger"].setShortcuts([QKeySequence("Ctrl++"), QKeySequence("Ctrl+=")])
        self._fill(
            bar.addMenu("Hel&p"),
            ("keys", "&Keys", "F1"),
            ("docs", "&Documentation", ""),
            ("about", "&About Sample Explorer", ""),
        )

    def check(self, name: str, on: bool) -> None:
        """Tick or untick an entry without carrying it out."""
        self.by_name[name].setChecked(on)

    def enable(self, names: tuple[str, ...], on: bool, why_not: str = "") -> None:
        """Allow entries or forbid them with a reason."""
        for name in names:
            self.by_name[name].setEnabled(on)
            self.by_name[name].setStatusTip("" if on else why_not)

    def _fill(self, menu: QMenu, *entries: Entry | None) -> None:
        for entry in entries:
            if entry is None:
                menu.addSeparator()
                continue
            name, words, keys, *checkable = entry
            silent = name in SHOWN
            action = menu.addAction(f"{words}\t{keys}" if silent else words)
            if keys and not silent:
                action.setShortcut(QKeySequence(keys))
            action.setCheckable(bool(checkable))
            # "triggered" comes from the person only; setChecked by us stays quiet.
            action.triggered.connect(lambda _=False, name=name: self._do(name))
            self.by_name[name] = action

    def _exclusive(self, *names: str) -> None:
        group = QActionGroup(self._window)
        for name in names:
            group.addAction(self.by_name[name])
