"""How a card is painted: some lines of words, a line of figures below, a hairline between cards.

What a person wrote has its own colour. What a filter found lies on the accent's ground and is
underlined, so that colour is not the only sign; where it would be out of sight, the words that are
shown move to it.
"""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QPointF, QRect, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QPainter,
    QTextCharFormat,
    QTextLayout,
    QTextOption,
)
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from explorer.gui.cards.card_model import CARD, WORDS, Card, Index
from explorer.gui.cards.excerpt import LEAD, Excerpt, passage
from explorer.gui.style.guard import guarded
from explorer.gui.style.line_width import column_width
from explorer.gui.style.theme import UNIT, colour
from explorer.library.search import Needle

LINES_IF_WIDE = 2


@guarded
class CardDelegate(QStyledItemDelegate):
    """Paints the cards of one list."""

    def __init__(self, lines: int = 2) -> None:
        """Paint words on at most ``lines`` lines."""
        super().__init__()
        self._most = self._lines = lines
        self.needle = Needle()
        """What is marked."""

    def fit(self, width: int, font: QFont) -> bool:
        """Take fewer lines for cards that are wider than a column; say whether that is new."""
        lines = self._most if width <= column_width(font) else min(self._most, LINES_IF_WIDE)
        changed, self._lines = lines != self._lines, lines
        return changed

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return one height for all cards, whatever they say: a long list is laid out at once."""
        metrics = QFontMetrics(option.font)
        notes = QFontMetrics(_note_font(option.font))
        height = self._lines * metrics.lineSpacing() + notes.lineSpacing() + 6 * UNIT
        return QSize(40 * UNIT, height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one card."""
        card = index.data(CARD)
        if card is None:
            return
        painter.save()
        rect = option.rect
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen:
            painter.fillRect(rect, colour("accent_behind"))
        else:
            painter.fillRect(
                QRect(rect.left() + 2 * UNIT, rect.bottom(), rect.width() - 4 * UNIT, 1),
                colour("line"),
            )
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.fillRect(QRect(rect.left(), rect.top(), 2, rect.height()), colour("accent"))
        ground = colour("panel" if chosen else "accent_behind")
        inner = rect.adjusted(2 * UNIT, 2 * UNIT + 2, -2 * UNIT, -2 * UNIT)
        top = inner.top()
        painter.setPen(colour("text"))
        for line in self.lines(card, option.font, inner.width()):
            _draw(painter, inner.left(), top, line, option.font, ground)
            top += QFontMetrics(option.font).lineSpacing()
        self._paint_foot(painter, inner, card, _note_font(option.font), ground)
        painter.restore()

    def lines(self, card: Card, font: QFont, width: int) -> list[Excerpt]:
        """Return what is shown of a card's words in ``width`` pixels, line by line."""
        whole = passage(card.before, card.words, card.human, self.needle)
        # What cannot be in sight is not laid out: few letters are narrower than this one.
        narrow = max(1, QFontMetrics(font).horizontalAdvance("l"))
        most = min(WORDS, self._lines * (width // narrow + 1))
        excerpt = whole.excerpt(most)
        lines, seen = self._broken(excerpt, font, width)
        if whole.marks and not any(high <= seen for _, high in excerpt.marks):
            moved = whole.moved(len(lines[0].text) // 2 if lines else LEAD)
            lines, _ = self._broken(whole.excerpt(most, moved), font, width)
        return lines

    def _broken(self, excerpt: Excerpt, font: QFont, width: int) -> tuple[list[Excerpt], int]:
        """Break an excerpt into lines; return them, and how many of its letters are in sight."""
        layout = QTextLayout(excerpt.text, font)
        layout.setTextOption(QTextOption(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop))
        layout.beginLayout()
        units = excerpt.text.encode("utf-16-le", "replace")  # Qt counts UTF-16 units
        lines, seen = [], 0
        for number in range(self._lines):
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(width)
            begin = len(units[: 2 * line.textStart()].decode("utf-16-le", "replace"))
            end = 2 * (line.textStart() + line.textLength())
            last = number == self._lines - 1
            text = units[2 * line.textStart() : None if last else end].decode(
                "utf-16-le", "replace"
            )
            shown = _elided(excerpt.part(begin, text.rstrip()), font, width)
            seen = begin + len(shown.text) - shown.text.endswith("…")
            lines.append(shown)
        layout.endLayout()
        return lines, seen

    def _paint_foot(
        self, painter: QPainter, inner: QRect, card: Card, font: QFont, ground: QColor
    ) -> None:
        top = inner.bottom() - QFontMetrics(font).lineSpacing()
        bold = QFont(font)
        bold.setWeight(QFont.Weight.DemiBold)
        painter.setPen(colour(card.tone))
        _draw(painter, inner.left(), top, Excerpt(card.lead, 0, ()), bold, ground)
        used = QFontMetrics(bold).horizontalAdvance(card.lead)
        painter.setPen(colour("muted"))
        rest = self.foot(card, font, inner.width() - used)
        _draw(painter, inner.left() + used, top, rest, font, ground)

    def foot(self, card: Card, font: QFont, width: int) -> Excerpt:
        """Return what stands behind a card's figure: the note, where a filter found only that."""
        between = " · " if card.lead and (card.rest or card.note) else ""
        found = passage(card.before, card.words, card.human, self.needle).marks
        note = passage("", card.note, False, self.needle)
        if note.marks and not found and not self.needle.is_in(card.named):
            excerpt = note.excerpt(WORDS, note.moved() if note.marks[0][1] > LEAD else 0)
            return _elided(_behind(f"{between}note: ", excerpt), font, width)
        at = card.rest.find(card.named) if card.named else 0
        marks = tuple(
            (low + at, high + at) for low, high in self.needle.places(card.named) if at >= 0
        )
        rest = Excerpt(card.rest, 0, marks)
        shown = _elided(_behind(between, rest), font, width)
        if marks and not shown.marks:  # it is out of sight
            rest = _behind("… ", rest.part(at, card.rest[at:]))
            shown = _elided(_behind(between, rest), font, width)
        return shown


def _behind(lead: str, excerpt: Excerpt) -> Excerpt:
    """Return an excerpt with some words of ours in front."""
    marks = tuple((low + len(lead), high + len(lead)) for low, high in excerpt.marks)
    return replace(excerpt, text=lead + excerpt.text, marks=marks)


def _elided(excerpt: Excerpt, font: QFont, width: int) -> Excerpt:
    """Return as much as fits into one line, an ellipsis behind it where that is not all."""
    shown = QFontMetrics(font).elidedText(excerpt.text, Qt.TextElideMode.ElideRight, width)
    if shown == excerpt.text:
        return excerpt
    kept = excerpt.part(0, shown.removesuffix("…"))
    by_a_person = kept.human == len(kept.text)  # and so is what the ellipsis stands for
    return replace(kept, text=shown, human=len(shown) if by_a_person else kept.human)


def _draw(
    painter: QPainter, left: float, top: float, line: Excerpt, font: QFont, ground: QColor
) -> None:
    """Draw one line, the person's words and the marks with their colours, others with the pen's."""
    layout = QTextLayout(line.text, font)
    human = QTextCharFormat()
    human.setForeground(colour("human"))
    found = found_format(ground)
    spans = [(0, line.human, human), *((low, high, found) for low, high in line.marks)]
    formats = []
    for low, high, form in spans:
        if high > low:
            part = QTextLayout.FormatRange()
            part.start, end = units(line.text[:low]), units(line.text[:high])
            part.length = end - part.start
            part.format = form
            formats.append(part)
    layout.setFormats(formats)
    layout.beginLayout()
    row = layout.createLine()
    layout.endLayout()
    if row.isValid():  # a letter of another font must not lower its line
        layout.draw(painter, QPointF(left, top + QFontMetrics(font).ascent() - row.ascent()))


def found_format(ground: QColor) -> QTextCharFormat:
    """Return how letters look that a filter found: on the accent's ground, and underlined."""
    found = QTextCharFormat()
    found.setBackground(ground)
    found.setFontUnderline(True)
    found.setUnderlineColor(colour("accent"))
    return found


def units(text: str) -> int:
    """Return how many UTF-16 units, which Qt counts, a text has."""
    return len(text.encode("utf-16-le", "replace")) // 2


def _note_font(font: QFont) -> QFont:
    note = QFont(font)
    note.setPointSizeF(font.pointSizeF() * 12 / 13)
    return note
