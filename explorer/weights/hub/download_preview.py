"""What a download would fetch, asked of the hub before anything is."""

from __future__ import annotations

from dataclasses import dataclass

from explorer.core.errors import DownloadError
from explorer.system.paths import Paths
from explorer.weights.builds.convert import Progress
from explorer.weights.hub.downloads import PATIENCE
from explorer.weights.hub.file_selection import needed_files
from explorer.weights.hub.hub import ask, check_repository, check_revision


@dataclass(frozen=True, slots=True)
class DownloadPreview:
    """What a download of a repository would fetch."""

    repository: str
    revision: str
    """The commit, 40 hex digits."""
    licence: str
    """As the repository states it; empty where it does not."""
    files: int
    bytes: int


def preview_download(
    progress: Progress, _paths: Paths, repository: str, revision: str = ""
) -> DownloadPreview:
    """Ask the hub what would be fetched; nothing is.

    Raises :class:`InputError` for what can be no repository or revision, and
    :class:`DownloadError` where there is none of this name or no GPT-2 in it.
    """
    name = check_repository(repository)
    wanted = check_revision(revision) if revision else None
    progress(0.0, f"Asking the hub about {name}")
    found = ask(name, wanted, PATIENCE)
    files = needed_files(found)
    if not files:
        raise DownloadError(f"{name} holds no GPT-2 that can be read.")
    size = sum(file.size for file in files)
    return DownloadPreview(name, found.revision, found.licence, len(files), size)
