"""Which device a build runs on, and the sentence that says why it is not the GPU.

Looking and deciding are apart: :func:`look` asks the driver's management library (NVML) and gathers
:class:`Facts`, :func:`decide` is a pure function of them. Only trying the provider tells whether
CUDA really runs; the session does that and words a failure with :func:`cuda_failed`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.engine.messages import DeviceWish

NEEDED_DRIVER = 580
"""First driver branch that runs CUDA 13, which onnxruntime-gpu 1.31 is built for."""

NEEDED_CAPABILITY = (7, 5)
"""Turing: the oldest GPUs that CUDA 13 knows."""

_INSTALL = "install the CUDA libraries with: pip install 'sample-explorer[cuda]'"


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as the driver describes it."""

    name: str
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be known without starting CUDA."""

    system: str
    """``Linux``, ``Windows`` or ``Darwin``."""
    provider: bool
    """Whether this onnxruntime was built with the CUDA provider."""
    driver: str | None = None
    """Version of the NVIDIA driver such as ``580.65.06``; None where there is none."""
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A device and, where it is the CPU, why."""

    device: str
    """``cpu`` or ``cuda``."""
    reason: str = ""
    """A sentence a person can act on; empty where the device is the one that was asked for."""


def decide(wish: DeviceWish, facts: Facts) -> Choice:
    """Return the device to try for ``wish``, and why it is not the GPU where it is not."""
    if wish == "cpu":
        return Choice("cpu", "The CPU was chosen in the settings.")
    problem = _problem(facts)
    return Choice("cpu", problem) if problem else Choice("cuda")


def _problem(facts: Facts) -> str:
    if facts.system == "Darwin":
        return "CUDA does not exist on macOS."
    if facts.driver is None:
        return f"No NVIDIA driver was found; CUDA 13 needs one of version {NEEDED_DRIVER} or newer."
    if not facts.gpus:
        return f"NVIDIA driver {facts.driver} found, but no GPU that it can use."
    branch = driver_branch(facts.driver)
    if branch is not None and branch < NEEDED_DRIVER:
        return f"NVIDIA driver {branch} found; CUDA 13 needs {NEEDED_DRIVER} or newer."
    gpu = facts.gpus[0]
    if gpu.capability < NEEDED_CAPABILITY:
        found, needed = (".".join(map(str, pair)) for pair in (gpu.capability, NEEDED_CAPABILITY))
        return (
            f"{gpu.name} has compute capability {found}; CUDA 13 needs {needed} (Turing) or newer."
        )
    if not facts.provider:
        return "This onnxruntime has no CUDA; install onnxruntime-gpu in its place."
    return ""


def driver_branch(version: str) -> int | None:
    """Return the branch of a driver version: 580 for ``580.65.06``; None where it has none."""
    match = re.match(r"\s*(\d{3,4})\b", version)
    return int(match[1]) if match else None


def cuda_failed(message: str) -> str:
    """Return the sentence for a CUDA provider that was there and did not start.

    ``message`` is what onnxruntime or the loader said.
    """
    library = re.search(
        r"(lib(?:cublas|cudart|curand|cufft)\w*\.so[.\d]*|(?:cublas|cudart|curand)\w*\.dll)",
        message,
    )
    if library:
        return f"CUDA did not start because {library[1]} is missing; {_INSTALL}."
    if re.search(r"libcudnn|cudnn\d*\w*\.dll", message):
        return "CUDA did not start because of cuDNN; remove it or install one for CUDA 13."
    if re.search(r"out of memory|CUDA_ERROR_OUT_OF_MEMORY|CUDA failure 2\b", message):
        return "The GPU has too little free memory; close other programs or choose the CPU."
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    detail = lines[0][:200].rstrip(".") if lines else f"no reason given; {_INSTALL}"
    return f"CUDA did not start ({detail})."


def look(provider: bool, load: Callable[[str], Any] | None = None) -> Facts:
    """Ask the NVIDIA driver what is there, through NVML, which starts no CUDA context.

    ``provider`` says whether onnxruntime has the CUDA provider; ``load`` opens a shared library.
    """
    system = platform.system()
    if system == "Darwin":
        return Facts(system, provider)
    name = "nvml.dll" if system == "Windows" else "libnvidia-ml.so.1"
    try:
        nvml = (load or ctypes.CDLL)(name)
    except OSError:
        return Facts(system, provider)
    if nvml.nvmlInit_v2() != 0:
        return Facts(system, provider)
    try:
        return Facts(system, provider, _driver(nvml), _gpus(nvml))
    finally:
        nvml.nvmlShutdown()


def _driver(nvml: Any) -> str | None:
    text = ctypes.create_string_buffer(96)
    failed = nvml.nvmlSystemGetDriverVersion(text, ctypes.c_uint(len(text)))
    return None if failed else text.value.decode("ascii", "replace")


def _gpus(nvml: Any) -> tuple[Gpu, ...]:
    count = ctypes.c_uint(0)
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return ()
    gpus = []
    for index in range(count.value):
        handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        major, minor = ctypes.c_int(0), ctypes.c_int(0)
        failed = (
            nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle))
            or nvml.nvmlDeviceGetName(handle, name, ctypes.c_uint(len(name)))
            or nvml.nvmlDeviceGetCudaComputeCapability(
                handle, ctypes.byref(major), ctypes.byref(minor)
            )
        )
        if not failed:
            capability = (major.value, minor.value)
            gpus.append(Gpu(name.value.decode("utf-8", "replace"), capability))
    return tuple(gpus)


def physical_cores(cpus: Sequence[int] | None = None, topology: Path | None = None) -> int:
    """Return how many physical cores this process may use; threads of one core count once.

    ``cpus`` are the processors it may run on, ``topology`` the folder where Linux describes them.
    """
    if cpus is None:
        allowed = getattr(os, "sched_getaffinity", None)
        cpus = sorted(allowed(0)) if allowed else range(os.cpu_count() or 1)
    if sys.platform == "win32" and topology is None:
        # Windows lists no cores in a readable place; nearly every x86 one has two threads.
        return max(1, len(cpus) // 2)
    folder = topology or Path("/sys/devices/system/cpu")
    cores = set()
    for cpu in cpus:
        try:
            cores.add((folder / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))
