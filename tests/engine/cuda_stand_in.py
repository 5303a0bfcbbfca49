"""An H200 that is made of the CPU: onnxruntime with a CUDA provider that runs fp16 graphs slowly.

What a GPU has and a CPU has not is imitated strictly: memory that the host only reaches by copying,
graphs that are captured at their first run and replayed with the addresses and the scalars of the
host that they were captured with, and a provider that can refuse. What kernels really round or take
is nothing that this could tell.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from explorer.engine import runtime as module

DEVICE = "cuda"
NAME = "NVIDIA H200"

_REAL_SESSION = ort.InferenceSession


class Binding:
    """An IOBinding whose device memory is the CPU's, with what is bound."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.pointers: dict[str, tuple[str, int, int]] = {}

    def bind_input(self, name, device, index, dtype, shape, pointer) -> None:
        self.pointers[name] = (device, index, pointer)
        self.inner.bind_input(name, "cpu", 0, dtype, shape, pointer)

    def bind_output(self, name, device, index, dtype, shape, pointer) -> None:
        self.pointers[name] = (device, index, pointer)
        self.inner.bind_output(name, "cpu", 0, dtype, shape, pointer)


class CudaSession:
    """An InferenceSession on the stand-in."""

    def __init__(self, cuda: Cuda, model: Any, providers: list[Any]) -> None:
        self.cuda = cuda
        ((_, self.provider_options),) = providers
        self.captures = self.provider_options.get("enable_cuda_graph") == "1"
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.inner = _REAL_SESSION(model, options, providers=["CPUExecutionProvider"])
        self.count = 0
        self.bound: dict[str, tuple[str, int, int]] = {}
        """What the last run was given."""
        self.runs: list[int] = []
        """The gpu_graph_id of every run."""
        self.captured: dict[int, tuple[dict[str, Any], int]] = {}
        """What was bound, and the host's scalar, when a graph was captured."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {"CUDAExecutionProvider": self.provider_options}

    def get_providers(self) -> list[str]:
        return [self.cuda.loads_as, "CPUExecutionProvider"]

    def io_binding(self) -> Binding:
        return Binding(self.inner.io_binding())

    def run_with_iobinding(self, binding: Binding, options: Any = None) -> None:
        self.count += 1
        self.bound = dict(binding.pointers)
        if options is not None:
            self._replay(binding, int(options.get_run_config_entry("gpu_graph_id")))
        self.inner.run_with_iobinding(binding.inner, options)

    def _replay(self, binding: Binding, graph: int) -> None:
        self.runs.append(graph)
        if self.captures and graph != -1 and graph not in self.captured and self.cuda.stumbles:
            raise RuntimeError("CUDA failure 901: operation failed during stream capture")
        if not self.captures or graph == -1:
            return
        device, _, address = binding.pointers["total_sequence_length"]
        assert device == "cpu", "a kernel reads it on the host, when it is captured"
        total = int(np.ctypeslib.as_array(_int32(address), (1,))[0])
        known = self.captured.setdefault(graph, (dict(binding.pointers), total))
        assert known == (binding.pointers, total), "a captured graph knows no other addresses"
        away = {place for place in known[0].values() if place[0] != "cpu"}
        assert len(away) > 6
        assert {place[:2] for place in away} == {(DEVICE, int(self.provider_options["device_id"]))}


def _int32(address: int) -> Any:
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_int32))


class Cuda:
    """What the stand-in does and has seen."""

    def __init__(self) -> None:
        self.gpus = (module.devices.Gpu(NAME, (9, 0), 141 << 30, 140 << 30),)
        self.loads_as = "CUDAExecutionProvider"
        self.stumbles = False
        """Whether capturing fails when it is tried."""
        self.refusals: list[Exception] = []
        """Raised one by one by attempts to open a model."""
        self.asked: list[dict[str, str]] = []
        """The options of the provider, of every attempt."""
        self.entries: list[str] = []
        """Whether nodes may fall back to the CPU, of every attempt."""
        self.sessions: list[CudaSession] = []
        self.copied: list[int] = []
        """Bytes of every copy from the device to the host."""
        self.sent: list[int] = []
        """And of every one the other way."""

    def open(
        self, model: Any, options: Any, *, providers: list[Any], enable_fallback: int = 1
    ) -> Any:
        """Stand in for onnxruntime.InferenceSession."""
        if providers == ["CPUExecutionProvider"]:
            return _REAL_SESSION(model, options, providers=providers)
        if not isinstance(model, bytes):
            self.asked.append(dict(providers[0][1]))
            key = "session.disable_cpu_ep_fallback"
            self.entries.append(options.get_session_config_entry(key))
        if self.refusals:
            error = self.refusals.pop(0)
            if enable_fallback:  # onnxruntime's own Python tries the CPU and forgets why
                raise RuntimeError("Conflicting session configuration") from error
            raise error
        self.sessions.append(CudaSession(self, model, providers))
        return self.sessions[-1]

    def block(self, shape: Any, kind: Any, device: str, index: int) -> Block:
        """Stand in for OrtValue.ortvalue_from_shape_and_type."""
        assert (device, index) == (DEVICE, 0)
        return Block(self, np.zeros(tuple(shape), kind))


class Block:
    """Memory of the device."""

    def __init__(self, cuda: Cuda, array: np.ndarray) -> None:
        self._cuda, self._array = cuda, array

    def data_ptr(self) -> int:
        return self._array.ctypes.data

    def numpy(self) -> np.ndarray:
        self._cuda.copied.append(self._array.nbytes)
        return self._array.copy()

    def update_inplace(self, array: np.ndarray) -> None:
        assert (array.shape, array.dtype) == (self._array.shape, self._array.dtype)
        self._cuda.sent.append(array.nbytes)
        self._array[...] = array


def plug_in(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """Make this a machine with one GPU, whose driver and libraries are in order."""
    cuda = Cuda()
    monkeypatch.setattr(
        module.devices,
        "probe",
        lambda provider: module.devices.Facts("Linux", True, "580.65", cuda.gpus),
    )
    monkeypatch.setattr(module.memory_estimate, "free_memory", lambda device: 140 << 30)
    monkeypatch.delenv("ORT_ENABLE_XQA", raising=False)
    changed = {
        "InferenceSession": cuda.open,
        "OrtValue": SimpleNamespace(ortvalue_from_shape_and_type=cuda.block),
        "preload_dlls": lambda cudnn: None,
    }
    monkeypatch.setattr(module, "ort", SimpleNamespace(**{**vars(ort), **changed}))
    return cuda
