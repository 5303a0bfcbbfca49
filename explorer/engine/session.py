"""One build of a model, open on one device: the only file that knows onnxruntime.

The graph (explorer/weights/graph.py) reads a prompt and makes steps. Here its buffers are made once and bound
once for every number of rows, so that a step writes a few integers, runs, and reads results where they already
are. Keys and values stay in the caller's :class:`Cache`; past and present are the same memory.

On CUDA every buffer has a copy on the device; the steps are captured as CUDA graphs where the provider can.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import DTypeLike, NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from explorer.engine import device as devices
from explorer.engine.messages import DeviceWish
from explorer.errors import DeviceError, EngineError, ModelError
from explorer.manifest import Build, Manifest

CHUNK = 256
"""Tokens of a prompt that are read in one call."""

_STOP_INTERVAL = 0.02
"""Seconds between two looks at whether a prompt that is being read should stop."""

# What onnxruntime raises: each is a child of Exception alone, so they are named.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
)


class InterruptedPrefillError(EngineError):
    """A prompt was stopped while it was being read; the cache holds nothing of use."""


class _Array:
    """A numpy array that the model reads or writes: the same memory on the CPU, a copy on a GPU."""

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, place: str) -> None:
        self.host = np.zeros(tuple(shape), dtype)
        self._place = place
        self._device: ort.OrtValue | None = None
        if place != "cpu":
            self._device = ort.OrtValue.ortvalue_from_numpy(self.host, place, 0)

    def push(self) -> None:
        """Make what was written to ``host`` visible to the model."""
        if self._device is not None:
            self._device.update_inplace(self.host)

    def pull(self) -> None:
        """Make what the model wrote visible in ``host``."""
        if self._device is not None:
            self.host[...] = self._device.numpy()

    def bind(self, binding: ort.IOBinding, name: str, *, output: bool = False) -> None:
        """Bind the whole array to a graph input or output."""
        pointer = self.host.ctypes.data if self._device is None else self._device.data_ptr()
        bind = binding.bind_output if output else binding.bind_input
        bind(name, self._place, 0, self.host.dtype.type, self.host.shape, pointer)


class Output:
    """Logits of R rows, valid until the session's next call."""

    top_logits: NDArray[np.float32]  # [R, K]
    """Descending, ties by lower id; -inf where fewer than K ids can be drawn."""
    top_ids: NDArray[np.int64]  # [R, K]
    logsumexp: NDArray[np.float32]  # [R]

    def __init__(self, rows: int, padded: int, graph: _GraphSizes, place: str) -> None:
        """Make room for ``padded`` rows, of which the first ``rows`` are shown."""
        self._top_logits = _Array((padded, graph.top), np.float32, place)
        self._top_ids = _Array((padded, graph.top), np.int64, place)
        self._logsumexp = _Array((padded, 1), np.float32, place)
        self._logits = _Array((padded, graph.columns), np.float32, place)
        self._vocabulary = graph.vocabulary
        self._fetched = False
        self.top_logits = self._top_logits.host[:rows]
        self.top_ids = self._top_ids.host[:rows]
        self.logsumexp = self._logsumexp.host[:rows, 0]

    def logits(self, row: int) -> NDArray[np.float32]:
        """Return all logits [V] of one row; -inf for ids that are never drawn."""
        if not self._fetched:  # from a GPU only when somebody asks
            self._logits.pull()
            self._fetched = True
        return self._logits.host[row, : self._vocabulary]

    def bind(self, binding: ort.IOBinding) -> None:
        """Bind to the graph's outputs."""
        self._top_logits.bind(binding, "top_logits", output=True)
        self._top_ids.bind(binding, "top_ids", output=True)
        self._logsumexp.bind(binding, "logsumexp", output=True)
        self._logits.bind(binding, "logits", output=True)

    def pull(self) -> None:
        """Fetch the small results from the device."""
        self._fetched = False
        self._top_logits.pull()
        self._top_ids.pull()
        self._logsumexp.pull()


@dataclass(frozen=True, slots=True)
class _GraphSizes:
    """What the buffers need to know of a graph."""

    caches: int
    """Key and value buffers: two a layer."""
    kv_shape: tuple[int, int, int]  # (H, C, D)
    kv_dtype: np.dtype[Any]
    top: int
    columns: int
    """Columns of ``logits``: the vocabulary in whole blocks."""
    vocabulary: int

    @property
    def context(self) -> int:
        return self.kv_shape[1]


class Cache:
    """Keys and values of up to ``rows`` sequences; memory is touched only as positions are filled."""

    def __init__(self, rows: int, graph: _GraphSizes, place: str) -> None:
        """Made by :meth:`Session.cache`."""
        self.rows = rows
        self._shape = (rows, *graph.kv_shape)
        self._dtype = graph.kv_dtype.type
        self._place = place
        self._arrays: list[NDArray[Any]] = []
        self._values: list[ort.OrtValue] = []
        if place == "cpu":
            # Zeros come from the system untouched: positions that are never filled cost no memory.
            self._arrays = [np.zeros(self._shape, self._dtype) for _ in range(graph.caches)]
            self._pointers = [array.ctypes.data for array in self._arrays]
        else:
            make = ort.OrtValue.ortvalue_from_shape_and_type
            self._values = [make(self._shape, self._dtype, place, 0) for _ in range(graph.caches)]
            self._pointers = [value.data_ptr() for value in self._values]
        self._calls: dict[int, _Call] = {}

    def call(self, rows: int, make: Callable[[], _Call]) -> _Call:
        """Return the bound step for ``rows`` rows, made on first use."""
        if rows not in self._calls:
            self._calls[rows] = make()
        return self._calls[rows]

    def bind(self, binding: ort.IOBinding, rows: int) -> None:
        """Bind the first ``rows`` sequences as past and present: the graph writes in place."""
        shape = (rows, *self._shape[1:])
        for name, pointer in self._named():
            binding.bind_input(f"past.{name}", self._place, 0, self._dtype, shape, pointer)
            binding.bind_output(f"present.{name}", self._place, 0, self._dtype, shape, pointer)

    def copy_row(
        self, row: int, target: Cache, target_row: int, positions: int, session: Any
    ) -> None:
        """Copy the first ``positions`` positions of a row to a row of ``target``."""
        if self._place == "cpu":
            for source, sink in zip(self._arrays, target._arrays, strict=True):  # noqa: SLF001
                sink[target_row, :, :positions] = source[row, :, :positions]
        else:
            # The positions of a row are in one piece a head; whole rows are in one piece, and a GPU
            # moves them faster than it could be told about the small ones.
            sinks = target.row_values(target_row, session)
            ort.copy_tensors(self.row_values(row, session), sinks)

    def row_values(self, row: int, session: Any) -> list[Any]:
        """Return one row of every buffer as a value [1, H, C, D] that shares its memory."""
        shape = (1, *self._shape[1:])
        size = np.dtype(self._dtype).itemsize * int(np.prod(shape))
        binding = session.io_binding()  # the one door from a pointer to a value
        for name, pointer in self._named():
            place, kind = self._place, self._dtype
            binding.bind_output(f"present.{name}", place, 0, kind, shape, pointer + row * size)
        values: list[Any] = binding.get_outputs()
        return values

    def _named(self) -> Iterator[tuple[str, int]]:
        for index, pointer in enumerate(self._pointers):
            yield f"{index // 2}.{'value' if index % 2 else 'key'}", pointer


class _Call:
    """The graph bound to one cache, for B rows of S tokens, with R rows of logits."""

    def __init__(
        self,
        session: Any,
        cache: Cache,
        tokens: tuple[int, int],
        output: Output,
        rows: Sequence[int],
        place: str,
        graph_id: int,
    ) -> None:
        batch, _ = tokens
        self.output = output
        self.ids = _Array(tokens, np.int64, place)
        self.positions = _Array(tokens, np.int64, place)
        self.seqlens = _Array((batch,), np.int32, place)
        self.total = _Array((), np.int32, "cpu")
        self._rows = _Array((len(rows),), np.int64, place)
        self._rows.host[:] = rows
        self._rows.push()
        self._session = session
        self._binding = session.io_binding()
        self.options = ort.RunOptions()
        # -1 captures nothing. Unset, looking for it costs 50 microseconds a call.
        self.options.add_run_config_entry("gpu_graph_id", str(graph_id))
        self.ids.bind(self._binding, "input_ids")
        self.positions.bind(self._binding, "positions")
        self.seqlens.bind(self._binding, "seqlens_k")
        self.total.bind(self._binding, "total_sequence_length")
        self._rows.bind(self._binding, "rows")
        cache.bind(self._binding, batch)
        output.bind(self._binding)

    def run(self) -> Output:
        """Run the graph on what ``ids``, ``positions``, ``seqlens`` and ``total`` hold."""
        self.ids.push()
        self.positions.push()
        self.seqlens.push()
        self._session.run_with_iobinding(self._binding, self.options)
        self.output.pull()
        return self.output


class Session:
    """A build of a model folder, open on a device.

    One thread at a time may use it. ``device`` is what really runs (``cpu`` or ``cuda``), ``device_name`` what
    a person calls it, ``reason`` why it is not the GPU, ``versions`` what a sample records.
    """

    def __init__(
        self, folder: Path, build: str, device: DeviceWish = "auto", threads: int = 0
    ) -> None:
        """Open ``folder/build``; ``threads`` inside an operator, 0 = physical cores.

        Raises :class:`ModelError` where the build is missing or broken and :class:`DeviceError` where the device
        cannot be used.
        """
        self.manifest = Manifest.read(folder)
        self.build = _find_build(self.manifest, folder, build)
        cores = devices.physical_cores()
        self._place, self.reason, self.device_name = _choose(self.build, device, cores)
        self.device = self._place
        self._inner = _open(_graph_file(folder / build), self._place, threads or cores, folder)
        self._sizes = _sizes(self._inner, self.manifest, self.build, folder)
        self._prompt_output: dict[int, Output] = {}
        self._graph_ids = itertools.count(1)
        self.versions = {"onnxruntime": ort.__version__, "numpy": np.__version__}

    def cache(self, rows: int) -> Cache:
        """Return an empty cache for ``rows`` sequences."""
        # An odd number of steps may need one row of padding.
        return Cache(rows + (self.build.even_rows and rows % 2), self._sizes, self._place)

    def prefill(
        self,
        cache: Cache,
        ids: Sequence[int],
        start: int = 0,
        *,
        chunk: int = CHUNK,
        stop: Callable[[], bool] | None = None,
        progress: Callable[[int, int], None] | None = None,
        rows: Literal["last", "all"] = "last",
    ) -> Output:
        """Read ``ids`` at positions start, start+1, ... of row 0, whose earlier positions are filled.

        Returns the logits that follow the last token, or those that follow every token of the last chunk.
        ``progress(done, total)`` is called after every chunk; ``stop`` is asked from another thread while one
        runs. Raises :class:`InterruptedPrefillError` when it answers True.
        """
        if not ids or start < 0 or start + len(ids) > self._sizes.context:
            raise ValueError(f"{len(ids)} tokens at {start} do not fit into {self._sizes.context}")
        for begin in range(0, len(ids), chunk):
            part = ids[begin : begin + chunk]
            call = self._prompt_call(cache, part, start + begin, rows)
            with _stopping(stop, call.options):
                try:
                    output = call.run()
                except _ORT_ERRORS as error:
                    if call.options.terminate:
                        raise InterruptedPrefillError("Reading the prompt was stopped.") from error
                    raise self._failed(error) from error
            if progress is not None:
                progress(begin + len(part), len(ids))
        return output

    def _prompt_call(self, cache: Cache, part: Sequence[int], start: int, rows: str) -> _Call:
        n = len(part)
        wanted = range(n) if rows == "all" else range(n - 1, n)
        output = self._prompt_output.get(len(wanted))
        if output is None:  # the last size used is kept: scoring repeats it
            output = Output(len(wanted), len(wanted), self._sizes, self._place)
            self._prompt_output = {len(wanted): output}
        call = _Call(self._inner, cache, (1, n), output, wanted, self._place, -1)
        call.ids.host[0] = part
        call.positions.host[0] = np.arange(start, start + n)
        call.seqlens.host[:] = start + n - 1
        call.total.host[...] = start + n
        return call

    def step(self, cache: Cache, tokens: NDArray[np.int64], positions: NDArray[np.int64]) -> Output:
        """Give row r of ``cache`` the token ``tokens[r]`` at ``positions[r]``, for the first b rows.

        A row's result does not depend on the other rows, nor on how many there are. The row after the last may be
        used for padding: what it held is lost.
        """
        b = len(tokens)
        call = cache.call(b, lambda: self._step_call(cache, b))
        if not 0 <= positions.min() <= positions.max() < self._sizes.context:
            raise ValueError(f"position {positions.max()} is outside {self._sizes.context}")
        call.ids.host[:b, 0] = tokens
        call.positions.host[:b, 0] = positions
        call.seqlens.host[:b] = positions
        try:
            return call.run()
        except _ORT_ERRORS as error:
            raise self._failed(error) from error

    def _step_call(self, cache: Cache, rows: int) -> _Call:
        padded = rows + (self.build.even_rows and rows % 2)
        if not 0 < padded <= cache.rows:
            raise ValueError(f"{rows} rows do not fit into a cache of {cache.rows}")
        output = Output(rows, padded, self._sizes, self._place)
        graph_id = next(self._graph_ids) if self._place == "cuda" else -1
        call = _Call(self._inner, cache, (padded, 1), output, range(padded), self._place, graph_id)
        # At least the longest row and never 1, which would mean a prompt. Constant, so nothing depends on neighbours.
        call.total.host[...] = self._sizes.context
        return call

    def copy_row(
        self, source: Cache, source_row: int, target: Cache, target_row: int, positions: int
    ) -> None:
        """Copy the first ``positions`` keys and values of a row to another."""
        source.copy_row(source_row, target, target_row, positions, self._inner)

    def close(self) -> None:
        """Free the model; caches keep their memory until they are dropped."""
        self._inner = None
        self._prompt_output = {}

    def _failed(self, error: Exception) -> EngineError:
        if self._place == "cuda":
            return DeviceError(devices.cuda_failed(str(error)))
        return EngineError(f"The model could not run ({_first_line(error)}).")


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


def _find_build(manifest: Manifest, folder: Path, name: str) -> Build:
    try:
        return manifest.builds[name]
    except KeyError:
        there = ", ".join(sorted(manifest.builds)) or "none"
        raise ModelError(
            f"{manifest.name} has no build {name!r} in {folder} (it has: {there}); make it first."
        ) from None


def _graph_file(folder: Path) -> Path:
    """Return the graph of a build after a look at its two files."""
    graph, weights = folder / "model.onnx", folder / "weights.bin"
    for path in (graph, weights):
        if not path.is_file() or path.resolve().parent != folder.resolve():
            raise ModelError(
                f"{path} is missing or leads elsewhere; remove the model and import it again."
            )
    return graph


def _choose(build: Build, wish: DeviceWish, cores: int) -> tuple[str, str, str]:
    """Return (place, reason, name) for a build that was made for one class of device."""
    providers = ort.get_available_providers()
    facts = devices.look("CUDAExecutionProvider" in providers)
    choice = devices.decide(wish, facts)
    if build.device_class == "cuda":
        if choice.device != "cuda":
            raise DeviceError(f"{build.name} needs a GPU: {choice.reason}")
        return "cuda", "", facts.gpus[0].name
    if wish == "cuda":
        reason = choice.reason or f"{build.name} runs on the CPU only; choose cuda-fp16."
        raise DeviceError(reason)
    reason = choice.reason or f"{build.name} was made for the CPU; choose cuda-fp16 for the GPU."
    return "cpu", reason, f"CPU, {cores} core{'s' if cores > 1 else ''}"


def _open(graph: Path, place: str, threads: int, folder: Path) -> Any:
    options = ort.SessionOptions()
    # The graph is written in its fused form; higher levels only take time.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    ort.disable_telemetry_events()
    if place == "cuda":
        return _open_cuda(graph, options)
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as error:
        raise ModelError(
            f"{graph} cannot be opened ({_first_line(error)}); remove the model and import it again."
        ) from error


def _open_cuda(graph: Path, options: Any) -> Any:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find
        ort.preload_dlls(cudnn=False)
    # Everything on the GPU or a clear failure: one node on the CPU would make every step slow.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    provider = ("CUDAExecutionProvider", {"device_id": "0", "enable_cuda_graph": "1"})
    try:
        session = ort.InferenceSession(graph, options, providers=[provider])
    except _ORT_ERRORS as error:
        raise DeviceError(devices.cuda_failed(f"{said.getvalue()}\n{error}")) from error
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceError(devices.cuda_failed(said.getvalue()))
    return session


def _sizes(session: Any, manifest: Manifest, build: Build, folder: Path) -> _GraphSizes:
    """Read the sizes from the graph and compare them with what the manifest says."""
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value.shape for value in session.get_outputs()}
    caches = [name for name in inputs if name.startswith("past.")]
    try:
        shape = tuple(inputs["past.0.key"].shape[1:])
        kind = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        sizes = _GraphSizes(
            len(caches),
            shape,
            np.dtype(kind[inputs["past.0.key"].type]),
            outputs["top_logits"][1],
            outputs["logits"][1],
            manifest.vocabulary,
        )
        expected = (manifest.heads, manifest.context, build.kv_head_size)
        fits = shape == expected and sizes.caches == 2 * manifest.layers
        if not fits or sizes.top != build.top or sizes.columns < manifest.vocabulary:
            raise ValueError("its sizes are not those of model.json")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / build.name} is not a build of this model ({error}); remove the model and import it again."
        ) from error
    return sizes


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200].rstrip(".")
