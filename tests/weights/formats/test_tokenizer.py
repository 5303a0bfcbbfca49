"""Tokenizers: the real GPT-2's equals OpenAI's encoder, equal ones become equal text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from explorer.core.errors import CheckpointError
from explorer.weights.formats.tokenizer import TokenizerFile, read_tokenizer, tokenizer_files
from explorer.weights.formats.untrusted_folder import Source
from tests.tiny import END_OF_TEXT, write_tokenizer

GPT2 = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "gpt2_bpe"


def read(folder: Path) -> TokenizerFile:
    return read_tokenizer(Source(folder), 60_000)


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    return str(caught.value)


def change(folder: Path, how: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    how(values)
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path, 300)
    return tmp_path


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not GPT2.is_dir():
        pytest.skip("GPT-2's vocabulary is not beside the project")
    folder = tmp_path_factory.mktemp("gpt2")
    shutil.copy(GPT2 / "encoder.json", folder / "vocab.json")
    shutil.copy(GPT2 / "vocab.bpe", folder / "merges.txt")
    return folder


def test_gpt2_equals_openais_encoder(gpt2: Path) -> None:
    file = read(gpt2)
    assert (file.vocabulary, file.end_of_text, file.holes) == (50257, 50256, ())
    tokenizer = Tokenizer.from_str(file.json)
    tokenizer.encode_special_tokens = True  # OpenAI's encoder knows no special tokens
    lines = (GPT2 / "golden_ids.jsonl").read_text(encoding="utf-8").splitlines()
    golden = [json.loads(line) for line in lines]
    assert len(golden) > 1700
    wrong = [item for item in golden if tokenizer.encode(item["text"]).ids != item["ids"]]
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[0]['text']!r}"


def test_both_forms_of_gpt2_become_one(gpt2: Path, tmp_path: Path) -> None:
    file = read(gpt2)
    Tokenizer.from_str(file.json).save(str(tmp_path / "tokenizer.json"), pretty=True)
    assert read(tmp_path) == file


@pytest.mark.parametrize("vocabulary", [7, 257, 300, 1000])
def test_both_forms_of_a_tiny_one_become_one(tmp_path: Path, vocabulary: int) -> None:
    for kind in ("tokenizer.json", "vocab.json"):
        (tmp_path / kind).mkdir()
        write_tokenizer(tmp_path / kind, vocabulary, kind=kind)  # type: ignore[arg-type]
    one, two = read(tmp_path / "tokenizer.json"), read(tmp_path / "vocab.json")
    assert one == two
    assert one.vocabulary == vocabulary
    assert one.end_of_text == vocabulary - 1


def test_order_flags_and_spelling_do_not_matter(folder: Path) -> None:
    before = read(folder)

    def respell(values: dict[str, Any]) -> None:
        model = values["model"]
        model["vocab"] = dict(reversed(model["vocab"].items()))
        model["merges"] = [merge.split(" ") for merge in model["merges"]]
        model["dropout"] = 0.1
        model["continuing_subword_prefix"] = None
        values["added_tokens"][0]["normalized"] = True
        values["truncation"] = {"max_length": 4}
        values["post_processor"] = None
        values["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [values["pre_tokenizer"]],
        }
        del model["vocab"][END_OF_TEXT]  # it is among the added tokens

    change(folder, respell)
    assert read(folder) == before


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tiny")
    write_tokenizer(folder, 300)
    return Tokenizer.from_str(read(folder).json)


@given(text=st.text(max_size=60))
def test_any_text_round_trips(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_holes_are_reported(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, 300, holes=(0, 17, 298))
    file = read(tmp_path)
    assert file.holes == (0, 17, 298)
    assert file.vocabulary == 300
    assert file.end_of_text == 299


def test_added_tokens_keep_the_ids_of_their_file(folder: Path) -> None:
    new = {"id": 310, "content": "<far>", "special": True}
    change(folder, lambda values: values["added_tokens"].append(new))
    file = read(folder)
    assert file.vocabulary == 311
    assert file.holes == tuple(range(300, 310))
    assert Tokenizer.from_str(file.json).token_to_id("<far>") == 310


def test_added_tokens_beside_vocab_json(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, 300, kind="vocab.json")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<question>": 300}))
    file = read(tmp_path)
    assert file.vocabulary == 301
    assert Tokenizer.from_str(file.json).encode("a<question>").ids[-1] == 300


PAD = {"id": 300, "content": "[PAD]", "special": True}
QUESTION = {"id": 301, "content": "<question>", "special": False, "normalized": True}
MASK = {"id": 302, "content": "<mask>", "special": True, "lstrip": True}


@pytest.mark.parametrize("added", [[PAD], [PAD, QUESTION], [PAD, QUESTION, MASK]])
def test_added_tokens_are_the_same_in_every_generation_of_files(
    tmp_path: Path, added: list[dict[str, Any]]
) -> None:
    whole, decoder, oldest = (tmp_path / name for name in ("whole", "decoder", "oldest"))
    for folder, kind in (
        (whole, "tokenizer.json"),
        (decoder, "vocab.json"),
        (oldest, "vocab.json"),
    ):
        folder.mkdir()
        write_tokenizer(folder, 300, kind=kind)  # type: ignore[arg-type]
    change(whole, lambda values: values["added_tokens"].extend(added))
    values = {"added_tokens_decoder": {str(token["id"]): token for token in added}}
    (decoder / "tokenizer_config.json").write_text(json.dumps(values))
    values = {token["content"]: token["id"] for token in added}
    (oldest / "added_tokens.json").write_text(json.dumps(values))
    values = {"pad_token": "[PAD]", "additional_special_tokens": [{"content": "<mask>"}]}
    (oldest / "special_tokens_map.json").write_text(json.dumps(values))
    (oldest / "tokenizer_config.json").write_text('{"model_max_length": 1024}')
    assert read(decoder) == read(whole)
    assert (read(oldest) == read(whole)) == (MASK not in added), "lstrip was not written then"
    assert set(tokenizer_files(Source(oldest))) == {path.name for path in oldest.iterdir()}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tokenizer_config.json", {"added_tokens_decoder": {"300": None}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": PAD}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"9" * 5000: PAD}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"²": PAD}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"0": PAD}}),
        ("tokenizer_config.json", []),
        ("added_tokens.json", {"[PAD]": "300"}),
        ("added_tokens.json", {END_OF_TEXT: 4}),
        ("added_tokens.json", {str(i): 300 + i for i in range(6000)}),
        ("special_tokens_map.json", [1]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_added_tokens_that_are_none(tmp_path: Path, name: str, values: object) -> None:
    write_tokenizer(tmp_path, 300, kind="vocab.json")
    (tmp_path / name).write_text(json.dumps(values))
    assert len(refusal(tmp_path)) < 700


def test_an_odd_map_of_special_tokens_says_nothing(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, 300, kind="vocab.json")
    before = read(tmp_path)
    odd = {"a": 1, "b": [None, {"content": 5}, []], "c": {}, "d": "not a token"}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(odd))
    assert read(tmp_path) == before


def test_windows_line_ends_in_merges(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, 300, kind="vocab.json")
    before = read(tmp_path)
    path = tmp_path / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(tmp_path) == before


@pytest.mark.parametrize("keep", [0, 1, 9])
def test_merges_that_were_cut_off_are_refused(tmp_path: Path, keep: int) -> None:
    write_tokenizer(tmp_path, 300, kind="vocab.json")
    path = tmp_path / "merges.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:keep]))
    message = refusal(tmp_path)
    assert "merges.txt" in message
    assert "truncated" in message


def test_openais_names_of_the_two_files(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, 300, kind="vocab.json")
    before = read(tmp_path)
    (tmp_path / "vocab.json").rename(tmp_path / "encoder.json")
    (tmp_path / "merges.txt").rename(tmp_path / "vocab.bpe")
    assert read(tmp_path) == before
    assert tokenizer_files(Source(tmp_path)) == ("encoder.json", "vocab.bpe")


def test_hugging_faces_tokenizer_of_gpt2_is_openais(gpt2: Path, tmp_path: Path) -> None:
    published = Tokenizer(BPE.from_file(str(GPT2 / "encoder.json"), str(GPT2 / "vocab.bpe")))
    published.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    published.decoder = decoders.ByteLevel()
    published.post_processor = processors.ByteLevel(trim_offsets=False)
    published.add_special_tokens([AddedToken(END_OF_TEXT, normalized=True)])
    published.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "openai").mkdir()
    for name in ("encoder.json", "vocab.bpe"):
        shutil.copy(GPT2 / name, tmp_path / "openai")
    assert read(tmp_path) == read(tmp_path / "openai") == read(gpt2)


def _model(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda file: file["model"].update(values)


def _top(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda file: file.update(values)


def _vocab(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda file: file["model"]["vocab"].update(values)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (_model(type="WordPiece"), "'WordPiece'"),
        (_model(type="Unigram"), "'BPE'"),
        (_model(continuing_subword_prefix="##"), "continuing_subword_prefix"),
        (_model(byte_fallback=True), "byte_fallback"),
        (_model(merges={}), "lists"),
        (_model(merges=["a b c"]), "the merge 'a b c'"),
        (_model(merges=[["a"]]), "the merge ['a']"),
        (_model(merges=["z q"]), "make a third"),
        (_model(vocab=[]), "model.vocab"),
        (_model(vocab={"☃": 1}, merges=[]), "byte alphabet"),
        (_vocab(a=-1), "whole number"),
        (_vocab(a=1.5), "whole number"),
        (_vocab(a=True), "whole number"),
        (_vocab(a=2**40), "whole number"),
        (_vocab(a=0), "same id 0"),
        (_vocab(a=60_000), "needs 60001 embedding rows"),
        (_top(model=None), "model"),
        (_top(decoder=None), "decoder"),
        (_top(pre_tokenizer=None), "pre_tokenizer"),
        (_top(pre_tokenizer={"type": "Whitespace"}), "pre_tokenizer"),
        (_top(normalizer={"type": "Replace"}), "normalizer"),
        (_top(added_tokens={}), "lists"),
        (_top(added_tokens=[{"id": 1}]), "added token"),
        (_top(added_tokens=[{"id": 2, "content": "a"}]), "in the vocabulary it has"),
        (_top(added_tokens=[{"id": 400, "content": "q" * 2000}]), "1 to 1000 characters"),
        (_top(added_tokens=[{"id": 300, "content": "<x>"}] * 2), "twice"),
        (_top(added_tokens=[{"id": 300, "content": "\ud800"}]), "lone surrogate"),
    ],
)
def test_refusals(folder: Path, how: Callable[[dict[str, Any]], object], words: str) -> None:
    change(folder, how)
    message = refusal(folder)
    assert "tokenizer.json" in message
    assert words in message


def test_a_merge_of_merges_txt_is_named(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, 300, kind="vocab.json")
    with (tmp_path / "merges.txt").open("a") as file:
        file.write("zz zz\n")
    message = refusal(tmp_path)
    assert "merges.txt" in message
    assert "'zz zz'" in message


def test_an_empty_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("")
    assert "no tokens" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["NFC", "NFKC", "Lowercase"])
def test_simple_normalizers_are_kept(folder: Path, kind: str) -> None:
    change(folder, _top(normalizer={"type": kind}))
    assert json.loads(read(folder).json)["normalizer"] == {"type": kind}
