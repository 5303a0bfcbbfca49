"""What comes from outside is read as far as its reader takes it, and no further."""

from __future__ import annotations

import io
import json
import math
import os
import socket
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.bounded_reading import (
    TooLargeError,
    amount,
    parse_json,
    read_bytes,
    read_json,
    read_stream,
    read_text,
    reason_of,
)

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices with names")


class Endless:
    """A stream without an end, in pieces of any size; ``given`` counts its bytes."""

    def __init__(self, piece: int) -> None:
        self.piece, self.given = piece, 0

    def read(self, size: int, /) -> bytes:
        taken = min(size, self.piece)
        self.given += taken
        return b"x" * taken


@given(st.binary(max_size=300), st.integers(1, 400))
def test_a_stream_is_read_whole_or_refused(data: bytes, limit: int) -> None:
    if len(data) > limit:
        with pytest.raises(TooLargeError):
            read_stream(io.BytesIO(data), limit)
    else:
        assert read_stream(io.BytesIO(data), limit) == data


@pytest.mark.parametrize("piece", [1, 999, 1 << 30])
def test_of_a_stream_without_an_end_no_more_is_taken_than_tells_that_it_is_too_long(
    piece: int,
) -> None:
    stream = Endless(piece)
    with pytest.raises(TooLargeError, match="larger than 10 kB"):
        read_stream(stream, 10_000)
    assert stream.given <= 10_001


def test_a_large_file_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    for only_regular in (False, True):
        with pytest.raises(TooLargeError, match="larger than 64 MB"):
            read_bytes(path, 64_000_000, only_regular=only_regular)


def test_a_file_at_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read_bytes(path, 1000) == b"x" * 1000
    with pytest.raises(TooLargeError):
        read_bytes(path, 999)


@posix
@pytest.mark.timeout(20)
def test_where_only_files_are_read_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    served = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(served))
        for place in (pipe, link, tmp_path, Path("/dev/zero"), served):
            with pytest.raises(OSError, match="not a regular file"):
                read_bytes(place, 1000)


@posix
@pytest.mark.timeout(20)
def test_where_any_kind_is_read_pipes_and_devices_are_counted(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"through a pipe",))
    writer.start()
    assert read_bytes(pipe, 1000, only_regular=False) == b"through a pipe"
    writer.join()
    assert read_bytes(Path("/dev/null"), 1000, only_regular=False) == b""
    with pytest.raises(TooLargeError):
        read_bytes(Path("/dev/zero"), 1000, only_regular=False)
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path, 1000, only_regular=False)


@pytest.mark.parametrize("name", ["missing", "x" * 300, "a\0b"])
def test_what_has_no_such_name_is_an_error_of_the_system(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  every system words it its own way
        read_bytes(tmp_path / name, 1000)
    assert reason_of(caught.value)


def test_text_must_be_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc\xff")
    with pytest.raises(ValueError, match="utf-8") as caught:
        read_text(path, 1000)
    assert reason_of(caught.value) == "byte 3 is not UTF-8"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_ordinary_json_is_read(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a":[' * 50_000])
def test_any_depth_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(text)


def test_a_number_that_no_float_holds_is_infinite(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text('{"a": %s, "b": -%s, "c": 12}' % ("9" * 4_000, "9" * 400))  # noqa: UP031
    assert read_json(path, 100_000) == {"a": math.inf, "b": -math.inf, "c": 12}
    with pytest.raises(ValueError, match="digits"):
        parse_json("9" * 50_000)


HEAVY = {
    "empty lists": "[" + "[]," * 300_000 + "0]",
    "lists of one": "[" + "[1]," * 300_000 + "0]",
    "empty objects": "[" + "{}," * 300_000 + "0]",
    "objects of one": "[" + '{"a":0},' * 300_000 + "0]",
    "objects of six": "[" + '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6},' * 100_000 + "0]",
    "keys": "{" + ",".join(f'"{n:x}":{n}' for n in range(300_000)) + "}",
    "strings": "[" + ",".join(f'"{n:x}"' for n in range(300_000)) + "]",
    "wide strings": "[" + ",".join(f'"{n:x}\U0001f600"' for n in range(300_000)) + "]",
    "pairs": "[" + ",".join(f'["{n:x}","{n:x}"]' for n in range(200_000)) + "]",
    "numbers": "[" + ",".join(map(str, range(300_000))) + "]",
    "fractions": "[" + "1.5," * 300_000 + "0]",
}


@pytest.mark.parametrize("kind", HEAVY)
def test_json_is_refused_by_the_memory_that_it_would_take(kind: str) -> None:
    tracemalloc.start()
    try:
        parse_json(HEAVY[kind], 1 << 40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="more lists and objects"):
        parse_json(HEAVY[kind], peak - 1)


def test_a_limit_reads_as_a_person_writes_it() -> None:
    assert [amount(n) for n in (64_000_000, 1_000_000, 10_000, 1_500)] == [
        "64 MB",
        "1 MB",
        "10 kB",
        "1.5 kB",
    ]
