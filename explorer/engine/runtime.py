"""onnxruntime, and nothing else here imports it: which device, and opening a graph on it."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import explorer.engine.no_telemetry  # noqa: F401  first: onnxruntime reports while it is loaded

# isort: split
import numpy as np
import onnxruntime as ort
from numpy.typing import DTypeLike
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from explorer.core.errors import DeviceError, ModelError
from explorer.core.manifest import Build
from explorer.engine import memory_estimate
from explorer.engine.buffers import Device
from explorer.engine.hardware import device as devices
from explorer.engine.hardware import huge_pages
from explorer.system.settings import DeviceWish

VERSION: str = ort.__version__

_CUDA = "CUDAExecutionProvider"


def _is_error(kind: object) -> TypeGuard[type[Exception]]:
    return isinstance(kind, type) and issubclass(kind, Exception)


_ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    *(kind for kind in vars(ort_state).values() if _is_error(kind)),
)
"""Everything that onnxruntime raises: its own classes have no parent in common but Exception."""

FAILURES: tuple[type[Exception], ...] = (*_ORT_ERRORS, MemoryError, OSError)
"""What may come where memory is asked for; that of a cache on the CPU comes from the system."""


def choose(build: Build, wish: DeviceWish, cores: int) -> tuple[str, int, str, str]:
    """Return (device, index, reason, name) for a build, made for one class of device."""
    facts = devices.probe(_CUDA in ort.get_available_providers())
    choice = devices.decide(wish, facts)
    if build.device_class == "cuda":
        if choice.device != "cuda":
            raise DeviceError(f"{build.name} needs a GPU: {choice.reason}")
        name = facts.gpus[choice.index].name
        return (
            "cuda",
            choice.index,
            "",
            name if len(facts.gpus) == 1 else f"{name} ({choice.index})",
        )
    if wish.startswith("cuda"):
        raise DeviceError(choice.reason or f"{build.name} is made for the CPU; use cuda-fp16.")
    reason = choice.reason or f"{build.name} is made for the CPU; cuda-fp16 would use the GPU."
    return "cpu", 0, reason, f"CPU, {cores} core{'s' if cores > 1 else ''}"


def run_options(graph_id: int) -> Any:
    """Return options for runs that capture and replay this graph on a GPU; -1 captures nothing."""
    options = ort.RunOptions()
    # Unset, looking for it costs 50 microseconds a call.
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options


def open_graph(graph: Path, device: str, index: int, threads: int, *, capture: bool = True) -> Any:
    """Return a graph file, open on a device; ``threads`` inside an operator.

    With ``capture`` a GPU captures steps, where its provider says that it can.
    Raises :class:`ModelError` where the file is broken and :class:`DeviceError` where the GPU
    cannot be used.
    """
    ort.disable_telemetry_events()  # on Windows, where only this is heard
    options = ort.SessionOptions()
    # The graph is written in its fused form. Higher levels would take time, and put together what
    # is quicker and more exact apart (weights/builds/graph_nodes.py).
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what matters is raised
    # Between two steps the window may have the cores: threads that wait there would hold them.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if device == "cuda":
        return _open_cuda(graph, index, options, ("1", "0") if capture else ("0",))
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as error:
        raise ModelError(
            f"{graph.parent.name}/{graph.name} cannot be opened ({_why(error, graph)}); make the"
            " build again, on the Models page or with: sample-explorer models convert."
        ) from error
    huge_pages.gather()
    return session


def captures(session: Any) -> bool:
    """Return whether an open graph has its steps captured on a GPU."""
    options = session.get_provider_options().get(_CUDA, {})
    return bool(options.get("enable_cuda_graph") == "1")


def _open_cuda(graph: Path, index: int, options: Any, captures: Sequence[str]) -> Any:
    """Open on a GPU, with the first of ``captures`` that the provider agrees to."""
    # NVML, which the number comes from, counts by slot; CUDA would put the fastest first.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    # One kernel a layer for the attention of a step, which adds its keys and values itself. The
    # other way (XQA, the default) has three.
    os.environ.setdefault("ORT_ENABLE_XQA", "0")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what it does not find
        # Without cuDNN: its attention would take the place of the faster kernel for steps.
        ort.preload_dlls(cudnn=False)
    # All on the GPU or a clear failure: one node on the CPU would slow every step.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    failure = said.getvalue()
    for capture in captures:
        # The head is in fp32 because fp16 logits tie; TF32 would have no more digits than fp16.
        wishes = {"enable_cuda_graph": capture, "enable_cudnn": "0", "use_tf32": "0"}
        provider = _CUDA, {"device_id": str(index), **wishes}
        try:
            session = _on_cuda(graph, options, provider)
        except _ORT_ERRORS as error:
            failure += f"\n{error}"
            if memory_estimate.is_shortage(str(error)):
                break
            continue
        # A provider that cannot load is left out silently; only this list tells.
        if session.get_providers()[0] == _CUDA:
            return session
    raise DeviceError(devices.cuda_failed(failure))


def _on_cuda(model: Path | bytes, options: Any, provider: tuple[str, dict[str, str]]) -> Any:
    # Else the Python of onnxruntime answers a failure by trying the CPU, and raises what that says.
    return ort.InferenceSession(model, options, providers=[provider], enable_fallback=0)


def open_copier(device: str, index: int, dtype: np.dtype[Any], count: int) -> Any:
    """Return a session that copies ``x0`` [1, H, C, D] to ``y0`` and so on, on the device.

    onnxruntime has no other way to copy part of one array into another without the host.
    """
    from onnx import helper  # a tenth of a second that only a GPU needs

    kind = helper.np_dtype_to_tensor_dtype(dtype)
    shape: list[str | int | None] = [1, "H", "C", "D"]
    inputs, outputs = (
        [helper.make_tensor_value_info(f"{name}{n}", kind, shape) for n in range(count)]
        for name in "xy"
    )
    nodes = [helper.make_node("Identity", [f"x{n}"], [f"y{n}"]) for n in range(count)]
    graph = helper.make_graph(nodes, "copy", inputs, outputs)
    opset = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if device == "cuda":
        return _on_cuda(model, options, (_CUDA, {"device_id": str(index)}))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def place(device: str, index: int) -> Device:
    """Return where arrays of a graph on this device lie."""
    if device == "cpu":
        return Device(device)

    def make(shape: Sequence[int], dtype: DTypeLike) -> Any:
        kind = np.dtype(dtype).type
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, kind, device, index)

    return Device(device, make, index)


def _why(error: Exception, graph: Path) -> str:
    return first_line(error).removeprefix(f"Load model from {graph} failed:").strip()


def first_line(error: Exception) -> str:
    """Return what onnxruntime says, without its own name and error number."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    return text.split("\n")[0][:200].rstrip(".")
