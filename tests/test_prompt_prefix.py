"""Models that want something before every prompt: a start token, a space. From folder to ids.

Nothing is faked: the tiny model is converted, opened and asked as a person's would be.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.__main__ import main
from explorer.core.errors import PromptError
from explorer.core.manifest import Manifest
from explorer.engine.text.prompt_text import cut, prompt_ids
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality.verify import verify
from explorer.system.paths import Paths
from explorer.weights.builds.convert import TOKENIZER_FILE, add_build
from explorer.weights.store.store import Installed, Store
from tests.tiny import END_OF_TEXT, make_tiny

END, START = 298, 299
CONTEXT = 64
TEXT = {"Sequence": {"id": "A", "type_id": 0}}


def quiet(fraction: float, text: str) -> None:
    pass


def make(folder: Path, space: bool = False, start: bool = False) -> Path:
    """Write a tiny model whose tokenizer puts a space, or ``<|begin|>``, before every text."""
    make_tiny(folder, added=("<|begin|>",))
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    if start:
        values["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, TEXT],
            "pair": [],
            "special_tokens": {"<|begin|>": {"ids": [START], "tokens": ["<|begin|>"]}},
        }
    path.write_text(json.dumps(values))
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": space}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(paths(tmp_path))


def paths(tmp_path: Path) -> Paths:
    return Paths.default(tmp_path / "data")


Import = Callable[..., tuple[Installed, Tokens]]


@pytest.fixture
def bring(store: Store, tmp_path: Path) -> Import:
    def bring(**how: bool) -> tuple[Installed, Tokens]:
        model = store.import_folder(make(tmp_path / "source", **how), "m", "cpu-fp32")
        return model, Tokens.of_model(model.folder, Manifest.read(model.folder))

    return bring


def test_a_start_token_stands_before_every_prompt(bring: Import) -> None:
    model, tokens = bring(start=True)
    assert model.manifest.prefix_ids == (START,)
    plain = tokens.encode("the sea")
    assert prompt_ids(tokens, "the sea", CONTEXT) == [START, *plain]
    assert tokens.start_of_text == START


def test_a_start_token_is_not_doubled(bring: Import) -> None:
    _, tokens = bring(start=True)
    assert prompt_ids(tokens, "", CONTEXT) == [], "it starts from that token anyway"
    assert tokens.prompt("<|begin|>a", CONTEXT, control=True) == [START, *tokens.encode("a")]
    both = tokens.prompt(f"{END_OF_TEXT}a", CONTEXT, control=True)
    assert both == [START, END, *tokens.encode("a")]


def test_several_tokens_stand_before_an_empty_prompt_too(bring: Import) -> None:
    model, _ = bring()
    tokens = Tokens.of_model(model.folder, replace(model.manifest, prefix_ids=(END, START)))
    assert tokens.prompt("", CONTEXT) == [END, START]


def test_the_token_in_front_takes_room_of_the_context(bring: Import) -> None:
    _, tokens = bring(start=True)
    text = "x" * 99
    (letter,) = {*tokens.encode(text)}
    assert tokens.prompt("x" * 63, CONTEXT) == [START, *[letter] * 63]
    for end in ("first", "last"):
        part = cut(tokens, text, 32, end)
        assert part.tokens == 32 == len(tokens.prompt(part.text, CONTEXT))


@pytest.mark.parametrize(("text", "read"), [("The sea", " The sea"), (" a", " a"), ("", "")])
def test_a_space_stands_before_every_prompt(bring: Import, text: str, read: str) -> None:
    _, tokens = bring(space=True)
    ids = tokens.prompt(text, CONTEXT)
    assert tokens.decode(ids) == read
    spans = tokens.spans(text)
    assert len(spans) == len(ids)
    assert [end for _, end in spans][-1:] == [len(text)] * bool(text)


def test_a_missing_letter_is_noticed_behind_a_space_in_front(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "x", vocabulary=60)
    text = (folder / "tokenizer.json").read_text()
    spaced = json.loads(text)
    spaced["pre_tokenizer"]["add_prefix_space"] = True
    for tokens in (Tokens(text), Tokens(json.dumps(spaced))):
        assert tokens.encode("the sea")
        for wrong in ("é", "the é", "~"):
            with pytest.raises(PromptError, match="cannot spell"):
                tokens.encode(wrong)


@pytest.mark.parametrize("how", [{"space": True}, {"start": True}], ids=str)
def test_it_makes_another_model_and_a_build_made_anew_keeps_it(
    bring: Import, store: Store, tmp_path: Path, how: dict
) -> None:
    model, tokens = bring(**how)
    plain = store.import_folder(make_tiny(tmp_path / "p", added=("<|begin|>",)), "p", "cpu-fp32")
    assert plain.manifest.fingerprint != model.manifest.fingerprint
    (model.folder / TOKENIZER_FILE).unlink()
    add_build(model.folder, "cpu-int8", quiet)
    manifest = Manifest.read(model.folder)
    assert sorted(manifest.builds) == ["cpu-fp32", "cpu-int8"]
    again = Tokens.of_model(model.folder, manifest)
    assert again.prompt("the sea", CONTEXT) == tokens.prompt("the sea", CONTEXT)
    assert verify(quiet, paths(tmp_path), "m").ok


@pytest.mark.parametrize("how", [{"space": True}, {"start": True}], ids=str)
def test_a_model_that_was_imported_without_it_stays_as_it_was(
    store: Store, tmp_path: Path, how: dict
) -> None:
    """As earlier versions left it: its source wants something that the model does not do."""
    plain = make(tmp_path / "plain")
    model = store.import_folder(plain, "m", "cpu-fp32")
    before = Tokens.of_model(model.folder, model.manifest).prompt("the sea", CONTEXT)
    wanting = make(tmp_path / "wanting", **how)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (wanting / name).replace(model.folder / "source" / name)
    made = add_build(model.folder, "cpu-int8", quiet)
    assert made.fingerprint == model.manifest.fingerprint
    assert Tokens.of_model(model.folder, made).prompt("the sea", CONTEXT) == before


def test_what_model_json_says_is_checked(bring: Import) -> None:
    model, _ = bring(start=True)
    path = model.folder / "model.json"
    values = json.loads(path.read_text())
    for wrong in ([300], [-1], ["a"], [True], 7, "299", [[299]]):
        path.write_text(json.dumps(values | {"prefix_ids": wrong}))
        with pytest.raises(Exception, match="damaged"):
            Manifest.read(model.folder)


def test_generate_and_score_put_it_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The twin's tokenizer does nothing, so its prompts and texts must say what to put there."""
    folder = tmp_path / "data"
    for name, how in (("m", {"start": True}), ("twin", {})):
        source = make(tmp_path / name, **how)
        words = ("models", "import", str(source), "--name", name, "--precision", "fp32")
        assert main(["--data-dir", str(folder), *words]) == 0

    def said(*words: str) -> list[dict]:
        capsys.readouterr()
        assert main(["--data-dir", str(folder), *words, "--jsonl", "--precision", "fp32"]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def tokens(model: str, *words: str) -> list[int]:
        greedy = ("--top-k", "1", "--max-tokens", "12", "--count", "1", "--end-of-text", "ignore")
        (sample,) = said("generate", "--model", model, *greedy, *words)
        return sample["tokens"]

    begun = tokens("twin", "--control-tokens", "--prompt", "<|begin|>the sea")
    assert tokens("m", "--prompt", "the sea") == begun
    assert tokens("twin", "--prompt", "the sea") != begun
    empty = tokens("twin", "--control-tokens", "--prompt", "<|begin|>")
    assert tokens("m", "--unconditional") == empty
    text = tmp_path / "text.txt"
    text.write_text("the sea")
    scored = said("score", "--model", "m", "--file", str(text))
    text.write_text("the sea")
    assert scored != said("score", "--model", "twin", "--file", str(text))
