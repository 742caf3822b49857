"""The confusion matrix on screen: a table with frozen headers, upright column names and a heat map, readable at 150 intents."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from studio.ui import theme
from studio.ui.models.confusion_model import EVERYTHING, ConfusionModel, Scope
from studio.ui.theme import GRID, SMALL_FONT
from studio.ui.widgets.basics import named, text_label

SHADES = 64
_FEW = 20
_NARROWEST = 3 * GRID
"""Wide enough for three digits."""
_LARGEST = QSize(8 * GRID, 6 * GRID)
_HEADER_WIDTH, _HEADER_HEIGHT = 18 * GRID, 15 * GRID
"""What names get at least, if they are that long; more where the cells leave room."""
_HELP = (
    "Choose a cell, a row name or a column name to see its messages. Arrows move; Shift+Space takes the row, "
    "Ctrl+Space the column, Escape everything."
)


class ConfusionView(QTableView):
    """Shows a ConfusionModel. Only the cells in sight are painted."""

    scope_chosen = Signal(object)
    """Emitted with the Scope that a click or a key chose."""

    def __init__(self, model: ConfusionModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "confusionMatrix", "Confusion matrix", _HELP)
        self.confusion = model
        self.scope = EVERYTHING
        self._corner: QLabel = text_label("True ↓\nPredicted →", "small")
        self._corner.setParent(self)
        self._corner.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setModel(model)
        self.setItemDelegate(_Cell(self))
        self.setHorizontalHeader(_Header(Qt.Orientation.Horizontal, self))
        self.setVerticalHeader(_Header(Qt.Orientation.Vertical, self))
        self.setShowGrid(False)
        self.setCornerButtonEnabled(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.setCornerWidget(QWidget())
        self.clicked.connect(lambda index: self.choose(Scope(index.row(), index.column())))
        self.horizontalHeader().sectionClicked.connect(lambda section: self.choose(Scope(predicted=section)))
        self.verticalHeader().sectionClicked.connect(lambda section: self.choose(Scope(true=section)))
        model.modelReset.connect(self._fit)
        model.dataChanged.connect(self.viewport().update)
        theme.notifier.changed.connect(self._recolour)
        self._recolour()
        self._fit()

    def choose(self, scope: Scope) -> None:
        """Mark a scope and say so."""
        self.show_scope(scope)
        self.scope_chosen.emit(scope)

    def show_scope(self, scope: Scope) -> None:
        """Mark a scope without a word."""
        self.scope = scope
        for part in (self, self.horizontalHeader(), self.verticalHeader()):
            part.viewport().update()

    def shade(self, heat: float) -> QColor:
        """The background for a cell's heat, 0 to 1."""
        return self._shades[min(SHADES, int(heat * SHADES + 0.5))]

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        before = self.currentIndex()
        if event.key() == Qt.Key.Key_Escape:
            self.choose(EVERYTHING)
            return
        if event.key() == Qt.Key.Key_Space and before.isValid():
            row = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            column = event.modifiers() & Qt.KeyboardModifier.ControlModifier
            self.choose(Scope(None if column and not row else before.row(), None if row else before.column()))
            return
        super().keyPressEvent(event)
        now = self.currentIndex()
        if now.isValid() and now != before:
            self.choose(Scope(now.row(), now.column()))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        super().resizeEvent(event)
        self._fit_cells()

    def updateGeometries(self) -> None:  # noqa: N802
        super().updateGeometries()
        frame = self.frameWidth()
        self._corner.setGeometry(frame, frame, self.verticalHeader().width(), self.horizontalHeader().height())

    def _fit(self) -> None:
        self.scope = EVERYTHING
        self.updateGeometries()
        self._fit_cells()

    def cell(self) -> QSize:
        """A comfortable cell; where there are few intents it grows with the room, up to ``_LARGEST``."""
        return QSize(5 * GRID, 4 * GRID) if len(self.confusion.labels) <= _FEW else QSize(4 * GRID, 3 * GRID)

    def _fit_cells(self) -> None:
        """As large as is comfortable, or narrower where that shows the whole matrix."""
        labels = max(1, len(self.confusion.labels))
        wide, high = self.viewport().width() // labels, self.viewport().height() // labels
        cell = self.cell()
        largest = _LARGEST if labels <= _FEW else cell
        columns = cell.width() if wide < _NARROWEST else min(wide, largest.width())
        self.horizontalHeader().setDefaultSectionSize(columns)
        self.verticalHeader().setDefaultSectionSize(max(cell.height(), min(high, largest.height())))

    def _recolour(self) -> None:
        low, high = QColor(theme.current().heat_low), QColor(theme.current().heat_high)
        self._shades = [blend(low, high, step / SHADES) for step in range(SHADES + 1)]
        self.viewport().update()


class _Cell(QStyledItemDelegate):
    """Paints one cell: its heat, its number, a frame on the diagonal, and what is chosen."""

    def __init__(self, view: ConfusionView) -> None:
        super().__init__(view)
        self._view = view
        self._font = QFont(view.font())
        self._font.setPixelSize(SMALL_FONT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        model, colours = self._view.confusion, theme.current()
        row, column = index.row(), index.column()
        box: QRect = option.rect.adjusted(0, 0, -1, -1)
        background = self._view.shade(float(model.heat[row, column]))
        painter.fillRect(box, background)
        if text := model.texts[row][column]:
            painter.setFont(self._font)
            painter.setPen(readable_on(background))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        if row == column:
            painter.setPen(QPen(QColor(colours.good), 1))
            painter.drawRect(box.adjusted(0, 0, -1, -1))
        scope = self._view.scope
        chosen = scope != EVERYTHING and scope.true in (None, row) and scope.predicted in (None, column)
        focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
        if chosen or focused:
            painter.setPen(QPen(QColor(colours.accent if chosen else colours.muted), 2))
            painter.drawRect(box.adjusted(1, 1, -1, -1))


class _Header(QHeaderView):
    """Intent names at a fixed size, elided; a column's name is written upwards."""

    def __init__(self, orientation: Qt.Orientation, view: ConfusionView) -> None:
        super().__init__(orientation, view)
        upright = orientation == Qt.Orientation.Horizontal
        named(self, "predictedIntents" if upright else "trueIntents", "Predicted intents" if upright else "True intents")
        self._view = view
        self._upright = upright
        self.setSectionsClickable(True)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setMinimumSectionSize(2 * GRID)
        self.setMouseTracking(True)
        self._hovered = -1

    def sizeHint(self) -> QSize:  # noqa: N802
        names = self._view.confusion.labels
        metrics = QFontMetrics(self._small())
        longest = max((metrics.horizontalAdvance(name) for name in names), default=0) + 2 * GRID
        cell = self._view.cell()
        frame = 2 * self._view.frameWidth()
        spare = self._view.size() - QSize(len(names) * cell.width() + frame, len(names) * cell.height() + frame)
        if self._upright:
            return QSize(0, max(5 * GRID, min(longest, max(_HEADER_HEIGHT, spare.height()))))
        return QSize(max(10 * GRID, min(longest, max(_HEADER_WIDTH, spare.width()))), 0)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        super().mouseMoveEvent(event)
        self._hover(self.logicalIndexAt(event.position().toPoint()))

    def leaveEvent(self, event: object) -> None:  # noqa: N802
        super().leaveEvent(event)  # type: ignore[arg-type]  # a QEvent; the stubs of 6.8 and 6.11 disagree on its class
        self._hover(-1)

    def paintSection(self, painter: QPainter, rect: QRect, logicalIndex: int) -> None:  # noqa: N802, N803
        colours, scope = theme.current(), self._view.scope
        chosen = logicalIndex == (scope.predicted if self._upright else scope.true)
        painter.save()
        painter.fillRect(
            rect, QColor(colours.accent_tint if chosen else colours.raised if logicalIndex == self._hovered else colours.surface)
        )
        font = self._small()
        font.setBold(chosen)
        painter.setFont(font)
        painter.setPen(QColor(colours.text))
        name = self._view.confusion.labels[logicalIndex]
        box = QRect(QPoint(0, 0), rect.size())
        painter.translate(rect.topLeft())
        if self._upright:
            painter.translate(0, rect.height())
            painter.rotate(-90)
            box = QRect(0, 0, rect.height(), rect.width())
        box = box.adjusted(GRID // 2, 0, -GRID // 2, 0)
        shown = QFontMetrics(font).elidedText(name, Qt.TextElideMode.ElideMiddle, box.width())
        side = Qt.AlignmentFlag.AlignLeft if self._upright else Qt.AlignmentFlag.AlignRight
        painter.drawText(box, side | Qt.AlignmentFlag.AlignVCenter, shown)
        painter.restore()

    def _hover(self, section: int) -> None:
        if section != self._hovered:
            self._hovered = section
            self.viewport().update()

    def _small(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(SMALL_FONT)
        return font


def readable_on(background: QColor) -> QColor:
    """Black or white, whichever stands out more from a background (relative luminance of WCAG 2)."""

    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    light = 0.2126 * linear(background.redF()) + 0.7152 * linear(background.greenF()) + 0.0722 * linear(background.blueF())
    return QColor(Qt.GlobalColor.black) if light > 0.179 else QColor(Qt.GlobalColor.white)


def blend(low: QColor, high: QColor, share: float) -> QColor:
    """The colour ``share`` of the way from ``low`` to ``high``."""

    def mix(first: float, second: float) -> float:
        return first + (second - first) * share

    return QColor.fromRgbF(mix(low.redF(), high.redF()), mix(low.greenF(), high.greenF()), mix(low.blueF(), high.blueF()))


class HeatLegend(QWidget):
    """The colour scale of a ConfusionView, from nothing to the greatest number."""

    def __init__(self, view: ConfusionView) -> None:
        super().__init__(view.parentWidget())
        self._view = view
        tooltip = "Colour scale of the matrix. It grows with the square root, so that single mistakes show."
        named(self, "heatLegend", "Colour scale of the matrix", tooltip)
        self.setFixedHeight(2 * GRID)
        view.confusion.modelReset.connect(self.updateGeometry)
        view.confusion.dataChanged.connect(self.updateGeometry)
        view.confusion.modelReset.connect(self.update)
        view.confusion.dataChanged.connect(self.update)
        theme.notifier.changed.connect(self.update)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(2 * GRID + 5 * GRID + QFontMetrics(self._small()).horizontalAdvance(self._greatest()), 2 * GRID)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002, N802
        painter = QPainter(self)
        painter.setFont(self._small())
        painter.setPen(QColor(theme.current().muted))
        painter.drawText(QRect(0, 0, GRID + 2, self.height()), Qt.AlignmentFlag.AlignVCenter, "0")
        for step in range(4 * GRID):
            painter.fillRect(QRect(GRID + GRID // 2 + step, 3, 1, self.height() - 6), self._view.shade(step / (4 * GRID)))
        painter.drawRect(QRect(GRID + GRID // 2, 3, 4 * GRID, self.height() - 7))
        rest = QRect(6 * GRID, 0, self.width() - 6 * GRID, self.height())
        painter.drawText(rest, Qt.AlignmentFlag.AlignVCenter, self._greatest())
        painter.end()

    def _greatest(self) -> str:
        return f"{self._view.confusion.greatest:.0f}" if self._view.confusion.mode == "counts" else "100 %"

    def _small(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(SMALL_FONT)
        return font
