"""A folder from somewhere, read with suspicion.

Whoever made it chose every name, size and byte in it. So names are plain, links stay inside, only
regular files are opened (a pipe would hang the program), and no JSON is parsed that could fill the
memory. Every refusal is a :class:`CheckpointError` that names the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer.errors import CheckpointError

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_MAX_CONTAINERS = 1_000_000
_BLOCK = 1 << 22


class Source:
    """The files of one folder; ``folder`` is its real path."""

    def __init__(self, folder: Path) -> None:
        """Find the folder; raises :class:`CheckpointError` where there is none."""
        try:
            self.folder = folder.expanduser().resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"There is no folder {folder}; choose one that holds a GPT-2 (config.json, "
                "model.safetensors and a tokenizer)."
            ) from error
        if not self.folder.is_dir():
            raise CheckpointError(f"{folder} is a file; choose the folder that holds it.")

    def has(self, name: str) -> bool:
        """Return whether something of this name is in the folder, whatever it is."""
        # Not Path.exists, which raises where the folder may not be searched.
        return os.path.exists(self.folder / name)

    def path(self, name: str) -> Path:
        """Return the real path of a regular file in this folder.

        A link may point within the folder, or into ``blobs`` of a Hugging Face cache whose snapshot
        this folder is; anywhere else it is refused.
        """
        if not _PLAIN_NAME.fullmatch(name):
            raise CheckpointError(
                f"{shown(name)} is not a plain file name, so it could lie outside the folder."
            )
        try:
            path = (self.folder / name).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"The file {name} is missing in {self.folder}.") from error
        blobs = self.folder.parent.parent / "blobs"
        if path.parent not in (self.folder, blobs):
            raise CheckpointError(
                f"{name} is a link that leads out of the model's folder; put the file itself there."
            )
        if not path.is_file():
            raise CheckpointError(f"{name} is not a regular file.")
        return path

    def text(self, name: str, limit: int) -> str:
        """Return a UTF-8 file of at most ``limit`` bytes."""
        path = self.path(name)
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise CheckpointError(f"{name} cannot be read ({error.strerror}).") from error
        if len(data) > limit:
            raise CheckpointError(
                f"{name} is larger than the {limit / 1e6:g} MB that such a file may have."
            )
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{name} is not UTF-8 text ({error}).") from error

    def json(self, name: str, limit: int) -> dict[str, Any]:
        """Return the JSON object in a file of at most ``limit`` bytes."""
        return parse_json(self.text(name, limit), name)

    def sha256(self, name: str, progress: Callable[[int], None] | None = None) -> str:
        """Return the hex digest of a file; ``progress`` is called with the bytes of each block."""
        digest = hashlib.sha256()
        try:
            with self.path(name).open("rb", buffering=0) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    if progress:
                        progress(len(block))
        except OSError as error:
            raise CheckpointError(f"{name} cannot be read ({error.strerror}).") from error
        return digest.hexdigest()


def parse_json(
    text: str,
    name: str,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds; ``name`` says where it came from.

    ``pairs`` is json's ``object_pairs_hook``. Nesting and numbers of any size end in a refusal.
    """
    # An empty list takes two characters of JSON and sixty bytes of memory: count before parsing.
    if text.count("[") + text.count("{") > _MAX_CONTAINERS:
        raise CheckpointError(f"{name} holds more lists and objects than any such file needs.")
    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is not readable JSON ({shorten(str(error))}).") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} must hold a JSON object, found {shown(value)}.")
    return value


def shown(value: object) -> str:
    """Return ``repr(value)``, cut to what fits into a sentence."""
    return shorten(_REPR.repr(value))


def shorten(text: str, limit: int = 80) -> str:
    """Return ``text`` without line ends, cut with an ellipsis."""
    text = " ".join(text[: 4 * limit].split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


# The plain repr of a deeply nested list would end in a RecursionError of its own.
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60
_REPR.maxlevel = 3
