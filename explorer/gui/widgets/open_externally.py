"""What the desktop does for the window: it shows a folder, or opens a file."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices


def show_folder(folder: Path) -> str:
    """Open a folder in the file manager; return what to say where there is none, else nothing."""
    if _opened(folder):
        return ""
    return f"No file manager was found; the folder is {folder}."


def open_file(file: Path, what: str) -> str:
    """Open a file with its program; return what to say where there is none, else nothing."""
    return "" if _opened(file) else f"No program for it was found; {what} is {file}."


def _opened(path: Path) -> bool:
    return QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
