"""What a step reads, against the files of real builds; the advice, against what was measured."""

import pytest

from explorer.core.manifest import Manifest
from explorer.engine import memory_estimate
from explorer.studies.speed.memory_bound import faster, read_bandwidth, step_bytes, weight_bytes
from tests.builds import make_builds
from tests.tiny import make_tiny

BUILDS = ("cpu-fp32", "cpu-int8", "cpu-int4", "cuda-fp16")


@pytest.fixture(scope="module", params=[None, 768, 3072])
def folder(request, tmp_path_factory):
    """With the inner width that follows from the width, a smaller and a larger one."""
    source = make_tiny(
        tmp_path_factory.mktemp("tiny"),
        width=256,
        heads=4,
        layers=3,
        vocabulary=4096,
        inner=request.param,
    )
    return make_builds(source, tmp_path_factory.mktemp("models") / "tiny", *BUILDS)


@pytest.mark.parametrize("name", BUILDS)
def test_a_step_reads_the_file_without_the_tables(folder, name):
    manifest = Manifest.read(folder)
    build = manifest.builds[name]
    size = (folder / name / "weights.bin").stat().st_size
    number = 2 if name == "cuda-fp16" else 4
    tables = number * manifest.context * manifest.width
    if build.bits is not None:
        tables += 2 * manifest.vocabulary * manifest.width  # the embedding, in half precision
    # What is left over are biases and norms.
    assert 0.9 * (size - tables) < weight_bytes(manifest, build) <= size - tables


def test_every_lane_reads_its_own_cache(folder):
    manifest = Manifest.read(folder)
    build = manifest.builds["cpu-int8"]
    more = step_bytes(manifest, build, 3, 50) - step_bytes(manifest, build, 1, 50)
    assert more == 2 * 50 * memory_estimate.position_bytes(manifest, build)


def test_memory_is_read_at_some_speed():
    assert 1e8 < read_bandwidth(2) < 1e13


def test_the_advice_names_bytes_lanes_and_device(folder):
    manifest = Manifest.read(folder)

    def said(name, rates, reached=0.6, gpu=False):
        return faster(manifest, manifest.builds[name], rates, reached, gpu=gpu)

    assert "--precision int8 reads 25% of these" in said("cpu-fp32", {1: 10.0})
    assert "--precision int8" in said("cpu-fp32", {1: 10.0}, reached=None)
    assert "--precision int8" in said("cpu-fp32", {1: 10.0}, reached=1.5)
    assert "fewer bytes" not in said("cpu-fp32", {1: 10.0}, reached=0.01)
    fewer = "fewer bytes for one lane (--precision int4 reads"
    assert fewer in said("cpu-int8", {1: 10.0, 8: 20.0})
    assert "fewer bytes" not in said("cpu-int8", {8: 20.0})
    assert "fewer bytes" not in said("cpu-int4", {1: 10.0})
    assert "(8 make 2.5 times as many tokens as 1)" in said("cpu-int8", {1: 10.0, 8: 25.0})
    assert "more lanes" not in said("cpu-int8", {1: 10.0, 8: 10.5})
    assert "--lanes 8" in said("cpu-int8", {1: 10.0})
    assert "--device cuda" in said("cpu-int8", {1: 10.0}, gpu=True)
    assert said("cuda-fp16", {16: 10.0}, gpu=True) == (
        "What would be faster: a GPU with faster memory."
    )
