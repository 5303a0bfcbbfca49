"""How smooth the window stays while 8 lanes stream, and what drawing costs the engine.

    python tests/benchmarks/smoothness.py [--lanes 8] [--rate 2000] [--seconds 10] [--engine MODEL]

Prints the gaps between frames with a scripted engine: a frame is a turn of the event loop in which
a 16 ms timer could run and everything that was asked to be painted is painted. With ``--engine`` it
then runs the real engine, in turn polled by a bare loop and by the whole window, and prints the
ratio of the two speeds: by the clock, which counts only on an idle machine, and by the processor
time that the engine itself used, which other programs disturb less. First with the engine on one
core and the window on the others, then with both on all. Uses whatever platform Qt finds; set
QT_QPA_PLATFORM=offscreen without one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer
from PySide6.QtWidgets import QApplication

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from explorer import app as window_app  # noqa: E402
from explorer.core.manifest import Build, Manifest  # noqa: E402
from explorer.core.recipe import Recipe  # noqa: E402
from explorer.engine.messages import Load, Start, Steps  # noqa: E402
from explorer.engine.process.engine_process import EngineProcess  # noqa: E402
from explorer.engine.text.tokens import Tokens  # noqa: E402
from explorer.loading.model_loader import Loaded  # noqa: E402
from explorer.system.paths import Paths  # noqa: E402
from explorer.system.settings import Settings  # noqa: E402
from explorer.weights.store.store import Store  # noqa: E402
from tests.gui.scripted_engine import ScriptedEngine  # noqa: E402

ROUNDS = 5
SETTLE = 0.5
"""Seconds of streaming that do not count."""
PROMPT = "Once upon a time there was a miller who had three daughters and a donkey."


def demo() -> Loaded:
    """Return a model as the window knows it; the scripted engine loads nothing."""
    build = Build("cpu-int8", "cpu", "int8", "f" * 64, 64, 64)
    manifest = Manifest(
        "demo", "a" * 64, 6, 6, 384, 100_000, 8192, 0, 7_000_000, builds={"cpu-int8": build}
    )
    folder = ROOT / "models" / "demo"
    return Loaded(folder, manifest, "cpu-int8", Tokens.from_folder(folder))


def open_window(folder: Path, lanes: int, engine: object, max_tokens: int) -> window_app.Program:
    """Return a shown window of 1440 x 900 with so many lanes."""
    app = QApplication.instance()
    recipe = Recipe(max_tokens=max_tokens)
    Settings(lanes=lanes, prompt=PROMPT, recipe=recipe.to_json()).save(folder / "settings.json")
    program = window_app.start(Paths.default(folder), app, engine)
    program.window.resize(1440, 900)
    program.window.show()
    return program


def spin(seconds: float) -> None:
    """Run the event loop, which sleeps where nothing happens, as in the program."""
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def frame_gaps(seconds: float) -> list[float]:
    """Run the event loop and return the gaps between turns of a 16 ms timer, in ms."""
    gaps: list[float] = []
    clock = QElapsedTimer()
    clock.start()
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: gaps.append(clock.nsecsElapsed() / 1e6) or clock.restart())
    timer.start(16)
    spin(seconds)
    timer.stop()
    return gaps[1:]


def measure_gaps(lanes: int, rate: float, seconds: float) -> None:
    """Print the frame gaps at ``rate`` tokens/s over ``lanes`` lanes."""
    with tempfile.TemporaryDirectory() as folder:
        engine = ScriptedEngine(tokens_per_second=rate)
        program = open_window(Path(folder), lanes, engine, 100_000)
        window = program.window
        window.engine_loop.loading.load(demo(), "auto")
        spin(0.5)
        window.do("generate")
        spin(0.5)
        before = sum(view.tokens for view in window.engine_loop.review.views)
        began, cpu = time.monotonic(), time.process_time()
        gaps = frame_gaps(seconds)
        cpu = time.process_time() - cpu
        took = time.monotonic() - began
        shown = sum(view.tokens for view in window.engine_loop.review.views) - before
        window.close()
        program.close()
    cuts = statistics.quantiles(gaps, n=100)
    print(
        f"{lanes} lanes, {shown / took:,.0f} tokens/s shown of {rate:,.0f}: frame gap"
        f" median {statistics.median(gaps):.1f} ms, p95 {cuts[94]:.1f}, p99 {cuts[98]:.1f},"
        f" worst {max(gaps):.1f} ({len(gaps)} frames; wanted: p99 below 50 ms);"
        f" {100 * cpu / took:.0f} % of a core"
    )


def measure_cost(model: str, lanes: int, seconds: float, rounds: int, apart: bool) -> None:
    """Print the engine's speed with the window over its speed without one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Store(Paths.default(folder)).ensure(model, "cpu-int8")
        loaded = Loaded(path, Manifest.read(path), "cpu-int8", Tokens.from_folder(path))
        pairs = []
        # In turn, and the other one first each time, so that what else the machine does hits both
        # alike; a pair is compared with itself, because machines have slow minutes.
        for turn in range(rounds):
            runs = [lambda: bare_run(loaded, lanes, seconds, apart=apart)]
            runs.append(lambda: window_run(folder, loaded, lanes, seconds, apart=apart))
            first, second = (run() for run in (runs[::-1] if turn % 2 else runs))
            pairs.append((second, first) if turn % 2 else (first, second))
    where = "on a core of its own" if apart else "on all cores, like the window"
    for what, rate in (("", Run.by_clock), (" of the engine's processor time", Run.by_processor)):
        if all(run.processor for pair in pairs for run in pair):
            speeds = [[rate.fget(run) for run in pair] for pair in pairs]
            alone, shown = (statistics.median(column) for column in zip(*speeds, strict=True))
            ratios = sorted(with_window / bare for bare, with_window in speeds)
            print(
                f"{model}, {lanes} lanes, engine {where}: {alone:,.0f} tokens a second{what} alone,"
                f" {shown:,.0f} with the window; ratio {statistics.median(ratios):.3f}"
                f" (pairs: {', '.join(f'{ratio:.3f}' for ratio in ratios)})"
            )


@dataclass(frozen=True)
class Run:
    """Tokens that came while so many seconds passed, by the clock and of the engine's processor."""

    tokens: int
    seconds: float
    processor: float

    @property
    def by_clock(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds

    @property
    def by_processor(self) -> float:
        """Tokens a second in which the engine had the processor."""
        return self.tokens / self.processor


def processor_time(engine: EngineProcess) -> float:
    """Return the processor seconds of the engine so far; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{engine.pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def place(engine: EngineProcess, *, apart: bool) -> None:
    """Give the engine one core and keep this process off it, or both all; where that is possible.

    What draws for this process, such as a display server, stays where the system puts it.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(os.getppid()))
        rest, last = (cores[:-1], cores[-1:]) if apart and len(cores) > 1 else (cores, cores)
        os.sched_setaffinity(0, rest)
        os.sched_setaffinity(engine.pid or 0, last)


def bare_run(loaded: Loaded, lanes: int, seconds: float, *, apart: bool = True) -> Run:
    """Run the engine process with nothing drawn."""
    engine = EngineProcess()
    place(engine, apart=apart)
    recipe = Recipe(max_tokens=400, end_of_text="never")
    prompt = tuple(loaded.tokens.encode(PROMPT))
    engine.send(Load(loaded.folder, loaded.build, "cpu", 1 if apart else 0))
    index = lanes
    engine.send(*(Start((1, n), n, 7, prompt, recipe) for n in range(lanes)))
    tokens, began, used = 0, float("inf"), 0.0
    while time.monotonic() - began < seconds:
        for event in engine.poll(0.016):
            if isinstance(event, Steps):
                if began == float("inf"):
                    began = time.monotonic() + SETTLE
                if not used and time.monotonic() >= began:
                    began, used = time.monotonic(), processor_time(engine)
                elif used:
                    tokens += len(event.tokens)
            elif hasattr(event, "reason") and hasattr(event, "lane"):
                engine.send(Start((1, index), event.lane, 7, prompt, recipe))
                index += 1
    run = Run(tokens, time.monotonic() - began, processor_time(engine) - used)
    engine.close()
    return run


def window_run(
    folder: Path, loaded: Loaded, lanes: int, seconds: float, *, apart: bool = True
) -> Run:
    """Run the engine process while the window shows what it says."""
    engine = EngineProcess()
    place(engine, apart=apart)
    program = open_window(folder, lanes, engine, 400)
    window = program.window
    recipe = Recipe(max_tokens=400, end_of_text="never")
    window.explore.recipe.set_recipe(recipe)
    window.explore.recipe.set_policy(True, False)  # finished tries make room: it never pauses
    window.explore.recipe.policy_changed.emit(True, False)
    window.engine_loop.loading.load(loaded, "cpu", 1 if apart else 0)
    while window.engine_loop.ready is None:
        spin(0.05)
    window.do("generate")
    spin(SETTLE)
    counted = [0]
    taking = window.engine_loop.review.receive

    def count(events: object) -> object:
        events = list(events)
        counted[0] += sum(len(e.tokens) for e in events if isinstance(e, Steps))
        return taking(events)

    window.engine_loop.review.receive = count
    began, used = time.monotonic(), processor_time(engine)
    spin(seconds)
    run = Run(counted[0], time.monotonic() - began, processor_time(engine) - used)
    window.close()
    program.close()
    window.deleteLater()
    return run


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--engine", metavar="MODEL", help="also measure with the real engine")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    QApplication([])
    measure_gaps(args.lanes, args.rate, args.seconds)
    if args.engine:
        measure_cost(args.engine, args.lanes, args.seconds, args.rounds, apart=True)
        measure_cost(args.engine, args.lanes, args.seconds, args.rounds, apart=False)


if __name__ == "__main__":
    main()
