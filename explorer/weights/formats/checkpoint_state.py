"""``checkpoint``, the file in which TensorFlow notes which of a folder's checkpoints is meant.

It is a protocol buffer in text form (tensorflow/python/training/checkpoint_state.proto) with two
fields that matter: ``model_checkpoint_path`` is the one to take, ``all_model_checkpoint_paths`` are
those that were kept, the newest last. Paths are those of the machine that trained: relative to this
file or whole, with the separators of its system, bytes beyond ASCII as escapes.
"""

from __future__ import annotations

import os
import re

from explorer.weights.formats.untrusted_folder import Source

FILE_NAME = "checkpoint"

_LIMIT = 1_000_000
_TOKEN = re.compile(
    rb"""\#[^\n]* | (?P<name>[A-Za-z_]\w*) | "(?P<double>(?:[^"\\\n]|\\.)*)"
         | '(?P<single>(?:[^'\\\n]|\\.)*)' | (?P<space>\s+) | .""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f"}
_LETTERS |= {b"v": b"\v"}


def named_checkpoint(source: Source) -> str | None:
    """Return the name of the checkpoint that the folder's ``checkpoint`` names, without its folder.

    None where there is no such file or it names none. Raises :class:`CheckpointError` where it
    cannot be read.
    """
    if not os.path.isfile(source.folder / FILE_NAME):  # gpt-2-simple has a folder of this name
        return None
    newest, kept = _paths(source.content(FILE_NAME, _LIMIT))
    path = newest or (kept[-1] if kept else "")
    # Whole paths are those of a folder that may be elsewhere by now: what counts is the name.
    return re.split(r"[/\\]", path)[-1] or None


def _paths(data: bytes) -> tuple[str, list[str]]:
    """Return the two fields; strings that stand beside each other are one."""
    values: dict[bytes, list[bytes]] = {
        b"model_checkpoint_path": [],
        b"all_model_checkpoint_paths": [],
    }
    field, goes_on = b"", False
    for match in _TOKEN.finditer(data):
        if match["space"] is not None or match[0].startswith(b"#"):
            continue
        text = match["single"] if match["double"] is None else match["double"]
        if match["name"] is not None:
            field = match["name"]
        elif text is not None and field in values:
            if goes_on:
                values[field][-1] += _ESCAPE.sub(_unescaped, text)
            else:
                values[field].append(_ESCAPE.sub(_unescaped, text))
        goes_on = text is not None
    newest, kept = ([path.decode("utf-8", "replace") for path in each] for each in values.values())
    return (newest[-1] if newest else ""), kept


def _unescaped(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, letter = match.groups()
    if octal is not None:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    return _LETTERS.get(letter, letter)
