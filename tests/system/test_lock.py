"""One holder at a time, whoever it is, and nobody after a death."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from explorer.system.lock import FileLock, HeldError

HOLD = (
    "import sys, time; from pathlib import Path; from explorer.system.lock import FileLock\n"
    "lock = FileLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
)


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FileLock(path), pytest.raises(HeldError) as refused:
        FileLock(path)
    assert refused.value.holder == str(os.getpid())
    FileLock(path).release()


def test_release_twice_is_once(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.release()
    with FileLock(tmp_path / "lock"):
        lock.release()
        with pytest.raises(HeldError):
            FileLock(tmp_path / "lock")


def test_waiting_ends_when_the_lock_is_free(tmp_path: Path) -> None:
    first = FileLock(tmp_path / "lock")
    waited = threading.Event()

    def waiting() -> None:
        waited.set()
        first.release()

    FileLock(tmp_path / "lock", waiting).release()
    assert waited.is_set()


def test_waiting_can_be_given_up(tmp_path: Path) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    with FileLock(tmp_path / "lock"), pytest.raises(KeyboardInterrupt):
        FileLock(tmp_path / "lock", give_up)
    FileLock(tmp_path / "lock").release()


def test_a_killed_holder_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HeldError):
            FileLock(path)
        holder.kill()
        holder.wait()
    FileLock(path).release()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="lock"):
        FileLock(tmp_path / "absent" / "lock")
