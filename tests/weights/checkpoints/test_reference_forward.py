"""The judge of ``verify`` against the tests' own oracle, which shares no line with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.weights.checkpoints import checkpoint as reading
from explorer.weights.checkpoints import reference_forward
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from tests.reference import load_reference
from tests.tiny import make_tiny


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"head": "own", "layers": 3},
        {"rows": 320, "holes": (17, 40)},
        {"inner": 24, "heads": 4, "shards": 3},
        {"config": {"layer_norm_epsilon": 0.01}},
        {"dtype": "fp16", "prefix": ""},
        {"config": {"activation_function": "gelu"}},
    ],
)
def test_it_is_the_reference(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = make_tiny(tmp_path / "model", **options)
    ids = [3, 3, 290, 0, 151, 7, 299, 64, 1]
    with open_checkpoint(folder) as checkpoint:
        found = reference_forward.logits(checkpoint, ids)
        vocabulary = checkpoint.tokenizer.vocabulary
    expected = load_reference(folder).logits(ids)[:, :vocabulary]
    assert found.dtype == np.float64
    assert found.shape == (9, vocabulary)
    np.testing.assert_array_less(np.abs(found - expected), 1e-10 * np.maximum(1, abs(expected)))


def test_parts_of_a_few_rows_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_tiny(tmp_path / "model", head="own")
    ids = [299, 0, 0, 17, 250]
    with open_checkpoint(folder) as checkpoint:
        whole = reference_forward.logits(checkpoint, ids)
    monkeypatch.setattr(reading, "_BLOCK", 1)
    monkeypatch.setattr(reading, "BLOCK_ROWS", 3)
    with open_checkpoint(folder) as checkpoint:
        assert len(list(checkpoint.blocks("wte.weight"))) == 100
        parts = reference_forward.logits(checkpoint, ids)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-11)


@settings(max_examples=20)
@given(data=st.data())
def test_a_token_sees_only_what_came_before(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "causal"
    if not folder.exists():
        make_tiny(folder)
    ids = data.draw(st.lists(st.integers(0, 299), min_size=2, max_size=12))
    cut = data.draw(st.integers(1, len(ids) - 1))
    with open_checkpoint(folder) as checkpoint:
        whole, part = (
            reference_forward.logits(checkpoint, ids),
            reference_forward.logits(checkpoint, ids[:cut]),
        )
    np.testing.assert_allclose(whole[:cut], part, rtol=0, atol=1e-11)


def test_it_tells_how_far_it_is_and_can_be_cancelled(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "model")
    told: list[float] = []
    with open_checkpoint(folder) as checkpoint:
        reference_forward.logits(checkpoint, [1, 2], told.append)
        assert told == sorted(told)
        assert told[-1] == 1
        assert len(told) == 4  # both embeddings, two layers, the head

        def cancel(fraction: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reference_forward.logits(checkpoint, [1], cancel)


@pytest.mark.parametrize("ids", [[], [300], [-1], [0] * 65])
def test_ids_that_do_not_fit_are_refused(tmp_path: Path, ids: list[int]) -> None:
    with (
        open_checkpoint(make_tiny(tmp_path / "model")) as checkpoint,
        pytest.raises(ValueError, match="do not fit"),
    ):
        reference_forward.logits(checkpoint, ids)


def test_reading_it_all_leaves_nothing_for_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_checkpoint(make_tiny(tmp_path / "model", head="own")) as checkpoint:
        expected = checkpoint.fingerprint()
    with open_checkpoint(tmp_path / "model") as checkpoint:
        reference_forward.logits(checkpoint, [1, 2, 3])

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is read again")

        monkeypatch.setattr(checkpoint, "read", refuse)
        monkeypatch.setattr(checkpoint, "blocks", refuse)
        assert checkpoint.fingerprint() == expected
