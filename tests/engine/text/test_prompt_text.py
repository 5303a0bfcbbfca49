"""A space that belongs to the next word, and parts of a text that is too long."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import PromptError
from explorer.engine.text.prompt_text import Cut, cut, loose_spaces, room
from explorer.engine.text.tokens import Tokens
from tests.engine.text.test_tokens import SHARED, shared, with_tokens
from tests.engine.text.test_tokens import gpt2 as gpt2
from tests.engine.text.test_tokens import tiny as tiny
from tests.tiny import make_tiny

SPACED = [
    ("", 0),
    ("Once", 0),
    ("Once ", 1),
    ("Once   ", 3),
    (" ", 1),
    ("Once.\n", 0),
    ("Once.\n\n", 0),
    ("Once.\n ", 1),
    ("Once \n", 0),
    ("Once\t", 0),
    ("Once\t ", 1),
    ("10\u00a0", 0),
    ("10\u00a0 ", 1),
    ("“", 0),
    ("名 ", 1),
    ("a" * 500 + " ", 1),
    ("a" + " " * 70_000, 70_000),
]


@shared
@pytest.mark.parametrize(("text", "loose"), SPACED)
def test_spaces_that_the_next_word_would_carry(gpt2, text, loose):
    assert loose_spaces(gpt2, text) == loose


@shared
@given(text=st.text(st.sampled_from("ab1. \n\t\u00a0\u2003'"), max_size=12))
def test_without_them_the_next_word_has_its_own_space(gpt2, text):
    """What is left is read alike whether a word follows or not, and what went was whitespace."""
    loose = loose_spaces(gpt2, text)
    left = text[: len(text) - loose]
    assert text[len(left) :].strip() == ""
    assert loose_spaces(gpt2, left) == 0
    if loose:
        assert gpt2.encode(left + " word")[-1] == gpt2.encode(" word")[0]
        assert gpt2.encode(text + "word")[: len(gpt2.encode(text))] != gpt2.encode(text)


def test_a_vocabulary_whose_words_carry_no_space_has_no_loose_one(tmp_path):
    tokens = Tokens.from_folder(make_tiny(tmp_path, vocabulary=257))
    assert loose_spaces(tokens, "a ") == 0


def test_a_token_that_swallows_spaces_leaves_none_loose(tmp_path):
    tokens = with_tokens(tmp_path, "<|user|>", rstrip=True)
    assert loose_spaces(tokens, "a<|user|> ", control=True) == 0
    assert loose_spaces(tokens, "a<|user|> ") == 1
    plain = with_tokens(tmp_path / "b", "<|user|>")
    assert loose_spaces(plain, "a<|user|> ", control=True) == 1


@pytest.mark.parametrize(
    ("context", "max_tokens", "tokens"),
    [
        (1024, 200, 824),
        (512, 200, 312),
        (1024, 1, 1023),
        (1024, 900, 512),
        (64, 200, 32),
        (1, 9, 1),
    ],
)
def test_a_cut_prompt_leaves_room_to_write(context, max_tokens, tokens):
    assert room(context, max_tokens) == tokens


@shared
def test_a_long_text_gives_its_last_or_first_tokens(gpt2):
    text = " ".join(str(number) for number in range(20_000))
    ids = gpt2.encode(text)
    for end in ("first", "last"):
        part = cut(gpt2, text, 824, end)
        assert part is not None
        assert gpt2.encode(part.text) == (ids[:824] if end == "first" else ids[-824:])
        assert (text.startswith if end == "first" else text.endswith)(part.text)


ENDS = st.sampled_from(["first", "last"])


@given(text=st.text(), most=st.integers(1, 40), end=ENDS)
def test_a_cut_is_whole_characters_that_have_the_same_ids(tiny, text, most, end):
    ids, part = tiny.encode(text), cut(tiny, text, most, end)
    if part is None:
        return
    assert part.tokens <= most
    assert (text.startswith if end == "first" else text.endswith)(part.text)
    assert tiny.encode(part.text) == (ids[: part.tokens] if end == "first" else ids[-part.tokens :])
    # No longer one would do.
    for count in range(part.tokens + 1, min(most, len(ids)) + 1):
        longer = ids[:count] if end == "first" else ids[-count:]
        words = tiny.decode(longer)
        assert "\ufffd" in words or tiny.encode(words) != longer


@shared
@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("most", [1, 7, 64, 500])
def test_every_script_is_cut_between_characters(gpt2, end, most):
    text = (SHARED / "unicode" / "udhr_multiscript.txt").read_text(encoding="utf-8")
    part = cut(gpt2, text, most, end)
    assert part is not None
    assert most - 8 < part.tokens <= most
    assert len(gpt2.encode(part.text)) == part.tokens
    assert (text.startswith if end == "first" else text.endswith)(part.text)


def test_what_fits_is_whole(tiny):
    assert cut(tiny, "the lion", 50, "last") == Cut("the lion", len(tiny.encode("the lion")))
    assert cut(tiny, "", 50, "last") is None


def test_a_character_of_more_tokens_than_fit_leaves_nothing(tiny):
    assert len(tiny.encode("🙂")) > 2
    assert cut(tiny, "🙂", 2, "last") is None


def test_a_prefix_space_is_no_part_of_a_cut_word(tmp_path):
    """Such a tokenizer puts a space before a text that has none: other ids than in the middle."""
    path = make_tiny(tmp_path) / "tokenizer.json"
    description = json.loads(path.read_text())
    description["pre_tokenizer"]["add_prefix_space"] = True
    tokens = Tokens(json.dumps(description))
    text = "the scientist's unicorns in the valley"
    for most in range(1, len(tokens.encode(text))):
        part = cut(tokens, text, most, "last")
        assert part is None or part.text.startswith(" ")
        assert part is None or tokens.encode(part.text) == tokens.encode(text)[-part.tokens :]
        part = cut(tokens, text, most, "first")
        assert part is not None
        assert text.startswith(part.text)


def test_control_tokens_are_cut_as_tokens(tmp_path):
    tokens = with_tokens(tmp_path, "<|user|>", "<|bot|>")
    text = "<|user|>the lion<|bot|>the mouse"
    ids = tokens.encode(text, control=True)
    most = len(ids) - ids.index(299)
    part = cut(tokens, text, most, "last", control=True)
    assert part == Cut("<|bot|>the mouse", most)


def test_half_a_character_is_refused(tiny):
    with pytest.raises(PromptError, match="lone surrogate"):
        cut(tiny, "ab\ud800", 5, "last")
