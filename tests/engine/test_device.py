"""Device decisions with made-up drivers: every fallback is a sentence that says what to do."""

import pytest

from explorer.engine.device import (
    Choice,
    Facts,
    Gpu,
    cuda_failed,
    decide,
    driver_branch,
    look,
    physical_cores,
)

H200 = Gpu("NVIDIA H200", (9, 0))


def facts(driver="580.65.06", gpus=(H200,), provider=True, system="Linux"):
    return Facts(system, provider, driver, gpus)


def test_a_fitting_gpu_is_chosen():
    assert decide("auto", facts()) == Choice("cuda", "")
    assert decide("cuda", facts()) == Choice("cuda", "")


def test_the_cpu_can_be_chosen():
    assert decide("cpu", facts()) == Choice("cpu", "The CPU was chosen in the settings.")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (facts("535.183.01"), "NVIDIA driver 535 found; CUDA 13 needs 580 or newer."),
        (facts("470.256.02"), "NVIDIA driver 470 found; CUDA 13 needs 580 or newer."),
        (facts(None), "No NVIDIA driver was found; CUDA 13 needs one of version 580 or newer."),
        (facts(gpus=()), "NVIDIA driver 580.65.06 found, but no GPU that it can use."),
        (
            facts(gpus=(Gpu("NVIDIA GeForce GTX 1080", (6, 1)),)),
            "NVIDIA GeForce GTX 1080 has compute capability 6.1; "
            "CUDA 13 needs 7.5 (Turing) or newer.",
        ),
        (
            facts(provider=False),
            "This onnxruntime has no CUDA; install onnxruntime-gpu in its place.",
        ),
        (facts(system="Darwin"), "CUDA does not exist on macOS."),
    ],
)
def test_every_obstacle_has_its_sentence(found, sentence):
    assert decide("auto", found) == Choice("cpu", sentence)
    assert decide("cuda", found) == Choice("cpu", sentence)


@pytest.mark.parametrize(
    ("version", "branch"),
    [("580.65.06", 580), ("535", 535), (" 610.10", 610), ("", None), ("[N/A]", None), ("5", None)],
)
def test_driver_versions(version, branch):
    assert driver_branch(version) == branch


def test_an_unreadable_driver_version_is_given_a_chance():
    assert decide("auto", facts("unknown")).device == "cuda"


@pytest.mark.parametrize(
    ("message", "part"),
    [
        (
            "Failed to load library libonnxruntime_providers_cuda.so with error: "
            "libcublasLt.so.13: cannot open shared object file",
            "libcublasLt.so.13 is missing; install the CUDA libraries with: pip install",
        ),
        ("LoadLibrary failed with error 126 cublas64_13.dll", "cublas64_13.dll is missing"),
        ("libcudnn.so.9: cannot open shared object file", "because of cuDNN"),
        ("CUDA failure 2: out of memory ; GPU=0", "too little free memory"),
        (
            "CUDA error: something new.\nand a trace",
            "CUDA did not start (CUDA error: something new).",
        ),
        ("", "sample-explorer[cuda]"),
    ],
)
def test_a_cuda_failure_becomes_one_sentence(message, part):
    sentence = cuda_failed(message)
    assert part in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


class FakeNvml:
    """The few functions of NVML that are used, over ``gpus``."""

    def __init__(self, version=b"580.65.06", gpus=(H200,), init=0):
        self._version, self._gpus, self._init, self.closed = version, gpus, init, 0

    def nvmlInit_v2(self):
        return self._init

    def nvmlShutdown(self):
        self.closed += 1
        return 0

    def nvmlSystemGetDriverVersion(self, text, length):
        text.value = self._version[: length.value - 1]
        return 0

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = len(self._gpus)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        handle._obj.value = index.value + 1
        return 0

    def nvmlDeviceGetName(self, handle, name, length):
        name.value = self._gpus[handle.value - 1].name.encode()[: length.value - 1]
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle, major, minor):
        major._obj.value, minor._obj.value = self._gpus[handle.value - 1].capability
        return 0


@pytest.fixture(params=["Linux", "Windows"])
def system(request, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: request.param)
    return request.param


def test_look_reads_driver_and_gpus(system):
    nvml, names = FakeNvml(gpus=(H200, Gpu("Tesla T4", (7, 5)))), []

    def load(name):
        names.append(name)
        return nvml

    found = look(True, load)
    assert found == Facts(system, True, "580.65.06", (H200, Gpu("Tesla T4", (7, 5))))
    assert names == ["nvml.dll" if system == "Windows" else "libnvidia-ml.so.1"]
    assert nvml.closed == 1


def test_look_without_a_driver(system):
    def load(name):
        raise OSError(f"{name}: cannot open shared object file")

    assert look(False, load) == Facts(system, False)


def test_look_at_a_driver_that_does_not_answer(system):
    assert look(True, lambda name: FakeNvml(init=9)) == Facts(system, True)


def test_look_at_a_gpu_that_vanished(system):
    nvml = FakeNvml()
    nvml.nvmlDeviceGetName = lambda *arguments: 15
    assert look(True, lambda name: nvml).gpus == ()


def test_macos_is_not_asked(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert look(False, lambda name: pytest.fail("looked for NVML")) == Facts("Darwin", False)


def test_threads_of_one_core_count_once(tmp_path):
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert physical_cores([0, 1, 2, 3], tmp_path) == 2
    assert physical_cores([0, 2], tmp_path) == 1
    assert physical_cores([1], tmp_path) == 1


def test_without_a_topology_every_processor_is_a_core(tmp_path):
    assert physical_cores([0, 1, 5], tmp_path) == 3


def test_there_is_at_least_one_core():
    assert physical_cores() >= 1
