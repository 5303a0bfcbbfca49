"""The divergence of two builds: against its definition, and over windows, chunks and rows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from explorer.engine.session import Session
from explorer.studies.quality import divergence as studied
from explorer.studies.quality.divergence import compare, divergence, log_odds
from explorer.studies.quality.held_out_text import Window
from tests.builds import make_builds, spec_of
from tests.reference import load_reference, log_softmax
from tests.tiny import make_tiny

LOGITS = arrays.arrays(np.float64, (3, 7), elements=st.floats(-30, 30))


@given(expected=LOGITS, found=LOGITS)
def test_it_is_never_negative_and_follows_the_definition(
    expected: np.ndarray, found: np.ndarray
) -> None:
    one, other = log_odds(expected), log_odds(found)
    assert np.exp(one).sum(axis=1) == pytest.approx(1)
    result = divergence(one, other)
    assert (result >= 0).all()
    for row in range(3):
        terms = [np.exp(a) * (a - b) for a, b in zip(one[row], other[row], strict=True)]
        assert result[row] == pytest.approx(max(sum(terms), 0), abs=1e-12)


@given(logits=LOGITS, shift=st.floats(-50, 50))
def test_equal_distributions_do_not_diverge(logits: np.ndarray, shift: float) -> None:
    assert divergence(log_odds(logits), log_odds(logits + shift)) == pytest.approx(0, abs=1e-9)


def test_what_is_never_drawn_adds_nothing_and_what_must_not_vanish_is_infinite() -> None:
    logits = np.array([[0.0, 1.0, -np.inf]])
    assert divergence(log_odds(logits), log_odds(logits)) == 0
    assert divergence(log_odds(np.zeros((1, 3))), log_odds(logits)) == np.inf
    assert np.isfinite(divergence(log_odds(logits), log_odds(np.zeros((1, 3)))))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Session]:
    folder = tmp_path_factory.mktemp("builds")
    make_tiny(folder / "source", width=32)
    made = make_builds(folder / "source", folder / "model", "cpu-fp32", "cpu-int8", "cpu-int4")
    return {name: Session(made, name, "cpu") for name in ("cpu-fp32", "cpu-int8", "cpu-int4")}


@pytest.fixture
def windows() -> list[Window]:
    ids = np.random.default_rng(0).integers(0, 300, 101).tolist()
    return [Window(ids[:64], ids[1:65]), Window(ids[64:100], ids[65:])]


def test_it_is_what_the_oracle_says(sessions: dict[str, Session], windows: list[Window]) -> None:
    reference, other = sessions["cpu-fp32"], sessions["cpu-int4"]
    oracle = load_reference(reference.folder.parent / "source")
    found = compare(reference, other, windows)
    nats = 0.0
    for window in windows:
        exact = log_softmax(oracle.logits(window.given))
        nats -= exact[np.arange(len(window.targets)), window.targets].sum()
    assert found.reference_nats == pytest.approx(nats, rel=1e-5)
    assert found.kl.shape == (100,)
    assert 0.001 < found.kl.mean() < 1
    assert 0.5 < found.same < 1
    assert found.nats != found.reference_nats
    better = compare(reference, sessions["cpu-int8"], windows)
    assert better.kl.mean() < found.kl.mean() / 10
    assert better.same > found.same


def test_a_build_does_not_diverge_from_itself(
    sessions: dict[str, Session], windows: list[Window]
) -> None:
    found = compare(sessions["cpu-fp32"], sessions["cpu-fp32"], windows)
    assert found.kl.tolist() == [0.0] * 100
    assert (found.same, found.nats) == (1.0, found.reference_nats)


@pytest.mark.parametrize("tokens", [1, 7, 40])
def test_chunks_of_any_size_give_the_same(
    sessions: dict[str, Session],
    windows: list[Window],
    tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = compare(sessions["cpu-fp32"], sessions["cpu-int8"], windows)
    monkeypatch.setattr(studied, "_LOGITS_BYTES", 4 * 300 * tokens)
    sizes = []
    prefill = Session.prefill

    def watched(self: Session, cache: object, ids: list[int], *rest: object, **more: object):
        sizes.append(len(ids))
        return prefill(self, cache, ids, *rest, **more)

    monkeypatch.setattr(Session, "prefill", watched)
    found = compare(sessions["cpu-fp32"], sessions["cpu-int8"], windows)
    assert max(sizes) == tokens
    assert found.kl == pytest.approx(whole.kl, abs=1e-6)
    assert found.nats == pytest.approx(whole.nats, rel=1e-7)


def test_it_tells_how_far_it_is_and_can_be_cancelled(
    sessions: dict[str, Session], windows: list[Window]
) -> None:
    told: list[float] = []
    compare(sessions["cpu-fp32"], sessions["cpu-int8"], windows, told.append)
    assert told == [0.64, 1.0]

    def cancel(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(sessions["cpu-fp32"], sessions["cpu-int8"], windows, cancel)


def test_holes_count_for_nothing(tmp_path: Path) -> None:
    source = make_tiny(tmp_path / "source", holes=(3, 200))
    spec = spec_of(source, undrawable=(3, 200))
    made = make_builds(source, tmp_path / "model", "cpu-fp32", "cpu-int8", spec=spec)
    with (
        closing(Session(made, "cpu-fp32", "cpu")) as one,
        closing(Session(made, "cpu-int8", "cpu")) as other,
    ):
        found = compare(one, other, [Window([1, 2, 4], [2, 4, 5])])
    assert np.isfinite(found.kl).all()
    assert found.kl.max() > 0
