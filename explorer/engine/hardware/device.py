"""Which device a build runs on, and the sentence that says why it is not the GPU.

Looking and deciding are apart: :func:`look` asks the driver's management library (NVML) and gathers
:class:`Facts`, :func:`decide` and :func:`options` judge them. Only trying the provider tells
whether CUDA really runs; the session does that and words a failure with :func:`cuda_failed`.

GPUs are numbered as CUDA numbers them for this process: in the order of their slots (the session
sets CUDA_DEVICE_ORDER so), and only those that CUDA_VISIBLE_DEVICES leaves.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.core.errors import InputError
from explorer.engine.hardware import container_limits, system_memory
from explorer.system.settings import DeviceWish, is_device

NEEDED_DRIVER = 580
"""First driver branch that runs CUDA 13, which onnxruntime-gpu 1.31 is built for."""

NEEDED_CAPABILITY = (7, 5)
"""Turing: the oldest GPUs that CUDA 13 knows."""

CUDA_ROWS = 16
"""Steps on a GPU always have this number of rows: kernels are chosen by it, and a seed shall repeat
alone and among neighbours. Idle rows cost nearly nothing while the weights have to be read."""

CPU_BUILD, CUDA_BUILD = "cpu-int8", "cuda-fp16"
"""The build that runs on either device where nobody has named another."""

_PACKAGED = bool(getattr(sys, "frozen", False))
_INSTALL = (
    "install the build for NVIDIA GPUs again"
    if _PACKAGED
    else "install the CUDA libraries with: pip install 'sample-explorer[cuda]'"
)
_NO_PROVIDER = (
    "This is the build for the CPU; install the one for NVIDIA GPUs in its place."
    if _PACKAGED
    else "This onnxruntime has no CUDA; install onnxruntime-gpu in its place."
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as the driver describes it."""

    name: str
    capability: tuple[int, int]
    total_bytes: int | None = None
    free_bytes: int | None = None


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
    index: int = 0
    """Which GPU, where it is ``cuda``."""


@dataclass(frozen=True, slots=True)
class Option:
    """A device as the settings list it."""

    id: str
    """``cpu``, ``cuda:0`` ...; ``cuda`` where there is no GPU, and the reason says why."""
    name: str
    works: bool
    """Whether nothing is known that speaks against it; loading a model has the last word."""
    reason: str = ""
    """Why it does not work, as a sentence a person can act on."""
    driver: str = ""
    libraries: str = ""
    """What runs models there, with versions."""
    total_bytes: int | None = None
    free_bytes: int | None = None


def gpu_index(wish: DeviceWish) -> int | None:
    """Return N of ``cuda:N``; None for every other wish, :class:`InputError` for no wish at all."""
    if not is_device(wish):
        raise InputError(f"There is no device {wish!r}; choose auto, cpu, cuda or cuda:0, cuda:1 …")
    return int(wish.partition(":")[2]) if ":" in wish else None


def decide(wish: DeviceWish, facts: Facts) -> Choice:
    """Return the device to try for ``wish``, and why it is not the GPU where it is not."""
    if wish == "cpu":
        return Choice("cpu", "The CPU was chosen.")
    wanted = gpu_index(wish)
    problem = driver_problem(facts)
    if problem:
        return Choice("cpu", problem)
    if wanted is not None and wanted >= len(facts.gpus):
        there = "only GPU 0" if len(facts.gpus) == 1 else f"GPUs 0 to {len(facts.gpus) - 1}"
        return Choice("cpu", f"There is no GPU {wanted}, {there}; choose another one.")
    problems = [gpu_problem(gpu) for gpu in facts.gpus]
    if wanted is None:
        wanted = problems.index("") if "" in problems else 0
    return Choice("cpu", problems[wanted]) if problems[wanted] else Choice("cuda", "", wanted)


def suitable_build(wish: DeviceWish) -> str:
    """Return the build for a wish; ``auto`` asks the driver what this machine has.

    The provider is taken for granted: only opening a session tells whether it loads.
    """
    if wish == "auto":
        wish = decide(wish, probe(provider=True)).device
    return CUDA_BUILD if is_gpu(wish) else CPU_BUILD


def is_gpu(wish: DeviceWish) -> bool:
    """Whether ``wish`` asks for a GPU, any or a certain one."""
    return wish.partition(":")[0] == "cuda"


def options(facts: Facts | None = None) -> list[Option]:
    """Return the CPU and every GPU, with versions, and why one does not work where it does not.

    Nothing is started for it, so a library that is there and broken shows only when a model loads.
    """
    if facts is None:
        facts = probe(has_provider())
    cores = physical_cores()
    runtime = _versions("onnxruntime-gpu", "onnxruntime")
    found = [
        Option(
            "cpu",
            f"CPU, {cores} core{'s' if cores > 1 else ''}",
            True,
            libraries=runtime,
            total_bytes=system_memory.total(),
            free_bytes=system_memory.free(),
        )
    ]
    driver = facts.driver or ""
    libraries = _versions("onnxruntime-gpu", *_CUDA_PACKAGES)
    general = driver_problem(facts)
    if not facts.gpus:
        return [*found, Option("cuda", "NVIDIA GPU", False, general, driver)]
    for index, gpu in enumerate(facts.gpus):
        reason = general or gpu_problem(gpu) or _libraries_problem()
        found.append(
            Option(
                f"cuda:{index}",
                gpu.name,
                not reason,
                reason,
                driver,
                libraries,
                gpu.total_bytes,
                gpu.free_bytes,
            )
        )
    return found


_CUDA_PACKAGES = ("nvidia-cuda-runtime", "nvidia-cublas", "nvidia-curand")
_CUDA_LIBRARIES = ("cudart", "cublas", "cublasLt", "curand")


def has_provider() -> bool:
    """Whether the onnxruntime that is installed brings the CUDA provider; nothing is imported."""
    spec = importlib.util.find_spec("onnxruntime")
    places = spec.submodule_search_locations if spec is not None else None
    return any(
        next(Path(place, "capi").glob("*onnxruntime_providers_cuda.*"), None) is not None
        for place in places or ()
    )


def _versions(*packages: str) -> str:
    """Return ``name version`` of those packages that are installed."""
    # Here and not above: it brings the standard library's mail parser along.
    from importlib import metadata

    found = []
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def _libraries_problem(places: Sequence[Path] | None = None) -> str:
    """Return which CUDA library is nowhere, neither in a package nor where the loader looks."""
    for name in _CUDA_LIBRARIES:
        if not _has_library(name, _library_folders() if places is None else places):
            return f"The CUDA library {name} was not found; {_INSTALL}."
    return ""


def _library_folders() -> list[Path]:
    """Return where CUDA's libraries lie: the ``nvidia`` packages, then the loader's own folders."""
    spec = importlib.util.find_spec("nvidia")
    roots = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    folders = [
        folder
        for root in roots
        for pattern in ("*/lib", "*/bin", "*/bin/x86_64")
        for folder in root.glob(pattern)
    ]
    variable = "PATH" if sys.platform == "win32" else "LD_LIBRARY_PATH"
    folders += [Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part]
    if sys.platform != "win32":
        folders += [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64")]
        folders += Path("/usr/local").glob("cuda*/lib64")
    return folders


def _has_library(name: str, folders: Sequence[Path]) -> bool:
    patterns = (f"lib{name}.so.1*", f"{name}64_1*.dll")
    return any(next(f.glob(pattern), None) is not None for f in folders for pattern in patterns)


def driver_problem(facts: Facts) -> str:
    """Return what keeps every GPU from being used; empty where nothing does."""
    if facts.system == "Darwin":
        return "CUDA does not exist on macOS."
    if facts.driver is None:
        return f"No NVIDIA driver was found; CUDA 13 needs one of version {NEEDED_DRIVER} or newer."
    if not facts.gpus:
        return f"NVIDIA driver {facts.driver} found, but no GPU that it can use."
    branch = driver_branch(facts.driver)
    if branch is not None and branch < NEEDED_DRIVER:
        return f"NVIDIA driver {branch} found; CUDA 13 needs {NEEDED_DRIVER} or newer."
    if not facts.provider:
        return _NO_PROVIDER
    return ""


def gpu_problem(gpu: Gpu) -> str:
    """Return what keeps this GPU from being used; empty where nothing does."""
    if gpu.capability >= NEEDED_CAPABILITY:
        return ""
    found, needed = (".".join(map(str, pair)) for pair in (gpu.capability, NEEDED_CAPABILITY))
    return f"{gpu.name} has compute capability {found}; CUDA 13 needs {needed} (Turing) or newer."


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


def probe(provider: bool, load: Callable[[str], Any] | None = None) -> Facts:
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
    for index in _visible(count.value):
        handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        major, minor = ctypes.c_int(0), ctypes.c_int(0)
        memory = _NvmlMemory()
        failed = (
            nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(handle))
            or nvml.nvmlDeviceGetName(handle, name, ctypes.c_uint(len(name)))
            or nvml.nvmlDeviceGetCudaComputeCapability(
                handle, ctypes.byref(major), ctypes.byref(minor)
            )
        )
        if not failed:
            capability = (major.value, minor.value)
            told = nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == 0
            size = (memory.total, memory.free) if told else (None, None)
            gpus.append(Gpu(name.value.decode("utf-8", "replace"), capability, *size))
    return tuple(gpus)


class _NvmlMemory(ctypes.Structure):
    """nvmlMemory_t: bytes."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def _visible(count: int) -> list[int]:
    """Return which of the machine's GPUs CUDA shows to this process, in CUDA's order."""
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(range(count))
    shown: list[int] = []
    for part in wanted.split(","):
        # CUDA stops at the first that makes no sense. Names (GPU-...) are left to it.
        if not re.fullmatch(r"\s*\d+\s*", part):
            return list(range(count)) if "GPU-" in part or "MIG-" in part else shown
        if int(part) >= count or int(part) in shown:
            break
        shown.append(int(part))
    return shown


def physical_cores(
    cpus: Sequence[int] | None = None,
    topology: Path | None = None,
    granted: float | None = None,
) -> int:
    """Return how many physical cores this process may use; threads of one core count once.

    ``cpus`` are the processors it may run on, ``topology`` the folder where Linux describes them,
    ``granted`` how many processors' time it gets (None: no limit). Without ``cpus`` the system is
    asked for all three.
    """
    if cpus is None:
        allowed = getattr(os, "sched_getaffinity", None)
        cpus = sorted(allowed(0)) if allowed else range(os.cpu_count() or 1)
        # More threads than a container has time for would wait for each other most of it.
        granted = container_limits.processors() if sys.platform == "linux" else None
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
    count = len(cores) if granted is None else min(len(cores), math.ceil(granted))
    return max(1, count)
