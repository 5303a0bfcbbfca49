"""``models``: import a GPT-2 folder, list what is installed, remove what was imported."""

from __future__ import annotations

import argparse

from explorer.commands.console import Progress
from explorer.commands.opening import choose_build
from explorer.paths import Paths
from explorer.weights.store import Installed, Store


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
        case "verify":
            from explorer.commands import models_verify

            return models_verify.run(args, paths)
        case "compare":
            from explorer.commands import models_compare

            return models_compare.run(args, paths)
        case _:
            store.remove(args.name)
            print(f"{args.name} was removed.")
    return 0


def _line(installed: Installed) -> str:
    manifest = installed.manifest
    if manifest is None:
        state = installed.problem or "shipped with the program; built at its first use"
        return f"{installed.name}: {state}"
    builds = ", ".join(
        f"{build.name} ({build.bytes / 1e6:.0f} MB)" for build in manifest.builds.values()
    )
    return (
        f"{installed.name}: {manifest.parameters / 1e6:.1f} M parameters, context "
        f"{manifest.context}, vocabulary {manifest.vocabulary}; {builds or 'no build yet'}"
        f"{'; shipped with the program' if installed.bundled else ''}"
    )
