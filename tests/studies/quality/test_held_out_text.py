"""The text that ships, and the windows that texts are cut into."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.errors import InputError, PromptError
from explorer.engine.text.tokens import Tokens
from explorer.studies.quality import held_out_text
from explorer.studies.quality.held_out_text import HeldOut, shipped, size_in_bytes, windows
from tests.studies.places import RESOURCES
from tests.tiny import make_tiny


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    folder = make_tiny(tmp_path_factory.mktemp("tokens"))
    return Tokens((folder / "tokenizer.json").read_text())


def test_the_text_that_ships_is_long_enough_and_plain() -> None:
    text = shipped(RESOURCES)
    assert 20_000 <= len(text.text.encode()) <= 40_000
    assert len(text.documents()) == 5
    assert all(document == document.strip("\n") + "\n" for document in text.documents())
    assert text.name == "heldout.txt"


def test_where_it_comes_from_is_said() -> None:
    notices = (RESOURCES / "notices" / "THIRD-PARTY.md").read_text(encoding="utf-8")
    for title in (
        "Kidnapped",
        "Basil",
        "Enchanted wreath",
        "How boots befooled king",
        "top and ball",
    ):
        assert title in notices.partition("heldout.txt")[2]


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=2, max_size=200),
    context=st.integers(1, 9),
)
def test_every_token_is_predicted_once(tokens: Tokens, text: str, context: int) -> None:
    ids = tokens.encode(text)
    if not text.strip() or not ids:
        return
    found = windows(HeldOut("x", text), tokens, context)
    assert [token for window in found for token in window.targets] == ids
    given = [token for window in found for token in window.given]
    assert given == [tokens.end_of_text, *ids[:-1]]
    assert all(len(w.given) == len(w.targets) <= context for w in found)
    assert size_in_bytes(found, tokens) == len(text.encode())


def test_documents_do_not_see_each_other(tokens: Tokens) -> None:
    found = windows(HeldOut("x", "one\n<|endoftext|>\ntwo\n<|endoftext|>\n\n"), tokens, 64)
    assert [window.given[0] for window in found] == [tokens.end_of_text] * 2
    assert [tokens.decode(window.targets) for window in found] == ["one\n", "two\n"]


def test_without_an_end_of_text_the_first_token_is_only_read(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "model", end_of_text=False)
    tokens = Tokens((folder / "tokenizer.json").read_text())
    ids = tokens.encode("the lion")
    (window,) = windows(HeldOut("x", "the lion"), tokens, 64)
    assert (window.given, window.targets) == (ids[:-1], ids[1:])


@pytest.mark.parametrize("text", ["", " \n", "<|endoftext|>\n<|endoftext|>\n"])
def test_nothing_to_predict_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(InputError, match="is too short to measure on"):
        windows(HeldOut("empty.txt", text), tokens, 64)


def test_a_text_without_end_is_refused_before_it_is_read(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out_text, "_MOST_BYTES", 1000)
    with pytest.raises(InputError, match="million characters"):
        windows(HeldOut("long.txt", "a" * 1001), tokens, 64)
    assert windows(HeldOut("long.txt", "a" * 1000), tokens, 64)


def test_half_a_character_is_refused(tokens: Tokens) -> None:
    with pytest.raises(PromptError):
        windows(HeldOut("x", "a\ud800b"), tokens, 64)
