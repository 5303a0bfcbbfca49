"""What the start of the window costs: libraries that it can do without are not loaded for it."""

import subprocess
import sys

LATER = (
    "onnx",  # writes builds, in a process of its own
    "ml_dtypes",
    "google.protobuf",
    "onnxruntime",  # runs them, in the engine's process
    "huggingface_hub",  # fetches models, in a process of its own
    "httpx",
    "email",  # the standard library's own heavy parts
    "http",
    "asyncio",
    "unittest",
    "matplotlib",
)

SHOWN = """
import sys
from pathlib import Path
from PySide6.QtWidgets import QApplication
from explorer import app
from explorer.system.paths import Paths
from tests.gui.scripted_engine import ScriptedEngine
application = QApplication([])
program = app.start(Paths.default(Path(sys.argv[1])), application, ScriptedEngine())
program.window.show()
application.processEvents()
program.window.models.start()
print(*sys.modules)
program.window.close()
program.close()
"""


def loaded_by(program: str, *words: str) -> set[str]:
    """Return the modules that a program of its own names at its end."""
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_window_is_imported_without_what_only_others_need():
    modules = loaded_by("import sys, explorer.app\nprint(*sys.modules)")
    assert "explorer.gui.window.main_window" in modules
    assert not modules & set(LATER)


def test_the_window_is_shown_and_looks_for_its_models_without_it_too(tmp_path):
    modules = loaded_by(SHOWN, str(tmp_path))
    assert "explorer.weights.store.store" in modules
    # A device is described with the versions of its libraries, which the mail parser reads.
    assert not modules & set(LATER) - {"email"}


def test_a_command_that_looks_after_models_needs_no_library_that_writes_them(tmp_path):
    modules = loaded_by(
        "import sys\nfrom explorer.__main__ import main\n"
        "assert main(['--data-dir', sys.argv[1], 'models', 'list']) == 0\nprint(*sys.modules)",
        str(tmp_path),
    )
    assert "explorer.weights.store.store" in modules
    assert not modules & {"onnx", "huggingface_hub", "PySide6"}
