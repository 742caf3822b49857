"""The palette: readable in both themes, complete, and followed by the application."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QLabel,
    QPushButton,
    QRadioButton,
    QStyle,
    QStyleOptionButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from studio.core.memory import MemoryForecast
from studio.ui import theme
from studio.ui.theme import DARK, LIGHT, Theme
from studio.ui.widgets.basics import ErrorPanel


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = (QColor(colour).redF(), QColor(colour).greenF(), QColor(colour).blueF())
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
class TestContrast:
    @pytest.mark.parametrize("ink", ["text", "muted", "accent", "good", "warning", "bad"])
    @pytest.mark.parametrize("ground", ["window", "surface", "accent_tint"])
    def test_words_can_be_read(self, palette: Theme, ink: str, ground: str) -> None:
        assert contrast(getattr(palette, ink), getattr(palette, ground)) >= 4.5

    def test_words_on_the_primary_button_can_be_read(self, palette: Theme) -> None:
        assert contrast(palette.on_accent, palette.accent) >= 4.5

    @pytest.mark.parametrize("name", ["train", "validation", "test", "forecast", "weights", "optimizer", "activations", "ours"])
    def test_drawn_parts_stand_out(self, palette: Theme, name: str) -> None:
        assert contrast(palette.color(name).name(), palette.surface) >= 2.5

    def test_every_part_of_the_forecast_has_a_colour_of_its_own(self, palette: Theme) -> None:
        names = set(MemoryForecast.model_fields) & set(palette.parts)
        assert names == {"weights", "adapter", "gradients", "optimizer", "activations", "logits", "predictions", "framework"}
        assert len({palette.parts[name] for name in names}) == len(names)

    def test_an_unknown_colour_is_an_error(self, palette: Theme) -> None:
        with pytest.raises(KeyError):
            palette.color("sparkle")


def test_no_text_is_smaller_than_eleven_pixels() -> None:
    sheet = files("studio.resources").joinpath("style.qss").read_text("utf-8")
    sizes = [int(found) for found in re.findall(r"font-size: (\d+)px", sheet)]
    assert sizes
    assert min(sizes) >= 11


def test_applying_a_theme_fills_in_every_colour_and_icon(qapp: QApplication, qtbot: QtBot) -> None:
    theme.apply(qapp, "light")
    with qtbot.waitSignal(theme.notifier.changed):
        theme.apply(qapp, "dark")
    assert theme.current() is DARK
    assert "@" not in qapp.styleSheet()
    assert qapp.palette().window().color() == QColor(DARK.window)
    icons = re.findall(r'url\("([^"]+)"\)', qapp.styleSheet())
    assert icons
    for icon in icons:
        assert files("studio.resources").joinpath("icons", icon.rsplit("/", 1)[1]).is_file()


def test_stored_modes_are_checked() -> None:
    assert theme.as_mode("dark") == "dark"
    assert theme.as_mode("purple") == "system"
    assert theme.as_mode(None) == "system"


def test_restyling_changes_the_look(light: QApplication, qtbot: QtBot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    label = QLabel("text", parent)
    parent.show()
    assert light.styleSheet()
    theme.restyle(label, "role", "title")
    assert label.font().pixelSize() == 20
    theme.restyle(label, "role", "small")
    assert label.font().pixelSize() == 11


@pytest.mark.parametrize("detail", ["", "Line 7."])
def test_what_an_error_offers_begins_where_its_words_do(light: QApplication, qtbot: QtBot, detail: str) -> None:
    assert light
    panel = ErrorPanel()
    qtbot.addWidget(panel)
    panel.resize(400, 120)
    panel.show_error("It broke.", "Mend it.", detail)
    first = panel.findChild(QPushButton, "errorPanelToggle" if detail else "errorPanelCopy")
    assert first is not None
    option = QStyleOptionButton()
    first.initStyleOption(option)
    words = first.style().subElementRect(QStyle.SubElement.SE_PushButtonContents, option, first)
    assert abs(first.x() + words.left() - panel._message.x()) <= 1


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("kind", [QRadioButton, QCheckBox, QPushButton])
@pytest.mark.parametrize("checked", [True, False])
def test_what_cannot_be_pressed_is_seen(
    qapp: QApplication, qtbot: QtBot, mode: theme.Mode, kind: type[QAbstractButton], checked: bool
) -> None:
    theme.apply(qapp, mode)
    made = kind("Adapter")
    qtbot.addWidget(made)
    made.setCheckable(True)
    made.setChecked(checked)
    made.resize(120, 32)
    usable = made.grab().toImage()
    made.setEnabled(False)
    assert made.grab().toImage() != usable
