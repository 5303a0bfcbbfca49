"""Between engine, review and screen: forwards commands one way and events the other, on a timer.

Every 17 ms, while something runs, it drains the engine, hands the events to the review, sends on
what the review answers, and lets the lanes that changed be repainted, at most 30 times a second.
When nothing runs it only looks now and then whether the engine is still there. It decides
nothing: what an event means is the review's affair.

A model that is being loaded is *coming*; the one before goes on until it is there, or until it has
to make room. One that may not fit into memory is held back until a person has said what to do.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from explorer.engine import memory
from explorer.engine.messages import (
    CancelLoad,
    Command,
    Crashed,
    Displaced,
    Ended,
    Event,
    Load,
    Prefill,
    Ready,
    Refused,
    Start,
    Steps,
    Unload,
)
from explorer.engine.process import STARTED_AGAIN, STARTS_AGAIN
from explorer.engine.tokens import Tokens
from explorer.errors import ExplorerError, LibraryReadOnlyError, VerdictError
from explorer.gui.doubt import Doubt, doubt
from explorer.library.records import ModelRef
from explorer.manifest import Manifest
from explorer.recipe import Recipe
from explorer.review import Judgement, Review
from explorer.settings import DeviceWish

FRAME_MS = 17
IDLE_MS = 400
REPAINT_S = 1 / 30
"""A lane is painted at most 30 times a second; two frames are just longer."""
LANES_A_FRAME = 4
SPEED_S = 0.25
RATE_WINDOW_S = 1.0


class Engine(Protocol):
    """What the controller needs of the engine process."""

    def send(self, *commands: Command) -> None:
        """Carry out the commands between two steps."""

    def poll(self) -> Sequence[Event]:
        """Return what happened since the last call, at once."""

    def close(self) -> None:
        """End the process."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model that hunts run on."""

    folder: Path
    manifest: Manifest
    build: str
    tokens: Tokens

    @property
    def ref(self) -> ModelRef:
        """How the library knows this build."""
        return ModelRef(
            self.manifest.builds[self.build].fingerprint,
            self.manifest.name,
            self.build,
            json.dumps(asdict(self.manifest), sort_keys=True),
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model as somebody asked for it."""

    loaded: Loaded
    device: DeviceWish
    threads: int

    @property
    def command(self) -> Load:
        """What the engine is told."""
        return Load(self.loaded.folder, self.loaded.build, self.device, self.threads)


class Controller(QObject):
    """Runs hunts for the window."""

    engine_ready = Signal(object)
    """:class:`Ready`, or None while no model is loaded."""
    lanes_changed = Signal(object)
    """The numbers of lanes to repaint."""
    hunt_changed = Signal()
    """Another hunt is on the screen, or the seats were given out anew."""
    counts_changed = Signal()
    collection_changed = Signal()
    running_changed = Signal(bool)
    speed_changed = Signal(float, int)
    """(tokens/s of all lanes together, streaming lanes)"""
    load_refused = Signal(str)
    """A build could not be opened, and why; :attr:`refused` is that one."""
    coming_changed = Signal(object)
    """:class:`Loaded` of the model that loads while another one goes on; None when that is over."""
    doubted = Signal(object)
    """:class:`Doubt` before a load; None when it no longer stands."""
    asleep_changed = Signal(bool)
    """Whether the model is unloaded until the next try starts."""
    notice_changed = Signal(str, str)
    """(a sentence said before as a problem, what it is now)"""
    prefill = Signal(int, int)
    """(done, total) tokens of a long prompt."""
    message = Signal(str, str)
    """(sentence, level): ``news`` passes, ``problem`` stays until it is dismissed."""

    def __init__(
        self,
        engine: Engine,
        review: Review,
        clock: Callable[[], float] = time.monotonic,
        parent: QObject | None = None,
        free: Callable[[str], int | None] = memory.free_memory,
    ) -> None:
        """Connect an engine and a review; the timer starts with the first load.

        ``free`` gives the bytes that are free on a device, None where nobody knows.
        """
        super().__init__(parent)
        self.engine = engine
        self.review = review
        self.loaded: Loaded | None = None
        self.ready: Ready | None = None
        self.coming: Loaded | None = None
        self.refused: Loaded | None = None
        self.lanes = 1
        """Lanes that memory is asked for before a load."""
        self.unload_seconds = 0.0
        """Idle time after which the model is unloaded; 0 = never."""
        self._free = free
        self._held: Wanted | None = None  # until somebody has answered a doubt
        self._wanted: Wanted | None = None  # what was asked of the engine last
        self._former: Loaded | None = None  # what the engine goes back to if that fails
        self._asleep = False
        self._active = clock()
        self._crash = ""
        self._clock = clock
        self._painted: dict[int, float] = {}  # when, by lane
        self._dirty: set[int] = set()
        self._speed_said = 0.0
        self._running = False
        self._rates: dict[int, deque[tuple[float, int]]] = {}
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(IDLE_MS)
        self._timer.timeout.connect(self.tick)

    # The model

    def load(self, loaded: Loaded, device: DeviceWish, threads: int = 0) -> None:
        """Let the engine open a build; :attr:`engine_ready` tells when it has.

        Where memory will not do, nothing happens but :attr:`doubted`, until :meth:`load_anyway`.
        """
        wanted = Wanted(loaded, device, threads)
        self._held = None
        found = self._doubt(wanted)
        self.doubted.emit(found)
        if found is not None and found.fit == "too large":
            self._held = wanted
            return
        self._begin(wanted)

    def load_anyway(self) -> None:
        """Load what was held back, whatever the numbers say."""
        wanted, self._held = self._held, None
        self.doubted.emit(None)
        if wanted is not None:
            self._begin(wanted)

    def set_lanes(self, lanes: int) -> None:
        """Reckon with so many lanes; what was held back is asked about again."""
        self.lanes = lanes
        if self._held is not None:
            self.load(self._held.loaded, self._held.device, self._held.threads)

    def cancel_load(self) -> None:
        """Give up the model that is coming; the one before, if there was one, goes on."""
        self._held = None
        self.doubted.emit(None)
        if self.coming is None and (self.ready is not None or self.loaded is None):
            return
        self.engine.send(CancelLoad())
        if self.coming is not None:
            self._set_coming(None)
        else:
            self.loaded, self._former = self._former, None
            self.engine_ready.emit(None)
        self._after()

    @property
    def held(self) -> Loaded | None:
        """The model that waits for an answer to a doubt."""
        return self._held.loaded if self._held is not None else None

    def _begin(self, wanted: Wanted) -> None:
        with self._explained():
            again = self._wanted is not None and self._wanted.command == wanted.command
            if self.loaded is None or self.ready is None or self._asleep or again:
                if self._asleep:
                    self._former = self.loaded
                self._replace(wanted.loaded)
            else:
                self._set_coming(wanted.loaded)
            self._wanted = wanted
            self.engine.send(wanted.command)
            self._timer.start(FRAME_MS)
        self._after()

    def _replace(self, loaded: Loaded) -> None:
        """Leave the model in use; another one is not there yet."""
        self._send(self.review.interrupt())
        self._set_coming(None)
        self._set_asleep(False)
        self.loaded, self.ready = loaded, None
        self.engine_ready.emit(None)

    def _set_coming(self, loaded: Loaded | None) -> None:
        if loaded != self.coming:
            self.coming = loaded
            self.coming_changed.emit(loaded)

    def _set_asleep(self, asleep: bool) -> None:
        if asleep != self._asleep:
            self._asleep = asleep
            self.asleep_changed.emit(asleep)

    def _doubt(self, wanted: Wanted) -> Doubt | None:
        loaded = wanted.loaded
        device = memory.home(loaded.build, wanted.device)
        free = self._free(device)
        # What the model in use holds there can be freed for the new one.
        now = self.loaded
        if free is not None and now is not None and self.ready is not None and not self._asleep:
            try:
                held = memory.estimate(now.manifest, now.build, 1, 1)
            except ExplorerError:
                held = None
            if held is not None and now.build.startswith("cuda") == device.startswith("cuda"):
                free += held.total
        return doubt(loaded.manifest, loaded.build, self.lanes, free)

    def _take_ready(self, ready: Ready) -> None:
        came = self.coming
        if came is not None and (came.folder, came.build) == (ready.folder, ready.build):
            self._send(self.review.interrupt())
            self.loaded = came
            self.coming = None
        self.ready, self._former, self.refused = ready, None, None
        if self._crash:
            self.notice_changed.emit(self._crash, self._crash.replace(STARTS_AGAIN, STARTED_AGAIN))
            self._crash = ""
        self.engine_ready.emit(ready)
        if came is not None and self.coming is None:
            self.coming_changed.emit(None)

    def _take_refused_load(self, sentence: str) -> None:
        self.refused = self.coming or self.loaded
        if self.coming is not None:
            self._set_coming(None)
        elif self._former is not None:
            self.loaded, self._former = self._former, None
        self._wanted = None
        self.load_refused.emit(sentence)

    def _doze(self, now: float) -> None:
        """Unload a model that nobody has used for long."""
        if self.review.running or self.coming is not None or self.ready is None or self._asleep:
            self._active = now
        elif self.unload_seconds and now - self._active >= self.unload_seconds:
            self.engine.send(Unload())
            self._set_asleep(True)

    # What a person does

    def generate(
        self,
        prompt: str,
        recipe: Recipe,
        *,
        control_tokens: bool,
        lanes: int,
        seed: int | None,
        new_hunt: bool = False,
    ) -> bool:
        """Start tries in every free lane, of the same hunt if nothing changed (RULES 1)."""
        if self.loaded is None or self.ready is None:
            self.message.emit("No model is loaded; choose or import one on the left.", "news")
            return False
        with self._explained() as outcome:
            commands = self.review.generate(
                prompt,
                self.loaded.tokens.prompt(prompt, self.loaded.manifest.context, control_tokens),
                recipe,
                self.loaded.ref,
                lanes=lanes,
                seed=seed,
                device=self.ready.device,
                versions=self.ready.versions,
                new_hunt=new_hunt,
            )
            self._send(commands)
            self.hunt_changed.emit()
        self._after()
        return not outcome

    def keep_into(self, collection: int | None) -> None:
        """Choose the collection that the next keeps go to."""
        self.review.collection = collection

    def judge(self, lane: int, verdict: Judgement) -> None:
        """Give the try in ``lane`` a verdict; it is on disk when this returns."""
        with self._explained():
            self._send(self.review.judge(lane, verdict))
            self._judged()

    def keep_rest_rejected(self, lane: int) -> None:
        """Keep the try in ``lane`` and reject every other shown try without a verdict."""
        with self._explained():
            self._send(self.review.keep_rest_rejected(lane))
            self._judged()

    def undo(self) -> None:
        """Take the newest standing decision back."""
        with self._explained():
            self._send(self.review.undo())
            self._judged()

    def redo(self) -> None:
        """Repeat what was undone last."""
        with self._explained():
            self._send(self.review.redo())
            self._judged()

    def stop(self, lane: int | None = None) -> None:
        """End one lane, or all of them, and keep what they have."""
        with self._explained():
            self._send(self.review.stop(lane))
        self._after()

    def set_policy(self, until_keep: bool, hold: bool) -> None:
        """Switch what a keep and a finished try do to the lanes (RULES 8)."""
        with self._explained():
            self._send(self.review.set_policy(until_keep, hold))
        self._after()

    def show_try(self, try_id: int, lane: int) -> None:
        """Show any try of the hunt in a lane until it is judged or replaced."""
        self.review.show(try_id, lane)
        self._after()

    def leave(self) -> None:
        """Clear the screen of the hunt that is on it."""
        with self._explained():
            self._send(self.review.leave())
            self.hunt_changed.emit()
        self._after()

    def reopen(self, hunt_id: int) -> None:
        """Show an earlier hunt with all its tries."""
        with self._explained():
            self._send(self.review.reopen(hunt_id))
            self.hunt_changed.emit()
        self._after()

    # What the screen asks

    def rate(self, lane: int) -> float | None:
        """Return the tokens/s of a lane over the last second."""
        return _rate(self._rates.get(lane, ()), self._clock())

    def streams(self, lane: int) -> bool:
        """Return whether a try streams, or waits for its first token, in a lane."""
        return self.review.seat(lane).state in ("waiting", "streaming")

    # Time

    @Slot()
    def tick(self) -> None:
        """Drain the engine once and repaint if it is time."""
        events = self.engine.poll()
        if events:
            with self._explained():
                self._take(events)
        now = self._clock()
        self._repaint(now)
        self._doze(now)
        self._pace()

    def shut_down(self) -> None:
        """Stop everything, write the ends of what streamed, and end the engine."""
        self._timer.stop()
        with self._explained():
            self.review.receive(self.engine.poll())
            self.review.interrupt()
        self.engine.close()

    def _take(self, events: Sequence[Event]) -> None:
        before = self.review.counts
        now = self._clock()
        for event in events:
            match event:
                case Ready():
                    self._take_ready(event)
                case Displaced():
                    if self.coming is not None:
                        former = self.loaded
                        self._replace(self.coming)
                        self._former = former
                case Crashed():
                    self.ready = None
                    self._crash = event.message if event.restarting else ""
                    self.engine_ready.emit(None)
                    self.message.emit(event.message, "problem")
                case Refused(key=None):
                    self._take_refused_load(event.message)
                case Refused():
                    self.message.emit(event.message, "problem")
                case Prefill():
                    self.prefill.emit(event.done, event.total)
                case Steps():
                    for lane in event.lanes:
                        history = self._rates.setdefault(lane, deque(maxlen=4096))
                        if history and history[-1][0] == now:
                            history[-1] = (now, history[-1][1] + 1)
                        else:
                            history.append((now, 1))
                case Ended():
                    self._rates.pop(event.lane, None)
        self._send(self.review.receive(events))
        if self.review.counts != before:
            self.counts_changed.emit()

    def _send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Start):
                self._rates.pop(command.lane, None)
                self._set_asleep(False)  # the engine loads it again by itself
        if commands:
            self.engine.send(*commands)
        for sentence in self.review.take_notices():
            self.message.emit(sentence, "problem")

    def _judged(self) -> None:
        self.collection_changed.emit()
        self._after()

    def _after(self) -> None:
        """Show at once what a person has just done."""
        self._active = self._clock()
        self._repaint(self._clock(), at_once=True)
        self.counts_changed.emit()
        self._pace()

    def _repaint(self, now: float, at_once: bool = False) -> None:
        """Let changed lanes be painted: those that waited longest first, a few a frame."""
        self._dirty |= self.review.take_changed()
        due = sorted(self._dirty, key=lambda lane: self._painted.get(lane, 0.0))
        if not at_once:
            late = now - REPAINT_S
            due = [lane for lane in due if self._painted.get(lane, 0.0) <= late][:LANES_A_FRAME]
        if due:
            self._dirty.difference_update(due)
            self._painted.update(dict.fromkeys(due, now))
            self.lanes_changed.emit(due)
        if now - self._speed_said >= SPEED_S:
            self._speed_said = now
            self._say_speed(now)

    def _say_speed(self, now: float) -> None:
        streaming = [s for s in self.review.seats if s.state == "streaming"]
        total = sum(_rate(self._rates.get(s.lane, ()), now) or 0.0 for s in streaming)
        self.speed_changed.emit(total, len(streaming))

    def _pace(self) -> None:
        running = self.review.running
        loading = self.loaded is not None and self.ready is None
        pace = FRAME_MS if running or loading or self.coming is not None else IDLE_MS
        if self._timer.interval() != pace or not self._timer.isActive():
            self._timer.start(pace)
        if running != self._running:
            self._running = running
            self.running_changed.emit(running)
            if not running:
                self._repaint(self._clock(), at_once=True)
                self.speed_changed.emit(0.0, 0)

    @contextmanager
    def _explained(self) -> Iterator[list[str]]:
        """Show an :class:`ExplorerError` as its sentence; the yielded list then holds it."""
        said: list[str] = []
        try:
            yield said
        except (VerdictError, LibraryReadOnlyError) as error:
            # A key pressed too early, or where a notice has said all along that nothing is judged.
            said.append(str(error))
            self.message.emit(str(error), "news")
        except ExplorerError as error:
            said.append(str(error))
            self.message.emit(str(error), "problem")


def _rate(history: Iterable[tuple[float, int]], now: float) -> float | None:
    """Return tokens/s from (time, tokens) pairs within the window; None with too little to tell."""
    recent = [(at, n) for at, n in history if now - at <= RATE_WINDOW_S]
    if len(recent) < 3:
        return None
    # The tokens of the first moment fell before the stretch that is measured.
    return sum(n for _, n in recent[1:]) / max(recent[-1][0] - recent[0][0], 1e-3)
