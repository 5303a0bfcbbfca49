import pytest

from explorer.core.recipe import Recipe
from explorer.library.collection import Collections
from explorer.library.ledger import Ledger, ModelRef, TryEnd
from explorer.library.samples import Samples
from explorer.library.search import Needle, Search
from explorer.library.storage.database import Database


@pytest.fixture
def library(tmp_path):
    database = Database.open(tmp_path / "library.sqlite")
    yield database
    database.close()


def keep(database, prompt, text, model="demo"):
    ledger = Ledger(database)
    reference = ModelRef(model * 8, model, "cpu-int8", "{}")
    hunt = ledger.open_hunt(prompt, tuple(prompt.encode()), reference, Recipe(), new=True)
    key = ledger.begin_try(hunt.id, ledger.reserve_index(hunt.id), 0, "CPU", {})
    ledger.end_try(key, TryEnd("max_tokens", (1,), text, (-1.0,), 0.1))
    ledger.decide([(key, "kept")], collection=Collections(database).default().id)
    return key, hunt.id


def test_words_are_found_in_text_prompt_note_and_model(library):
    text, _ = keep(library, "a", "Of ÉLVES and orcs")
    prompt, _ = keep(library, "Elves, élves", "b")
    note, _ = keep(library, "c", "d")
    Samples(library).set_note(note, "about élves")
    model, _ = keep(library, "e", "f", model="élves-124M")
    keep(library, "g", "dwarves")
    ids = Samples(library).ids(Collections(library).default().id)
    assert Search(library).samples(ids, "éLVES") == [model, note, prompt, text]


def test_only_the_given_ids_are_searched_and_keep_their_order(library):
    first, _ = keep(library, "", "same")
    second, _ = keep(library, "", "same")
    keep(library, "", "same")
    assert Search(library).samples([first, second], "same") == [first, second]
    assert Search(library).samples([], "same") == []


def test_signs_of_sql_are_words_like_others(library):
    key, _ = keep(library, "", "100% 'quoted'; _ DROP")
    other, _ = keep(library, "", "nothing of it")
    for words in ("100%", "' ", "'quoted'; _", "drop"):
        assert Search(library).samples([key, other], words.strip()) == [key]


def test_hunts_are_found_by_prompt_and_model(library):
    _, first = keep(library, "The miller", "x")
    _, second = keep(library, "A fox", "miller", model="gpt2")
    search = Search(library)
    assert search.hunts([second, first], "MILLER") == [first]
    assert search.hunts([second, first], "gpt2") == [second]
    assert search.hunts([second, first], "cpu-int8") == [second, first]


def test_any_white_space_is_found_by_a_space(library):
    key, _ = keep(library, "", "the\n\n  end")
    assert Search(library).samples([key], "The end") == [key]
    assert Search(library).samples([key], "theend") == []


@pytest.mark.parametrize(
    ("words", "text", "found"),
    [
        ("ss", "Straße", ["ß"]),
        ("STRASSE", "eine straße", ["straße"]),
        ("\u0130", "x i\u0307 y \u0130", ["i\u0307", "\u0130"]),
        ("a b", "A\n B, a\u2029b; ab", ["A\n B", "a\u2029b"]),
        (".", "a.b", ["."]),
        ("", "abc", []),
        (" ", "a b", []),
    ],
)
def test_what_was_found_is_where_it_is_said_to_be(words, text, found):
    assert [text[begin:end] for begin, end in Needle(words).places(text)] == found
