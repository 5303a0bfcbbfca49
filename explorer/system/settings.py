"""What the window remembers between two starts, as one small JSON file.

Nothing here is worth an error: a damaged or hand-edited file costs the settings that cannot be read
and no more, which is said once, and a folder that cannot be written costs remembering. The prompt
that was typed but not yet generated is among it, so that a crash does not take it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from explorer.core.bounded_reading import parse_json, read_bytes, reason_of
from explorer.core.errors import RecipeError
from explorer.core.recipe import Recipe

ThemeMode = Literal["system", "light", "dark"]
DeviceWish = str
"""``auto``, ``cpu``, ``cuda`` (the first GPU that can be used) or ``cuda:N``; see is_device."""
HintName = Literal["prompt", "generate", "keys"]
"""What a hint of the first start is about."""

TEXT_PX = (10.0, 28.0)
"""Smallest and largest size of prompt and machine text."""
MOST_LANES = 8
MOST_MINUTES = 1440
_LONGEST = 1_000_000  # characters of a text worth reading back
_LARGEST = 16_000_000  # bytes of a file that the program can have written
_WIDEST = 1_000_000  # pixels
_MOST_ROWS = 2**63 - 1  # what SQLite can number


@dataclass(frozen=True, slots=True)
class Settings:
    """One state of everything that is remembered; change it with ``dataclasses.replace``."""

    theme: ThemeMode = "system"
    text_px: float = 14.5
    device: DeviceWish = "auto"
    threads: int = 0
    """Threads inside an operator of the engine; 0 = one a physical core."""
    open_imported: bool = True
    """Whether a model is switched to once it is imported."""
    unload_minutes: int = 30
    """Idle time after which the model is unloaded; 0 = never."""
    model: str = "demo"
    build: str = ""
    """Build name such as ``cpu-int8``; empty = what suits the device."""
    recipe: str = ""
    """Canonical JSON of the last recipe; read it with :meth:`last_recipe`."""
    seed: int | None = None
    """The seed that the person has fixed."""
    lanes: int = 4
    until_keep: bool = True
    hold: bool = True
    prompt: str = ""
    """The text in the prompt field."""
    control_tokens: bool = False
    collection: int | None = None
    collection_shown: bool = True
    """Whether the collection stands beside the lanes where there is room for it."""
    hints: tuple[HintName, ...] = ()
    """The hints of the first start that are still to be shown."""
    geometry: str = ""
    """Window place and state, as Qt gives it, in hexadecimal."""
    splitter: tuple[int, ...] = ()
    """Widths of prompt panel, lanes and collection in pixels."""

    def last_recipe(self) -> Recipe:
        """Return the last recipe, the default one where it cannot be read."""
        try:
            return Recipe.from_json(self.recipe) if self.recipe else Recipe()
        except RecipeError:
            return Recipe()

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read what :meth:`save` wrote; whatever is missing or senseless takes its default."""
        return cls.read(path)[0]

    @classmethod
    def read(cls, path: Path) -> tuple[Settings, str]:
        """Read them as :meth:`load` does; also return a sentence about what could not be read.

        The sentence is empty where all is well, and where there is no such file.
        """
        try:
            # With a byte order mark: some editors put one first.
            values = parse_json(read_bytes(path, _LARGEST).decode("utf-8-sig"))
            if not isinstance(values, dict):
                raise ValueError("not a JSON object")
        except (FileNotFoundError, NotADirectoryError):
            return cls(), ""
        except (OSError, ValueError) as error:
            return cls(), (
                f"The settings in {path} cannot be read ({reason_of(error)}); the program starts"
                " with those that it comes with."
            )
        known = [field.name for field in fields(cls) if field.name in values]
        wrong = [name for name in known if not _fits(name, values[name])]
        read: dict[str, Any] = {name: values[name] for name in known if name not in wrong}
        for name in ("splitter", "hints"):
            read[name] = tuple(read.get(name, ()))
        settings = cls(**read)
        if not wrong:
            return settings, ""
        return settings, (
            f"In the settings in {path} the program cannot use {', '.join(wrong)}; it takes what it"
            " comes with there."
        )

    def save(self, path: Path) -> str:
        """Write all of it by one rename; return why that failed as a sentence, or an empty text.

        A link stays, and what it leads to is replaced.
        """
        path = Path(os.path.realpath(path))
        part = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            part.replace(path)
        except (OSError, UnicodeError) as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return f"Settings are not remembered: {path} cannot be written ({error})."
        return ""


def _fits(name: str, value: Any) -> bool:
    """Whether a value read from a file can stand for setting ``name``."""
    match name:
        case "theme":
            return value in get_args(ThemeMode)
        case "device":
            return is_device(value)
        case "text_px":
            return _is_number(value) and TEXT_PX[0] <= value <= TEXT_PX[1]
        case "threads":
            return _is_whole(value) and 0 <= value <= 1024
        case "unload_minutes":
            return _is_whole(value) and 0 <= value <= MOST_MINUTES
        case "lanes":
            return _is_whole(value) and 1 <= value <= MOST_LANES
        case "seed":
            return value is None or (_is_whole(value) and 0 <= value < 2**64)
        case "collection":
            return value is None or (_is_whole(value) and 0 <= value <= _MOST_ROWS)
        case "until_keep" | "hold" | "control_tokens" | "collection_shown" | "open_imported":
            return isinstance(value, bool)
        case "splitter":
            if not isinstance(value, list) or len(value) > 3:
                return False
            return all(_is_whole(x) and 0 <= x <= _WIDEST for x in value)
        case "hints":
            if not isinstance(value, list) or len(value) > len(get_args(HintName)):
                return False
            return all(each in get_args(HintName) for each in value)
        case "recipe":
            return isinstance(value, str) and len(value) <= _LONGEST and _is_recipe(value)
        case _:
            return isinstance(value, str) and len(value) <= _LONGEST


def is_device(wish: Any) -> bool:
    """Whether ``wish`` names a device as :data:`DeviceWish` says."""
    return isinstance(wish, str) and bool(re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", wish))


def _is_recipe(value: str) -> bool:
    try:
        return not value or bool(Recipe.from_json(value))
    except RecipeError:
        return False


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
