"""``model.json``: what a model folder says about itself.

``weights`` writes it, ``engine`` reads it, and this file is all that the two share. A model folder
holds ``model.json``, ``tokenizer.json``, ``source/`` (what it was made from, so that further builds
can be made) and one folder a build with ``model.onnx`` and ``weights.bin``.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from explorer.core.bounded_reading import read_json, reason_of
from explorer.core.errors import ModelError

CONTRACT_VERSION = 1
"""Version of the graph contract (docs/architecture.md); other builds are made again."""

FILE_NAME = "model.json"

_LARGEST = 10_000_000
_MEMORY = 24_000_000
"""Bytes that reading it may take: a thousand times what it needs."""
_LARGEST_NUMBER = 1 << 53
_AGAIN = "remove the model and import it again"

DeviceClass = Literal["cpu", "cuda"]
Precision = Literal["fp32", "fp16", "int8", "int4"]
BUILD_NAMES = ("cpu-fp32", "cpu-int8", "cpu-int4", "cuda-fp16")
_BEST_FIRST = ("cpu-int8", "cpu-fp32", "cpu-int4", "cuda-fp16")
"""In which order builds are taken: text as likely as with fp32 (docs/precision.md), then speed."""


@dataclass(frozen=True, slots=True)
class Build:
    """A model made for one device class and precision, in a folder of its name."""

    name: str
    """Folder and name, ``<device class>-<precision>``, one of :data:`BUILD_NAMES`."""
    device_class: DeviceClass
    precision: Precision
    fingerprint: str
    """Hex SHA-256 over all that decides what the build computes: samples refer to it."""
    kv_head_size: int
    """D of the cache: the true head size padded to a multiple of 8."""
    top: int
    """K: entries of ``top_logits``, min(64, drawable vocabulary)."""
    bits: int | None = None
    """Bits a weight of the layers' matrices, None where they are floating point."""
    block: int | None = None
    """Weights that share one scale; None where a whole output does, or where none is needed."""
    head_bits: int | None = None
    """Bits a weight of the head, with one scale an output; None where it is like the layers."""
    even_rows: bool = False
    """Whether the kernels give row-independent bits only for an even number of rows."""
    bytes: int = 0
    """Size of ``model.onnx`` and ``weights.bin`` together."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Hex SHA-256 of ``model.onnx`` and ``weights.bin``, by file name."""

    @property
    def exact_head(self) -> bool:
        """Whether the head multiplies whole numbers, with one scale an output: exactly."""
        return self.head_bits is not None or (self.bits is not None and self.block is None)

    def quantized_bytes(self, layers: int, head: int, scale: int = 4) -> int:
        """Return what so many weights of layers and head take; not for floating point.

        ``scale`` is the bytes of a block beside its weights.
        """
        if self.bits is None:
            raise ValueError(f"{self.name} is not quantised")
        if self.head_bits is None:
            layers, head = layers + head, 0
        blocks = layers // self.block if self.block else 0  # the scales of whole outputs are few
        return (layers * self.bits + head * (self.head_bits or 0)) // 8 + blocks * scale


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a model: sizes, origin, hashes, builds."""

    name: str
    fingerprint: str
    """Hex SHA-256 over weights, tokenizer and config in canonical form, not over files."""
    layers: int
    heads: int
    width: int
    context: int
    """Positions at most, prompt and completion together (C)."""
    vocabulary: int
    """Drawable vocabulary V: ids 0..V-1 have a token; further embedding rows are never drawn."""
    end_of_text: int | None
    """Id that ends a text; None where the model has no such token."""
    parameters: int
    start_of_text: int | None = None
    """Id that a text without a prompt starts from; None where it is the one that ends a text."""
    prefix_ids: tuple[int, ...] = ()
    """Ids that stand before every prompt."""
    source: dict[str, str] = field(default_factory=dict)
    """Where it came from: kind, path or repository, revision, licence; only what is known."""
    hashes: dict[str, str] = field(default_factory=dict)
    """Hex SHA-256 of every source file, by file name."""
    builds: dict[str, Build] = field(default_factory=dict)
    contract: int = CONTRACT_VERSION
    inner: int | None = None
    """Width inside the feed-forward network; None = four times ``width``."""

    @property
    def head_size(self) -> int:
        """Width of one attention head, without padding."""
        return self.width // self.heads

    @property
    def inner_width(self) -> int:
        """Width inside the feed-forward network."""
        return 4 * self.width if self.inner is None else self.inner

    def matrix_weights(self, build: Build) -> tuple[int, int]:
        """Return how many weights multiply in all layers of a build, and in its head."""
        heads = self.heads * build.kv_head_size
        layer = 4 * heads * self.width + 2 * self.width * self.inner_width
        return self.layers * layer, self.vocabulary * self.width

    def with_build(self, build: Build) -> Manifest:
        """Return a copy that has ``build`` too."""
        return replace(self, builds={**self.builds, build.name: build})

    def write(self, folder: Path) -> None:
        """Write ``model.json`` into ``folder`` by one rename."""
        part = folder / (FILE_NAME + ".part")
        values = asdict(self)
        for name in (
            "start_of_text",
            "prefix_ids",
            "inner",
        ):  # earlier versions know no such entries
            if values[name] in (None, ()):
                del values[name]
        part.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(folder / FILE_NAME)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check ``folder/model.json``.

        Raises :class:`ModelError` where it is missing, unreadable, or of another contract version.
        """
        path = folder / FILE_NAME
        try:
            values = read_json(path, _LARGEST, _MEMORY)
        except FileNotFoundError as error:
            raise ModelError(
                f"{folder} is not a model folder (no {FILE_NAME}); import a GPT-2 folder first."
            ) from error
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({reason_of(error)}); {_AGAIN}.") from error
        return _from_values(values, path)


def build_to_open(wanted: str, there: Collection[str]) -> str:
    """Return the build to open of a model that has those ``there``, where nobody named one.

    ``wanted`` is what suits the device best. It is to be made only where none that is there runs on
    that device.
    """
    device_class = wanted.partition("-")[0]
    able = (build for build in _BEST_FIRST if build.partition("-")[0] == device_class)
    return next((build for build in (wanted, *able) if build in there), wanted)


def _from_values(values: Any, path: Path) -> Manifest:
    broken = f"{path} is damaged"
    if not isinstance(values, dict) or values.get("contract") != CONTRACT_VERSION:
        found = values.get("contract") if isinstance(values, dict) else None
        raise ModelError(
            f"{path} follows contract version {found!r}, "
            f"this program needs {CONTRACT_VERSION}; {_AGAIN}."
        )
    try:
        builds = {name: _build(name, value) for name, value in dict(values.pop("builds")).items()}
        prefix = tuple(values.pop("prefix_ids", ()))
        if not all(type(token) is int for token in prefix):
            raise TypeError("entry 'prefix_ids' must hold ids")
        manifest = Manifest(**_checked(Manifest, values), builds=builds, prefix_ids=prefix)
    except (TypeError, KeyError, ValueError) as error:
        raise ModelError(f"{broken} ({error}); {_AGAIN}.") from error
    sizes = (manifest.layers, manifest.heads, manifest.width, manifest.inner_width)
    if min(*sizes, manifest.context, manifest.vocabulary) < 1:
        raise ModelError(f"{broken}: sizes must be at least 1; {_AGAIN}.")
    figures = [*sizes, manifest.context, manifest.vocabulary, manifest.parameters]
    for build in builds.values():
        figures += (build.kv_head_size, build.top, build.bytes, build.bits or 0, build.block or 0)
    if max(figures) > _LARGEST_NUMBER:
        raise ModelError(f"{broken}: no model is as large as {max(figures):.0e}; {_AGAIN}.")
    for token in (manifest.end_of_text, manifest.start_of_text, *manifest.prefix_ids):
        if token is not None and not 0 <= token < manifest.vocabulary:
            raise ModelError(f"{broken}: the vocabulary has no token {token}; {_AGAIN}.")
    return manifest


def _build(name: str, value: Any) -> Build:
    build = Build(**_checked(Build, value))
    if (
        name not in BUILD_NAMES
        or build.name != name
        or build.device_class not in get_args(DeviceClass)
    ):
        raise ValueError(f"unknown build {name!r}")
    return build


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "int | None": (int, type(None)), "bool": (bool,),
    "DeviceClass": (str,), "Precision": (str,), "dict[str, str]": (dict,),
}  # fmt: skip


def _checked(kind: type[Build] | type[Manifest], values: Any) -> dict[str, Any]:
    """Return ``values`` if each has the type its field is declared with."""
    if not isinstance(values, dict):
        raise TypeError("not a JSON object")
    allowed = {f.name: _KINDS[str(f.type)] for f in fields(kind) if str(f.type) in _KINDS}
    for name, value in values.items():
        if name not in allowed:
            raise TypeError(f"unknown entry {name!r}")
        if (
            not isinstance(value, allowed[name])
            or (isinstance(value, bool) and bool not in allowed[name])
            or (isinstance(value, dict) and not all(isinstance(v, str) for v in value.values()))
        ):
            raise TypeError(f"entry {name!r} has the wrong type")
    return values
