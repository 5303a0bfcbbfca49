"""What ends a text and what starts one: what config.json means, and never what it merely contains.

Vocabularies are those of tests/tiny.py: ``<|endoftext|>`` and the added tokens are the last ids.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from explorer.core.manifest import Manifest
from explorer.weights.builds.convert import add_build, convert
from explorer.weights.checkpoints.checkpoint import open_checkpoint
from explorer.weights.checkpoints.special_tokens import end_token, start_token
from explorer.weights.formats.tokenizer import TokenizerFile
from tests.release import make_release
from tests.tiny import make_tiny, write_tokenizer

EXPORTS = Path(__file__).parents[2] / "data" / "onnx_exports"


def ends(folder: Path) -> tuple[int | None, int | None]:
    """Return what ends a text and what starts one."""
    with open_checkpoint(folder) as checkpoint:
        return checkpoint.end_of_text, checkpoint.start_of_text


def fingerprint(folder: Path) -> str:
    with open_checkpoint(folder) as checkpoint:
        return checkpoint.fingerprint()


@pytest.mark.parametrize(
    ("eos", "bos", "expected"),
    [
        (298, 298, (298, 298)),  # as released: <|endoftext|>
        (299, 298, (299, 298)),  # fine-tuned with <|end|>
        (299, 299, (299, 299)),
        (298, 299, (298, 299)),  # fine-tuned with <|start|>
        (299, None, (299, 298)),
        (None, None, (298, 298)),
        (5, 7, (5, 7)),  # a word that somebody chose
        (50256, 50256, (298, 298)),  # beyond the vocabulary
        (310, 311, (298, 298)),  # embedding rows without a token
        (-1, -1, (298, 298)),
        (True, False, (298, 298)),
        ("299", 299.0, (298, 298)),
        (2**70, {}, (298, 298)),
        ([299, 298], [299], (298, 299)),  # a list: <|endoftext|> where it is in it
        ([999, 299, 5], [], (299, 298)),  # else the first that is a token
        ([], "", (298, 298)),
        ([[299]], None, (298, 298)),
    ],
    ids=str,
)
def test_config_decides_where_it_names_tokens(
    tmp_path: Path, eos: object, bos: object, expected: tuple[int, int]
) -> None:
    config = {"eos_token_id": eos, "bos_token_id": bos}
    assert ends(make_tiny(tmp_path, added=("<|end|>",), rows=320, config=config)) == expected


@pytest.mark.parametrize(
    ("eos", "bos", "expected"),
    [
        (5, None, (5, 5)),
        (None, 7, (None, 7)),
        (5, 7, (5, 7)),
        (305, 305, (None, None)),
        (None, None, (None, None)),
    ],
    ids=str,
)
def test_a_vocabulary_without_end_of_text(
    tmp_path: Path, eos: int | None, bos: int | None, expected: tuple[int | None, int | None]
) -> None:
    config = {"eos_token_id": eos, "bos_token_id": bos}
    assert ends(make_tiny(tmp_path, end_of_text=False, rows=310, config=config)) == expected


def test_an_id_without_a_token_names_nothing(tmp_path: Path) -> None:
    config = {"eos_token_id": 280, "bos_token_id": 280}
    assert ends(make_tiny(tmp_path, holes=[280], config=config)) == (299, 299)


@pytest.mark.parametrize("tokenizer", ["tokenizer.json", "vocab.json"])
def test_the_default_of_gpt2config_is_not_believed_on_a_word(
    tmp_path: Path, tokenizer: str
) -> None:
    """A vocabulary of one's own as large as GPT-2's, and 50256 because nobody changed it."""
    stale = {"eos_token_id": 50256, "bos_token_id": 50256}
    size = {"vocabulary": 50300, "width": 2, "heads": 1, "layers": 1, "tokenizer": tokenizer}
    assert ends(make_tiny(tmp_path / "own", **size, config=stale)) == (50299, 50299)
    none = {**size, "end_of_text": False}
    assert ends(make_tiny(tmp_path / "none", **none, config=stale)) == (None, None)
    # Its neighbour can only be there because somebody chose it.
    chosen = {"eos_token_id": 50255, "bos_token_id": 50256}
    assert ends(make_tiny(tmp_path / "chosen", **size, config=chosen)) == (50255, 50299)


def test_the_default_of_gpt2config_is_believed_where_it_is_a_control_token(tmp_path: Path) -> None:
    """GPT-2's vocabulary, and one more token: both are control tokens, the config tells which."""
    size = {"vocabulary": 50258, "width": 2, "heads": 1, "layers": 1, "added": ("<|end|>",)}
    default = {"eos_token_id": 50256, "bos_token_id": 50256}
    assert ends(make_tiny(tmp_path / "as released", **size, config=default)) == (50256, 50256)
    own = {"eos_token_id": 50257, "bos_token_id": 50256}
    assert ends(make_tiny(tmp_path / "own", **size, config=own)) == (50257, 50256)


def test_a_token_that_no_merge_makes_is_a_control_token() -> None:
    """Old folders mark nothing as added; ``</s>`` at 50256 is one all the same."""
    plain = TokenizerFile("", 50257, None, (), frozenset({50256}))
    config = type("", (), {"ends": (50256,), "start": 50256})
    assert (end_token(config, plain), start_token(config, plain)) == (50256, 50256)


def test_controls_are_added_tokens_and_what_no_merge_makes(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "x", added=("<|end|>",))
    path = folder / "tokenizer.json"
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.tokenizer.controls == {298, 299}
    values = json.loads(path.read_text(encoding="utf-8"))
    values["added_tokens"] = []
    lost = values["model"]["merges"].pop().replace(" ", "")
    path.write_text(json.dumps(values), encoding="utf-8")
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.tokenizer.controls == {298, 299, values["model"]["vocab"][lost]}
    values["model"]["ignore_merges"] = True
    path.write_text(json.dumps(values), encoding="utf-8")
    with open_checkpoint(folder) as checkpoint:
        assert not checkpoint.tokenizer.controls


# One model, whichever source it came from


def test_readers_agree_on_a_model_as_released(tmp_path: Path) -> None:
    """OpenAI's layout cannot name the two tokens; the same model has the same fingerprint."""
    ours, theirs = make_tiny(tmp_path / "hf"), make_release(tmp_path / "tf")
    assert ends(ours) == ends(theirs) == (299, 299)
    assert fingerprint(ours) == fingerprint(theirs)


def test_readers_agree_on_a_fine_tuned_model(tmp_path: Path) -> None:
    config = json.loads((EXPORTS / "source" / "config.json").read_text(encoding="utf-8"))
    own = {"eos_token_id": config["vocab_size"] - 2, "bos_token_id": 3}
    found = []
    for layout in ("source", "optimum"):
        folder = shutil.copytree(EXPORTS / layout, tmp_path / layout)
        for name in ("tokenizer.json", "vocab.json", "merges.txt"):
            (folder / name).unlink(missing_ok=True)
        write_tokenizer(folder, config["vocab_size"])
        (folder / "config.json").write_text(json.dumps(config | own))
        assert ends(folder) == (own["eos_token_id"], 3)
        found.append(fingerprint(folder))
    assert found[0] == found[1]


def test_the_tokens_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    """What a prompt of nothing draws, and where a text ends, depends on them."""
    plain = {"eos_token_id": 298, "bos_token_id": 298}
    variants = [{}, {"eos_token_id": 299}, {"bos_token_id": 299}, {"bos_token_id": 5}]
    found = {
        fingerprint(make_tiny(tmp_path / str(n), added=("<|end|>",), config=plain | change))
        for n, change in enumerate(variants)
    }
    assert len(found) == len(variants)


def test_the_fingerprint_of_usual_models_is_the_one_it_always_was(tmp_path: Path) -> None:
    """Taken with the version before config.json went first."""
    folder = make_tiny(tmp_path / "x", added=("<|end|>",))
    expected = "4b44c2f128bbb9ed8aca18115d1fa1623c78d52016851e18068b8159383e8b17"
    assert fingerprint(folder) == expected


# Model folders


def quiet(fraction: float, text: str) -> None:
    pass


def test_a_model_folder_says_what_ends_and_starts_its_texts(tmp_path: Path) -> None:
    own = {"eos_token_id": 299, "bos_token_id": 298}
    folder = make_tiny(tmp_path / "own", added=("<|end|>",), config=own)
    made = convert(folder, tmp_path / "made", ["cpu-int8"], "own", quiet)
    assert (made.end_of_text, made.start_of_text) == (299, 298)
    assert Manifest.read(tmp_path / "made") == made


def test_of_a_usual_model_earlier_versions_can_read_the_description(tmp_path: Path) -> None:
    convert(make_tiny(tmp_path / "x"), tmp_path / "made", ["cpu-int8"], "x", quiet)
    values = json.loads((tmp_path / "made" / "model.json").read_text())
    assert values["end_of_text"] == 299
    assert "start_of_text" not in values


def make_before(tmp_path: Path) -> Path:
    """Return a model folder as the version before made it of a model with an end of its own."""
    own = {"eos_token_id": 299, "bos_token_id": 298}
    source = make_tiny(tmp_path / "own", added=("<|end|>",), config=own)
    plain = make_tiny(tmp_path / "plain", added=("<|end|>",))  # that version took it for this one
    before = tmp_path / "before"
    convert(plain, before, ["cpu-int8"], "before", quiet)
    shutil.copy(source / "config.json", before / "source" / "config.json")
    return before


def test_a_model_folder_made_before_gets_further_builds_and_stays_what_it_was(
    tmp_path: Path,
) -> None:
    before = make_before(tmp_path)
    old = Manifest.read(before)
    new = add_build(before, "cpu-fp32", quiet)
    assert (new.end_of_text, new.start_of_text) == (298, None)
    assert new.fingerprint == old.fingerprint
    plain = convert(tmp_path / "plain", tmp_path / "made", ["cpu-fp32"], "made", quiet)
    assert new.builds["cpu-fp32"].fingerprint == plain.builds["cpu-fp32"].fingerprint
