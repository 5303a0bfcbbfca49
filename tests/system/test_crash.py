"""A crash of the whole process leaves a report beside the log, and the next start tells of it."""

import faulthandler
import subprocess
import sys

import pytest

from explorer.system import crash


@pytest.fixture(autouse=True)
def _own_handler_again():
    before = faulthandler.is_enabled()
    yield
    if before:
        faulthandler.enable()


def test_a_crash_is_told_of_at_the_next_start_and_only_then(tmp_path):
    program = (
        "import faulthandler, sys\nfrom pathlib import Path\nfrom explorer.system import crash\n"
        "def at_work(secret):\n    faulthandler._sigabrt()\n"
        "with crash.watched(Path(sys.argv[1])) as said:\n"
        "    assert not said\n    at_work('my secret prompt')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], timeout=60, check=False)
    assert done.returncode != 0
    with crash.watched(tmp_path) as said:
        assert str(tmp_path / crash.EARLIER) in said
    left = (tmp_path / crash.EARLIER).read_text()
    assert "at_work" in left
    assert "secret" not in left
    with crash.watched(tmp_path) as said:
        assert said == ""


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with crash.watched(blocked / "logs") as said:
        assert said == ""
