"""Checkpoints as people have them, imported and continued: the tokens must be the expected ones.

They lie beside the project with what transformers, or TensorFlow's own rule, gives for each. Those
that are refused for now say so in a sentence that names what is in the way.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from explorer.core.errors import CheckpointError
from explorer.core.recipe import Recipe
from explorer.engine.lanes import Lanes
from explorer.engine.messages import Start, Steps
from explorer.engine.session import Session
from explorer.engine.text.tokens import Tokens
from explorer.system.paths import Paths
from explorer.weights.store.store import Store

REPORTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "reports"
FOLDERS = sorted(path.parent.name for path in REPORTS.glob("*/expected.json"))

REFUSED = {
    "parent-folder": "there is a model in 'checkpoint-500'; choose that folder",
    "pytorch-bin": "pytorch_model.bin is a PyTorch file",
    "tf-no-hparams": "hparams.json, encoder.json and vocab.bpe",
    "tf-parent": "there is a model in 'run1'; choose that folder",
    "tokens-above-rows": "needs 401 embedding rows",
    "trainer-folder": "copy it there from the model that was fine-tuned",
    "wordpiece": "another kind of tokenizer (vocab.txt)",
}
"""What is not read, and words of the sentence that says why."""

pytestmark = pytest.mark.skipif(not FOLDERS, reason="the checkpoints are not beside the project")


@pytest.mark.parametrize("name", FOLDERS)
def test_it_gives_the_tokens_that_it_must(tmp_path: Path, name: str) -> None:
    folder = REPORTS / name
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    store, chosen = Store(Paths.default(tmp_path)), folder / expected["choose"]
    if name in REFUSED:
        with pytest.raises(CheckpointError) as caught:
            store.import_folder(chosen, build="cpu-fp32")
        assert REFUSED[name] in str(caught.value)
        return
    model = store.import_folder(chosen, build="cpu-fp32")
    with closing(Session(model.folder, "cpu-fp32", "cpu")) as session:
        tokens = Tokens.of_model(model.folder, session.manifest)
        # Names of special tokens are meant as such where there are any.
        ids = tokens.prompt(expected["prompt"], session.manifest.context, control=True)
        assert expected["ids"] in (None, ids)
        assert greedy(session, tokens, ids, len(expected["greedy"])) == expected["greedy"]


def greedy(session: Session, tokens: Tokens, ids: list[int], count: int) -> list[int]:
    recipe = Recipe(top_k=1, max_tokens=count, end_of_text="ignore")
    lanes = Lanes(session, tokens, 1)
    lanes.start(Start((0, 0), 0, 1, tuple(ids), recipe))
    found: list[int] = []
    while lanes.running:
        for event in lanes.step():
            if isinstance(event, Steps):
                found += [int(token) for token in event.tokens]
    return found
