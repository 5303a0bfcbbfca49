"""For every test: no real display, no stopwatch, no folder of the person who runs them."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import fonts
from tests.sealed import Sealed

# How long an example takes says more about what else the machine does than about the program.
settings.register_profile("explorer", settings.default, deadline=None)
settings.load_profile("explorer")

# Qt reads it when the first application object is made, so it is set before any test is imported.
# Tests that want a real window start another process with a platform of its own.
os.environ["QT_QPA_PLATFORM"] = "offscreen"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the families that the layout must bear."""
    words = f"the font that is the default in the tests: {', '.join(fonts.FAMILIES)}"
    parser.addoption("--font", choices=tuple(fonts.FAMILIES), default=fonts.USUAL, help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Let every test, and all that it starts, see the same fonts on every machine."""
    if not sys.platform.startswith("linux"):
        return
    if absent := fonts.missing():
        raise pytest.UsageError(
            "The tests need fonts that this machine lacks. `make test` installs them; by hand:"
            f" apt-get install {' '.join(absent)}"
        )
    folder = Path(tempfile.mkdtemp(prefix="fonts-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ.update(fonts.install(config.getoption("--font"), folder))


# Run in the background, a shell tells this process to ignore Ctrl+C, and all of its children would.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point every place that the platform offers for data into a temporary folder."""
    home = tmp_path_factory.mktemp("home")
    places = {
        "HOME": home,
        "USERPROFILE": home,
        "APPDATA": home / "appdata",
        "LOCALAPPDATA": home / "localappdata",
        "XDG_DATA_HOME": home / "data",
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_STATE_HOME": home / "state",
        "XDG_RUNTIME_DIR": home,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, place in places.items():
            place.mkdir(parents=True, exist_ok=True)
            patch.setenv(name, str(place))
        Path(home).chmod(0o700)  # Qt warns about a runtime folder that others may read
        yield


@pytest.fixture(autouse=True)
def _no_window_left_behind() -> Iterator[None]:
    """Delete the widgets of a test before the next one, whose stylesheet would visit them all."""
    yield
    core = sys.modules.get("PySide6.QtCore")
    if core is not None:
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)


@pytest.fixture
def sealed() -> Iterator[Sealed]:
    """A folder that can be closed for writing; where the platform does not know how, a skip."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of a folder do not close it here")
    # Not below tmp_path, which another user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="sealed-"))
    folder.chmod(0o755)
    yield Sealed(folder)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True, scope="session")
def _hang_ups_are_heard() -> Iterator[None]:
    """Let programs that tests start hear a hang-up, also where the tests run behind nohup."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
