"""A model whose activation is gelu itself: its builds, against the reference and beside others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from explorer.core.errors import CheckpointError
from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Start
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.weights.builds.convert import convert
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from tests.engine.test_lanes import Record
from tests.reference import load_reference, log_softmax
from tests.tiny import make_tiny

BUILDS = ("cpu-fp32", "cpu-int8", "cpu-int4")
PROMPT = (10, 20, 30)
EXACT = {"activation_function": "gelu"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("x") / "gelu", width=64, heads=4, config=EXACT)


@pytest.fixture(scope="module")
def made(source: Path) -> Path:
    folder = source.with_name("made")
    convert(source, folder, BUILDS, "gelu", lambda fraction, text: None)
    return folder


@pytest.fixture(params=BUILDS)
def session(made: Path, request: pytest.FixtureRequest) -> Iterator[Session]:
    with closing(Session(made, request.param, "cpu", threads=2)) as session:
        yield session


def run(session: Session, made: Path, starts: list[Start]) -> Record:
    lanes, record = Lanes(session, Tokens.of_model(made, session.manifest), 8), Record()
    for start in starts:
        lanes.start(start)
    while lanes.running:
        record.add(lanes.step())
    record.add(lanes.step())
    return record


def test_greedy_tokens_and_figures_are_those_of_the_reference(made: Path, source: Path) -> None:
    reference = load_reference(source)
    recipe = Recipe(temperature=0, max_tokens=20, end_of_text="ignore")
    with closing(Session(made, "cpu-fp32", "cpu", threads=2)) as session:
        record = run(session, made, [Start((1, 0), 0, 5, PROMPT, recipe)])
    ids = list(PROMPT)
    for token, figures in zip(record.ids[1, 0], record.figures[1, 0], strict=True):
        odds = log_softmax(reference.logits(ids)[-1])
        assert token == int(np.argmax(odds))
        assert abs(figures[0] - odds[token]) < 1e-4
        ids.append(token)


def test_a_candidate_is_the_same_alone_and_among_others(session: Session, made: Path) -> None:
    recipe = Recipe(top_k=0, max_tokens=16, end_of_text="ignore")
    starts = [Start((1, lane), lane, 5, PROMPT[: 1 + lane % 3], recipe) for lane in range(8)]
    together = run(session, made, starts)
    for start in starts:
        alone = run(session, made, [start])
        assert alone.ids[start.key] == together.ids[start.key]
        assert alone.figures[start.key] == together.figures[start.key]  # to the last bit


def test_it_is_another_model_than_with_the_tanh_form(source: Path, tmp_path: Path) -> None:
    twin = make_tiny(tmp_path / "tanh", width=64, heads=4)
    with open_checkpoint(source) as one, open_checkpoint(twin) as two:
        assert one.fingerprint() != two.fingerprint()


def test_an_export_of_it_is_refused(source: Path, tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "x", config=EXACT)
    (folder / "model.safetensors").rename(folder / "model.onnx")
    with pytest.raises(CheckpointError, match="of an ONNX export activation_function must be"):
        open_checkpoint(folder)
