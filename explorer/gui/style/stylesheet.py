"""The stylesheet as a template: ``$names`` are colours and sizes, filled in by ``theme``."""
# ruff: noqa: E501 (one rule a line reads best)

STYLESHEET = """
* { outline: none; }
QMainWindow, QDialog, QWidget[role="background"] { background: $background; }
QWidget[role="panel"] { background: $panel; }
QWidget[role="rail"] { background: $panel; }
QFrame[role="line"] { background: $line; border: none; max-height: 1px; min-height: 1px; }
QFrame[role="vline"] { background: $line; border: none; max-width: 1px; min-width: 1px; }
QFrame[role="card"] { background: $panel; border: 1px solid $line; border-radius: 10px; }
QFrame[role="lane"] { background: $panel; border: 1px solid $line; border-radius: 10px; padding: 1px; }
QFrame[role="lane"][chosen="true"] { border: 2px solid $muted; padding: 0; }
QFrame[role="lane"][chosen="true"][awake="true"] { border-color: $accent; }
QFrame[role="kept-bar"], QFrame[role="rejected-bar"], QFrame[role="skipped-bar"], QFrame[role="actions"] {
    border: none; border-top: 1px solid $line; border-bottom-left-radius: 8px; border-bottom-right-radius: 8px;
}
QFrame[role="kept-bar"] { background: $kept_behind; border-top-color: $kept_behind; }
QFrame[role="rejected-bar"] { background: $rejected_behind; border-top-color: $rejected_behind; }
QFrame[role="skipped-bar"] { background: $field; }
QFrame[role="notice"] { background: $accent_behind; border: none; border-radius: 8px; }
QFrame[role="problem"] { background: $rejected_behind; border: none; border-radius: 8px; }
QFrame[role="field"] { background: $field; border: 1px solid $line; border-radius: 6px; }

QLabel { background: transparent; }
QLabel[role="title"] { font-weight: 600; }
QLabel[role="muted"] { color: $muted; font-size: $note_size; }
QLabel[role="human"] { color: $human; font-size: $text_size; }
QLabel[role="machine"] { color: $text; font-size: $text_size; }
QLabel[role="kept"] { color: $kept; font-weight: 600; }
QLabel[role="rejected"] { color: $rejected; font-weight: 600; }
QLabel[role="accent"] { color: $accent; }
QLabel[role="caution"] { color: $caution; font-weight: 600; }
QLabel[role="note"][tone="kept"] { color: $kept; font-size: $note_size; }
QLabel[role="note"][tone="caution"] { color: $caution; font-size: $note_size; }
QLabel[role="note"][tone="rejected"] { color: $rejected; font-size: $note_size; }
QLabel[role="note"][tone="muted"] { color: $muted; font-size: $note_size; }
QLabel[role="dot"] { color: $accent; font-size: $small_size; }
QLabel[role="figure"] { font-size: $figure_size; font-weight: 600; }
QLabel[role="figure"][tone="kept"] { color: $kept; }
QLabel[role="figure"][tone="rejected"] { color: $rejected; }
QLabel[role="figure"][tone="muted"] { color: $muted; font-weight: 400; }
QLabel[role="key"] {
    color: $muted; font-size: $small_size; border: 1px solid $line; border-radius: 4px; padding: 1px 5px;
}

QLabel[role="chip"] {
    color: $muted; font-size: $note_size; border: 1px solid $line; border-radius: 5px; padding: 0 5px;
}
QLabel[role="chip"][tone="token"] { color: $accent; background: $accent_behind; border-color: $accent; }

QPushButton, QToolButton {
    background: $panel; color: $text; border: 1px solid $line; border-radius: 8px; padding: 5px 10px;
}
QPushButton:hover, QToolButton:hover { background: $accent_behind; }
QPushButton:pressed, QToolButton:pressed { background: $line; }
QPushButton:focus, QToolButton:focus { border: 1px solid $accent; }
QPushButton:disabled, QToolButton:disabled { color: $muted; background: $background; }
QPushButton:default { border-color: $accent; }
QPushButton:checked { background: $accent_behind; color: $accent; }
QPushButton[role="primary"] {
    background: $accent; color: $on_accent; border: 1px solid $accent; font-weight: 600; padding: 8px 12px;
}
QPushButton[role="primary"] QLabel { color: $on_accent; font-weight: 600; }
QPushButton[role="primary"] QLabel[role="key"] { border-color: $on_accent; font-weight: 400; }
QPushButton[role="primary"]:hover { border: 1px solid $text; }
QPushButton[role="primary"]:focus { border: 2px solid $text; padding: 7px 11px; }
QPushButton[role="primary"]:disabled { background: $line; color: $muted; border-color: $line; }
QPushButton[role="primary"] QLabel:disabled { color: $muted; border-color: $muted; }
QPushButton[role="kept"], QPushButton[role="kept"] QLabel[role="text"] { color: $kept; }
QPushButton[role="rejected"], QPushButton[role="rejected"] QLabel[role="text"] { color: $rejected; }
QPushButton[role="kept"]:hover { background: $kept_behind; }
QPushButton[role="rejected"]:hover { background: $rejected_behind; }
QPushButton[role="kept"]:disabled, QPushButton[role="rejected"]:disabled { color: $muted; }
QPushButton QLabel[role="text"]:disabled { color: $muted; }
QPushButton[role="quiet"], QToolButton[role="quiet"] {
    background: transparent; border: 1px solid transparent; color: $muted; padding: 3px 6px;
}
QPushButton[role="quiet"]:hover, QToolButton[role="quiet"]:hover { color: $text; background: $accent_behind; }
QPushButton[role="quiet"]:focus, QToolButton[role="quiet"]:focus { border: 1px solid $accent; }
QPushButton[role="quiet"][tone="title"], QToolButton[role="quiet"][tone="title"] { color: $text; font-weight: 600; }
QPushButton[role="small"] { border-radius: 6px; padding: 3px 8px; }
QPushButton[role="link"] {
    background: transparent; border: 1px solid transparent; border-radius: 4px; color: $accent;
    font-size: $note_size; padding: 0;
}
QPushButton[role="link"]:hover { border-bottom-color: $accent; }
QPushButton[role="link"]:focus { border-color: $accent; }
QToolButton[role="rail"] {
    background: transparent; border: 1px solid transparent; border-radius: 8px; color: $muted;
    font-size: $small_size; padding: 6px 2px;
}
QToolButton[role="rail"]:hover { color: $text; }
QToolButton[role="rail"]:focus { border: 1px solid $accent; }
QToolButton[role="rail"]:checked { background: $accent_behind; color: $accent; }
QToolButton::menu-indicator, QPushButton::menu-indicator { image: none; width: 0; }

QLineEdit, QPlainTextEdit, QTextEdit, QSpinBox, QDoubleSpinBox, QComboBox {
    background: $field; color: $text; border: 1px solid $line; border-radius: 6px;
    padding: 4px 7px; selection-background-color: $accent; selection-color: $on_accent;
}
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {
    border: 1px solid $accent;
}
QLineEdit[role="unreadable"], QSpinBox[role="unreadable"], QDoubleSpinBox[role="unreadable"] {
    border: 1px dashed $rejected; color: $rejected;
}
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled, QPlainTextEdit:disabled {
    color: $muted;
}
QPlainTextEdit[role="human"], QTextEdit[role="human"] { color: $human; font-size: $text_size; padding: 8px; }
QPlainTextEdit[role="machine"], QTextEdit[role="machine"] {
    background: $panel; border: none; border-radius: 0; padding: 0; font-size: $text_size;
}
QTextEdit[role="reading"] {
    background: $panel; border: 1px solid transparent; border-radius: 6px; padding: 0; font-size: $text_size;
}
QTextEdit[role="reading"]:focus { border-color: $accent; }
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button {
    width: 14px; border: none; background: transparent;
}
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow { image: url(icons:chevron-up.svg); width: 9px; height: 9px; }
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow { image: url(icons:chevron-down.svg); width: 9px; height: 9px; }
QComboBox::drop-down { border: none; width: 20px; }
QComboBox::down-arrow { image: url(icons:chevron-down.svg); width: 10px; height: 10px; }
QComboBox QAbstractItemView, QMenu {
    background: $panel; color: $text; border: 1px solid $line; border-radius: 6px; padding: 4px;
    selection-background-color: $accent_behind; selection-color: $text;
}
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: $accent_behind; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $line; margin: 4px 8px; }
QMenuBar { background: $panel; color: $text; border-bottom: 1px solid $line; padding: 1px 6px; }
QMenuBar::item { background: transparent; padding: 4px 8px; border-radius: 4px; }
QMenuBar::item:selected { background: $accent_behind; }

QCheckBox, QRadioButton {
    background: transparent; spacing: 7px; border: 1px solid transparent; border-radius: 4px; padding: 1px 5px 1px 1px;
}
QCheckBox:focus, QRadioButton:focus { border-color: $accent; }
QCheckBox:disabled, QRadioButton:disabled { color: $muted; }
QCheckBox::indicator { width: 14px; height: 14px; border: 1px solid $muted; border-radius: 4px; background: $field; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url(icons:check-$tone.svg); }
QRadioButton::indicator { width: 13px; height: 13px; border: 1px solid $muted; border-radius: 7px; background: $field; }
QRadioButton::indicator:disabled, QCheckBox::indicator:disabled { border-color: $line; background: $background; }
QRadioButton::indicator:checked { border: 4px solid $accent; width: 7px; height: 7px; }

QSlider { min-height: 18px; background: transparent; }
QSlider::groove:horizontal { height: 4px; border-radius: 2px; background: $line; }
QSlider::sub-page:horizontal { height: 4px; border-radius: 2px; background: $accent; }
QSlider::handle:horizontal {
    width: 9px; height: 9px; margin: -5px 0; border: 2px solid $accent; border-radius: 6px; background: $panel;
}
QSlider::handle:horizontal:focus, QSlider::handle:horizontal:hover { background: $accent; }

QProgressBar { background: $line; border: none; border-radius: 2px; max-height: 4px; min-height: 4px; }
QProgressBar::chunk { background: $accent; border-radius: 2px; }

QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $line; border-radius: 3px; margin: 2px; min-height: 28px; min-width: 28px; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QScrollArea, QScrollArea > QWidget > QWidget[role="panel"] { border: none; background: $panel; }
QScrollArea[role="reading"] { border: 1px solid transparent; border-radius: 6px; }
QScrollArea[role="reading"]:focus { border-color: $accent; }
QAbstractScrollArea::corner { background: transparent; }

QTableView, QListView, QTreeView {
    background: $panel; alternate-background-color: $panel; border: none; gridline-color: $line;
    selection-background-color: $accent_behind; selection-color: $text;
}
QTableView::item:selected, QListView::item:selected, QTreeView::item:selected {
    background: $accent_behind; color: $text;
}
QHeaderView { background: $panel; border: none; }
QHeaderView::section {
    background: $panel; color: $muted; border: none; border-bottom: 1px solid $line; padding: 5px 8px;
    font-size: $note_size;
}
QTableCornerButton::section { background: $panel; border: none; }

QSplitter::handle { background: $line; }
QSplitter::handle:horizontal { width: 1px; }
QSplitter::handle:vertical { height: 1px; }
QSplitter::handle:hover { background: $accent; }
QStatusBar { background: $panel; border-top: 1px solid $line; }
QStatusBar::item { border: none; }
QStatusBar QLabel { color: $muted; font-size: $note_size; }
QToolTip { background: $panel; color: $text; border: 1px solid $line; padding: 4px 6px; }
QTabBar::tab { background: transparent; color: $muted; padding: 6px 12px; border-bottom: 2px solid transparent; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QGroupBox { border: none; margin-top: 20px; font-weight: 600; }
QGroupBox::title { subcontrol-origin: margin; left: 0; }
"""
