"""The whole confusion matrix as a picture, with every name in full: PNG for slides, SVG for print. In light colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QIODevice, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QImage, QImageWriter, QPainter, QPen
from PySide6.QtWidgets import QApplication

from studio.ui import theme
from studio.ui.models.confusion_model import ConfusionModel
from studio.ui.theme import GRID, SMALL_FONT
from studio.ui.widgets.results.confusion_view import blend, readable_on

_CELL = QSize(5 * GRID, 4 * GRID)
_MARGIN = 2 * GRID
_SCALE = 2
"""Pixels of a PNG for each unit, unless that would be more pixels than most programs open."""
_MOST_PIXELS = 64_000_000


@dataclass(frozen=True)
class Matrix:
    """What a picture shows, as it was when the picture was asked for: a thread paints it."""

    labels: list[str]
    texts: list[list[str]]
    heat: NDArray[np.float64]
    """Shape (labels, labels), 0 to 1."""

    @classmethod
    def of(cls, model: ConfusionModel) -> Matrix:
        return cls(model.labels, model.texts, model.heat)


def matrix_picture(matrix: Matrix, kind: str) -> bytes:
    """The contents of a file of the given kind, "png" or "svg"."""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    names = _longest_name(matrix)
    size = QSize(
        2 * _MARGIN + 3 * GRID + names + len(matrix.labels) * _CELL.width(),
        2 * _MARGIN + 3 * GRID + names + len(matrix.labels) * _CELL.height(),
    )
    if kind == "svg":
        # Loaded here: nothing else in the window needs it.
        from PySide6.QtSvg import QSvgGenerator

        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(size)
        generator.setViewBox(QRect(0, 0, size.width(), size.height()))
        generator.setTitle("Confusion matrix")
        _paint(QPainter(generator), matrix, size, names)
    else:
        scale = _SCALE if size.width() * size.height() * _SCALE**2 <= _MOST_PIXELS else 1
        image = QImage(size * scale, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(scale)
        _paint(QPainter(image), matrix, size, names)
        QImageWriter(buffer, b"png").write(image)
    return bytes(buffer.data().data())


def _paint(painter: QPainter, matrix: Matrix, size: QSize, names: int) -> None:
    colours = theme.LIGHT
    low, high = QColor(colours.heat_low), QColor(colours.heat_high)
    left = top = _MARGIN + 3 * GRID + names
    painter.fillRect(QRect(0, 0, size.width(), size.height()), QColor(colours.surface))
    painter.setFont(_font())
    painter.setPen(QColor(colours.muted))
    middle = Qt.AlignmentFlag.AlignVCenter
    painter.drawText(QRect(left, _MARGIN, size.width() - left, 2 * GRID), middle, "Predicted intent →")
    painter.drawText(QRect(_MARGIN, top - 3 * GRID, names, 2 * GRID), middle | Qt.AlignmentFlag.AlignRight, "True intent ↓")
    painter.setPen(QColor(colours.text))
    for number, name in enumerate(matrix.labels):
        row = QRect(_MARGIN, top + number * _CELL.height(), left - _MARGIN - GRID, _CELL.height())
        painter.drawText(row, middle | Qt.AlignmentFlag.AlignRight, name)
        painter.save()
        painter.translate(left + number * _CELL.width(), top - GRID)
        painter.rotate(-90)
        painter.drawText(QRect(0, 0, names + GRID, _CELL.width()), middle, name)
        painter.restore()
    for row_number, texts in enumerate(matrix.texts):
        for column, text in enumerate(texts):
            box = QRect(left + column * _CELL.width(), top + row_number * _CELL.height(), _CELL.width() - 1, _CELL.height() - 1)
            background = blend(low, high, float(matrix.heat[row_number, column]))
            painter.fillRect(box, background)
            if text:
                painter.setPen(readable_on(background))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
            if row_number == column:
                painter.setPen(QPen(QColor(colours.good), 1))
                painter.drawRect(box.adjusted(0, 0, -1, -1))
    painter.end()


def _longest_name(matrix: Matrix) -> int:
    metrics = QFontMetrics(_font())
    return max((metrics.horizontalAdvance(name) for name in (*matrix.labels, "True intent ↓")), default=0)


def _font() -> QFont:
    font = QFont(QApplication.font())
    font.setPixelSize(SMALL_FONT)
    return font
