"""What is asked before something is lost."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox, QWidget


def may_stop(parent: QWidget) -> bool:
    """Ask whether the run in progress may be stopped so that the window can close."""
    box = QMessageBox(parent)
    box.setObjectName("closeQuestion")
    box.setWindowTitle("A run is in progress")
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText("Stop the run and close?")
    box.setInformativeText("What it has learnt so far is kept. The test messages are not predicted.")
    stop = box.addButton("Stop, keep and close", QMessageBox.ButtonRole.AcceptRole)
    stay = box.addButton("Keep training", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    return box.clickedButton() is stop
