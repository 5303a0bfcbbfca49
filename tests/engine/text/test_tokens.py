"""Text to ids and back, against OpenAI's own encoder and every script there is."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from explorer.core.errors import ModelError, PromptError
from explorer.engine.text.tokens import END_OF_TEXT, Tokens
from tests.tiny import make_tiny

SHARED = Path(__file__).parents[4] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")


@pytest.fixture(scope="module")
def gpt2():
    """OpenAI's vocabulary of 50257."""
    folder = SHARED / "gpt2_bpe"
    tokenizer = Tokenizer(
        models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe"))
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return Tokens(tokenizer.to_str())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return Tokens.from_folder(make_tiny(tmp_path_factory.mktemp("tiny")))


def stream(tokens, ids):
    decoder = tokens.decoder()
    return "".join([decoder.feed(token) for token in ids]) + decoder.flush()


@shared
def test_ids_equal_those_of_openai(gpt2):
    lines = (SHARED / "gpt2_bpe" / "golden_ids.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 1700
    for line in map(json.loads, lines):
        assert gpt2.encode(line["text"]) == line["ids"], line["text"]
        assert gpt2.decode(line["ids"]) == line["text"]


@shared
@pytest.mark.parametrize(
    "name",
    [
        "UTF-8-demo.txt",
        "blns.json",
        "blns.txt",
        "edge_cases.json",
        "emoji_all.txt",
        "udhr_multiscript.txt",
    ],
)
def test_streaming_any_text_yields_exactly_the_text(gpt2, tiny, name):
    content = (SHARED / "unicode" / name).read_bytes().decode("utf-8")
    texts = [content]
    if name.endswith(".json"):
        texts += [t for t in json.loads(content) if t.isascii() or t.isprintable()]
    for tokens in (gpt2, tiny):
        for text in texts:
            ids = tokens.encode(text)
            assert stream(tokens, ids) == text
            assert tokens.decode(ids) == text


@shared
def test_end_of_text_is_plain_text_unless_it_is_said_to_be_control(gpt2):
    assert gpt2.end_of_text == 50256
    assert gpt2.encode(END_OF_TEXT) == [27, 91, 437, 1659, 5239, 91, 29]
    assert gpt2.encode(END_OF_TEXT, control=True) == [50256]
    assert gpt2.encode("a<|endoftext|><|endoftext|> b", control=True) == [64, 50256, 50256, 275]
    assert gpt2.encode("a b", control=True) == gpt2.encode("a b")


@pytest.mark.parametrize("special", [True, False])
def test_end_of_text_is_plain_text_however_it_was_saved(tmp_path, special):
    path = make_tiny(tmp_path) / "tokenizer.json"
    description = json.loads(path.read_text())
    for token in description["added_tokens"]:
        token["special"] = special
    tokens = Tokens(json.dumps(description))
    ids = tokens.encode("x" + END_OF_TEXT)
    assert tokens.end_of_text not in ids
    assert tokens.decode(ids) == "x" + END_OF_TEXT
    assert tokens.encode(END_OF_TEXT, control=True) == [tokens.end_of_text]
    assert tokens.decode([tokens.end_of_text]) == END_OF_TEXT


@given(text=st.text())
def test_any_text_round_trips(tiny, text):
    ids = tiny.encode(text)
    assert tiny.decode(ids) == stream(tiny, ids) == text
    control = tiny.encode(text, control=True)
    assert tiny.decode(control) == text


@given(ids=st.lists(st.integers(0, 299)))
def test_any_ids_stream_to_what_they_decode_to(tiny, ids):
    assert stream(tiny, ids) == tiny.decode(ids)


def test_incomplete_characters_are_held_back(tiny):
    decoder = tiny.decoder()
    ids = tiny.encode("né🙂")
    pieces = [decoder.feed(token) for token in ids]
    assert [p for p in pieces if p] == ["n", "é", "🙂"]
    assert len(pieces) > 3
    assert decoder.flush() == ""
    decoder.feed(ids[-4])
    assert decoder.flush() == "\ufffd"
    assert decoder.feed(ids[0]) == "n"  # and starts anew


@given(text=st.text(max_size=60))
def test_spans_cover_the_text_in_order(tiny, text):
    spans = tiny.spans(text)
    ids = tiny.encode(text)
    assert len(spans) == len(ids)
    assert {at for start, end in spans for at in range(start, end)} == set(range(len(text)))
    assert spans == sorted(spans)
    for (start, end), token in zip(spans, ids, strict=True):
        assert tiny.token_bytes(token) in text[start:end].encode()


def test_spans_of_a_tokenizer_that_rewrites_text_come_from_it(tmp_path):
    path = make_tiny(tmp_path) / "tokenizer.json"
    description = json.loads(path.read_text())
    description["normalizer"] = {"type": "NFKC"}
    tokens = Tokens(json.dumps(description))
    assert tokens.spans("\ufb01")[-1] == (0, 1)  # one character, the letters f and i
    assert tokens.decode(tokens.encode("\ufb01")) == "fi"


def test_half_a_surrogate_pair_is_refused_with_its_place(tiny):
    with pytest.raises(PromptError, match="position 2"):
        tiny.encode("ab\ud800")


def test_a_character_that_the_vocabulary_lacks_is_refused_by_name(tmp_path):
    tokens = Tokens.from_folder(make_tiny(tmp_path, vocabulary=7))
    assert tokens.vocabulary == 7
    with pytest.raises(PromptError, match="'Q'"):
        tokens.encode("eQ")


def test_control_token_in_a_model_without_one(tmp_path):
    tokens = Tokens.from_folder(make_tiny(tmp_path, end_of_text=False))
    assert tokens.end_of_text is None
    assert tokens.decode(tokens.encode(END_OF_TEXT)) == END_OF_TEXT
    with pytest.raises(PromptError, match=r"no <\|endoftext\|> token"):
        tokens.encode(END_OF_TEXT, control=True)


def test_another_token_may_end_a_text(tmp_path):
    folder = make_tiny(tmp_path, end_of_text=False)
    tokens = Tokens.from_folder(folder, end_of_text=5)
    assert tokens.end_of_text == 5
    assert tokens.encode(END_OF_TEXT, control=True) == [5]
    both = Tokens.from_folder(make_tiny(tmp_path / "both"), end_of_text=5, start_of_text=7)
    assert (both.end_of_text, both.start_of_text) == (5, 7)
    assert both.encode(END_OF_TEXT, control=True) == [299]


def with_tokens(folder, *added, **flags):
    """Return a vocabulary with special tokens of its own; ``flags`` are those of the last one."""
    path = make_tiny(folder, added=added) / "tokenizer.json"
    description = json.loads(path.read_text())
    description["added_tokens"][-1].update(flags)
    return Tokens(json.dumps(description))


def test_every_special_token_is_letters_unless_it_is_said_to_be_control(tmp_path):
    tokens = with_tokens(tmp_path, "<|user|>", "<|bot|>")
    text = "<|user|>the lion<|bot|>"
    assert not {297, 298, 299} & set(tokens.encode(text))
    ids = tokens.encode(text, control=True)
    assert ids == [298, *tokens.encode("the lion"), 299]
    assert tokens.decode(ids) == tokens.decode(tokens.encode(text)) == text
    assert tokens.encode(END_OF_TEXT + "<|bot|>", control=True) == [297, 299]
    assert tokens.encode(text, control=False) == tokens.encode(text)  # the choice does not stay


@shared
def test_a_chat_models_tokens_are_those_that_its_training_had():
    folder = SHARED / "reports" / "special-in-prompt"
    expected = json.loads((folder / "expected.json").read_text())
    tokens = Tokens.from_folder(folder)
    assert tokens.encode(expected["prompt"], control=True) == expected["ids"]
    assert tokens.control_names(expected["prompt"]) == ["<|user|>", "<|bot|>"]


def test_control_tokens_of_a_text_are_named_in_order(tmp_path):
    tokens = with_tokens(tmp_path, "<|user|>", "<|bot|>")
    assert tokens.control_names("<|bot|>a<|user|>b<|bot|>" + END_OF_TEXT) == [
        "<|bot|>",
        "<|user|>",
        END_OF_TEXT,
    ]
    assert tokens.control_names("<|user> user |>") == []
    assert tokens.control_names("") == []


def test_a_special_token_that_is_one_token_anyway_is_no_choice(tmp_path):
    path = make_tiny(tmp_path, added=("<|user|>",)) / "tokenizer.json"
    description = json.loads(path.read_text())
    t = description["model"]["vocab"]["t"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    description["added_tokens"].append({"id": t, "content": "t", **flags, "special": True})
    tokens = Tokens(json.dumps(description))
    assert tokens.control_names("t") == []
    assert tokens.control_names("t<|user|>") == ["<|user|>"]


def test_a_name_without_its_token_is_named_too_since_it_may_be_refused(tmp_path):
    tokens = Tokens.from_folder(make_tiny(tmp_path, end_of_text=False))
    assert tokens.control_names("a" + END_OF_TEXT) == [END_OF_TEXT]
    other = Tokens.from_folder(tmp_path, end_of_text=5)
    assert other.control_names("a" + END_OF_TEXT) == [END_OF_TEXT]


def test_spaces_that_a_token_swallows_are_not_taken_for_what_cannot_be_spelled(tmp_path):
    tokens = with_tokens(tmp_path, "<mask>", lstrip=True, rstrip=True)
    assert tokens.encode("the <mask> lion", control=True) == [
        *tokens.encode("the"),
        299,
        *tokens.encode("lion"),
    ]
    ordinary = with_tokens(tmp_path / "b", "<mask>", lstrip=True, special=False)
    assert 299 in ordinary.encode("the <mask>")  # raised StopIteration


def test_holes_have_no_bytes(tmp_path):
    tokens = Tokens.from_folder(make_tiny(tmp_path, holes=[280, 281]))
    assert tokens.holes == {280, 281}
    assert tokens.token_bytes(280) == b""
    assert tokens.decode([280, *tokens.encode("a")]) == "a"


def test_limits_of_a_saved_tokenizer_are_lifted(tmp_path):
    path = make_tiny(tmp_path) / "tokenizer.json"
    description = json.loads(path.read_text())
    description["truncation"] = {
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0,
    }  # fmt: skip
    description["padding"] = {
        "strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "!",
    }  # fmt: skip
    text = "a longer text than three tokens"
    tokens = Tokens(json.dumps(description))
    assert tokens.decode(tokens.encode(text)) == text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"model": {"type": "Unigram"}}', '{"model": {"type": "BPE"}}']
)
def test_what_is_no_tokenizer_is_refused(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        Tokens.from_folder(tmp_path)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="import the model again"):
        Tokens.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="import the model again"):
        Tokens.from_folder(tmp_path)


def test_a_prompt_of_megabytes_is_refused_before_it_is_tokenised(tiny, monkeypatch):
    def tokenised(text, control=False):
        raise AssertionError("it was tokenised")

    monkeypatch.setattr(tiny, "encode", tokenised)
    with pytest.raises(
        PromptError, match=r"at least 769,230 tokens and the model's context holds 64"
    ):
        tiny.prompt("word " * 2_000_000, 64)


def test_a_prompt_that_may_fit_is_tokenised(tiny):
    text = "word " * 60
    assert tiny.prompt(text, 64) == tiny.encode(text)
