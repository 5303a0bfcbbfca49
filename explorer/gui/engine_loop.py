"""Between engine, review and screen: forwards commands one way and events the other, on a timer.

Thirty times a second, while something runs, it drains the engine, hands the events to the review,
sends on what the review answers, and lets the lanes that changed be repainted. When nothing runs it
only looks now and then whether the engine is still there. It decides nothing: what an event means
is the review's affair, and which model is loaded that of :class:`Loading`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from explorer.core.errors import ExplorerError, LibraryReadOnlyError, PromptError, VerdictError
from explorer.core.recipe import Recipe
from explorer.engine import memory_estimate
from explorer.engine.messages import (
    Command,
    Crashed,
    Ended,
    Event,
    Prefill,
    Ready,
    Refused,
    Start,
    Steps,
)
from explorer.loading.model_loader import Engine, Loaded, Loading
from explorer.review.review import Judgement, Review

FRAME_MS = 33
"""Between two looks at the engine while something runs: a lane is painted 30 times a second."""
IDLE_MS = 400
LANES_A_FRAME = 4
"""Painted in a frame, or every second lane where there are more than eight: four are painted 30
times a second, eight 15 times. Nobody reads faster, and what painting takes of a core the tokens
do not get."""
PATIENT_TRIES = 20
"""Attempts to write before the window goes where another program holds the library: seconds."""
SPEED_S = 0.25
RATE_WINDOW_S = 1.0
STOP_S = 1.0
"""How long a stop may take; then a try ends where it stands, whatever the engine does."""


class EngineLoop(QObject):
    """Runs hunts for the window."""

    lanes_changed = Signal(object)
    """The numbers of lanes to repaint."""
    hunt_changed = Signal()
    """Another hunt is on the screen, or the lanes were given out anew."""
    counts_changed = Signal()
    collection_changed = Signal()
    library_changed = Signal()
    """It can be written now, or no longer, or another one took its place."""
    running_changed = Signal(bool)
    speed_changed = Signal(float, int)
    """(tokens/s of all lanes together, streaming lanes)"""
    prefill = Signal(int, int)
    """(done, total) tokens of a long prompt."""
    message = Signal(str, str)
    """(sentence, level): ``news`` passes, a ``problem`` stays until dismissed, a ``refusal`` of a
    prompt until there is another one, a ``notice`` of the hunt and a ``crash`` until a person goes
    on, and what stands in the way of ``writing`` until that succeeds."""
    settled = Signal(str)
    """What messages were about is over: ``hunt`` or ``writing``."""

    def __init__(
        self,
        engine: Engine,
        review: Review,
        clock: Callable[[], float] = time.monotonic,
        parent: QObject | None = None,
        free: Callable[[str], int | None] = memory_estimate.free_memory,
    ) -> None:
        """Connect an engine and a review; the timer starts with the first load.

        ``free`` gives the bytes that are free on a device, None where nobody knows.
        """
        super().__init__(parent)
        self.engine = engine
        self.review = review
        self.loading = Loading(engine, self._leave, clock(), free, self)
        self.loading.asked.connect(self._after)
        self.loading.silence_changed.connect(self._on_silence)
        self._clock = clock
        self._painted: dict[int, float] = {}  # when, by lane
        self._dirty: set[int] = set()
        self._speed_said = 0.0
        self._troubled = False  # whether something could not be written the last time
        self._running = False
        self._rates: dict[int, deque[tuple[float, int]]] = {}
        self._stopping: dict[int, float] = {}  # lanes that somebody stopped, and when
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(IDLE_MS)
        self._timer.timeout.connect(self.tick)

    @property
    def loaded(self) -> Loaded | None:
        """The model that hunts run on, or will when it is there."""
        return self.loading.loaded

    @property
    def ready(self) -> Ready | None:
        """What the engine says of it; None until it is there."""
        return self.loading.ready

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
        self.settled.emit("hunt")
        with self._explained() as outcome:
            commands = self.review.generate(
                prompt,
                self.loaded.prompt(prompt, control_tokens),
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
        """Keep the try in ``lane`` and reject every other in a lane without a verdict."""
        with self._explained():
            self._send(self.review.keep_rest_rejected(lane))
            self._judged()

    def judge_tries(self, try_ids: Collection[int], verdict: Judgement) -> None:
        """Give tries of the hunt a verdict wherever they are, as one decision."""
        with self._explained():
            self._send(self.review.judge_tries(try_ids, verdict))
            self._judged()

    def keep_try_rest_rejected(self, try_id: int) -> None:
        """Keep a try wherever it is and reject every other in a lane without a verdict."""
        with self._explained():
            self._send(self.review.keep_try_rest_rejected(try_id))
            self._judged()

    def take_back(self, lane: int) -> None:
        """Take back the verdict that a lane shows, and no other."""
        if (try_id := self.review.view(lane).try_id) is not None:
            self.take_back_of(try_id)

    def take_back_of(self, try_id: int) -> None:
        """Take back the verdict that stands of a try."""
        with self._explained():
            self._send(self.review.take_back(try_id))
            self._judged()

    def undo(self) -> None:
        """Reverse what was done last in the library, on whatever page."""
        with self._explained():
            self._send(self.review.undo())
            self._judged()

    def redo(self) -> None:
        """Do again what was undone last."""
        with self._explained():
            self._send(self.review.redo())
            self._judged()

    def refresh(self) -> None:
        """Take up what was done in the library beside the lanes."""
        self.review.refresh()
        self._after()

    def stop(self, lane: int | None = None) -> None:
        """End one lane, or all of them, and keep what they have; say so where nothing streams."""
        if not self.review.running:
            self.message.emit(self._nothing_to_stop(), "news")
        with self._explained():
            self._send(self.review.stop(lane))
            lanes = range(self.review.lanes) if lane is None else (lane,)
            self._stopping.update(dict.fromkeys(lanes, self._clock()))
            self._end_overdue()
        self._after()

    @Slot()
    def restart_engine(self) -> None:
        """End what streams on an engine that does not answer, and start that again."""
        if self.loading.silent != "load":
            self._leave()
        self.loading.restart()

    def set_policy(self, until_keep: bool, hold: bool) -> None:
        """Switch what a keep and a finished try do to the lanes (RULES 8)."""
        with self._explained():
            self._send(self.review.set_policy(until_keep, hold))
        self._after()

    def show_try(self, try_id: int, lane: int) -> int:
        """Show any try of the hunt, in a lane unless another shows it; return which one does."""
        shown = self.review.lane_of(try_id)
        if shown is None:
            self.review.show(try_id, lane)
        self._after()
        return lane if shown is None else shown

    def leave(self) -> None:
        """Clear the screen of the hunt that is on it."""
        self.settled.emit("hunt")
        with self._explained():
            self._send(self.review.leave())
            self.hunt_changed.emit()
        self._after()

    def reopen(self, hunt_id: int) -> None:
        """Show an earlier hunt with all its tries."""
        self.settled.emit("hunt")
        with self._explained():
            self._send(self.review.reopen(hunt_id))
            self.hunt_changed.emit()
        self._after()

    def take_up_library(self) -> None:
        """Show what another library holds, or that this one changed; write what is not on disk."""
        with self._explained():
            self._send(self.review.receive(()))
        self.library_changed.emit()
        self.collection_changed.emit()
        self._after()

    # What the screen asks

    def rate(self, lane: int) -> float | None:
        """Return the tokens/s of a lane over the last second."""
        return _rate(self._rates.get(lane, ()), self._clock())

    def streams(self, lane: int) -> bool:
        """Return whether a try streams, or waits for its first token, in a lane."""
        return self.review.view(lane).state in ("waiting", "streaming")

    # Time

    @Slot()
    def tick(self) -> None:
        """Drain the engine once and repaint if it is time."""
        events = self.engine.poll()
        if events:
            with self._explained():
                self._take(events)
        self.loading.listen()
        with self._explained():
            self._end_overdue()
        if self.review.unwritten:
            with self._explained():
                self._retry()
        now = self._clock()
        self._repaint(now)
        self.loading.unload_if_idle(now, self.review.running)
        self._pace()

    def end_all(self) -> None:
        """End whatever streams as stopped, and write it, without waiting for the engine."""
        with self._explained():
            self._take(self.engine.poll())
        self._leave()
        for _ in range(PATIENT_TRIES):
            if not self.review.unwritten:
                break
            with self._explained():
                self._retry(at_once=True)
        self._after()

    def shut_down(self) -> None:
        """Stop everything, write the ends of what streamed, and end the engine."""
        self.end_all()
        self._timer.stop()
        self.engine.close()

    def _take(self, events: Sequence[Event]) -> None:
        before = self.review.counts
        now = self._clock()
        for event in events:
            self.loading.handle_event(event)
            match event:
                case Crashed():
                    self.message.emit(event.message, "crash")
                case Refused(key=None):
                    pass  # of a load
                case Refused():
                    self.message.emit(event.message, "problem")
                case Prefill():
                    self.prefill.emit(event.done, event.total)
                case Steps():
                    for lane in event.lanes:
                        history = self._rates.setdefault(lane, deque())
                        while history and now - history[0][0] > RATE_WINDOW_S:
                            history.popleft()
                        if history and history[-1][0] == now:
                            history[-1] = (now, history[-1][1] + 1)
                        else:
                            history.append((now, 1))
                case Ended():
                    self._rates.pop(event.lane, None)
        self._send(self.review.receive(events))
        if self.review.counts != before:
            self.counts_changed.emit()

    def _retry(self, *, at_once: bool = False) -> None:
        """Write what another program's lock keeps waiting, if it lets go."""
        before = self.review.waiting
        self._send(self.review.retry(at_once=at_once))
        if self.review.waiting != before:
            self._judged()

    def _send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Start):
                self._rates.pop(command.lane, None)
                self._stopping.pop(command.lane, None)
                self.loading.mark_active()
        if commands:
            self.engine.send(*commands)
        for sentence in self.review.take_news():
            self.message.emit(sentence, "news")
        for sentence in self.review.take_notices():
            self.message.emit(sentence, "notice")
        for sentence in self.review.take_problems():
            self._troubled = True
            self.message.emit(sentence, "writing")
        if self._troubled and not self.review.troubled:
            self._troubled = False
            self.settled.emit("writing")

    def _end_overdue(self) -> None:
        """End the lanes that were stopped and whose engine does not see to it."""
        now = self._clock()
        for lane, asked in list(self._stopping.items()):
            if self.loading.silent == "engine" or now - asked >= STOP_S:
                del self._stopping[lane]
                self._send(self.review.interrupt(lane))

    def _nothing_to_stop(self) -> str:
        loading = self.loading
        coming = loading.coming or (loading.loaded if loading.ready is None else None)
        if loading.silent:
            return "Nothing streams; the engine does not answer and can be started again."
        if coming is not None:
            name = coming.manifest.name
            return f"Nothing streams; {name} is being loaded, and Cancel beside it gives that up."
        return "Nothing streams, so there is nothing to stop."

    def _leave(self) -> bool:
        """End all that runs before its model goes; return whether its ends could be written."""
        with self._explained() as said:
            self._send(self.review.interrupt())
        return not said

    def _judged(self) -> None:
        self.collection_changed.emit()
        self._after()

    @Slot()
    def _after(self) -> None:
        """Show at once what a person has just done."""
        self.loading.touch(self._clock())
        self._repaint(self._clock(), at_once=True)
        self.counts_changed.emit()
        self._pace()

    def _repaint(self, now: float, at_once: bool = False) -> None:
        """Let changed lanes be painted: those that waited longest first, a few a frame."""
        self._dirty |= self.review.take_changed()
        due = sorted(self._dirty, key=lambda lane: self._painted.get(lane, 0.0))
        if not at_once:
            due = due[: max(LANES_A_FRAME, self.review.lanes // 2)]
        if due:
            self._dirty.difference_update(due)
            self._painted.update(dict.fromkeys(due, now))
            self.lanes_changed.emit(due)
        if now - self._speed_said >= SPEED_S:
            self._speed_said = now
            self._say_speed(now)

    def _say_speed(self, now: float) -> None:
        streaming = [s for s in self.review.views if s.state == "streaming"]
        total = sum(_rate(self._rates.get(s.lane, ()), now) or 0.0 for s in streaming)
        self.speed_changed.emit(total, len(streaming))

    def _pace(self) -> None:
        running = self.review.running
        pace = FRAME_MS if running or self.loading.under_way else IDLE_MS
        if self._timer.interval() != pace or not self._timer.isActive():
            self._timer.start(pace)
        if running != self._running:
            self._running = running
            self.running_changed.emit(running)
            if not running:
                self._repaint(self._clock(), at_once=True)
                self.speed_changed.emit(0.0, 0)

    @Slot()
    def _on_silence(self) -> None:
        """Let no lane go on showing how fast it was."""
        self._dirty.update(range(self.review.lanes))

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
        except PromptError as error:
            said.append(str(error))
            self.message.emit(str(error), "refusal")
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
