"""What is done on whatever page is shown: copying its text, going to its filter."""

from __future__ import annotations

from collections.abc import Callable

from explorer.gui.cards.card_list import CardList
from explorer.gui.collection.collection_panel import CollectionPanel
from explorer.gui.explore.explore_page import ExplorePage
from explorer.gui.history.history_page import HistoryPage


class PageCommands:
    """Finds the list of a page, or the lane, that a command is meant for."""

    def __init__(
        self,
        explore: ExplorePage,
        collection: CollectionPanel,
        history: HistoryPage,
        unfold: Callable[[], object],
        say: Callable[[str], object],
    ) -> None:
        """Serve these pages; ``unfold`` shows the collection, ``say`` says a sentence."""
        self._explore, self._unfold, self._say = explore, unfold, say
        self._collection, self._history = collection, history

    def list(self) -> CardList | None:
        """Return the list of the page that is shown; None on a page without one."""
        if self._explore.isVisible() or self._collection.isVisible():
            return self._collection.list
        return self._history.list if self._history.isVisible() else None

    def copy(self, *, captioned: bool) -> None:
        """Copy the row of the list, or the text of the chosen lane."""
        rows = self.list()
        if self._explore.isVisible() and not self._collection.list.isAncestorOf(
            self._explore.window().focusWidget() or self._explore
        ):
            self._say(self._explore.copy(captioned=captioned))
        elif rows is not None:
            rows.copy(captioned=captioned)

    def find(self) -> None:
        """Go to the filter of the list, and show it first where it was folded away."""
        rows = self.list()
        if rows is None:
            return
        if not rows.isVisible():
            self._unfold()
        if not rows.seek():
            self._say("There is nothing to filter here yet.")
