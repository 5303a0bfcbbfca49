from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QKeyEvent, QTextCursor
from PySide6.QtWidgets import QApplication

from explorer.core.counting import Cost
from explorer.gui.explore.lane import Lane
from explorer.gui.style import theme
from explorer.gui.widgets.token_text import PROMPT_END, TokenText, prompt_end
from explorer.review.lane_stacks import LaneView
from tests.gui.controls_of import nameless
from tests.gui.settling import settle

pytestmark = pytest.mark.layout

STREAMING = LaneView(0, 12, 5, "streaming", " The scientist", 3)
ENDED = LaneView(0, 12, 5, "ended", " The scientist named", 4, "max_tokens")
KEPT = LaneView(0, 12, 5, "ended", " The end", 2, "end_of_text", "kept",
            cost=Cost(7, rejected=6))  # fmt: skip


@pytest.fixture
def lane(qtbot):
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    lane = Lane(0)
    qtbot.addWidget(lane)
    lane.resize(420, 360)
    lane.show()
    theme.dress(lane)
    return lane


def words(lane):
    """Everything that a person can read in the header."""
    return [x.text() for x in (lane._index, lane._dot, lane._state, lane._figures) if x.isVisible()]


@given(st.text(max_size=200))
def test_the_repeated_end_of_the_prompt_is_its_end(prompt):
    end = prompt_end(prompt)
    line = " ".join(prompt.split())
    assert "\n" not in end
    assert line.endswith(end.removeprefix("…"))
    assert len(end) <= PROMPT_END + 1
    assert end.startswith("…") or end == line


def test_the_end_of_a_prompt_begins_with_a_whole_word():
    prompt = "In a shocking finding, scientists saw that the unicorns spoke perfect English."
    assert prompt_end(prompt) == "…the unicorns spoke perfect English."


def test_a_streaming_lane_says_so(lane):
    lane.show_view(STREAMING, "…once", 63.4)
    assert words(lane) == ["Lane 1 · try 13", "●", "streaming", "3 tokens · 63 tok/s"]
    assert lane.text.toPlainText() == "…once The scientist"
    assert lane.text.accessibleName() == "Lane 1, try 13, streaming"


def test_prompt_and_machine_text_have_their_own_colours(lane):
    lane.show_view(STREAMING, "…once")
    document = lane.text.document()
    cursor = QTextCursor(document)
    colours = []
    for position in (1, 5, 6, len("…once The")):
        cursor.setPosition(position)
        colours.append(cursor.charFormat().foreground().color().name().upper())
    human, machine = theme.LIGHT.human, theme.LIGHT.text
    assert colours == [human, human, machine, machine]


@pytest.mark.parametrize("text", ["\n\nThe", "The\nsea", "\n"])
def test_streamed_text_has_the_colour_of_the_machine_from_its_first_word(lane, text):
    lane.show_view(replace(STREAMING, text=""), "…once")
    lane.show_view(replace(STREAMING, text=text), "…once")
    lane.show_view(replace(STREAMING, text=text + " end"), "…once")
    cursor = QTextCursor(lane.text.document())
    for position in range(1, cursor.document().characterCount()):
        cursor.setPosition(position)
        if not cursor.atBlockStart():  # a line end has no colour
            expected = theme.LIGHT.human if position <= len("…once") else theme.LIGHT.text
            assert cursor.charFormat().foreground().color().name().upper() == expected


def test_a_change_of_theme_recolours_what_is_there(lane):
    lane.show_view(STREAMING, "…once")
    theme.apply(QApplication.instance(), theme.Theme(theme.DARK))
    cursor = QTextCursor(lane.text.document())
    cursor.setPosition(2)
    assert cursor.charFormat().foreground().color().name().upper() == theme.DARK.human
    assert lane.text.toPlainText() == "…once The scientist"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=12))
def test_text_that_comes_in_pieces_is_the_text_that_comes_at_once(qapp, pieces):
    whole, grown = TokenText(), TokenText()
    whole.set_text("p", "".join(pieces))
    grown.set_text("p", "", follow=True)
    for piece in pieces:
        grown.append(piece)
    assert grown.machine_text() == whole.machine_text() == "".join(pieces)
    if "\r" not in "".join(pieces):  # a line end in two pieces counts as two on the screen
        assert grown.toPlainText() == whole.toPlainText()
    for text in (whole, grown):
        text.deleteLater()


PATH = "/a/very/long/path/to/some/file/of/no/use.txt"
PLAIN = (
    *("the", "a", "unicorn,", "scientists", "well-known", "(again)", ".", "3,141", "i.e.", "--"),
    *("\n", "\n\n", "\t", "x" * 70, PATH, "\u00a0"),
)
FOREIGN = (
    "“Yes.”",
    "…",
    "é",
    "\U0001f984",
    "日本語の文章",
    "。",
    "שלום",
    "مرحبا",
    "नमस्ते",
    "\u200b",
)


@pytest.fixture
def pair(qtbot):
    """Two streaming lanes' texts: one grows, one is given all at once."""
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    texts = TokenText(), TokenText()
    for text in texts:
        qtbot.addWidget(text)
        text.resize(170, 200)
        text.show()
        theme.dress(text)
    begin(*texts)
    return texts


def begin(*texts):
    for text in texts:
        text.set_text("…once", "", follow=True)
        text.set_caret(True)


def lines(text):
    """Every line on the screen: where it is and what it says."""
    found, block = [], text.document().begin()
    while block.isValid():
        layout, words = block.layout(), block.text().encode("utf-16-le")
        top = text.document().documentLayout().blockBoundingRect(block).top()
        for line in map(layout.lineAt, range(layout.lineCount())):
            start, length = 2 * line.textStart(), 2 * line.textLength()
            found.append((top + line.y(), words[start : start + length].decode("utf-16-le")))
        block = block.next()
    return found


def pieces_of(words):
    return st.lists(
        st.tuples(st.sampled_from(words), st.sampled_from([" ", " ", ""])).map("".join),
        min_size=20,
        max_size=100,
    )


def stages(pair, pieces):
    """Let one text grow; now and then give the other all that it says by then, and stop."""
    grown, whole = pair
    begin(*pair)
    for at, piece in enumerate(pieces, 1):
        grown.append(piece)
        if at % 16 == 0 or at == len(pieces):
            whole.set_text("…once", grown.machine_text(), follow=True)
            yield
    for text in pair:
        text.set_caret(False)


growing = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@growing
@given(pieces_of(PLAIN))
def test_text_that_grows_looks_like_text_that_is_there(pair, pieces):
    grown, whole = pair
    for _ in stages(pair, pieces):
        assert lines(grown) == lines(whole)
        assert grown.document().size() == whole.document().size()
        assert grown.grab().toImage() == whole.grab().toImage()
    assert grown.toPlainText() == whole.toPlainText()
    assert grown.grab().toImage() == whole.grab().toImage()


@growing
@given(pieces_of(PLAIN + FOREIGN))
def test_text_in_many_scripts_has_the_same_lines_however_it_comes(pair, pieces):
    grown, whole = pair
    for _ in stages(pair, pieces):
        # Not where: a letter of another font moves all lines of its block by a pixel.
        assert [words for _, words in lines(grown)] == [words for _, words in lines(whole)]
        assert grown.document().size() == whole.document().size()
    assert grown.toPlainText() == whole.toPlainText()
    assert lines(grown) == lines(whole)


DEPENDENT = [
    # A dash stands higher in front of a digit, which may begin the next line.
    [*["the "] * 70, "well-known ", "-- ", "3,141 ", *["the "] * 5],
    # A full stop behind another script has that script's font.
    [
        *[*["the "] * 5, "\n ", *["the "] * 7, "x" * 70 + " ", "नमस्ते", PATH],
        *["नमस्ते ", ". ", *["the "] * 3, "unicorn, "],
    ],
]


@pytest.mark.parametrize("pieces", DEPENDENT)
def test_no_line_that_depends_on_the_one_before_is_parted_from_it(pair, pieces):
    grown, whole = pair
    for _ in stages(pair, pieces):
        assert [words for _, words in lines(grown)] == [words for _, words in lines(whole)]
        if not any(letter > "…" for letter in grown.machine_text()):
            assert grown.grab().toImage() == whole.grab().toImage()


def test_lines_that_all_depend_on_others_are_cut_at_last(pair):
    grown, whole = pair
    for _ in range(200):
        grown.append("3,141 ")
        block = grown.document().lastBlock()
        assert block.layout().lineCount() <= 13
    assert grown.document().blockCount() > 2
    whole.set_text("…once", grown.machine_text(), follow=True)
    assert lines(grown) == lines(whole)


PROSE = (
    "In a shocking finding, scientists discovered a herd of unicorns living in a remote valley of"
    " the Andes. Even more surprising to the researchers was the fact that they spoke English. "
)
LONG = " ".join(f"word{n}" for n in range(120))


def grow(text):
    for word in LONG.split(" "):
        text.append(word + " ")


def test_a_paragraph_that_grows_is_short_blocks_and_whole_in_the_end(pair):
    grown, _ = pair
    grow(grown)
    document = grown.document()
    assert document.blockCount() > 5
    lines = [document.findBlockByNumber(n).layout().lineCount() for n in range(1, 6)]
    assert max(lines) <= 4
    grown.set_caret(False)
    assert (document.blockCount(), grown.toPlainText()) == (1, f"…once{LONG} ")


def test_what_is_copied_while_text_grows_has_no_line_ends_of_the_screen(pair):
    grown, _ = pair
    grow(grown)
    grown.selectAll()
    grown.copy()
    assert QApplication.clipboard().text() == f"…once{LONG} "
    grow(grown)  # while something is selected nothing is cut
    assert grown.document().blockCount() == 1


def test_a_part_that_is_selected_is_copied_as_it_was_written(pair):
    grown, _ = pair
    grow(grown)
    cursor = QTextCursor(grown.document())
    cursor.setPosition(2)
    cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
    grown.setTextCursor(cursor)
    grown.keyPressEvent(
        QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    )
    assert QApplication.clipboard().text() == f"…once{LONG} "[2:]


def test_another_width_wraps_whole_paragraphs(pair):
    grown, whole = pair
    grow(grown)
    whole.set_text("…once", grown.machine_text(), follow=True)
    for text in pair:
        text.resize(290, 200)
    assert grown.document().blockCount() == 1
    assert grown.document().size() == whole.document().size()
    grow(grown)
    assert grown.document().blockCount() > 5


@pytest.mark.parametrize("height", [20, 90, 151, 200, 222])
def test_only_whole_lines_are_shown(pair, height):
    grown, _ = pair
    grown.resize(170, height)
    grow(grown)
    bar = grown.verticalScrollBar()
    line = bar.singleStep()
    assert grown.document().size().height() % line == 0
    assert bar.value() % line == 0 or height < 2 * line
    assert height - line < grown.viewport().height() <= height
    bar.triggerAction(bar.SliderAction.SliderSingleStepSub)
    assert bar.maximum() - bar.value() == line


def test_the_view_stays_where_a_person_has_scrolled_to(pair):
    grown, _ = pair
    grow(grown)
    bar = grown.verticalScrollBar()
    assert bar.value() == bar.maximum() > 200
    bar.setValue(100)
    grow(grown)
    assert bar.value() == 100
    grown.set_caret(False)
    assert bar.value() == 100


def test_only_new_text_is_added(lane, monkeypatch):
    lane.show_view(STREAMING, "…once")
    rewritten = []
    monkeypatch.setattr(lane.text, "_rewrite", lambda: rewritten.append(1))
    lane.show_view(ENDED, "…once")
    assert rewritten == []
    assert lane.text.toPlainText() == "…once The scientist named"


def test_another_candidate_begins_anew(lane):
    lane.show_view(ENDED, "…once")
    lane.show_view(LaneView(0, 13, None, "waiting"), "…once")
    assert lane.text.toPlainText() == "…once"
    assert words(lane)[:2] == ["Lane 1 · try 14", "waiting"]
    lane.show_view(LaneView(0, 13, 6, "streaming", " It", 1), "…once")
    assert lane.text.toPlainText() == "…once It"


def test_the_frame_and_the_text_keep_their_size_whatever_happens(lane):
    sizes = set()
    long = LaneView(0, 1, 1, "streaming", " word" * 900, 900)
    for view in (LaneView(0), LaneView(0, 1, None, "waiting"), STREAMING, long, ENDED, KEPT):
        lane.show_view(view, "…once", 100.0)
        QApplication.processEvents()
        sizes.add((lane.size(), lane.text.size(), lane.text.pos()))
    lane.set_chosen(True)
    QApplication.processEvents()
    sizes.add((lane.size(), lane.text.size(), lane.text.pos()))
    assert len(sizes) == 1


def test_the_view_follows_the_stream_until_the_person_scrolls_away(lane):
    bar = lane.text.verticalScrollBar()
    lane.show_view(LaneView(0, 1, 1, "streaming", " word" * 500, 500), "")
    QApplication.processEvents()
    assert bar.value() == bar.maximum() > 0
    lane.show_view(LaneView(0, 1, 1, "streaming", " word" * 600, 600), "")
    QApplication.processEvents()
    assert bar.value() == bar.maximum()
    bar.setValue(3)
    lane.show_view(LaneView(0, 1, 1, "streaming", " word" * 700, 700), "")
    QApplication.processEvents()
    assert bar.value() == 3


def test_a_finished_try_is_read_from_its_beginning(lane):
    lane.show_view(LaneView(0, 1, 1, "ended", " word" * 500, 500, "max_tokens"), "")
    QApplication.processEvents()
    assert lane.text.verticalScrollBar().value() == 0


@pytest.mark.parametrize(
    ("end", "words_"),
    [("end_of_text", "end of text"), ("max_tokens", "max tokens"), ("stopped", "stopped"),
     ("context_full", "context full"), ("dropped", "dropped"), ("crash", "lost to a crash")],
)  # fmt: skip
def test_every_end_has_its_words(lane, end, words_):
    lane.show_view(LaneView(0, 3, 1, "ended", " x", 1, end), "")
    assert words(lane) == ["Lane 1 · try 4", words_, "1 token"]


def test_a_kept_try_shows_its_caption_and_undo(lane):
    lane.show_view(KEPT, "", undoable=True)
    assert lane._verdict.isVisible()
    assert lane._verdict.text() == "✓ Kept — machine-written, 7 tries (6 rejected)"
    assert not lane.keep.isVisible()
    assert lane._undo.isVisible()


def test_a_narrow_lane_says_the_same_in_fewer_words(lane):
    lane.show_view(KEPT, "")
    lane.resize(190, 300)
    assert lane._verdict.text() in ("✓ Kept — 7 tries (6 rejected)", "✓ Kept — 7 tries")
    assert lane._verdict.accessibleName() == "Kept machine-written, 7 tries (6 rejected)"
    lane.show_view(STREAMING, "")
    assert lane.keep.words() == "✓"
    assert [button._caps[0].text() for button, *_ in lane._buttons] == ["A", "X", "␣"]
    assert all(button._caps[0].isVisible() for button, *_ in lane._buttons)
    assert lane.keep.accessibleName() == "Keep"
    assert lane.minimumSizeHint().width() <= 200
    lane.resize(420, 360)
    assert lane.keep.words() == "✓ Keep"
    assert lane.skip._caps[0].text() == "Space"


def test_colour_is_never_alone(lane):
    for verdict, sign in (("kept", "✓"), ("rejected", "✕"), ("skipped", "→")):
        lane.show_view(LaneView(0, 3, 1, "ended", " x", 1, "stopped", verdict), "")
        assert lane._verdict.text().startswith(sign)
        assert verdict in lane.text.accessibleName()


def test_buttons_ask_for_verdicts(lane, qtbot):
    lane.show_view(STREAMING, "")
    asked = []
    lane.verdict_asked.connect(lambda number, verdict: asked.append((number, verdict)))
    for button in (lane.keep, lane.reject, lane.skip):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert asked == [(0, "kept"), (0, "rejected"), (0, "skipped")]


def test_where_nothing_can_be_judged_the_buttons_say_why(lane):
    lane.show_view(STREAMING, "")
    lane.set_judging("The disk is read-only.")
    for button in (lane.keep, lane.reject, lane.skip):
        assert not button.isEnabled()
        assert button.toolTip() == "The disk is read-only."
    lane.set_judging("")
    assert lane.keep.isEnabled()


def test_a_try_that_was_lost_offers_no_verdict(lane):
    lane.show_view(LaneView(0, 1, 1, "ended", " x", 1, "crash"), "")
    assert not lane.keep.isVisible()
    assert not lane._verdict.isVisible()


def test_the_buttons_stay_while_the_next_try_waits(lane):
    """They blinked at every refill, and one that had the focus lost it."""
    lane.show_view(STREAMING, "")
    lane.reject.setFocus()
    lane.show_view(LaneView(0, 13, None, "waiting"), "")
    assert lane.reject.isVisible()
    assert lane.reject.hasFocus()


def test_every_control_has_a_name(lane):
    assert nameless(lane) == []


def test_a_lane_may_be_any_size(lane):
    lane.show_view(KEPT, "…once")
    for size in (QSize(60, 60), QSize(2000, 1500), QSize(1, 1)):
        lane.resize(size)
        QApplication.processEvents()


def test_keys_stay_on_the_lane_longer_than_signs(lane):
    lane.show_view(STREAMING, "")
    lane.resize(420, 360)
    assert lane.keep.words() == "✓ Keep"
    assert lane.keep._caps[0].isVisible()
    lane.resize(lane._actions.sizeHint().width() - 1, 360)
    assert lane.keep.words() == "Keep"
    assert lane.keep._caps[0].isVisible()
    assert lane._actions.sizeHint().width() <= lane.width()


def test_the_figures_of_a_streaming_lane_fit_another_width_at_once(lane):
    """They are not told thirty times a second, but where their room goes they are."""
    lane.resize(theme.wide(600), 360)
    lane.show_view(replace(STREAMING, tokens=40), "…once", 63.4)
    assert lane._figures.text() == "40 tokens · 63 tok/s"
    lane.resize(theme.wide(190), 360)
    settle(lane)
    assert lane._figures.text() in ("40 tokens", "40 tok", "")
    assert lane._figures.width() >= lane._figures.sizeHint().width()


@pytest.mark.parametrize("size", [10, 14.5, 28])
def test_a_long_caption_is_shortened_to_two_lines(lane, size):
    """As much of it as has room, in whatever font: none of its words is cut."""
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT, size))
    cost = Cost(51, rejected=16, skipped=12, passed_over=22)
    caption, bare = cost.caption, cost.brief
    lane.show_view(replace(KEPT, cost=cost), "", undoable=True)
    forms = {f"✓ Kept — {caption}", f"✓ Kept — {bare}", "✓ Kept — 51 tries"}
    seen = set()
    for width in range(theme.wide(1000), theme.wide(180), -theme.wide(10)):
        lane.resize(width, 300)
        QApplication.sendPostedEvents()
        shown, label = lane._verdict.text(), lane._verdict
        seen.add(shown)
        assert shown in forms or shown.startswith("✓ 51 tr")
        assert label.heightForWidth(label.width()) <= label.height(), (width, shown)
        assert lane._verdict.toolTip() == caption
    assert forms <= seen


def test_larger_text_fits_the_buttons_again(lane, qtbot):
    """In a small window "Reject" was cut to "Reje" when the text grew."""
    lane.show_view(STREAMING, "")
    lane.resize(316, 300)
    settle(lane)
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT, 21))
    settle(lane)
    assert lane._actions.sizeHint().width() <= lane.width()
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))


LONG_STREAM = LaneView(0, 1, 1, "streaming", " word" * 500, 500)
LONG_END = replace(LONG_STREAM, state="ended", end="max_tokens")


def test_a_lane_that_was_followed_shows_its_beginning_when_it_ends(lane):
    bar = lane.text.verticalScrollBar()
    lane.show_view(LONG_STREAM, "…once")
    assert bar.value() == bar.maximum() > 0
    lane.show_view(replace(LONG_END, text=LONG_END.text + " and the last"), "…once")
    assert bar.value() == 0


@pytest.mark.parametrize("back", [False, True])
def test_who_scrolled_reads_on_where_they_are_when_it_ends(lane, qtbot, back):
    bar = lane.text.verticalScrollBar()
    lane.show_view(LONG_STREAM, "…once")
    qtbot.keyClick(lane.text, Qt.Key.Key_PageUp)
    if back:
        qtbot.keyClick(lane.text, Qt.Key.Key_End)
    place = bar.value()
    assert place > 0
    lane.show_view(LONG_END, "…once")
    assert bar.value() == place
    lane.show_view(replace(LONG_STREAM, index=2, try_id=2), "…once")
    assert bar.value() == bar.maximum()  # the next one is followed again
    lane.show_view(replace(LONG_END, index=2, try_id=2), "…once")
    assert bar.value() == 0


def test_who_has_selected_something_keeps_it_in_view_when_it_ends(lane):
    bar = lane.text.verticalScrollBar()
    lane.show_view(LONG_STREAM, "…once")
    cursor = lane.text.cursorForPosition(lane.text.viewport().rect().center())
    cursor.select(QTextCursor.SelectionType.WordUnderCursor)
    lane.text.setTextCursor(cursor)
    place = bar.value()
    lane.show_view(LONG_END, "…once")
    assert bar.value() == place > 0
    assert lane.text.textCursor().selectedText() == "word"


def test_another_size_of_text_leaves_a_finished_lane_at_its_beginning(lane):
    lane.show_view(LONG_STREAM, "…once")
    lane.show_view(LONG_END, "…once")
    bar = lane.text.verticalScrollBar()
    for size in (21, 10, 14.5):
        theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT, size))
        QApplication.processEvents()
        assert bar.value() == 0 < bar.maximum()


def test_a_text_that_is_shown_lower_than_a_line_begins_at_its_top(qtbot):
    """Its first line was cut at the top, and stayed so in every other size of the window."""
    text = TokenText()
    qtbot.addWidget(text)
    text.resize(400, text.line_height() - 8)
    text.set_text("Once upon a time", " there was a miller" * 20)
    text.show()
    assert text.verticalScrollBar().value() == 0


def test_what_is_read_stays_at_the_top_when_its_lines_break_anew(lane):
    numbered = "".join(f"number{n:04} " for n in range(600))
    lane.show_view(replace(LONG_STREAM, text=numbered), "")
    bar = lane.text.verticalScrollBar()
    bar.setValue(20 * bar.singleStep())
    at = lane.text.cursorForPosition(lane.text.viewport().rect().topLeft()).position()

    def is_in_first_line():
        cursor = lane.text.cursorForPosition(lane.text.viewport().rect().topLeft())
        begin = cursor.position()
        cursor.movePosition(QTextCursor.MoveOperation.EndOfLine)
        return begin <= at <= cursor.position()

    for width in (300, 640, 420):
        lane.resize(width, 360)
        QApplication.processEvents()
        assert is_in_first_line()
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT, 21))
    QApplication.processEvents()
    assert is_in_first_line()
    theme.apply(QApplication.instance(), theme.Theme(theme.LIGHT))
    QApplication.processEvents()
    assert is_in_first_line()
    lane.show_view(replace(LONG_STREAM, text=numbered + "more " * 100), "")
    assert is_in_first_line()  # and it is not followed


@pytest.mark.parametrize("family", ["DejaVu Sans", "Nimbus Sans", "Noto Sans"])
@pytest.mark.parametrize("size", [10, 14.5, 28])
def test_the_lines_of_a_wide_lane_have_some_ninety_letters(lane, family, size):
    app = QApplication.instance()
    before = app.font()
    try:
        theme.apply(app, theme.Theme(theme.LIGHT, size))
        font = app.font()
        font.setFamily(family)
        app.setFont(font)
        lane.resize(2600, 900)
        lane.show_view(replace(ENDED, text=PROSE * 5), "")
        QApplication.processEvents()
        letters = [len(words.rstrip()) for _, words in lines(lane.text)]
        assert 80 <= max(letters) <= 100
        assert sum(letters[:-1]) / len(letters[:-1]) <= 92
        assert lane.text.viewport().width() > 2400  # the wheel turns wherever the mouse is
    finally:
        theme.apply(app, theme.Theme(theme.LIGHT))
        app.setFont(before)


def test_lines_are_not_broken_anew_when_the_scroll_bar_comes(pair):
    grown, _ = pair
    while not grown.verticalScrollBar().maximum():
        before = [words for _, words in lines(grown)]
        grown.append("the sea ")
    assert [words for _, words in lines(grown)][: len(before) - 1] == before[:-1]
