import subprocess
import sys
import weakref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester

from explorer.gui.cards import card_list
from explorer.gui.cards.card_list import HEAD, SLICE, SWEEP, CardList
from explorer.gui.cards.card_model import CARD, ID, PAGE, PAGES, Card, CardModel, first_words
from explorer.gui.style.theme import UNIT
from tests.gui.conftest import ROOT
from tests.gui.controls_of import nameless

MANY = 100_000


class LibraryAccess:
    """Cards on demand, with a note of what was asked for."""

    def __init__(self):
        self.asked = []

    def read(self, ids):
        self.asked.append(list(ids))
        return {key: Card(f"words of {key}", f"{key} tries", "k 40") for key in ids if key >= 0}

    def search(self, ids, needle):
        return [key for key in ids if needle in str(key)]


@pytest.fixture
def library_access():
    return LibraryAccess()


@pytest.fixture
def model(library_access, qapp):
    model = CardModel(library_access.read)
    model.tester = QAbstractItemModelTester(
        model, QAbstractItemModelTester.FailureReportingMode.Fatal
    )
    return model


def shown(model, library_access, qtbot):
    cards = CardList(model, library_access.search, "Samples", "Nothing yet.")
    qtbot.addWidget(cards)
    cards.resize(300, 600)
    cards.show()
    return cards


@pytest.fixture
def cards(model, library_access, qtbot):
    return shown(model, library_access, qtbot)


@pytest.fixture
def long_cards(library_access, qtbot):
    """A list without the tester, which walks through every row after every change."""
    return shown(CardModel(library_access.read), library_access, qtbot)


def test_every_control_has_a_name(cards):
    assert nameless(cards) == []


@given(lists=st.lists(st.lists(st.integers(0, 12), unique=True), min_size=2, max_size=6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_list_can_follow_any_other(model, lists):
    for ids in lists:
        model.set_ids(ids)
        shown = [model.index(row).data(ID) for row in range(model.rowCount())]
        assert shown == ids
        assert [model.index(row).data(CARD).words for row in range(len(ids))] == [
            f"words of {key}" for key in ids
        ]


def test_one_new_row_on_top_is_reported_as_one(model, qtbot):
    model.set_ids(range(50))
    with qtbot.waitSignal(model.rowsInserted) as inserted:
        model.set_ids([99, *range(50)])
    assert inserted.args[1:] == [0, 0]
    with qtbot.waitSignal(model.rowsRemoved) as removed:
        model.set_ids([99, *range(10), *range(11, 50)])
    assert removed.args[1:] == [11, 11]


def test_rows_are_read_a_page_at_a_time_and_remembered(library_access, qapp):
    model = CardModel(library_access.read)
    model.set_ids(range(MANY))
    library_access.asked.clear()
    model.card(7 * PAGE + 3)
    model.card(7 * PAGE + 4)
    model.card(7 * PAGE)
    assert library_access.asked == [list(range(7 * PAGE, 8 * PAGE))]
    for row in range(0, PAGE * PAGES * 2, PAGE):
        model.card(row)
    assert len(model._cards) <= PAGE * PAGES


def test_a_row_that_is_gone_says_so(model):
    model.set_ids([-5])
    assert "not in the library" in model.index(0).data()


def test_a_screen_reader_hears_the_whole_card(model):
    model.set_ids([7])
    spoken = model.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "words of 7. 7 tries. k 40"


def test_a_hundred_thousand_rows_read_only_what_is_painted(long_cards, library_access, qtbot):
    long_cards.set_ids(range(MANY))
    long_cards.view.viewport().grab()
    long_cards.view.scrollToBottom()
    long_cards.view.viewport().grab()
    assert long_cards.model.rowCount() == MANY
    read = {key for page in library_access.asked for key in page}
    assert len(read) <= 6 * PAGE
    assert MANY - 1 in read


def test_the_current_row_stays_when_one_comes_on_top(cards):
    cards.set_ids(range(10))
    cards.choose(4)
    cards.set_ids([99, *range(10)])
    assert cards.current() == 4


def test_an_empty_list_says_what_belongs_there(cards):
    cards.set_ids([])
    assert cards.nothing.isVisible()
    assert cards.nothing.text() == "Nothing yet."
    assert not cards.filter.isVisible()


def test_the_filter_finds_everything_slice_by_slice(cards, library_access, qtbot, monkeypatch):
    monkeypatch.setattr(card_list, "BUSY_SECONDS", 1e-9)  # one slice, then the window's turn
    cards.set_ids(range(5 * SLICE))
    cards.filter.setText("77")
    assert cards.filtering()
    qtbot.waitUntil(lambda: not cards.filtering())
    assert list(cards.model.ids()) == [key for key in range(5 * SLICE) if "77" in str(key)]
    cards.filter.setText("no number")
    qtbot.waitUntil(lambda: not cards.filtering())
    assert cards.nothing.text() == "Nothing here matches the filter."
    cards.filter.clear()
    assert len(cards.model.ids()) == 5 * SLICE


def test_escape_empties_the_filter(cards, qtbot):
    cards.set_ids(range(10))
    cards.filter.setText("3")
    qtbot.keyClick(cards.filter, Qt.Key.Key_Escape)
    assert cards.filter.text() == ""


def test_down_leads_from_the_filter_to_what_it_found(cards, qtbot):
    cards.set_ids(range(10))
    cards.filter.setFocus()
    qtbot.keyClick(cards.filter, Qt.Key.Key_Down)
    assert cards.view.hasFocus()
    assert cards.current() == 0


def test_a_refresh_keeps_the_filter(cards, qtbot):
    cards.set_ids(range(10))
    cards.filter.setText("3")
    cards.set_ids([13, *range(10)])
    qtbot.waitUntil(lambda: not cards.filtering())
    assert list(cards.model.ids()) == [13, 3]


def test_keys_open_and_delete(cards, qtbot):
    cards.set_ids(range(10))
    cards.activateWindow()
    cards.view.setFocus()
    qtbot.waitUntil(cards.view.hasFocus)
    cards.choose(2)
    with qtbot.waitSignal(cards.opened) as opened:
        qtbot.keyClick(cards.view, Qt.Key.Key_Return)
    assert opened.args == [2]
    with qtbot.waitSignal(cards.delete_asked) as asked:
        qtbot.keyClick(cards.view, Qt.Key.Key_Delete)
    assert asked.args == [2]


@pytest.mark.parametrize("words", ["", "x" * 5000, "\U0001f984 " * 200, "word " * 100, "\u202eabc"])
def test_any_words_can_be_painted(cards, library_access, words):
    library_access.read = None
    cards.model._read = lambda ids: {
        key: Card(words, "first try", "k 40", human=True) for key in ids
    }
    cards.set_ids([1])
    cards.choose(1)
    assert not cards.view.viewport().grab().isNull()


def test_first_words_are_one_line():
    assert first_words(" a\n\n b\tc ") == "a b c"
    assert first_words("\n" * 5000) == ""
    assert first_words("four five", 9) == "four five"
    assert first_words("four five", 6) == "four…"  # and never more than was asked for
    assert len(first_words("x" * 5000, 120)) == 120


def test_a_wide_card_is_filled_with_words(cards):
    words = first_words("word " * 1000)
    cards.model._read = lambda ids: {key: Card(words, "7 tries", "k 40") for key in ids}
    cards.resize(1900, 600)
    cards.set_ids([1])
    row = cards.view.visualRect(cards.model.index(0))
    picture = cards.view.viewport().grab().toImage()
    line = row.top() + 2 * UNIT + 2 + cards.view.fontMetrics().lineSpacing()
    end = [
        picture.pixel(x, y)
        for x in range(row.right() - 80, row.right() - 2 * UNIT)
        for y in range(line, line + cards.view.fontMetrics().ascent())
    ]
    assert len(set(end)) > 1  # the second line reaches the edge


def test_a_screen_reader_is_not_given_the_whole_text(model, library_access):
    model._read = lambda ids: {key: Card("word " * 100, "7 tries", "k 40") for key in ids}
    model.set_ids([7])
    spoken = model.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert len(spoken) < 280
    assert spoken.endswith("…. 7 tries. k 40")


def source(ids):
    """Return ``ids`` as the library gives them: so many, behind one of them."""

    def read(limit, after):
        start = 0 if after is None else ids.index(after) + 1
        return ids[start : start + limit]

    return read


def test_a_long_list_shows_its_newest_rows_before_it_is_read(long_cards, qtbot):
    ids = list(range(MANY))
    long_cards.set_source(source(ids))
    assert list(long_cards.model.ids()) == ids[:HEAD]
    assert long_cards.sweeping()
    with qtbot.waitSignal(long_cards.amount_changed, check_params_cb=lambda amount: amount == MANY):
        pass
    assert list(long_cards.model.ids()) == ids


def test_a_new_row_on_a_long_list_is_there_at_once_and_moves_nothing(long_cards, qtbot):
    ids = list(range(3 * SWEEP))
    long_cards.set_source(source(ids))
    qtbot.waitUntil(lambda: not long_cards.sweeping())
    long_cards.choose(2 * SWEEP)
    long_cards.set_source(source([-7, *ids]))
    assert long_cards.model.ids()[0] == -7
    assert len(long_cards.model.ids()) == len(ids) + 1
    assert long_cards.current() == 2 * SWEEP
    qtbot.waitUntil(lambda: not long_cards.sweeping())
    assert list(long_cards.model.ids()) == [-7, *ids]


def test_a_row_that_went_from_the_depth_is_gone_after_the_sweep(long_cards, qtbot):
    ids = list(range(2 * SWEEP))
    long_cards.set_source(source(ids))
    qtbot.waitUntil(lambda: not long_cards.sweeping())
    fewer = [key for key in ids if key != SWEEP]
    long_cards.set_source(source(fewer))
    qtbot.waitUntil(lambda: not long_cards.sweeping())
    assert list(long_cards.model.ids()) == fewer


def test_a_short_list_is_read_in_one_go(cards):
    cards.set_source(source([3, 2, 1]))
    assert not cards.sweeping()
    assert list(cards.model.ids()) == [3, 2, 1]


def test_a_wide_list_needs_fewer_lines_for_a_card(library_access, qtbot):
    cards = CardList(
        CardModel(library_access.read), library_access.search, "Samples", "Nothing yet.", lines=3
    )
    qtbot.addWidget(cards)
    cards.set_ids([1, 2])
    cards.show()

    def height():
        qtbot.waitUntil(lambda: cards.view.visualRect(cards.model.index(0)).height() > 0)
        cards.view.viewport().grab()
        return cards.view.visualRect(cards.model.index(0)).height()

    heights = []
    for width in (300, 1900, 300):
        cards.resize(width, 600)
        heights.append(height())
    assert heights[0] - heights[1] == cards.view.fontMetrics().lineSpacing()
    assert heights[2] == heights[0]


GARBAGE = """
import gc
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from explorer.gui.cards.card_list import CardList
from explorer.gui.cards.card_model import CardModel

class Owner(QWidget):
    def read(self, ids):
        return {}

def make():
    owner = Owner()
    model = CardModel(owner.read)
    gc.collect(0)  # what is made behind this is cleared first
    owner.list = CardList(model, lambda ids, text: ids, "Name", "Nothing")
    QVBoxLayout(owner).addWidget(owner.list)

app = QApplication([])
gc.disable()
gc.collect()
make()
gc.collect()
print("alive")
"""


def test_a_list_whose_owner_is_garbage_is_collected_without_a_crash():
    words = [sys.executable, "-c", GARBAGE]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "alive\n")


def test_a_model_does_not_keep_who_reads_for_it_and_then_knows_nothing(qapp):
    cards = LibraryAccess()
    model = CardModel(cards.read)
    model.set_ids([1])
    gone = weakref.ref(cards)
    del cards
    assert gone() is None
    assert model.card(0).words == ""
