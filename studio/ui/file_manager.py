"""Shows a folder in the system's file manager."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from studio.core.errors import StudioError


def show_folder(folder: Path) -> None:
    """Raises StudioError when it is gone, or when there is nothing to show it with."""
    if not folder.is_dir():
        raise StudioError(f"The folder {folder} is not there any more.", "It was moved or deleted outside this app.", kind="gone")
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        raise StudioError("There is no file manager to show a folder with.", f"The folder is {folder}.", kind="no_file_manager")
