"""Large pages: which memory is moved, and that what it holds stays."""

import ctypes
import mmap
import platform
import sys
from pathlib import Path

import pytest

from explorer.engine.hardware import huge_pages
from explorer.engine.hardware.huge_pages import HUGE_PAGE

KINDS = "rw-p 00000000 00:00 0"


def described(start: int, size: int, filled: float, kind: str = KINDS, name: str = "") -> str:
    resident = int(size * filled) >> 10
    return (
        f"{start:x}-{start + size:x} {kind} {name}\n"
        f"Size:           {size >> 10} kB\nRss:            {resident} kB\n"
        "AnonHugePages:         0 kB\nVmFlags: rd wr mr mw me ac \n"
    )


def moved(tmp_path: Path, *mappings: str) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    file = tmp_path / "smaps"
    file.write_text("".join(mappings))
    huge_pages.gather(file, lambda start, size: ranges.append((start, size)))
    return ranges


def test_whole_large_pages_inside_filled_memory_are_moved(tmp_path: Path) -> None:
    start = 5 * HUGE_PAGE
    assert moved(
        tmp_path,
        described(start - 4096, 2 * HUGE_PAGE + 8192, 1),
        described(start + 8 * HUGE_PAGE, HUGE_PAGE, 0.95, name="[heap]"),
    ) == [(start, 2 * HUGE_PAGE), (start + 8 * HUGE_PAGE, HUGE_PAGE)]


@pytest.mark.parametrize(
    "other",
    [
        described(HUGE_PAGE, HUGE_PAGE, 0.5),
        described(HUGE_PAGE - 4096, HUGE_PAGE, 1),
        described(HUGE_PAGE, HUGE_PAGE, 1, "r--p 00000000 00:00 0"),
        described(HUGE_PAGE, HUGE_PAGE, 1, "rw-s 00000000 00:01 7"),
        described(HUGE_PAGE, HUGE_PAGE, 1, "rw-p 00001000 08:01 77", "/weights.bin"),
        described(HUGE_PAGE, HUGE_PAGE, 1, name="[stack]"),
    ],
    ids=["not touched", "too small", "read only", "shared", "a file", "a stack"],
)
def test_other_memory_is_left_alone(tmp_path: Path, other: str) -> None:
    before = described(8 * HUGE_PAGE, HUGE_PAGE, 1)
    assert moved(tmp_path, before, other) == [(8 * HUGE_PAGE, HUGE_PAGE)]


def test_without_the_system_s_list_nothing_happens(tmp_path: Path) -> None:
    huge_pages.gather(tmp_path / "none", lambda start, size: pytest.fail("moved"))


def test_the_memory_of_this_process_keeps_what_it_holds() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("large pages are asked for on Linux only")
    if not _knows_collapse():
        pytest.skip("this system knows no large pages that can be asked for")
    libc = ctypes.CDLL(None)
    asked: list[tuple[int, int]] = []
    given: list[int] = []

    def ask(start: int, size: int) -> None:
        asked.append((start, size))
        # The system may have no large page free; then the memory stays as it is.
        if not libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), huge_pages._COLLAPSE):
            given.append(size)

    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with mmap.mmap(-1, 8 * HUGE_PAGE, flags=flags) as memory:
        # Of its own kind, or Linux would make one mapping of it and of neighbours less filled.
        memory.madvise(mmap.MADV_DONTFORK)
        page = bytes(range(256)) * 16
        memory.write(page * (len(memory) // len(page)))
        place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        huge_pages.gather(advise=ask)
        mine = [size for start, size in asked if place <= start < place + len(memory)]
        assert sum(mine) >= 6 * HUGE_PAGE
        assert memory[:] == page * (len(memory) // len(page))
        large = _large()
    if given:
        assert large >= max(given)


def _large() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("AnonHugePages"))


def _knows_collapse() -> bool:
    release = tuple(int(part) for part in platform.release().split(".")[:2])
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return release >= (6, 1) and setting.exists() and "[never]" not in setting.read_text()
