"""``models download`` and ``models available``: a model from the hub, in a child process.

Ctrl+C kills the child, which is a pause: what has arrived stays, and the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
import time

from explorer.commands.open_model import choose_build
from explorer.commands.terminal import Progress
from explorer.core.errors import DownloadError
from explorer.jobs.job import Done, Failed, Job
from explorer.jobs.job import Progress as Step
from explorer.system.interrupt import INTERRUPTED
from explorer.system.paths import APP_NAME, Paths
from explorer.weights.hub.catalogue import FILE_NAME as CATALOGUE_FILE
from explorer.weights.hub.catalogue import read_catalogue
from explorer.weights.hub.downloads import Unfinished, download_model, find_repository, unfinished
from explorer.weights.hub.hub import check_revision
from explorer.weights.hub.transfer_rate import amount
from explorer.weights.store.model_names import check_name
from explorer.weights.store.store import Installed, Store

_POLL_SECONDS = 0.05

SILENT = "The process that downloads does not answer; wait for it, or pause with Ctrl+C."


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Download a model, or name those that the program knows."""
    if args.action == "available":
        _list(paths)
        return 0
    repository, pinned = find_repository(paths, args.name)
    # What cannot be used is said here: a child has no exit code of its own to say it with.
    if args.revision is not None:
        check_revision(args.revision)
    if args.called is not None:
        Store(paths).check_new_name(check_name(args.called))
    begun = _begun(paths, repository)
    build = None
    if args.precision or begun is None:
        build = choose_build("auto", args.precision)
    revision = args.revision or pinned
    job = Job.start(download_model, paths, repository, revision, args.called, build)
    try:
        installed = _watch(job)
    except KeyboardInterrupt:
        job.cancel()
        _explain_pause(paths, repository)
        return INTERRUPTED
    finally:
        job.cancel()
    print(f"{installed.name} is ready.")
    return 0


def _watch(job: Job) -> Installed:
    """Show the progress of a job until it is done."""
    said = False
    with Progress() as progress:
        while True:
            for event in job.poll():
                match event:
                    case Step(fraction, text):
                        progress(fraction, text)
                    case Done(installed):
                        assert isinstance(installed, Installed)
                        return installed
                    case Failed(message):
                        raise DownloadError(message)
            if job.silent and not said:
                line = "\n" if sys.stderr.isatty() else ""  # not behind the progress
                print(f"{line}{APP_NAME}: {SILENT}", file=sys.stderr)
            said = job.silent
            time.sleep(_POLL_SECONDS)


def _explain_pause(paths: Paths, repository: str) -> None:
    begun = _begun(paths, repository)
    kept = f"; {amount(begun.done, begun.total)} are kept" if begun and begun.done else ""
    print(
        f"{APP_NAME}: paused{kept}. Go on with: {APP_NAME} models download {repository}",
        file=sys.stderr,
    )


def _begun(paths: Paths, repository: str) -> Unfinished | None:
    return next((item for item in unfinished(paths) if item.repository == repository), None)


def _list(paths: Paths) -> None:
    for entry in read_catalogue(paths.resources / CATALOGUE_FILE):
        print(
            f"{entry.name}: {entry.parameters / 1e6:.0f} M parameters, "
            f"{entry.bytes / 1e6:,.0f} MB to download; {entry.licence}; {entry.repository} at "
            f"{entry.revision[:7]}. {entry.about}"
        )
    print("Any other GPT-2 of the hub can be downloaded by its name, such as owner/name.")
