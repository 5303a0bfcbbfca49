"""Device decisions with made-up drivers: every fallback is a sentence that says what to do."""

import pytest

from explorer.core.errors import InputError
from explorer.engine.hardware import device
from explorer.engine.hardware.device import (
    Choice,
    Facts,
    Gpu,
    cuda_failed,
    decide,
    driver_branch,
    gpu_index,
    options,
    physical_cores,
    probe,
)

H200 = Gpu("NVIDIA H200", (9, 0), 150_000_000_000, 149_000_000_000)
T4 = Gpu("Tesla T4", (7, 5), 16_000_000_000, 15_000_000_000)
OLD = Gpu("NVIDIA GeForce GTX 1080", (6, 1), 8_000_000_000, 8_000_000_000)


def facts(driver="580.65.06", gpus=(H200,), provider=True, system="Linux"):
    return Facts(system, provider, driver, gpus)


def test_a_fitting_gpu_is_chosen():
    assert decide("auto", facts()) == Choice("cuda", "")
    assert decide("cuda", facts()) == Choice("cuda", "")


def test_the_cpu_can_be_chosen():
    assert decide("cpu", facts()) == Choice("cpu", "The CPU was chosen.")


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


def test_one_of_several_gpus_is_chosen():
    found = facts(gpus=(OLD, H200, T4))
    assert decide("auto", found) == decide("cuda", found) == Choice("cuda", "", 1)
    assert decide("cuda:2", found) == Choice("cuda", "", 2)
    assert "compute capability 6.1" in decide("cuda:0", found).reason
    assert decide("cuda:3", found) == Choice(
        "cpu", "There is no GPU 3, GPUs 0 to 2; choose another one."
    )
    assert "only GPU 0" in decide("cuda:1", facts()).reason


@pytest.mark.parametrize(
    ("wish", "build"),
    [
        ("auto", "cuda-fp16"),
        ("cpu", "cpu-int8"),
        ("cuda", "cuda-fp16"),
        ("cuda:0", "cuda-fp16"),
        ("cuda:12", "cuda-fp16"),
    ],
)
def test_a_wish_means_a_build(monkeypatch, wish, build):
    monkeypatch.setattr(device, "probe", lambda provider: facts())
    assert device.suitable_build(wish) == build
    # Only "auto" gives way: whoever asks for a GPU is to hear why there is none.
    monkeypatch.setattr(device, "probe", lambda provider: facts(None))
    assert device.suitable_build(wish) == ("cpu-int8" if wish == "auto" else build)


@pytest.mark.parametrize("wish", ["gpu", "cuda:", "cuda:-1", "cuda:1x", "", "CPU", "cuda:0\n"])
def test_what_names_no_device_is_refused(wish):
    with pytest.raises(InputError, match="no device"):
        gpu_index(wish)


def test_the_list_has_every_device_with_its_reason(monkeypatch):
    monkeypatch.setattr(device, "_libraries_problem", lambda: "")
    cpu, *gpus = options(facts(gpus=(OLD, H200)))
    assert (cpu.id, cpu.works, cpu.reason) == ("cpu", True, "")
    assert "onnxruntime" in cpu.libraries
    assert cpu.total_bytes >= cpu.free_bytes > 0
    assert [(each.id, each.works, each.driver) for each in gpus] == [
        ("cuda:0", False, "580.65.06"),
        ("cuda:1", True, "580.65.06"),
    ]
    assert "compute capability 6.1" in gpus[0].reason
    assert (gpus[1].total_bytes, gpus[1].free_bytes) == (150_000_000_000, 149_000_000_000)
    (none,) = options(facts(driver=None, gpus=()))[1:]
    assert (none.id, none.works) == ("cuda", False)
    assert none.reason.startswith("No NVIDIA driver")


def test_a_missing_cuda_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "_library_folders", lambda: [tmp_path])
    for name in ("cudart", "cublas", "cublasLt"):
        (tmp_path / f"lib{name}.so.13").touch()
    (gpu,) = options(facts())[1:]
    assert not gpu.works
    assert gpu.reason.startswith("The CUDA library curand was not found; install")
    (tmp_path / "curand64_10.dll").touch()
    assert options(facts())[1].works


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        ("1,0", ["Tesla T4", "NVIDIA H200"]),
        ("1", ["Tesla T4"]),
        ("", []),
        ("-1", []),
        ("0,7,1", ["NVIDIA H200"]),
        ("GPU-1234", ["NVIDIA H200", "Tesla T4"]),
    ],
)
def test_gpus_are_counted_as_cuda_shows_them(shown, names, system, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    found = probe(True, lambda name: FakeNvml(gpus=(H200, T4)))
    assert [gpu.name for gpu in found.gpus] == names


def test_a_gpu_that_hides_its_memory_is_listed_all_the_same(system):
    nvml = FakeNvml()
    nvml.nvmlDeviceGetMemoryInfo = lambda *arguments: 3
    assert probe(True, lambda name: nvml).gpus == (Gpu("NVIDIA H200", (9, 0)),)


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

    def nvmlDeviceGetMemoryInfo(self, handle, memory):
        gpu = self._gpus[handle.value - 1]
        memory._obj.total, memory._obj.free = gpu.total_bytes, gpu.free_bytes
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle, major, minor):
        major._obj.value, minor._obj.value = self._gpus[handle.value - 1].capability
        return 0


@pytest.fixture(params=["Linux", "Windows"])
def system(request, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: request.param)
    return request.param


def test_look_reads_driver_and_gpus(system):
    nvml, names = FakeNvml(gpus=(H200, T4)), []

    def load(name):
        names.append(name)
        return nvml

    found = probe(True, load)
    assert found == Facts(system, True, "580.65.06", (H200, T4))
    assert names == ["nvml.dll" if system == "Windows" else "libnvidia-ml.so.1"]
    assert nvml.closed == 1


def test_look_without_a_driver(system):
    def load(name):
        raise OSError(f"{name}: cannot open shared object file")

    assert probe(False, load) == Facts(system, False)


def test_look_at_a_driver_that_does_not_answer(system):
    assert probe(True, lambda name: FakeNvml(init=9)) == Facts(system, True)


def test_look_at_a_gpu_that_vanished(system):
    nvml = FakeNvml()
    nvml.nvmlDeviceGetName = lambda *arguments: 15
    assert probe(True, lambda name: nvml).gpus == ()


def test_macos_is_not_asked(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert probe(False, lambda name: pytest.fail("looked for NVML")) == Facts("Darwin", False)


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
