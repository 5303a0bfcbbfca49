"""What a step of the text size and a change of the theme cost the window, with eight lanes.

    python tests/benchmarks/restyle.py [--steps 12]

Prints the processor time of this process from the key to a window that is laid out and painted
again: the median step, and a burst of ten keys, which is one change. Other programs disturb it
little; set QT_QPA_PLATFORM=offscreen where there is no display.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QApplication

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from explorer import app as window_app  # noqa: E402
from explorer.system.paths import Paths  # noqa: E402
from tests.gui.conftest import demo  # noqa: E402
from tests.gui.scripted_engine import ScriptedEngine  # noqa: E402

LANES = 8


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    steps = parser.parse_args().steps
    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)

    def settle() -> None:
        for _ in range(5):
            app.processEvents()

    def cost(act: Callable[[], object]) -> float:
        begun = time.process_time()
        act()
        settle()
        return 1000 * (time.process_time() - begun)

    with tempfile.TemporaryDirectory() as folder:
        engine = ScriptedEngine()
        program = window_app.start(Paths.default(Path(folder)), app, engine)
        window = program.window
        window.resize(1440, 900)
        window.show()
        window.engine_loop.loading.load(demo(), "auto")
        window.engine_loop.tick()
        window.explore.recipe.set_lanes(LANES)
        engine.enqueue(*["some words that a lane breaks into lines " * 20] * LANES)
        window.explore.prompt.set_text("Once upon a time")
        window.do("generate")
        engine.finish()
        window.engine_loop.tick()
        settle()
        sizes = [cost(lambda w=word: window.do(w)) for word in ("larger", "smaller") * steps]
        burst = cost(lambda: [window.do("larger") for _ in range(10)])
        themes = [
            cost(lambda m=mode: window.do(f"theme_{m}")) for mode in ("dark", "light") * steps
        ]
        print(f"text size: {statistics.median(sizes):.0f} ms a step, ten keys {burst:.0f} ms")
        print(f"theme: {statistics.median(themes):.0f} ms")
        window.close()
        program.close()
    sys.stdout.flush()
    os._exit(0)  # Qt's own objects need no farewell


if __name__ == "__main__":
    main()
