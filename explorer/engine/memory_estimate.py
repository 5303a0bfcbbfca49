"""How much memory a build needs, before it is loaded, and how much there is.

The estimate adds up what is allocated and why, for the whole engine process, Python and libraries
included; docs/memory.md compares it with what processes really took. On the CPU:

- **weights**: onnxruntime maps ``weights.bin`` and repacks every matrix for its kernels. A packed
  matrix of few bits holds its numbers and, for each block, a scale and a sum (4 bytes each), and
  its place in the file is let go of; the scales in the file and the embedding stay mapped, and of
  the embedding counts the middle between what its tokens read and all of it. A packed
  floating-point matrix is as large as it was; a head that serves as embedding too stays beside it.
- **cache**: keys and values of every lane. Only positions that are filled take memory.
- **work**: the process before it has a model, the vocabulary, activations of a prompt's chunk,
  logits, and the kept prompt's own keys and values.

On a GPU the file is copied as it is, and the cache is full rows, in the number that steps have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from explorer.core.errors import ModelError
from explorer.core.manifest import Build, Manifest
from explorer.engine.hardware import device as devices
from explorer.engine.hardware import system_memory
from explorer.engine.messages import CHUNK
from explorer.system.settings import DeviceWish

BASE = 57_000_000
"""Bytes that the engine's process takes with onnxruntime, numpy and tokenizers and no model."""

GPU_BASE = 500_000_000
"""Bytes on the GPU for the CUDA context and cuBLAS; not measured, see docs/memory.md."""

TOKEN = 1000
"""Bytes for each token of the vocabulary, in the tokenizer and in our own table."""

FITS_SHARE = 0.8
"""Up to this share of what is free a model fits; up to all of it, it is tight."""

READ_AROUND = 65_536
"""Bytes of a mapped file that the system brings in with the first one that is read."""

Fit = Literal["fits", "tight", "too large"]

_LOGIT_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that a build needs on its device."""

    weights: int
    cache: int
    work: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.cache + self.work


def estimate(
    manifest: Manifest, build_name: str, lanes: int, length: int | None = None
) -> Estimate:
    """Return what a build needs with ``lanes`` texts of ``length`` tokens each, prompts included.

    Without a length: the whole context. Raises :class:`ModelError` for a build that is not there.
    """
    build = manifest.builds.get(build_name)
    if build is None:
        raise ModelError(f"{manifest.name} has no build {build_name}; make it first.")
    length = min(length or manifest.context, manifest.context)
    row = position_bytes(manifest, build)
    columns = -(-manifest.vocabulary // _LOGIT_BLOCK) * _LOGIT_BLOCK
    # Logits of two kept prompts and of steps: on a CPU with 1 to ``lanes`` rows, each with its own
    # buffer and one for the probabilities.
    cuda = build.device_class == "cuda"
    logits = 4 * columns * (2 + (padded_rows(lanes) if cuda else lanes * (lanes + 1)))
    tokens = min(CHUNK, length)
    # Queries, keys and values; the inner layer before and after its gelu; residual and norms.
    number = 2 if build.precision == "fp16" else 4
    activations = number * tokens * (7 * manifest.width + 2 * manifest.inner_width)
    attention = number * tokens * length * manifest.heads
    work = logits + activations + attention
    if cuda:
        rows = padded_rows(lanes)
        whole = manifest.context * row
        return Estimate(build.bytes, rows * whole, GPU_BASE + work + 2 * whole)
    base = BASE + TOKEN * manifest.vocabulary
    weights = _weights(manifest, build, columns, lanes * length)
    return Estimate(weights, lanes * length * row, base + work + length * row)


def position_bytes(manifest: Manifest, build: Build) -> int:
    """Return the bytes of one position's keys and values in all layers."""
    number = 2 if build.precision == "fp16" else 4
    return 2 * manifest.layers * manifest.heads * build.kv_head_size * number


def padded_rows(lanes: int) -> int:
    """Return how many rows a cache on a GPU has for ``lanes``."""
    return max(devices.CUDA_ROWS, lanes)


def _weights(manifest: Manifest, build: Build, columns: int, tokens: int) -> int:
    """Return what a CPU build's weights take once they are packed and ``tokens`` have been read."""
    width = manifest.width
    layers, _ = manifest.matrix_weights(build)
    head = columns * width
    if build.bits is None:
        tied = build.bytes < 4 * (layers + 2 * head)
        return build.bytes + (4 * head if tied else 0)
    stored = build.quantized_bytes(layers, head, scale=0)
    packed = build.quantized_bytes(layers, head, scale=8)
    table = 2 * manifest.vocabulary * width  # half precision
    # Tokens from all over the vocabulary; those of a real text lie closer together.
    unread = table * (1 - min(READ_AROUND / table, 1.0)) ** tokens
    # A file that was written or read just now lies in the system's memory in large pieces, and all
    # of it is soon resident. Nobody can know, so the middle between the two is counted.
    return packed + max(build.bytes - stored - int(unread / 2), 0)


# What there is


def fit(needed: Estimate, free: int | None) -> Fit:
    """Say whether it fits: up to 80 % of what is free fits, up to all of it is tight.

    Where nobody knows what is free, nothing is said against it.
    """
    if free is None or needed.total <= FITS_SHARE * free:
        return "fits"
    return "tight" if needed.total <= free else "too large"


def gigabytes(count: int) -> str:
    """Write bytes as a person reads memory: ``0.4 GB``, ``12 GB``."""
    size = count / 1e9
    return f"{size:.0f} GB" if size >= 9.95 else f"{size:.1f} GB"


def shortage(manifest: Manifest, build_name: str, lanes: int, free: int | None) -> str:
    """Return what is missing and what to do, as the rest of a sentence without its full stop."""
    needed = estimate(manifest, build_name, lanes)
    cuda = manifest.builds[build_name].device_class == "cuda"
    there = f", {gigabytes(free)} is free" if free is not None else ""
    advice = ["fewer lanes"] if lanes > (devices.CUDA_ROWS if cuda else 1) else []
    if cuda:
        advice.append("the CPU")
    elif build_name != "cpu-int4":
        advice.append("a smaller precision")
    todo = f"choose {' or '.join(advice)}" if advice else "close other programs"
    return (
        f"{manifest.name} ({build_name}) needs about {gigabytes(needed.total)} with"
        f" {lanes} lane{'s' if lanes != 1 else ''}{there}; {todo}"
    )


def is_shortage(message: str) -> bool:
    """Whether an error message of the runtime, of CUDA or of Python means: out of memory."""
    lower = message.lower()
    signs = (
        "bad_alloc",
        "out of memory",
        "failed to allocate memory",
        "cannot allocate memory",
        "unable to allocate",
        "cuda failure 2:",
        "memoryerror",
        "cublas_status_alloc_failed",
        "not enough memory",
        "too little free memory",  # our own, see devices.cuda_failed
    )
    return any(sign in lower for sign in signs)


def home(build_name: str, wish: DeviceWish) -> str:
    """Return the device whose memory a build takes when ``wish`` is asked for."""
    if not build_name.startswith("cuda"):
        return "cpu"
    return wish if wish.startswith("cuda") else "cuda"


def free_memory(device: str) -> int | None:
    """Return the bytes that a new process can have on ``cpu``, ``cuda`` or ``cuda:N``.

    None where it cannot be found out. On the CPU that is what the system can give without swapping,
    or what is left to this process's container where that is less.
    """
    if device.startswith("cuda"):
        facts = devices.probe(provider=True)
        choice = devices.decide(device, facts)
        return facts.gpus[choice.index].free_bytes if choice.device == "cuda" else None
    return system_memory.free()
