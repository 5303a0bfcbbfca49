"""What there is to see of the hunt on the screen: its lanes, its counts, what can be undone.

The half of :class:`.review.Review` that only answers. Nothing here changes anything, except
that news is given once.
"""

from __future__ import annotations

from collections.abc import Sequence

from explorer.core.counting import Cost, Counts
from explorer.core.intervals import KeepRate, keep_rate
from explorer.core.recipe import Recipe
from explorer.library.ledger import Hunt, Ledger
from explorer.library.samples import captioned
from explorer.review.decisions import Decisions
from explorer.review.lane_board import LaneBoard
from explorer.review.lane_stacks import LaneView
from explorer.review.open_hunt import OpenHunt
from explorer.review.refill import Refill


class HuntView:
    """What a window may ask of a review at any time."""

    def __init__(
        self, ledger: Ledger, scratch: Ledger | None, screen: LaneBoard, refill: Refill
    ) -> None:
        """Answer from these, which the review changes."""
        self._ledger = ledger
        self._scratch = scratch
        self._screen = screen
        self._refill = refill
        self._decisions = Decisions(ledger, screen, refill)

    @property
    def reason(self) -> str:
        """Why verdicts are refused, as a sentence; empty where they are not."""
        return self._ledger.reason

    @property
    def writable(self) -> bool:
        """Whether verdicts can be given."""
        return not self._ledger.reason

    @property
    def hunt(self) -> Hunt | None:
        """The hunt on the screen."""
        return self._screen.opened.hunt if self._screen.opened else None

    def is_same_hunt(
        self, prompt_ids: Sequence[int], recipe: Recipe, fingerprint: str, seed: int | None
    ) -> bool:
        """Say whether Generate with these goes on with the hunt on the screen (RULES 1).

        It does not where that hunt is in a library that cannot be written.
        """
        opened = self._to_go_on
        return bool(opened and opened.is_same_hunt(tuple(prompt_ids), recipe, fingerprint, seed))

    @property
    def _taking(self) -> Ledger:
        """Where the next tries are recorded."""
        return self._scratch if self._scratch and not self.writable else self._ledger

    @property
    def _to_go_on(self) -> OpenHunt | None:
        """The hunt on the screen, if the next tries can be recorded in it."""
        opened = self._screen.opened
        return opened if opened and opened.ledger is self._taking else None

    @property
    def policy(self) -> tuple[bool, bool]:
        """How refill is switched: (a keep stops refills, a finished try holds its lane)."""
        return self._refill.until_keep, self._refill.hold

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return len(self._screen.stacks)

    @property
    def views(self) -> list[LaneView]:
        """What every lane shows."""
        return [self.view(lane) for lane in range(self.lanes)]

    def view(self, lane: int) -> LaneView:
        """Return what one lane shows."""
        return self._screen.view(lane)

    def lane_of(self, try_id: int) -> int | None:
        """Return the lane that shows a try, or in which it streams; None where there is none."""
        for view in self.views:
            if view.try_id == try_id:
                return view.lane
        running = (c for c in self._screen.running if c.try_id == try_id)
        return next((candidate.lane for candidate in running), None)

    def tries(self) -> list[LaneView]:
        """Return every try of the hunt in order of index, whether it sits in a lane or not."""
        return self._screen.tries()

    def captioned(self, view: LaneView) -> str:
        """Return the text of a try of the hunt with its prompt and an honest caption, to be copied.

        One that is not kept says how it stands: there is no "7 tries" for it (RULES 9).
        """
        hunt = self.hunt
        if hunt is None or view.index is None or not view.text:
            return ""
        standing = "still streaming" if view.state != "ended" else view.verdict or "unjudged"
        standing = "lost to a crash" if view.end == "crash" else standing
        standing = "passed over" if view.passed_over else standing
        so_far = f"{self.counts.tries:,} {'try' if self.counts.tries == 1 else 'tries'}"
        caption = view.caption or (
            f"machine-written, try {view.index + 1}, {standing}, of a hunt with {so_far} so far"
        )
        return captioned(hunt, view.index, caption, view.text)

    @property
    def running(self) -> bool:
        """Whether a candidate streams or waits for its first token."""
        return bool(self._screen.running)

    @property
    def counts(self) -> Counts:
        """How the tries of the hunt stand."""
        return self._screen.opened.counts if self._screen.opened else Counts()

    @property
    def rate(self) -> KeepRate:
        """The keep rate of the hunt with its interval (RULES 10)."""
        return self._screen.opened.rate if self._screen.opened else keep_rate(0, 0, "no keep yet")

    @property
    def newest_cost(self) -> Cost | None:
        """What the try that was kept last cost; None where none is kept."""
        return self._screen.opened.newest_cost if self._screen.opened else None

    @property
    def prompt_tries(self) -> int:
        """Tries on this prompt over all hunts, so that changing a setting does not hide them."""
        opened = self._screen.opened
        if opened is None:
            return 0
        elsewhere = opened.ledger is not self._ledger
        return opened.prompt_tries + (
            self._ledger.tries_on_prompt(opened.hunt.prompt_ids) if elsewhere else 0
        )

    @property
    def undoable(self) -> set[int]:
        """The tries whose verdicts undo would change next."""
        opened = self._screen.opened
        return opened.undoable if opened is not None and self.writable else set()

    @property
    def can_undo(self) -> bool:
        """Whether there is something in the library to take back, or to write no more."""
        return self.writable and bool(
            self._decisions.waiting or self._ledger.actions.next_undo() is not None
        )

    @property
    def can_redo(self) -> bool:
        """Whether there is something undone to do again."""
        return (
            self.writable
            and not self._decisions.waiting
            and self._ledger.actions.next_redo() is not None
        )

    @property
    def waiting(self) -> int:
        """How many verdicts wait to be written, because another program holds the library."""
        return sum(len(each.judged) for each in self._decisions.waiting)

    @property
    def unwritten(self) -> bool:
        """Whether something waits to be written."""
        opened = self._screen.opened
        return bool(self._decisions.waiting) or (opened is not None and opened.unsaved)

    def take_changed(self) -> set[int]:
        """Return the lanes that changed since the last call."""
        return self._screen.take_changed()

    def take_notices(self) -> list[str]:
        """Return sentences that a person should see, since the last call."""
        return self._screen.take_notices()

    @property
    def troubled(self) -> bool:
        """Whether something is not on disk because writing it failed."""
        return self._screen.troubled

    def take_news(self) -> list[str]:
        """Return sentences that say what was done, since the last call."""
        return self._screen.take_news()

    def take_problems(self) -> list[str]:
        """Return sentences about what went wrong, since the last call."""
        return self._screen.take_problems()
