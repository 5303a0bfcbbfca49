"""A text in parts has the ids of the whole, whatever stands at the borders."""

import json
import tracemalloc
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from explorer.core.errors import PromptError
from explorer.engine.text import text_parts
from explorer.engine.text.text_parts import LONGEST, encode_parts
from explorer.engine.text.tokens import Tokens
from tests.tiny import make_tiny

ADDED = ("two words", " led", "trail ", "a.b", "x1", "<|user|>", "line\nend", "ab", "B")
KINDS = ("plain", "spaced", "added", "stripping", "NFC", "NFKC", "Lowercase", "no words")


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Return vocabularies by what is special about them."""
    folder = make_tiny(tmp_path_factory.mktemp("tiny"))
    description = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    found = {}
    for kind in KINDS:
        values = json.loads(json.dumps(description))
        byte_level = values["pre_tokenizer"]
        assert byte_level["type"] == "ByteLevel"
        if kind == "spaced":
            byte_level["add_prefix_space"] = True
        elif kind == "no words":
            byte_level["use_regex"] = False
        elif kind in ("NFC", "NFKC", "Lowercase"):
            values["normalizer"] = {"type": kind}
        elif kind in ("added", "stripping"):
            strip = kind == "stripping"
            for at, name in enumerate(ADDED):
                values["added_tokens"].append(
                    {
                        "id": 300 + at, "content": name, "special": name.startswith("<"),
                        "single_word": strip and name in ("ab", "B"), "normalized": False,
                        "lstrip": strip and at % 2 == 0, "rstrip": strip and at % 3 == 0,
                    }
                )  # fmt: skip
        found[kind] = Tokens(json.dumps(values))
    return found


PIECE = st.sampled_from(
    [*ADDED, " ", "\n", "  ", "\n\n ", "\t", "\r\n", "\u00a0", "\u3000", "a", "b", "Wort", "42",
     "é", "e\u0301", "字", "かな", "한", "。", "，", ".", "'s", "'", "n't", "-", "\U0001f600", "¨",
     "ﬁ", "<|endoftext|>", "\x1c", "\x85", "\u200d", "\u0903", "K", "½", "²"]
)  # fmt: skip
TEXT = st.lists(st.one_of(PIECE, st.text(max_size=3).filter(str.isprintable)), max_size=60)


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(pieces=TEXT, size=st.integers(1, 12))
@example(pieces=["two", " ", "words", " led", " ", "trail ", " ", "a", ".", "b"] * 3, size=1)
@example(pieces=["x", "1", "ab", " ", "ab", "\n", "B", " ", "<|endoftext|>", "."] * 3, size=1)
@example(pieces=["it", "'s", "42nd", ".", "5", "a", "1", "  ", "x"] * 3, size=1)
def test_parts_have_the_ids_of_the_whole(kinds, kind, control, pieces, size):
    text, tokens = "".join(pieces), kinds[kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_parts, "_SIZE", size)
        parts = list(encode_parts(tokens, text, control))
    assert list(chain.from_iterable(parts)) == tokens.encode(text, control)


@pytest.mark.parametrize("kind", KINDS)
def test_an_ordinary_text_is_really_parted(kinds, kind):
    text = "Der Löwe, 12 Mäuse und\nein Haus. " * 10_000
    if kind == "no words":
        text = text[:200_000]
    parts = list(encode_parts(kinds[kind], text))
    assert list(chain.from_iterable(parts)) == kinds[kind].encode(text)
    assert len(parts) == (1 if kind == "no words" else 6)
    for unspaced in ("機械が書いた文。" * 40_000, "a1b2c3" * 50_000, "1.2,3;4(5)" * 30_000):
        if kind not in ("spaced", "no words"):
            assert len(list(encode_parts(kinds[kind], unspaced))) > 3


def test_what_cannot_be_parted_is_refused_before_it_fills_the_memory(kinds):
    for text in ("a" * (LONGEST + 1), "ok " + "\U0001f600" * 3_000_000, " " * 1_000_000):
        with pytest.raises(PromptError, match=r"more than 250,000 characters in a row"):
            encode_parts(kinds["plain"], text)
    with pytest.raises(PromptError, match="in a row"):
        encode_parts(kinds["no words"], "a word " * 100_000)
    assert list(encode_parts(kinds["no words"], "a word " * 1_000))


def test_the_memory_does_not_grow_with_the_text(kinds):
    text = "The lion and the mouse were in the house. " * 100_000  # 4 MB
    tracemalloc.start()
    try:
        count = sum(map(len, encode_parts(kinds["plain"], text)))
        assert count > 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 4 * len(text)
    finally:
        tracemalloc.stop()


def test_what_has_no_ids_is_refused_first(kinds):
    text = "The lion " * 20_000
    with pytest.raises(PromptError, match=f"surrogate. at position {len(text)}"):
        encode_parts(kinds["plain"], text + "\ud800")
