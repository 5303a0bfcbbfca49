"""The demonstration model that ships: small enough, whole, and what its card says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.system.paths import Paths
from explorer.weights.checkpoints.checkpoint import Checkpoint, open_checkpoint

FOLDER = Paths.default().bundled_models / "demo"
CARD = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def model() -> Iterator[Checkpoint]:
    with open_checkpoint(FOLDER) as model:
        yield model


def size(path: Path) -> int:
    return path.stat().st_size


def test_it_is_small_enough_to_ship() -> None:
    assert sum(map(size, FOLDER.iterdir())) <= 32e6


def test_it_has_room_and_an_end_of_text(model: Checkpoint) -> None:
    assert model.config.context >= 512
    assert model.tokenizer.end_of_text is not None
    assert model.tied


def test_the_card_describes_this_model(model: Checkpoint) -> None:
    config = model.config
    for words in (
        f"{config.layers} layers, {config.heads} heads, width {config.width}",
        f"context {config.context}",
        f"{model.parameters / 1e6:.1f} M parameters",
        f"{model.tokenizer.vocabulary:,} tokens",
        f"({size(FOLDER / 'model.safetensors') / 1e6:.1f} MB)",
        f"is id {model.tokenizer.end_of_text}",
        "bits per byte",
        "CREDITS.tsv",
    ):
        assert words in CARD
    assert CARD.count("\n> **") == 3  # samples, one try each
    assert "machine-written, first try" in CARD
