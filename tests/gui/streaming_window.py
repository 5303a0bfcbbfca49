"""A window that streams as the real program's does, for tests that end it from outside.

``python -m tests.gui.streaming_window DATA`` prints its process number once every lane shows text;
with ``--dialog`` a dialog waits on top.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMessageBox

from explorer import app
from explorer.system.paths import Paths
from tests.gui.conftest import demo
from tests.gui.scripted_engine import ScriptedEngine

TOKENS_PER_SECOND = 200


def main() -> int:
    """Open it, begin to stream, and say so."""
    app.EnginePool = lambda log: ScriptedEngine(TOKENS_PER_SECOND)  # type: ignore[misc]
    looking = QTimer()
    looking.setInterval(20)

    def look() -> None:
        (window,) = [w for w in QApplication.topLevelWidgets() if hasattr(w, "engine_loop")]
        engine_loop = window.engine_loop
        if engine_loop.ready is None:
            engine_loop.loading.load(demo(), "auto")
        elif engine_loop.review.hunt is None:
            window.do("generate")
        elif all(view.text for view in engine_loop.review.views):
            looking.stop()
            QTimer.singleShot(0, window, lambda: print(os.getpid(), flush=True))
            if "--dialog" in sys.argv:
                QMessageBox.question(window, "Question", "Is anybody there?")

    app.Program.begin = lambda self: looking.start()
    looking.timeout.connect(look)
    return app.run(Paths.default(Path(sys.argv[1])))


if __name__ == "__main__":
    application = QApplication([])
    sys.exit(main())
