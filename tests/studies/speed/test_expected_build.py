from dataclasses import replace

import pytest

from explorer.core.manifest import BUILD_NAMES, Manifest
from explorer.engine.memory_estimate import estimate
from explorer.studies.speed.expected_build import expected_build, needed
from explorer.weights.builds.convert import convert
from tests.tiny import make_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("fitting")
    make_tiny(place / "tiny", layers=3, heads=4, width=256, context=128, vocabulary=1200)
    convert(place / "tiny", place / "made", list(BUILD_NAMES), "tiny", lambda *_: None)
    return place / "made"


@pytest.mark.parametrize("name", BUILD_NAMES)
def test_a_build_that_could_be_made_is_foreseen_as_it_will_be(folder, name):
    manifest = Manifest.read(folder)
    made, foreseen = manifest.builds[name], expected_build(manifest, name)
    assert foreseen.bytes == pytest.approx(made.bytes, rel=0.15)
    known = ("device_class", "precision", "kv_head_size", "top", "bits", "block", "even_rows")
    assert all(getattr(made, each) == getattr(foreseen, each) for each in known)


@pytest.mark.parametrize("name", BUILD_NAMES)
def test_its_memory_is_reckoned_like_that_of_one_that_is_there(folder, name):
    manifest = Manifest.read(folder)
    assert needed(manifest, name, 4) == estimate(manifest, name, 4)
    bare = replace(manifest, builds={})
    whole = estimate(manifest, name, 4).total
    assert needed(bare, name, 4).total == pytest.approx(whole, rel=0.15)
