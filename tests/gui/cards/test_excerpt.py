import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PySide6.QtGui import QColor, QFont, QImage, QPainter
from PySide6.QtWidgets import QStyle, QStyleOptionViewItem

from explorer.gui.cards.card_delegate import CardDelegate
from explorer.gui.cards.card_model import CARD, Card, CardModel
from explorer.gui.cards.excerpt import leading_to, one_line, passage
from explorer.gui.style import theme
from explorer.library.search import Needle

PROMPT = "In a shocking finding, scientists discovered that the unicorns spoke perfect English."
TEXT = "The scientist named the population after their distinctive horn. " * 20
LATE = TEXT + "At last a heron came. " + TEXT


def delegate(needle="", lines=3):
    made = CardDelegate(lines)
    made.needle = Needle(needle)
    return made


def card(words=TEXT, before=f"{PROMPT} ", **more):
    return Card(words.strip(), "7 tries", "k 40 · T 1.0 · demo", before=before, **more)


def shown(needle, a_card, width=280, lines=3):
    """The lines that are painted: all of them in one, what is human of them, what is marked."""
    font = QFont("DejaVu Sans", 10)
    lines = delegate(needle, lines).lines(a_card, font, width)
    human = "".join(line.text[: line.human] for line in lines)
    marks = [line.text[low:high] for line in lines for low, high in line.marks]
    return " ".join(line.text.strip() for line in lines), human, marks


def test_the_end_of_the_prompt_stands_before_the_text_in_its_colour(qapp):
    text, human, marks = shown("", card())
    assert text.startswith("…the unicorns spoke perfect English. The scientist named the")
    assert text.endswith("…")
    assert human.strip() == "…the unicorns spoke perfect English."
    assert marks == []


def test_a_word_that_the_prompt_began_is_not_parted(qapp):
    before = leading_to("An unbeliev", "able story")
    assert shown("", card("able story", before))[0] == "An unbelievable story"
    assert leading_to("Title:\n", "A story") == "Title: "
    assert leading_to("", " A story") == ""


def test_what_is_in_sight_is_marked_where_it_is(qapp):
    text, _, marks = shown("SCIENTIST  named", card())
    assert text.startswith("…the unicorns")
    assert marks[0] == "scientist named"


@pytest.mark.parametrize("width", [90, 160, 280, 700])
@pytest.mark.parametrize("lines", [2, 3])
def test_the_excerpt_moves_to_what_is_out_of_sight(qapp, width, lines):
    text, human, marks = shown("heron", card(LATE), width, lines)
    assert marks == ["heron"]
    assert "heron" in text
    assert text.startswith("…")
    assert human == ""


def test_it_moves_back_into_the_prompt_as_well(qapp):
    text, human, marks = shown("shocking", card())
    assert marks == ["shocking"]
    assert text.startswith("In a shocking finding")
    assert human.startswith("In a shocking")


def test_the_text_goes_before_the_beginning_of_the_prompt(qapp):
    long = card(LATE, before="A heron and other birds were seen by everybody in the whole town. ")
    assert shown("heron", long)[0].startswith("…")
    assert shown("heron", long)[1] == ""


def test_a_prompt_is_shown_from_its_beginning(qapp):
    text, human, _ = shown("", Card(PROMPT * 3, "4 tries", "demo cpu-int8", human=True))
    assert text.replace(" ", "") == human.replace(" ", "")
    assert text.endswith("…")
    assert text.startswith("In a shocking")


def foot(needle, a_card, width):
    line = delegate(needle).foot(a_card, QFont("DejaVu Sans", 10), width)
    return line.text, [line.text[low:high] for low, high in line.marks]


def test_the_figures_mark_only_what_the_filter_looks_at(qapp):
    named = card(named="demo")
    assert foot("40", named, 400) == (" · k 40 · T 1.0 · demo", [])
    assert foot("dem", named, 400) == (" · k 40 · T 1.0 · demo", ["dem"])
    assert foot("dem", named, 110) == (" · … demo", ["dem"])


def test_a_note_is_shown_where_nothing_but_it_was_found(qapp):
    noted = card(note="the best of all that ever were, with a heron in it", named="demo")
    assert foot("heron", noted, 900)[1] == ["heron"]
    assert foot("heron", noted, 900)[0].startswith(" · note: …")
    assert foot("best", noted, 900) == (f" · note: {noted.note}", ["best"])
    assert "note" not in foot("scientist", noted, 900)[0]
    assert "note" not in foot("", noted, 900)[0]


@given(
    st.text(max_size=60),
    st.text(max_size=300),
    st.booleans(),
    st.text("ab ", max_size=3),
)
@example("ß ", "STRASSE straße", False, "ss")
@example("", "\U0001f984 a b", False, "a b")
def test_no_words_are_lost_or_marked_wrongly(before, words, human, needle):
    before, words = leading_to(before, words), one_line(words)
    whole = passage(before, words, human, Needle(needle))
    assert whole.text == before + words
    for low, high in whole.marks:
        assert one_line(needle).casefold() in one_line(whole.text[low:high]).casefold()
    starts = {None, *([whole.moved(6)] if whole.marks else ())}
    for start in starts:
        excerpt = whole.excerpt(100, start)
        assert excerpt.text.removeprefix("…") in whole.text
        assert excerpt.human <= len(excerpt.text)
        found = {whole.text[low:high] for low, high in whole.marks}
        for low, high in excerpt.marks:
            assert any(excerpt.text[low:high] in each for each in found)


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK])
def test_marks_are_painted_with_a_ground_and_a_line(qapp, palette, chosen):
    theme.apply(qapp, theme.Theme(palette))
    model = CardModel(lambda ids: dict.fromkeys(ids, Card("heron", "", "")))
    model.set_ids([1])
    assert model.index(0).data(CARD).words == "heron"

    def colours(needle):
        option = QStyleOptionViewItem()
        option.font = qapp.font()
        option.rect.setRect(0, 0, 300, 80)
        if chosen:
            option.state |= QStyle.StateFlag.State_Selected
        image = QImage(300, 80, QImage.Format.Format_RGB32)
        image.fill(QColor(palette.accent_behind if chosen else palette.panel))
        painter = QPainter(image)
        delegate(needle).paint(painter, option, model.index(0))
        painter.end()
        return {image.pixelColor(x, y).name().upper() for x in range(60) for y in range(40)}

    fresh = {palette.accent.upper(), (palette.panel if chosen else palette.accent_behind).upper()}
    assert fresh <= colours("heron")
    assert not fresh & colours("stork")
