"""When the next try starts in a lane by itself (RULES 8).

A judged lane goes on with the next try until something is kept; then nothing starts before the next
Generate. A finished try holds its lane until it is judged. Both are switches: "until I keep one"
and "hold".
"""

from __future__ import annotations

from collections.abc import Set


class Refill:
    """The two switches, and whether the hunt on the screen goes on by itself."""

    def __init__(self) -> None:
        """Begin with both switches on, and with nothing going on."""
        self.until_keep = True
        """Whether a keep stops the refills of the hunt."""
        self.hold = True
        """Whether a finished, unjudged try holds its lane."""
        self._begun = False  # there was a Generate in this hunt, here
        self._advancing = False  # nobody stopped everything since
        self._kept_before: Set[int] = frozenset()  # keeps that stop nothing any more

    def begin(self, kept: Set[int]) -> None:
        """Let the hunt go on, whatever was ``kept`` in it before: a person pressed Generate."""
        self._begun = self._advancing = True
        self._kept_before = kept

    def pause(self) -> None:
        """Let no lane go on unjudged before the next Generate: everything was stopped."""
        self._advancing = False

    def end(self) -> None:
        """Forget the hunt; another one comes, or none."""
        self._begun = self._advancing = False
        self._kept_before = frozenset()

    def switch(self, until_keep: bool, hold: bool, kept: Set[int]) -> bool:
        """Set both switches; return whether the hunt was going on, so that they apply to it now.

        What was kept while it went on does not stop it afterwards.
        """
        going_on = self.goes_on(kept)
        self.until_keep, self.hold = until_keep, hold
        if going_on:
            self._kept_before = kept
        return going_on

    def forget_undone(self, kept: Set[int]) -> None:
        """Take up which tries are kept now: what is kept anew later is a new keep."""
        self._kept_before &= kept

    def goes_on(self, kept: Set[int]) -> bool:
        """Say whether a judged lane gets the next try, where these tries are kept."""
        return self._begun and not (self.until_keep and kept - self._kept_before)

    def passes(self, kept: Set[int]) -> bool:
        """Say whether a finished lane gets the next try unjudged."""
        return not self.hold and self._advancing and self.goes_on(kept)
