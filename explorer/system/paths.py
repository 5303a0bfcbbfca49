"""Where things live: decided once, passed down as one frozen value.

The only file that knows platformdirs. ``--data-dir`` puts everything below one folder, so that two
installations, or a test, never touch each other. A folder ``data`` beside a packaged program does
the same for that program (portable mode).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from explorer.core.errors import InputError

APP_NAME = "sample-explorer"


@dataclass(frozen=True, slots=True)
class Paths:
    """Every folder that the program reads or writes; none is created before it is needed."""

    data: Path
    """What a person would miss: library, settings, imported models."""
    cache: Path
    """What can be made again: builds of the demonstration model."""
    logs: Path
    """Log files; they never hold text of a prompt or a sample."""
    resources: Path
    """Read-only files of the program: icons, prompts, notices."""
    bundled_models: Path
    """Read-only model folders shipped with the program (``demo``)."""

    @classmethod
    def default(cls, data_dir: Path | None = None) -> Paths:
        """Return the platform's places, or everything below ``data_dir`` when it is given.

        Without it, portable mode has the next word. Raises :class:`InputError` for a folder whose
        name is not text: the libraries that read models and tokenizers could not open it.
        """
        package = Path(__file__).resolve().parents[1]
        # An installed wheel carries both inside the package; a checkout has them beside it.
        root = package if (package / "resources").is_dir() else package.parent
        resources, bundled = root / "resources", root / "models"
        if (data_dir := data_dir or portable()) is not None:
            try:
                base = data_dir.expanduser().resolve()
            except RuntimeError:  # links that lead in a circle
                raise InputError(f"The data folder {data_dir} is a link to itself.") from None
            places = (base, base / "cache", base / "logs")
        else:
            dirs = platformdirs.PlatformDirs(APP_NAME, appauthor=False)
            named = (dirs.user_data_dir, dirs.user_cache_dir, dirs.user_log_dir)
            places = (Path(named[0]), Path(named[1]), Path(named[2]))
        for place in places:
            _check_text(place)
        return cls(*places, resources, bundled)

    @property
    def library(self) -> Path:
        """The SQLite file that holds everything a person did."""
        return self.data / "library.sqlite"

    @property
    def settings(self) -> Path:
        """What the window remembers, as JSON."""
        return self.data / "settings.json"

    @property
    def models(self) -> Path:
        """Imported models, one folder each."""
        return self.data / "models"

    @property
    def downloads(self) -> Path:
        """Downloads that are not finished, one folder each."""
        return self.data / "downloads"

    @property
    def model_cache(self) -> Path:
        """Models made from bundled or named folders; safe to delete."""
        return self.cache / "models"


def _check_text(place: Path) -> None:
    try:
        str(place).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"The data folder {str(place)!r} has a name that is not UTF-8; name another one with"
            " --data-dir."
        ) from None


def portable() -> Path | None:
    """Return the folder ``data`` beside a packaged program; None where there is none."""
    if not getattr(sys, "frozen", False):
        return None
    program = Path(sys.executable).resolve()
    # On macOS the program that a person sees is a folder.
    bundle = next((folder for folder in program.parents if folder.suffix == ".app"), program)
    data = bundle.parent / "data"
    return data if data.is_dir() else None
