"""One build of a model, open on one device: prompts, steps and copies of rows.

The graph (``weights.builds.graph``) reads a prompt and makes steps. Here its buffers are bound
once for every number of rows, so that a step writes a few integers, runs, and finds its results
where they always are. Past and present keys and values are the same memory, in the caller's
:class:`Cache`.

A row's results must not depend on its neighbours. Three things make it so: every kernel computes a
row from that row alone; the kernels whose order of summing changes with the number of rows get
idle ones beside them (:meth:`Session._padded`); and ``total_sequence_length`` of a step is always
the whole context.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.core.errors import (
    DeviceError,
    EngineError,
    InterruptedPrefillError,
    ModelError,
    OutOfMemoryError,
)
from explorer.core.manifest import Build, Manifest
from explorer.engine import memory_estimate, runtime
from explorer.engine.buffers import Arrays, Cache, Device, Output
from explorer.engine.build_files import find_build, graph_file, read_sizes
from explorer.engine.hardware import device as devices
from explorer.engine.hardware import system_memory
from explorer.engine.messages import CHUNK
from explorer.system.settings import DeviceWish

_STOP_INTERVAL = 0.02
"""Seconds between two looks at whether the prompt that is being read should stop."""

_BUFFER = 256 << 20
"""Bytes that are copied to measure a GPU's memory: more than it keeps in its caches."""
_COPIES = 8
"""Copies in one run, so that starting it counts for little."""
_PASSES = 5


class _Call:
    """The graph bound to one cache, for B rows of S tokens, with R rows of logits."""

    def __init__(
        self,
        session: Any,
        cache: Cache,
        tokens: tuple[int, int],
        output: Output,
        rows: Sequence[int],
        place: Device,
        graph_id: int = -1,
    ) -> None:
        """Bind; ``rows`` of the B*S positions get logits; ``graph_id`` -1 captures nothing."""
        self.output = output
        self._inputs = Arrays(
            {
                "input_ids": (tokens, np.int64),
                "positions": (tokens, np.int64),
                "seqlens_k": (tokens[:1], np.int32),
                "rows": ((len(rows),), np.int64),
            },
            place,
        )
        self.ids, self.positions, self.seqlens, chosen = self._inputs.hosts.values()
        """[B, S], [B, S] and [B]."""
        chosen[:] = rows
        total = Arrays({"total_sequence_length": ((), np.int32)}, Device("cpu"))
        (self.total,) = total.hosts.values()
        self._session = session
        self._binding = session.io_binding()
        self.options = runtime.run_options(graph_id)
        self._inputs.bind_inputs(self._binding)
        total.bind_inputs(self._binding)
        cache.bind(self._binding, tokens[0])
        output.bind(self._binding)

    def run(self) -> Output:
        """Run the graph on what ``ids``, ``positions``, ``seqlens`` and ``total`` hold."""
        self._inputs.push()
        self._session.run_with_iobinding(self._binding, self.options)
        self.output.pull()
        return self.output


class Session:
    """A build of a model folder, open on a device. One thread at a time may use it."""

    folder: Path
    manifest: Manifest
    build: Build
    device: str
    """What really runs: ``cpu`` or ``cuda``."""
    device_name: str
    """What a person calls it: ``CPU, 8 cores`` or ``NVIDIA H200``."""
    reason: str
    """Why it is not the GPU, or not as quick there as it could be; empty or a sentence."""
    versions: dict[str, str]
    """Versions that a sample records."""

    def __init__(
        self, folder: Path, build: str, device: DeviceWish = "auto", threads: int = 0
    ) -> None:
        """Open ``folder/build``; ``threads`` inside an operator, 0 = physical cores.

        Raises :class:`ModelError` where the build is missing or broken and :class:`DeviceError`
        where the device cannot be used, :class:`OutOfMemoryError` where its memory does not do.
        """
        self.folder = folder
        self.manifest = Manifest.read(folder)
        self.build = find_build(self.manifest, folder, build)
        graph = graph_file(folder / build)
        cores = devices.physical_cores()
        self.device, index, self.reason, self.device_name = runtime.choose(
            self.build, device, cores
        )
        self._place = runtime.place(self.device, index)
        self._threads = threads or cores
        self._graph = graph, self.device, index, self._threads
        self._inner = self._opened()
        self._sizes = read_sizes(self._inner, self.manifest, self.build, folder)
        self.versions = {"onnxruntime": runtime.VERSION, "numpy": np.__version__}
        self._prompt_output: Output | None = None
        self._steps: weakref.WeakKeyDictionary[Cache, dict[tuple[int, int], _Call]]
        self._steps = weakref.WeakKeyDictionary()
        self._graph_ids = itertools.count(1)
        self._copier: Any = None
        if self.device == "cuda":
            self._warm_up()
        self._even_rows = self.build.even_rows
        if self.device == "cpu" and not self._even_rows:
            # Known for the CPUs that were measured; other CPUs have other kernels, so look.
            try:
                self._even_rows = not self._rows_agree()
            except OutOfMemoryError as error:
                raise self._explained(MemoryError(), 1) from error  # nobody asked for three rows

    def cache(self, rows: int) -> Cache:
        """Return an empty cache for ``rows`` sequences or more; one of one row is for prompts."""
        if self.device == "cpu":
            idle = self._padded(rows) - rows
        else:
            # There idle rows take real memory, which a prompt does not need.
            rows, idle = self._padded(rows) if rows > 1 else 1, 0
        try:
            return Cache(rows, self._sizes, self._place, idle)
        except runtime.FAILURES as error:
            raise self._explained(error, rows) from error

    def prefill(
        self,
        cache: Cache,
        ids: Sequence[int],
        start: int = 0,
        *,
        chunk: int = CHUNK,
        stop: Callable[[], bool] | None = None,
        rows: Literal["last", "all"] = "last",
    ) -> Output:
        """Read ``ids`` at positions start, start+1, ... of row 0; earlier positions are filled.

        Returns the logits that follow the last token or, with ``all``, every token of the last
        chunk. ``stop`` is asked from another thread while it runs. Raises
        :class:`InterruptedPrefillError` when it answers True.
        """
        if not ids or start < 0 or start + len(ids) > self._sizes.context:
            raise ValueError(f"{len(ids)} tokens at {start} do not fit into {self._sizes.context}")
        for begin in range(0, len(ids), chunk):
            part = ids[begin : begin + chunk]
            call = self._prompt_call(cache, part, start + begin, rows)
            with _stopping(stop, call.options):
                output = self._run(call)
        return output

    def step(self, cache: Cache, tokens: NDArray[np.int64], positions: NDArray[np.int64]) -> Output:
        """Give row r of ``cache`` the token ``tokens[r]`` at ``positions[r]``, for b rows from 0.

        The result of a row does not depend on the other rows, nor on how many there are. Rows after
        the first b may be used for padding: what they held is lost.
        """
        b = len(tokens)
        padded = self._padded(b)
        if not 0 < b <= cache.rows or padded > cache.rows + cache.idle:
            raise ValueError(f"{b} rows do not fit into a cache of {cache.rows}")
        # A head that is exact needs no padding, and of the smallest GPT-2 it is half of the bytes.
        shown = b if self.device == "cpu" and self.build.exact_head else padded
        calls = self._steps.setdefault(cache, {})
        call = calls.get((padded, shown))
        if call is None:
            call = calls[padded, shown] = self._step_call(cache, padded, shown)
        if not 0 <= positions.min() <= positions.max() < self._sizes.context:
            raise ValueError(f"positions {positions} are not inside {self._sizes.context}")
        call.ids[:b, 0] = tokens
        call.positions[:b, 0] = positions
        call.seqlens[:b] = positions
        if b < padded:  # a step before may have had more
            for array in (call.ids, call.positions, call.seqlens):
                array[b:] = 0
        call.output.show(b)
        return self._run(call)

    def copy_row(
        self, source: Cache, source_row: int, target: Cache, target_row: int, positions: int
    ) -> None:
        """Copy the first ``positions`` keys and values of a row to another."""
        if self._place.make is None:
            source.copy_row(source_row, target, target_row, positions)
            return
        # The positions of a row are one piece a head; a whole row is one piece, and a GPU moves it
        # faster than it could be told about the small ones.
        if self._copier is None:
            index = self._place.index
            kind, count = self._sizes.kv_dtype, self._sizes.caches
            self._copier = runtime.open_copier(self.device, index, kind, count)
        binding = self._copier.io_binding()
        source.bind_copy(source_row, target, target_row, binding)
        self._copier.run_with_iobinding(binding)

    def copy_bandwidth(self) -> float:
        """Return the bytes a second that a GPU's memory moves, read or written, at its best.

        Raises :class:`OutOfMemoryError` where it has no room for two buffers of 256 MB.
        """
        make, index = self._place.make, self._place.index
        if make is None:
            raise ValueError("the model's memory is not on a GPU")
        kind, shape = np.dtype(np.float16), (1, 1, 1, _BUFFER // 2)
        best = 0.0
        try:
            source, target = make(shape, kind), make(shape, kind)
            copier = runtime.open_copier(self.device, index, kind, _COPIES)
            binding = copier.io_binding()
            like = self._place.name, index, kind.type, shape
            for number in range(_COPIES):
                binding.bind_input(f"x{number}", *like, source.data_ptr())
                binding.bind_output(f"y{number}", *like, target.data_ptr())
            for _ in range(_PASSES):
                began = perf_counter()
                copier.run_with_iobinding(binding)
                best = max(best, 2 * _COPIES * _BUFFER / (perf_counter() - began))
        except runtime.FAILURES as error:
            raise self._explained(error, 1) from error
        return best

    def close(self) -> None:
        """Free the model and everything bound to it."""
        self._steps.clear()
        self._prompt_output = None
        self._inner = self._copier = None

    def _prompt_call(self, cache: Cache, part: Sequence[int], start: int, rows: str) -> _Call:
        n = len(part)
        wanted = range(n) if rows == "all" else range(n - 1, n)
        if self._prompt_output is None or self._prompt_output.rows != len(wanted):
            self._prompt_output = Output(len(wanted), self._sizes, self._place)
        call = _Call(self._inner, cache, (1, n), self._prompt_output, wanted, self._place)
        call.ids[0] = part
        call.positions[0] = np.arange(start, start + n)
        call.seqlens[:] = start + n - 1
        call.total[...] = start + n
        return call

    def _step_call(self, cache: Cache, rows: int, shown: int) -> _Call:
        output = Output(shown, self._sizes, self._place)
        graph_id = -1 if self.device == "cpu" else next(self._graph_ids)
        call = _Call(self._inner, cache, (rows, 1), output, range(shown), self._place, graph_id)
        # Allowed is anything from the longest row to C, but not 1: that would mean a prompt.
        call.total[...] = self._sizes.context
        return call

    def _padded(self, rows: int) -> int:
        """Return how many rows a step of ``rows`` rows has, idle ones included."""
        if self.device != "cpu":
            return max(devices.CUDA_ROWS, rows)
        # Where threads are left over, attention splits rows among them, and adds up in another
        # order, if all are equally long. An idle row, which has one position, forbids that.
        # https://github.com/microsoft/onnxruntime/pull/28695
        if rows * self.manifest.heads < self._threads:
            rows += 1
        return rows + (rows % 2 if self._even_rows else 0)

    def _opened(self, *, capture: bool = True) -> Any:
        try:
            return runtime.open_graph(*self._graph, capture=capture)
        except (ModelError, DeviceError, MemoryError) as error:
            raise self._explained(error, 1) from error

    def _warm_up(self) -> None:
        """Make a step: what a GPU cannot do shows now, and its libraries are loaded."""
        captures = runtime.captures(self._inner)
        try:
            self._try_step()
        except DeviceError:
            if not captures:
                raise
            captures = False
        # Not among the above: what an error remembers would keep the weights of the first.
        if captures != runtime.captures(self._inner):
            self._steps.clear()
            self._inner = None
            self._inner = self._opened(capture=False)
            self._try_step()
        if not captures:
            self.reason = "Its steps cannot be captured as a graph, so they take longer."

    def _try_step(self) -> None:
        first = np.zeros(1, np.int64)
        self.step(self.cache(2), first, first)

    def _rows_agree(self) -> bool:
        """Try whether equal rows get equal bits in steps of 1, 2 and 3 rows."""
        if self._sizes.context < 2:
            return True
        found = []
        for rows in (1, 2, 3):
            tokens, positions = np.zeros(rows, np.int64), np.ones(rows, np.int64)
            output = self.step(self.cache(rows), tokens, positions)
            found += [output.logits(row).tobytes() for row in range(rows)]
        return len(set(found)) == 1

    @functools.cached_property
    def prompts_go_on(self) -> bool:
        """Whether a prompt that is read in two parts has the bits of one that is read at once.

        Tried, on this CPU, when somebody first asks. A GPU has another kernel for every size.
        """
        ids = [at % self.manifest.vocabulary for at in range(8)]
        if self.device != "cpu" or self._sizes.context < len(ids):
            return False
        whole = self.prefill(self.cache(1), ids).logits(0).copy()
        cache = self.cache(1)
        self.prefill(cache, ids[:5])
        return self.prefill(cache, ids[5:], 5).logits(0).tobytes() == whole.tobytes()

    def _run(self, call: _Call) -> Output:
        try:
            return call.run()
        except runtime.FAILURES as error:
            if call.options.terminate:
                raise InterruptedPrefillError("Reading the prompt was stopped.") from error
            raise self._explained(error, call.ids.shape[0]) from error

    def _explained(self, error: Exception, rows: int) -> Exception:
        """Return what to raise for an error of the runtime, met with so many rows."""
        if isinstance(error, MemoryError) or memory_estimate.is_shortage(str(error)):
            place = f"{self._place.name}:{self._place.index}"
            here = self.device == "cpu"
            free = (
                system_memory.left_to_this_process() if here else memory_estimate.free_memory(place)
            )
            return OutOfMemoryError(
                f"There is not enough memory: "
                f"{memory_estimate.shortage(self.manifest, self.build.name, rows, free)}."
            )
        if isinstance(error, ModelError | DeviceError):
            return error
        if self.device == "cuda":
            return DeviceError(devices.cuda_failed(str(error)))
        return EngineError(f"The model could not run ({runtime.first_line(error)}).")


@contextlib.contextmanager
def _stopping(stop: Callable[[], bool] | None, options: Any) -> Iterator[None]:
    """Ask ``stop`` every now and then from a thread, and end the run when it says so."""
    if stop is None:
        yield
        return
    if stop():
        raise InterruptedPrefillError("Reading the prompt was stopped.")
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(_STOP_INTERVAL):
            if stop():
                options.terminate = True
                return

    watcher = threading.Thread(target=watch, name="prefill-stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()
