"""The library that runs models tells nobody that it was used, and numbers no machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builds import make_builds
from tests.tiny import make_tiny

OPEN = """
import sys
from pathlib import Path
from explorer.engine.session import Session
Session(Path(sys.argv[1]), "cpu-fp32", "cpu").close()
"""
TELLING = ("CI", "ORT", "GITHUB", "TF_BUILD", "JENKINS", "BUILD", "XDG", "TRAVIS", "GITLAB")
"""Variables that begin so may keep the library quiet by themselves, or lead its files elsewhere."""


@pytest.mark.skipif(sys.platform == "win32", reason="there it reports to the system's own log")
def test_nothing_is_written_for_a_report_to_anybody(tmp_path: Path) -> None:
    folder = make_builds(make_tiny(tmp_path / "tiny"), tmp_path / "made", "cpu-fp32")
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(TELLING)}
    command = [sys.executable, "-c", OPEN, str(folder)]
    environment = {**kept, "HOME": str(home)}
    subprocess.run(command, check=True, timeout=120, env=environment)
    assert list(home.rglob("*")) == []
