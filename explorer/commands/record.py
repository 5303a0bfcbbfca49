"""Write candidates of the command line into the library, as tries that nobody has judged yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from explorer.commands.candidate import Candidate
from explorer.commands.open_model import Model
from explorer.core.errors import LibraryReadOnlyError
from explorer.core.recipe import Recipe
from explorer.engine.messages import Key
from explorer.library.ledger import Ledger
from explorer.library.rows import ModelRef, TryEnd
from explorer.library.storage.connection import COMMAND_SECONDS
from explorer.library.storage.database import Database
from explorer.system.paths import Paths


class Record:
    """One hunt of the library, open for more tries; close it, or use it in a ``with``."""

    def __init__(
        self,
        paths: Paths,
        model: Model,
        prompt: str,
        ids: Sequence[int],
        recipe: Recipe,
        seed: int | None,
    ) -> None:
        """Go on with the hunt of this prompt, build and recipe, or begin one (RULES 1).

        Raises :class:`LibraryReadOnlyError` and what :meth:`Database.open` raises.
        """
        self._database = Database.open(paths.library, patience=COMMAND_SECONDS)
        if self._database.read_only:
            self._database.close()
            raise LibraryReadOnlyError(self._database.reason)
        self._model = model
        self._tries: dict[int, int] = {}  # index -> try id
        self._ledger = Ledger(self._database)
        self._ledger.close_crashed()
        manifest, build = model.session.manifest, model.session.build
        text = json.dumps(asdict(manifest), sort_keys=True)
        reference = ModelRef(build.fingerprint, manifest.name, build.name, text)
        self.hunt = self._ledger.open_hunt(prompt, ids, reference, recipe, seed=seed)
        # A fixed number of candidates, whatever they are like: no stopping at a keep (RULES 8, 10).
        self._ledger.set_policy(self.hunt.id, until_keep=False, hold=True)

    def __enter__(self) -> Record:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the library."""
        self._database.close()

    def next_key(self) -> Key:
        """Return hunt and number of the next candidate; the number is never given again."""
        return self.hunt.id, self._ledger.reserve_index(self.hunt.id)

    def receive(self, begun: Sequence[tuple[Candidate, int]], ended: Sequence[Candidate]) -> None:
        """Write first tokens (with their lanes) and ends in one transaction."""
        if not begun and not ended:
            return
        session = self._model.session
        with self._ledger.transaction():
            for candidate, lane in begun:
                self._tries[candidate.index] = self._ledger.begin_try(
                    self.hunt.id, candidate.index, lane, session.device, self._model.versions
                )
            for candidate in ended:
                if candidate.end is None or candidate.index not in self._tries:
                    continue  # without a token it is void (RULES 3)
                end = TryEnd(
                    candidate.end.reason,
                    tuple(candidate.ids),
                    candidate.text,
                    tuple(candidate.logprobs),
                    candidate.end.seconds,
                )
                self._ledger.end_try(self._tries.pop(candidate.index), end)
