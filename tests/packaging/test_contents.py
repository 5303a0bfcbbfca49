"""What the packaged program holds: decided by rules, so the rules are tested; no build is made."""

import re
from pathlib import Path

import pytest

from resources.install import contents


@pytest.mark.parametrize(
    "path",
    [
        "onnxruntime/capi/libonnxruntime_providers_tensorrt.so",
        "PySide6/Qt/lib/libQt6Quick.so.6",
        "PySide6\\Qt6Network.dll",
        "PySide6/QtTest.abi3.so",
        "PySide6/Qt/plugins/platformthemes/libqgtk3.so",
        "PySide6/Qt/plugins/tls/libqopensslbackend.so",
        "PySide6/Qt/plugins/generic/libqtuiotouchplugin.so",
        "numpy/tests/data.npy",
        "nvidia/cudnn/lib/libcudnn.so.9",
    ],
)
def test_what_no_build_needs_is_left_out_of_both(path):
    assert contents.is_unused(path, cuda=False)
    assert contents.is_unused(path, cuda=True)


@pytest.mark.parametrize(
    "path",
    [
        "onnxruntime/capi/libonnxruntime_providers_cuda.so",
        "onnxruntime/capi/onnxruntime_providers_cuda.dll",
        "nvidia/cu13/lib/libcublasLt.so.13",
        "libcudart.so.13",
        "cublas64_13.dll",
    ],
)
def test_cuda_is_in_the_gpu_build_only(path):
    assert contents.is_unused(path, cuda=False)
    assert not contents.is_unused(path, cuda=True)


@pytest.mark.parametrize(
    "path",
    [
        "onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so",
        "onnxruntime/capi/libonnxruntime_providers_shared.so",
        "PySide6/Qt/lib/libQt6Widgets.so.6",
        "PySide6/Qt/plugins/platforms/libqxcb.so",
        "PySide6/Qt/plugins/platforms/libqwayland.so",
        "PySide6/Qt/plugins/iconengines/libqsvgicon.so",
        "models/demo/model.safetensors",
        "resources/icons/app.svg",
        "numpy.libs/libscipy_openblas64_-32a4b2a6.so",
    ],
)
def test_what_the_program_needs_is_in_both(path):
    assert not contents.is_unused(path, cuda=False)
    assert not contents.is_unused(path, cuda=True)


def stand_in(root: Path, *names: str) -> Path:
    """An ``nvidia`` folder as NVIDIA's wheels make it, with empty files."""
    for name in names:
        path = root / "nvidia" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root / "nvidia"


LIBRARIES = (
    "cu13/lib/libcudart.so.13",
    "cu13/lib/libcublas.so.13",
    "cu13/lib/libcublasLt.so.13",
    "cu13/lib/libcurand.so.10",
)


def test_cuda_libraries_lie_where_onnxruntime_looks_for_them(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    if not onnxruntime.cuda_version:
        pytest.skip("this onnxruntime was built without CUDA")
    others = ("cudnn/lib/libcudnn.so.9", "cu13/include/cublas.h", "cu13/lib/libcublas.txt")
    found = contents.nvidia_libraries([stand_in(tmp_path, *LIBRARIES, *others)])
    packed = {f"{folder}/{Path(file).name}" for file, folder in found}
    assert packed == {f"nvidia/{name}" for name in LIBRARIES}
    looked_for = onnxruntime._get_nvidia_dll_paths(False, cuda=True, cudnn=False)
    needed = {
        "/".join(parts)
        for parts in looked_for
        if re.search(r"lib(cudart|cublas|cublasLt|curand)\.", parts[-1])
    }
    assert needed == packed


@pytest.mark.parametrize("missing", range(len(LIBRARIES)))
def test_a_gpu_build_without_its_libraries_is_refused(tmp_path, missing):
    names = [name for number, name in enumerate(LIBRARIES) if number != missing]
    with pytest.raises(SystemExit, match=r"is not installed: pip install"):
        contents.nvidia_libraries([stand_in(tmp_path, *names)])


def test_libraries_of_the_system_stay_only_while_something_asks_for_them(monkeypatch):
    asks = {
        "/venv/qt.so": ["libxcb-cursor.so.0", "libX11.so.6"],
        "/usr/lib/libxcb-cursor.so.0": ["libxcb-image.so.0"],
        "/usr/lib/libgtk.so": ["libatk.so"],
    }
    monkeypatch.setattr(
        contents, "_needed", lambda files: sorted({n for f in files for n in asks.get(f, ())})
    )
    monkeypatch.setattr(contents.sys, "platform", "linux")
    system = ("libxcb-cursor.so.0", "libxcb-image.so.0", "libX11.so.6", "libgtk.so", "libatk.so")
    binaries = [("PySide6/qt.so", "/venv/qt.so", "BINARY")]
    # Whatever has a folder of its own in the program was put there on purpose.
    binaries.append(("nvidia/cu13/lib/libX11.so.6", "/elsewhere/libX11.so.6", "BINARY"))
    binaries += [(name, f"/usr/lib/{name}", "BINARY") for name in system]
    kept = contents.without_strangers(binaries, ("/venv",))
    assert [entry[0] for entry in kept] == [
        "PySide6/qt.so",
        "nvidia/cu13/lib/libX11.so.6",
        "libxcb-cursor.so.0",
        "libxcb-image.so.0",
    ]


def test_a_library_is_packed_once_and_linked_where_the_loader_looks(monkeypatch):
    monkeypatch.setattr(contents.sys, "platform", "linux")
    where = "nvidia/cu13/lib/libcublas.so.13"
    binaries = [
        (where, "/venv/libcublas.so.13", "BINARY"),
        ("libcublas.so.13", "/venv/libcublas.so.13", "BINARY"),
        ("libssl.so.3", "/usr/lib/libssl.so.3", "BINARY"),
        ("libcurand.so.10", "nvidia/cu13/lib/libcurand.so.10", "SYMLINK"),
    ]
    assert contents.with_one_copy(binaries) == [
        binaries[0],
        ("libcublas.so.13", where, "SYMLINK"),
        *binaries[2:],
    ]


def test_the_licences_are_those_of_what_is_packed():
    packed = ["numpy.random._philox", "PySide6/Qt/lib/libQt6Core.so.6", "yaml", "encodings.utf_8"]
    assert contents.distributions(packed) == {"numpy", "PySide6_Essentials", "PyYAML"}


def test_sizes_are_told_by_part_and_a_limit_is_kept(tmp_path, capsys):
    program = tmp_path / "sample-explorer"
    for name, size in (
        ("sample-explorer", 2_000_000),
        ("_internal/PySide6/Qt/lib/libQt6Core.so.6", 5_000_000),
        ("_internal/numpy/core.so", 1_000_000),
        ("_internal/numpy.libs/libopenblas.so", 3_000_000),
        ("_internal/libssl.so.3", 1_500_000),
        ("_internal/tiny/file", 10),
    ):
        (program / name).parent.mkdir(parents=True, exist_ok=True)
        (program / name).write_bytes(bytes(size))
    assert contents.sizes(program) == [
        ("PySide6", 5_000_000),
        ("numpy", 4_000_000),
        ("Python and the program itself", 2_000_000),
        ("system libraries", 1_500_000),
        ("everything below 1 MB", 10),
    ]
    contents.report(program, largest=13e6)
    assert "12.5  total" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="more than the 12 MB"):
        contents.report(program, largest=12e6)
