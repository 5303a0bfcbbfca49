"""What a model may be called: a name that a person can type and every file system takes."""

from __future__ import annotations

import itertools
import re
import unicodedata
from pathlib import Path

from explorer.core.errors import InputError
from explorer.weights.builds.convert import PART

RESERVED = "demo"

_MAX_NAME = 64
_MAX_MADE = 40
"""Characters of a name that the program makes; a number may come behind them."""
_MAX_BYTES = 200
"""File systems take 255, and an ending is put behind the name while the model is made."""
# Windows refuses these as file names, with any ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def check_name(name: str) -> str:
    """Return a model's name as it will be kept, or raise :class:`InputError` with the reason."""
    name = unicodedata.normalize("NFC", name).strip()
    if not 0 < len(name) <= _MAX_NAME:
        raise InputError(f"A model's name must have 1 to {_MAX_NAME} characters, not {len(name)}.")
    if len(name.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        raise InputError(
            f"A model's name may take {_MAX_BYTES} bytes in UTF-8, not "
            f"{len(name.encode('utf-8', 'surrogatepass'))}; choose a shorter one."
        )
    if wrong := next((char for char in name if not _allowed(char)), None):
        raise InputError(
            f"A model's name may hold letters, digits, spaces and . _ - + only, not {wrong!r}."
        )
    if not name[0].isalnum() or name.endswith(".") or name.lower().endswith(PART):
        raise InputError(
            f"A model's name must begin with a letter or digit and not end in a dot or {PART!r}."
        )
    if name.casefold() == RESERVED or _DEVICES.fullmatch(name):
        raise InputError(f"The name {name!r} is reserved; choose another one.")
    return name


def _allowed(char: str) -> bool:
    # Marks are what many scripts write their vowels with.
    return char.isalnum() or char in " ._-+" or unicodedata.category(char).startswith("M")


def free_name(base: str, taken: set[str]) -> str:
    """Return a name made from ``base``, with a number where it is among ``taken``, casefolded."""
    base = _usable(re.sub(re.escape(PART) + "$", "", base, flags=re.IGNORECASE))
    candidates = (f"{base}-{n}" if n > 1 else base for n in itertools.count(1))
    return next(
        name for name in candidates if name.casefold() not in taken and not _DEVICES.fullmatch(name)
    )


def _usable(name: str) -> str:
    """Return ``name`` with only what a model's name may hold, in whatever script it is."""
    runs = itertools.groupby(
        unicodedata.normalize("NFC", name), lambda char: char != " " and _allowed(char)
    )
    name = "".join("".join(run) if kept else "-" for kept, run in runs)
    while name and not name[0].isalnum():
        name = name[1:]
    return name[:_MAX_MADE].rstrip("-._+") or "model"


def folder_name(folder: Path) -> str:
    """Return what a GPT-2 folder is called; in a Hugging Face cache, the model's own name."""
    # models--openai-community--gpt2/snapshots/<revision>
    cached = folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")
    return folder.parent.parent.name.split("--")[-1] if cached else folder.name


def plain(name: str) -> str:
    """Return ``name`` with only what every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:_MAX_MADE] or "model"
