"""``models``: import a GPT-2, list what is installed or half downloaded, remove it."""

from __future__ import annotations

import argparse

from explorer.commands.open_model import choose_build
from explorer.commands.terminal import Progress
from explorer.core.errors import InputError
from explorer.core.manifest import Manifest
from explorer.system.paths import Paths
from explorer.weights.hub.downloads import Unfinished, discard_download, find_repository, unfinished
from explorer.weights.hub.transfer_rate import amount, size
from explorer.weights.store.store import Installed, Store


def run(args: argparse.Namespace, paths: Paths) -> int:
    """Do what was asked of the store."""
    store = Store(paths)
    match args.action:
        case "import":
            build = choose_build("auto", args.precision)
            with Progress() as progress:
                installed = store.import_folder(args.folder, args.name, build, progress)
            print(_line(installed))
        case "list":
            for installed in store.list():
                print(_line(installed))
            for begun in unfinished(paths):
                print(_begun_line(begun))
        case "download" | "available":
            from explorer.commands import models_download

            return models_download.run(args, paths)
        case "convert":
            from explorer.commands import models_convert

            return models_convert.run(args, paths)
        case "verify":
            from explorer.commands import models_verify

            return models_verify.run(args, paths)
        case "compare":
            from explorer.commands import models_compare

            return models_compare.run(args, paths)
        case _:
            if repository := _begun(args.name, store, paths):
                discard_download(paths, repository)
                print(f"What was downloaded of {repository} was removed.")
            else:
                store.remove(args.name)
                print(f"{args.name} was removed.")
    return 0


def _begun(name: str, store: Store, paths: Paths) -> str:
    """Return the repository of the unfinished download that ``name`` means; nothing where none."""
    if any(installed.name == name for installed in store.list()):
        return ""
    try:
        meant = {name, find_repository(paths, name)[0]}  # the catalogue's names are short
    except InputError:
        return ""
    return next((begun.repository for begun in unfinished(paths) if begun.repository in meant), "")


def _line(installed: Installed) -> str:
    manifest = installed.manifest
    if manifest is None or installed.problem:
        state = installed.problem or "shipped with the program; built at its first use"
        return f"{installed.name}: {state}"
    builds = ", ".join(
        f"{name} ({size(installed.build_bytes(name)) if installed.has(name) else 'damaged'})"
        for name in manifest.builds
    )
    parts = [
        f"{installed.name}: {manifest.parameters / 1e6:.1f} M parameters, context "
        f"{manifest.context}, vocabulary {manifest.vocabulary}",
        builds or "no build yet",
        f"{size(installed.bytes_on_disk)} on disk",
        "shipped with the program" if installed.bundled else _origin(manifest),
    ]
    return "; ".join(part for part in parts if part)


def _origin(manifest: Manifest) -> str:
    """Return where a model came from and its licence, as far as they are known."""
    source = manifest.source
    if repository := source.get("repository"):
        place = f"{repository} at {source.get('revision', '')[:7]}"
    else:
        file = f", {source['file']}" if "file" in source else ""
        place = f"from {source['path']}{file}" if "path" in source else ""
    words = "; ".join(part for part in (place, source.get("licence", "")) if part)
    # Whoever named the folder or wrote the card must not command the terminal.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)


def _begun_line(begun: Unfinished) -> str:
    if not begun.total:
        return f"{begun.repository}: damaged download; download it again, or remove it"
    return (
        f"{begun.repository}: unfinished download, {amount(begun.done, begun.total)}; "
        f"models download {begun.repository} goes on"
    )
