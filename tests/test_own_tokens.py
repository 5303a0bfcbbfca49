"""A model that was fine-tuned with tokens of its own, from its folder to the texts that it writes.

Nothing is faked: the tiny model is converted, opened and run as a person's would be.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from explorer.core.manifest import Manifest
from explorer.core.recipe import EndOfText, Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Ended, Start, Steps
from explorer.engine.scoring import score
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import temporary_builds
from explorer.studies.quality.verify import verify
from explorer.weights.builds.convert import convert
from explorer.weights.store.store import Store
from tests.studies.places import make_places
from tests.tiny import make_tiny

NAMED, END, BEGIN = 297, 298, 299  # <|endoftext|>, <|end|>, <|begin|>
OWN = {"eos_token_id": END, "bos_token_id": BEGIN}
PROMPT = (10, 20, 30)
TRIES = 60


def quiet(fraction: float, text: str) -> None:
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Session, Tokens]]:
    folder = tmp_path_factory.mktemp("own")
    added = ("<|end|>", "<|begin|>")
    # Flat enough that each of the three is drawn in some tries, and in none of others.
    source = make_tiny(folder / "source", added=added, config=OWN, spread=0.8, seed=4)
    convert(source, folder / "made", ["cpu-fp32"], "own", quiet)
    with closing(Session(folder / "made", "cpu-fp32", "cpu", threads=1)) as session:
        yield session, Tokens.of_model(folder / "made", session.manifest)


def write(
    model: tuple[Session, Tokens], rule: EndOfText, prompt: tuple[int, ...] = PROMPT
) -> list[tuple[list[int], str, str]]:
    """Return ids, text and end of candidates that draw from the whole vocabulary."""
    lanes = Lanes(*model, lanes=8)
    recipe = Recipe(top_k=0, max_tokens=40, end_of_text=rule)
    ids: dict[int, list[int]] = {index: [] for index in range(TRIES)}
    texts, reasons = dict.fromkeys(ids, ""), dict.fromkeys(ids, "")
    for first in range(0, TRIES, 8):
        for index in range(first, min(first + 8, TRIES)):
            lanes.start(Start((1, index), index - first, 5, prompt, recipe))
        while lanes.running:
            for event in lanes.step():
                if isinstance(event, Steps):
                    for n, (_, index) in enumerate(event.keys):
                        ids[index].append(int(event.tokens[n]))
                        texts[index] += event.texts[n]
                elif isinstance(event, Ended):
                    reasons[event.key[1]] = event.reason
                    texts[event.key[1]] += event.text
    return [(ids[index], texts[index], reasons[index]) for index in ids]


def test_a_text_ends_at_the_models_own_token(model: tuple[Session, Tokens]) -> None:
    stop, ignore = write(model, "stop"), write(model, "ignore")
    ended = [index for index, (_, _, reason) in enumerate(stop) if reason == "end_of_text"]
    assert ended == [index for index, (ids, _, _) in enumerate(ignore) if END in ids]
    assert 3 < len(ended) < TRIES
    for index in ended:
        ids, text, _ = stop[index]
        there, whole, _ = ignore[index]
        assert ids == there[: there.index(END) + 1]
        assert "<|end|>" not in text
        assert whole.startswith(text + "<|end|>")
    # The token that ends other models' texts is one like any other here.
    assert any(NAMED in ids and ids[-1] != NAMED for ids, _, _ in stop)


def test_never_bans_the_models_own_token_and_no_other(model: tuple[Session, Tokens]) -> None:
    never = write(model, "never")
    assert all(END not in ids and reason == "max_tokens" for ids, _, reason in never)
    assert any(NAMED in ids for ids, _, _ in never)
    assert any(BEGIN in ids for ids, _, _ in never)


def test_a_text_without_a_prompt_starts_from_the_models_own_token(
    model: tuple[Session, Tokens],
) -> None:
    begun = write(model, "stop", ())
    assert begun == write(model, "stop", (BEGIN,))
    assert begun != write(model, "stop", (NAMED,))
    assert begun != write(model, "stop", (END,))


def test_a_text_is_scored_from_where_it_would_have_started(model: tuple[Session, Tokens]) -> None:
    session, tokens = model
    lanes = Lanes(session, tokens)
    lanes.start(Start((1, 0), 0, 5, (), Recipe(max_tokens=8, end_of_text="never")))
    text, drawn = "", []
    while lanes.running:
        for event in lanes.step():
            if isinstance(event, Steps):
                text += event.texts[0]
                drawn.append((int(event.tokens[0]), event.logprobs[0]))
    scores = score(session, tokens, text)
    assert scores.ids[0] == drawn[0][0]
    assert scores.logprobs[0] == pytest.approx(drawn[0][1], abs=1e-4)


def test_the_literal_end_of_text_stays_what_it_is(model: tuple[Session, Tokens]) -> None:
    _, tokens = model
    assert NAMED not in tokens.encode("a<|endoftext|>")
    assert tokens.encode("a<|endoftext|>", control=True)[-1] == NAMED
    assert END not in tokens.encode("a<|end|>")


# Model folders made by the version before, which ended every text at <|endoftext|> if it was there


def test_a_model_imported_before_is_sound_and_goes_on_as_it_was(tmp_path: Path) -> None:
    paths = make_places(tmp_path)
    plain = make_tiny(tmp_path / "plain", added=("<|end|>",))  # what that version took it for
    model = Store(paths).import_folder(plain, "before", "cpu-int8").folder
    own = make_tiny(tmp_path / "own", added=("<|end|>",), config={"eos_token_id": 299})
    shutil.copy(own / "config.json", model / "source" / "config.json")
    values = json.loads((model / "model.json").read_text())
    values["hashes"]["config.json"] = hashlib.sha256((own / "config.json").read_bytes()).hexdigest()
    (model / "model.json").write_text(json.dumps(values))

    Store(paths).ensure("before", "cpu-fp32")
    found = verify(quiet, paths, "before")
    assert found.ok, found.findings
    with temporary_builds.complete(
        paths, Store(paths).find("before"), ["cpu-int4"], quiet
    ) as folders:
        assert Manifest.read(folders["cpu-int4"]).fingerprint == values["fingerprint"]
    manifest = Manifest.read(model)
    assert manifest.fingerprint == values["fingerprint"]
    tokens = Tokens.of_model(model, manifest)
    assert (tokens.end_of_text, tokens.start_of_text) == (298, 298)
    # Imported again, it is the model that its config describes.
    again = Store(paths).import_folder(model / "source", "again", "cpu-int8").manifest
    assert again is not None
    assert (again.end_of_text, again.start_of_text) == (299, 298)
    assert again.fingerprint != manifest.fingerprint
