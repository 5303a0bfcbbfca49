"""Channels that stand out: found on text, brought down for what is rounded, the model unchanged."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.manifest import Manifest
from explorer.engine.session import Session
from explorer.weights.builds import smoothing
from explorer.weights.builds.convert import convert
from explorer.weights.builds.packing import COLUMNS, PACKINGS, Storage
from explorer.weights.checkpoints.checkpoint import Checkpoint, open_checkpoint
from tests.builds import make_builds, reader
from tests.loud import make_loud, norms
from tests.tiny import make_tiny

IDS = [7, 3, 290, 0, 151, 7, 299, 64, 1, 30, 31, 32, 33, 5, 5, 8]
NORMS = norms(2)
WIDTH = 64
LOUD = (5, 40)
"""Channels that stand out."""


def loud(folder: Path, by: float, **options: int) -> Path:
    """Write a model whose channels :data:`LOUD` stand out."""
    plain = make_tiny(folder.with_name(f"plain-{folder.name}"), width=WIDTH, **options)
    return make_loud(plain, folder, by, LOUD)


def logits(folder: Path, build: str) -> np.ndarray:
    session = Session(folder, build, "cpu", 1)
    try:
        cache = session.cache(1)
        found = []
        for position, token in enumerate(IDS):
            output = session.step(cache, np.array([token]), np.array([position]))
            found.append(output.logits(0).copy())
        return np.array(found)
    finally:
        session.close()


def converted(source: Path, target: Path, *builds: str) -> Manifest:
    return convert(source, target, builds, "loud", lambda fraction, text: None)


@pytest.mark.parametrize(("build", "by"), [("cpu-int8", 32.0), ("cpu-int4", 128.0)])
def test_a_build_of_a_model_with_loud_channels_is_as_good_as_without(
    tmp_path: Path, build: str, by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {}
    for times in (1.0, by):
        source = loud(tmp_path / f"source{times}", times, context=128)
        for worth in (smoothing.WORTH, 0.0):
            monkeypatch.setattr(smoothing, "WORTH", worth)
            target = tmp_path / f"{times}-{worth}"
            converted(source, target, build, "cpu-fp32")
            away = logits(target, build) - logits(target, "cpu-fp32")
            assert logits(target, "cpu-fp32").std() > 1
            errors[times, worth > 0] = float(np.sqrt(np.square(away).mean()))
        monkeypatch.undo()
    assert errors[by, False] > 1.7 * errors[1.0, False]  # else there is nothing to be mended
    assert errors[by, True] < 1.25 * errors[1.0, False]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_it_finds_the_channels_that_stand_out(tmp_path: Path, precision: str) -> None:
    with open_checkpoint(loud(tmp_path / "source", 32.0)) as checkpoint:
        factors = smoothing.measure(checkpoint, PACKINGS[precision])
    assert list(factors) == NORMS
    for norm, found in factors.items():
        assert found.dtype == np.float32
        assert set(np.argsort(found)[-2:]) == set(LOUD), norm
        assert found[list(LOUD)].min() >= 8
        assert np.median(found) == 1
        assert set(np.frexp(found)[0]) == {0.5}  # powers of two


def test_a_model_without_such_channels_is_left_as_it_is(tmp_path: Path) -> None:
    with open_checkpoint(make_tiny(tmp_path / "source", width=WIDTH)) as checkpoint:
        for precision in PACKINGS.values():
            assert smoothing.measure(checkpoint, precision) == {}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_floating_point_is_not_looked_at(
    tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_checkpoint(loud(tmp_path / "source", 32.0)) as checkpoint:
        monkeypatch.setattr(checkpoint, "blocks", None)
        assert smoothing.measure(checkpoint, PACKINGS[precision]) == {}


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_powers_of_two_change_no_bit_of_a_float(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is divided by whatever: what the model computes in fp32 stays the same."""
    heads = data.draw(st.sampled_from([2, 4]))  # four have 4 channels each, and are padded to 8
    folder = tmp_path_factory.mktemp("power")
    source = make_tiny(folder / "source", head="own", heads=heads)
    norms = data.draw(st.sets(st.sampled_from(NORMS), min_size=1))
    powers = st.lists(st.integers(-12, 12), min_size=16, max_size=16)
    factors = {norm: np.exp2(data.draw(powers)).astype(np.float32) for norm in norms}
    make_builds(source, folder / "plain", "cpu-fp32")
    read = smoothing.smoothed(reader(source), factors)
    make_builds(source, folder / "smooth", "cpu-fp32", read=read)
    plain, smooth = (folder / name / "cpu-fp32/weights.bin" for name in ("plain", "smooth"))
    if any((array != 1).any() for array in factors.values()):
        assert plain.read_bytes() != smooth.read_bytes()
    assert np.array_equal(
        logits(folder / "plain", "cpu-fp32"), logits(folder / "smooth", "cpu-fp32")
    )


def test_parts_of_a_few_rows_make_no_difference(tmp_path: Path) -> None:
    read = reader(make_tiny(tmp_path / "source", head="own"))
    factors = {norm: np.exp2(np.arange(-8, 8)).astype(np.float32) for norm in NORMS}

    def in_parts(name: str) -> list[np.ndarray]:
        (whole,) = read(name)
        return [whole[start : start + 3] for start in range(0, len(whole), 3)]

    whole, parts = smoothing.smoothed(read, factors), smoothing.smoothed(in_parts, factors)
    for name in ("h.0.ln_1.bias", "h.1.attn.c_attn.weight", "h.1.mlp.c_fc.weight", "ln_f.weight"):
        (expected,) = whole(name)
        assert np.array_equal(np.concatenate(list(parts(name))), expected)
        assert not np.array_equal(expected, next(iter(read(name))))
    for name in ("h.0.attn.c_attn.bias", "h.0.attn.c_proj.weight", "wte.weight", "wpe.weight"):
        assert np.array_equal(np.concatenate(list(parts(name))), next(iter(read(name))))
    (head,) = whole("lm_head.weight")
    assert np.array_equal(np.concatenate(list(parts("lm_head.weight"))), head)


def estimate(x: np.ndarray, weight: np.ndarray, block: int) -> float:
    """Return the squared error of rounding both, a row and output, tried instead of reckoned."""
    total = np.zeros((len(x), len(weight)))
    for start in range(0, x.shape[1], block):
        here = slice(start, start + block)
        levels = 64 if block == x.shape[1] else 8
        number_step = np.abs(x[:, here]).max(axis=1, keepdims=True) / 127
        weight_step = np.abs(weight[:, here]).max(axis=1, keepdims=True) / levels
        rounded = np.rint(x[:, here] / number_step) * number_step
        total += rounded @ (np.rint(weight[:, here] / weight_step) * weight_step).T
    return float(np.square(total - x @ weight.T).mean())


@pytest.mark.parametrize("storage", [COLUMNS, Storage(4, 16)])
@pytest.mark.parametrize("kind", ["numbers", "weights", "both", "neither"])
def test_what_is_chosen_errs_less_when_tried(storage: Storage, kind: str) -> None:
    generator = np.random.default_rng(3)
    x, weight = generator.standard_normal((60, 48)), generator.standard_normal((96, 48))
    if kind in ("numbers", "both"):
        x[:, 11] *= 40
    if kind in ("weights", "both"):
        weight[:, 30] *= 40
    weight = weight.astype(np.float32)
    found = smoothing.choose(x, lambda: iter((weight[:50], weight[50:])), storage)
    if kind == "neither":
        assert found is None
        return
    assert found is not None
    block = storage.block or 48
    assert estimate(x / found, weight * found, block) < 0.5 * estimate(x, weight, block)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x, weight: (x * 0, weight),
        lambda x, weight: (x, weight * 0),
        lambda x, weight: (x * np.inf, weight),
        lambda x, weight: (x * 1e200, weight * np.float32(1e30)),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_is_chosen_where_nothing_can_be_said(spoil) -> None:
    generator = np.random.default_rng(4)
    x, weight = spoil(
        generator.standard_normal((8, 16)), generator.standard_normal((24, 16), np.float32)
    )
    assert smoothing.choose(x, lambda: iter((weight,)), COLUMNS) is None


def test_a_silent_channel_and_a_silent_row_are_no_matter() -> None:
    generator = np.random.default_rng(5)
    x, weight = generator.standard_normal((8, 16)), generator.standard_normal((24, 16), np.float32)
    x[:, 3] *= 100
    x[2], x[:, 6], weight[:, 9] = 0, 0, 0
    found = smoothing.choose(x, lambda: iter((weight,)), COLUMNS)
    assert found is not None
    assert found[3] == found.max() > 1
    assert found[6] == found[9] == 1


def test_progress_rises_and_may_cancel(tmp_path: Path) -> None:
    told: list[float] = []
    with open_checkpoint(make_tiny(tmp_path / "source")) as checkpoint:
        smoothing.measure(checkpoint, PACKINGS["int8"], told.append)
        assert told == sorted(told)
        assert told[-1] == 1

        def cancel(fraction: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            smoothing.measure(checkpoint, PACKINGS["int8"], cancel)


def test_a_short_context_gets_as_much_of_the_page_as_it_holds(tmp_path: Path) -> None:
    with open_checkpoint(loud(tmp_path / "source", 32.0, context=4)) as checkpoint:
        assert list(smoothing.measure(checkpoint, PACKINGS["int8"])) == NORMS


def test_a_smoothed_build_has_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = loud(tmp_path / "source", 32.0)
    smooth = converted(source, tmp_path / "smooth", "cpu-int8", "cpu-fp32")
    again = converted(source, tmp_path / "again", "cpu-int8")

    def nothing(checkpoint: Checkpoint, *_: object) -> dict[str, np.ndarray]:
        return {}

    monkeypatch.setattr(smoothing, "measure", nothing)
    plain = converted(source, tmp_path / "plain", "cpu-int8", "cpu-fp32")
    assert smooth.fingerprint == plain.fingerprint  # the same model
    assert smooth.builds["cpu-int8"].fingerprint == again.builds["cpu-int8"].fingerprint
    assert smooth.builds["cpu-int8"].fingerprint != plain.builds["cpu-int8"].fingerprint
    assert smooth.builds["cpu-fp32"] == plain.builds["cpu-fp32"]
