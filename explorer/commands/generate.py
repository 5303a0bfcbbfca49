"""``generate``: continuations of one prompt, streamed, in blocks, or as JSONL.

Candidates are numbered and seeded as in the window, so the same seed and index give the same
tokens however many lanes there are. With ``--record`` they belong to a hunt of the library: the
numbers go on where the hunt stopped, and the tries wait there, unjudged.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, fields, replace
from typing import Any

from explorer.commands.candidate import Candidate
from explorer.commands.open_model import Model, open_model
from explorer.commands.prompt import prepare
from explorer.commands.record import Record
from explorer.commands.terminal import Interruption, read_prompt
from explorer.core.errors import EngineError, RecipeError
from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Ended, Event, Refused, Start, Steps, Stop
from explorer.library.export.documents import visible
from explorer.library.rows import SEED_LIMIT
from explorer.system.paths import Paths

DEFAULT_LANES = 4

ENDS = {
    "end_of_text": "ended by itself",
    "max_tokens": "cut at the maximum",
    "context_full": "the context is full",
    "stopped": "stopped",
}


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Generate ``args.count`` candidates; return 0, or 130 where Ctrl+C cut that short.

    Another signal that asks the program to end has its own code.
    """
    recipe = _recipe(args)
    prompt = _prompt(args)
    model = open_model(args, paths)
    prompt, given = prepare(
        model.tokens,
        prompt,
        model.session.manifest.context,
        recipe.max_tokens,
        control=args.control_tokens,
        keep=args.keep,
    )
    ids = tuple(given)
    width = min(args.lanes or DEFAULT_LANES, args.count)
    with Interruption() as interrupted, closing(model.session), ExitStack() as stack:
        record = None
        if args.record:
            record = stack.enter_context(Record(paths, model, prompt, ids, recipe, args.seed))
            seed = record.hunt.seed
        else:
            seed = secrets.randbelow(2**53) if args.seed is None else args.seed
        output = _Jsonl(model, prompt) if args.jsonl else _Text(width, args.count, prompt)
        tries = _Tries(args.count, Start((0, 0), 0, seed, ids, recipe), record, output)
        lanes = Lanes(
            model.session, model.tokens, width, lambda: (Stop(),) if interrupted() else ()
        )
        for event in _events(lanes, tries.starts(), width, interrupted):
            tries.receive(event)
    return interrupted.code


def _recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe that was typed; its refusal names the option as it was typed."""
    if args.seed is not None and not 0 <= args.seed < SEED_LIMIT:
        raise RecipeError(f"--seed: The seed must be a whole number from 0 to {SEED_LIMIT - 1}.")
    try:
        return Recipe(**{field.name: getattr(args, field.name) for field in fields(Recipe)})
    except RecipeError as error:
        option = "--" + error.setting.replace("_", "-")
        raise RecipeError(str(error).replace(error.setting, option, 1)) from error


def _prompt(args: argparse.Namespace) -> str:
    if args.unconditional:
        return ""
    if args.prompt is not None:
        return str(args.prompt)
    return read_prompt(args.prompt_file)


def _events(
    lanes: Lanes, starts: Iterator[Start], width: int, interrupted: Callable[[], bool]
) -> Iterator[Event]:
    """Keep ``width`` lanes busy until there is nothing left, or until Ctrl+C stops all of them."""
    free = list(range(width))
    while True:
        if interrupted():
            starts = iter(())
            lanes.stop()
        while free and (start := next(starts, None)):
            lanes.start(replace(start, lane=free.pop(0)))
        events = lanes.step()
        if not events and not lanes.running:
            return
        for event in events:
            if isinstance(event, Refused):
                raise EngineError(event.message)
            if isinstance(event, Ended):
                free.append(event.lane)
            yield event


class _Tries:
    """Numbers the candidates, gathers what comes out, and passes it on in order of index."""

    def __init__(
        self, count: int, first: Start, record: Record | None, output: _Jsonl | _Text
    ) -> None:
        self._count = count
        self._first = first
        self._record = record
        self._output = output
        self._candidates: dict[int, Candidate] = {}  # by index, in order of index

    def starts(self) -> Iterator[Start]:
        """Yield every candidate when its turn has come."""
        for number in range(self._count):
            key = self._record.next_key() if self._record else (0, number)
            start = replace(self._first, key=key)
            self._candidates[start.key[1]] = Candidate(start)
            yield start

    def receive(self, event: Event) -> None:
        """Take note of new tokens and ends."""
        begun, ended = [], []
        if isinstance(event, Steps):
            for n, (_, index) in enumerate(event.keys):
                candidate = self._candidates[index]
                if not candidate.ids:
                    begun.append((candidate, event.lanes[n]))
                candidate.ids.append(int(event.tokens[n]))
                candidate.pieces.append(event.texts[n])
                candidate.logprobs.append(float(event.logprobs[n]))
                self._output.token(candidate, event.texts[n])
        elif isinstance(event, Ended):
            candidate = self._candidates[event.key[1]]
            candidate.end = event
            candidate.pieces.append(event.text)
            self._output.token(candidate, event.text)
            ended.append(candidate)
        if self._record:
            self._record.receive(begun, ended)
        for index, candidate in list(self._candidates.items()):
            if candidate.end is None:
                break
            self._output.finished(self._candidates.pop(index))


class _Jsonl:
    """One JSON object a finished candidate."""

    def __init__(self, model: Model, prompt: str) -> None:
        self._model = model.describe()
        self._end_of_text = model.tokens.end_of_text
        self._prompt = prompt

    def token(self, candidate: Candidate, text: str) -> None:
        """Nothing is printed before a candidate has ended."""

    def finished(self, candidate: Candidate) -> None:
        """Print it, unless Ctrl+C cut it short."""
        if candidate.end is None or candidate.end.reason == "stopped":
            return
        values: dict[str, Any] = {
            "id": candidate.index,
            "ended": self._end_of_text in candidate.ids,
            "length": len(candidate.ids),
            "text": candidate.text,
            "prompt": self._prompt,
            "seed": candidate.start.seed,
            "index": candidate.index,
            "tokens": candidate.ids,
            "logprobs": [round(value, 6) for value in candidate.logprobs],
            "recipe": asdict(candidate.start.recipe),
            "model": self._model,
        }
        print(json.dumps(values), flush=True)


class _Text:
    """Text for a person: as it streams with one lane, block by block otherwise."""

    def __init__(self, width: int, count: int, prompt: str) -> None:
        self._streams = width == 1
        self._terminal = sys.stdout.isatty()
        # Into a pipe, a single completion goes as it is; several need something between them.
        self._framed = self._terminal or count > 1
        self._prompt = prompt
        self._begun: set[int] = set()

    def token(self, candidate: Candidate, text: str) -> None:
        """Show the text if it can be shown at once."""
        if self._streams:
            self._begin(candidate)
            self._write(text)

    def finished(self, candidate: Candidate) -> None:
        """Show the rest, and how it ended."""
        if not self._streams:
            self._begin(candidate)
            self._write(candidate.text)
        self._write("\n")
        end = candidate.end
        if self._framed and end is not None:
            tokens = len(candidate.ids)
            rate = f"; {tokens / end.seconds:.0f} tokens/s" if end.seconds else ""
            self._write(
                f"[machine-written; {tokens} tokens, {ENDS.get(end.reason, end.reason)}; "
                f"seed {candidate.start.seed}, index {candidate.index}{rate}]\n\n"
            )

    def _begin(self, candidate: Candidate) -> None:
        if candidate.index in self._begun:
            return
        self._begun.add(candidate.index)
        if self._framed:
            self._write(f"======== try {candidate.index + 1} ========\n")
        if self._terminal and self._prompt:
            sys.stdout.write(f"\x1b[1m{visible(self._prompt)}\x1b[0m")

    def _write(self, text: str) -> None:
        sys.stdout.write(visible(text) if self._terminal else text)
        sys.stdout.flush()
