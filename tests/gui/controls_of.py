"""Which controls of a panel a person can use, and whether each has a name for a screen reader."""

from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QProgressBar,
    QScrollBar,
    QTextEdit,
    QWidget,
)

_KINDS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QProgressBar,
    QTextEdit,
)


def nameless(panel: QWidget) -> list[str]:
    """Return the controls without an accessible name; parts that Qt makes itself do not count."""
    missing = []
    for child in panel.findChildren(QWidget):
        inner = isinstance(child.parent(), QAbstractSpinBox | QComboBox | QLineEdit)
        inner = inner or child.inherits("QComboBoxListView") or isinstance(child, QScrollBar)
        inner = inner or child.objectName().startswith("qt_")
        if isinstance(child, _KINDS) and not inner and not child.accessibleName():
            missing.append(f"{type(child).__name__} {getattr(child, 'text', str)()!r}")
    return missing
