"""Open the model that a command was given: which build, on which device, made if missing."""

from __future__ import annotations

import argparse
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import cast

from explorer.commands.terminal import Progress
from explorer.core.errors import DeviceError, InputError
from explorer.core.manifest import build_to_open
from explorer.engine.hardware import device
from explorer.engine.hardware.device import CPU_BUILD, CUDA_BUILD
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.system.paths import Paths
from explorer.system.settings import DeviceWish
from explorer.system.version import version
from explorer.weights.store.store import Store


@dataclass(frozen=True)
class Model:
    """A build that is open, with its vocabulary."""

    session: Session
    tokens: Tokens
    reason: str
    """Why it is not the GPU, or not as quick there as it could be; empty or a sentence."""

    @property
    def versions(self) -> dict[str, str]:
        """What a sample records: the versions that its numbers depend on."""
        return {
            "sample-explorer": version(),
            "python": platform.python_version(),
            "tokenizers": metadata.version("tokenizers"),
            **self.session.versions,
        }

    def describe(self) -> dict[str, str]:
        """Return what an export says of the model."""
        manifest, build = self.session.manifest, self.session.build
        return {"name": manifest.name, "build": build.name, "fingerprint": build.fingerprint}


def open_model(args: argparse.Namespace, paths: Paths) -> Model:
    """Open ``args.model`` as ``args.device`` and ``args.precision`` wish.

    Without a precision it is the best build that is there for the device; one is made only where
    there is none.
    Raises :class:`InputError` where the two exclude each other, and whatever the store and the
    session raise.
    """
    wish = cast(DeviceWish, args.device)
    store = Store(paths)
    build = choose_build(wish, args.precision)
    if args.precision is None:
        build = build_to_open(build, store.find(args.model).builds)
    if build == CUDA_BUILD:
        _check_gpu(wish)
    reason = ""
    try:
        folder, session = _open(args.model, build, wish, store)
    except DeviceError as error:
        if wish != "auto" or args.precision is not None:
            raise
        reason = str(error)
        build = build_to_open(CPU_BUILD, store.find(args.model).builds)
        folder, session = _open(args.model, build, "cpu", store)
    tokens = Tokens.of_model(folder, session.manifest)
    model = Model(session, tokens, reason or session.reason)
    if sys.stderr.isatty():
        why = f" ({model.reason.rstrip('.')})" if model.reason else ""
        print(f"{args.model}, {session.build.name}, {session.device_name}{why}", file=sys.stderr)
    return model


def choose_build(wish: DeviceWish, precision: str | None) -> str:
    """Return the build for a device and a precision; None leaves the choice to this machine."""
    if precision == "fp16":
        if wish == "cpu":
            raise InputError("fp16 needs an NVIDIA GPU; choose fp32, int8 or int4 for the CPU.")
        return CUDA_BUILD
    if precision is not None:
        if device.is_gpu(wish):
            raise InputError(f"{precision} runs on the CPU only; choose fp16 for the GPU.")
        return f"cpu-{precision}"
    return device.suitable_build(wish)


def _check_gpu(wish: DeviceWish) -> None:
    """Refuse before a build is made, which takes time and room, what could not run anyway."""
    choice = device.decide(wish, device.probe(provider=True))
    if choice.device != "cuda":
        raise DeviceError(choice.reason)


def _open(name: str, build: str, wish: DeviceWish, store: Store) -> tuple[Path, Session]:
    with Progress() as progress:
        folder = store.ensure(name, build, progress)
    session = Session(folder, build, wish)
    store.mark_used(folder)
    return folder, session
