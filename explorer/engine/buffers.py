"""The memory that a graph reads and writes: small arrays, results, keys and values.

On the CPU the model works directly on numpy arrays. On a GPU every array has a twin on the device,
made by the :class:`Place`; ``push`` and ``pull`` move what changed. Nothing here knows the runtime:
a binding is anything that takes pointers.
"""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

_ALIGNMENT = 256
"""Bytes: what CUDA's own allocations are aligned to."""


class Block(Protocol):
    """An array on a device (``onnxruntime.OrtValue`` is one)."""

    def data_ptr(self) -> int:
        """Return its address on the device."""
        ...

    def numpy(self) -> NDArray[Any]:
        """Return a copy on the host."""
        ...

    def update_inplace(self, array: NDArray[Any], /) -> None:
        """Overwrite it from the host."""
        ...


class Binding(Protocol):
    """Connects a graph's inputs and outputs to memory (``onnxruntime.IOBinding`` is one)."""

    def bind_input(
        self, name: str, device: str, index: int, dtype: Any, shape: Sequence[int], pointer: int
    ) -> None:
        """Let the graph read an input at ``pointer``."""
        ...

    def bind_output(
        self, name: str, device: str, index: int, dtype: Any, shape: Sequence[int], pointer: int
    ) -> None:
        """Let the graph write an output at ``pointer``."""
        ...


@dataclass(frozen=True, slots=True)
class Device:
    """Where a model runs."""

    name: str
    """``cpu`` or ``cuda``, as the runtime calls it."""
    make: Callable[[Sequence[int], DTypeLike], Block] | None = None
    """Makes an array on the device; None where numpy's memory is the model's."""
    index: int = 0
    """Which of the devices of that name."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the buffers need to know of a graph."""

    caches: int
    """Key and value buffers: two a layer."""
    kv_shape: tuple[int, int, int]
    """(H, C, D) of one row."""
    kv_dtype: np.dtype[Any]
    top: int
    """K."""
    columns: int
    """Columns of ``logits``: the vocabulary in whole blocks."""
    vocabulary: int
    probabilities: bool
    """Whether the graph hands over ``probabilities``; the first ones that were written do not."""

    @property
    def context(self) -> int:
        """C: positions of a row."""
        return self.kv_shape[1]


class Arrays:
    """Numpy arrays that a graph reads or writes; on a GPU they have one twin and move together."""

    hosts: dict[str, NDArray[Any]]
    """The arrays by the names that the graph has for them."""

    def __init__(self, kinds: Mapping[str, tuple[Sequence[int], DTypeLike]], place: Device) -> None:
        """Make arrays of zeros, each by its (shape, type)."""
        self.hosts, self._offsets = {}, {}
        sizes = {
            name: np.dtype(kind).itemsize * math.prod(shape)
            for name, (shape, kind) in kinds.items()
        }
        end = 0
        for name, size in sizes.items():
            self._offsets[name] = end
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self._bytes = np.zeros(end, np.uint8)
        for name, (shape, kind) in kinds.items():
            here = self._bytes[self._offsets[name] :][: sizes[name]]
            self.hosts[name] = here.view(kind).reshape(tuple(shape))
        self._place, self._index = place.name, place.index
        self._block = place.make((end,), np.uint8) if place.make else None
        self.push()

    def push(self) -> None:
        """Make what was written to ``hosts`` visible to the model."""
        if self._block is not None:
            self._block.update_inplace(self._bytes)

    def pull(self) -> None:
        """Make what the model wrote visible in ``hosts``."""
        if self._block is not None:
            self._bytes[...] = self._block.numpy()

    def bind_inputs(self, binding: Binding) -> None:
        """Let the graph read them."""
        for name, host in self.hosts.items():
            binding.bind_input(name, *self._described(name, host))

    def bind_outputs(self, binding: Binding) -> None:
        """Let the graph write them."""
        for name, host in self.hosts.items():
            binding.bind_output(name, *self._described(name, host))

    def _described(self, name: str, host: NDArray[Any]) -> tuple[str, int, Any, Sequence[int], int]:
        base = self._bytes.ctypes.data if self._block is None else self._block.data_ptr()
        return self._place, self._index, host.dtype.type, host.shape, base + self._offsets[name]


class Output:
    """Logits of R rows, valid until the session's next call."""

    top_logits: NDArray[np.float32]  # [R, K]
    """Descending, ties by lower id; -inf where fewer than K ids can be drawn."""
    top_ids: NDArray[np.int64]  # [R, K]
    logsumexp: NDArray[np.float32]  # [R]

    def __init__(self, rows: int, sizes: Sizes, place: Device) -> None:
        """Make room for ``rows`` rows, all of which are shown."""
        self.rows = rows
        top, columns = (rows, sizes.top), (rows, sizes.columns)
        self._small = Arrays(
            {
                "top_logits": (top, np.float32),
                "top_ids": (top, np.int64),
                "logsumexp": ((rows, 1), np.float32),
            },
            place,
        )
        self._logits = Arrays({"logits": (columns, np.float32)}, place)
        self._probabilities: Arrays | None = None
        if sizes.probabilities and place.make is None:
            # On a GPU to fetch them takes longer than to compute them.
            self._probabilities = Arrays({"probabilities": (columns, np.float32)}, place)
        self._vocabulary = sizes.vocabulary
        self._fetched = False
        self.show(rows)

    def show(self, rows: int) -> None:
        """Show the first ``rows`` rows; the others are padding."""
        hosts = self._small.hosts
        self.top_logits, self.top_ids = hosts["top_logits"][:rows], hosts["top_ids"][:rows]
        self.logsumexp = hosts["logsumexp"][:rows, 0]

    def logits(self, row: int) -> NDArray[np.float32]:
        """Return all logits [V] of one row; -inf for ids that are never drawn."""
        if not self._fetched:  # from a GPU only when somebody asks
            self._logits.pull()
            self._fetched = True
        full: NDArray[np.float32] = self._logits.hosts["logits"][row, : self._vocabulary]
        return full

    def probabilities(self, row: int) -> NDArray[np.float32] | None:
        """Return the softmax [V] of the logits of one row, where it is at hand."""
        if self._probabilities is None:
            return None
        return self._probabilities.hosts["probabilities"][row, : self._vocabulary]

    def bind(self, binding: Binding) -> None:
        """Bind to the graph's outputs."""
        for arrays in (self._small, self._logits, self._probabilities):
            if arrays is not None:
                arrays.bind_outputs(binding)

    def pull(self) -> None:
        """Fetch the small results from the device."""
        self._fetched = False
        self._small.pull()


def _untouched(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros that take no memory where they are never written.

    numpy would ask for huge pages, and the first position of a row would take all of the row.
    """
    size = int(np.prod(shape)) * dtype.itemsize
    private = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
    pages = mmap.mmap(-1, size, flags=private) if private else mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel that has no huge pages
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype).reshape(shape)


class Cache:
    """Keys and values of up to ``rows`` sequences; made by ``Session.cache``."""

    def __init__(self, rows: int, sizes: Sizes, place: Device, idle: int = 0) -> None:
        """Make a buffer [rows + idle, H, C, D] for the keys and one for the values of each layer.

        Sequences are in the first ``rows``; the others are what a step may need beside them.
        """
        self.rows, self.idle = rows, idle
        self._shape = (rows + idle, *sizes.kv_shape)
        self._type = sizes.kv_dtype.type
        self._place, self._index = place.name, place.index
        self._arrays: list[NDArray[Any]] = []
        self._blocks: list[Block] = []
        if place.make is None:
            self._arrays = [_untouched(self._shape, sizes.kv_dtype) for _ in range(sizes.caches)]
            self._pointers = [array.ctypes.data for array in self._arrays]
        else:
            self._blocks = [place.make(self._shape, self._type) for _ in range(sizes.caches)]
            self._pointers = [block.data_ptr() for block in self._blocks]

    def bind(self, binding: Binding, rows: int) -> None:
        """Bind the first ``rows`` sequences as past and present: the graph writes in place."""
        shape = (rows, *self._shape[1:])
        for name, pointer in self._named():
            binding.bind_input(f"past.{name}", self._place, self._index, self._type, shape, pointer)
            binding.bind_output(
                f"present.{name}", self._place, self._index, self._type, shape, pointer
            )

    def copy_row(self, row: int, target: Cache, target_row: int, positions: int) -> None:
        """Copy the first ``positions`` positions of a row to a row of ``target``, on the CPU."""
        for source, sink in zip(self._arrays, target._arrays, strict=True):
            sink[target_row, :, :positions] = source[row, :, :positions]

    def bind_copy(self, row: int, target: Cache, target_row: int, binding: Binding) -> None:
        """Bind a graph that copies ``x0`` to ``y0`` and so on, to copy a whole row."""
        shape = (1, *self._shape[1:])
        size = math.prod(shape) * np.dtype(self._type).itemsize
        like = self._place, self._index, self._type, shape
        for number, (source, sink) in enumerate(zip(self._pointers, target._pointers, strict=True)):
            binding.bind_input(f"x{number}", *like, source + row * size)
            binding.bind_output(f"y{number}", *like, sink + target_row * size)

    def _named(self) -> Iterator[tuple[str, int]]:
        for index, pointer in enumerate(self._pointers):
            yield f"{index // 2}.{'value' if index % 2 else 'key'}", pointer
