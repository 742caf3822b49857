"""The one palette of the window, light and dark, and the stylesheet made from it.

Widgets ask for a look with Qt properties and never name a colour themselves:

    QLabel        role  = "title" (20 px) | "section" (15 px) | "strong" | "muted" | "small" (11 px, muted) | "figure" (20 px)
                          | "good" | "warning" | "bad" | "field"
    QPushButton   kind  = "primary" | "quiet" | "link"; none is the ordinary button
    QFrame        card  = true (surface with a border) | "error"; selected = true marks the chosen card
    QLabel        badge = "good" | "warning" | "bad" | "neutral"

What is painted by hand (plots, bars, heat maps) reads ``current()`` and repaints on ``notifier.changed``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication, QStyleFactory, QWidget

Mode = Literal["system", "light", "dark"]

GRID = 8
BASE_FONT = 13
SMALL_FONT = 11
CODE_FONT = 12
OVERLAYS = ("overlay1", "overlay2", "overlay3", "overlay4", "overlay5")
"""Names of the colours of compared runs."""


@dataclass(frozen=True)
class Theme:
    """Colours as ``#rrggbb``, named by what they mean."""

    name: Literal["light", "dark"]
    window: str
    surface: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    accent_tint: str
    """Background of what is chosen, weak enough for ``text`` on it."""
    on_accent: str
    good: str
    warning: str
    bad: str
    train: str
    validation: str
    test: str
    forecast: str
    heat_low: str
    heat_high: str
    parts: dict[str, str] = field(default_factory=dict)
    """Colours of the memory bar by the forecast's part names, and of ``ours``, ``others`` and ``free`` in the gauge."""
    overlays: tuple[str, ...] = ()
    """Colours of the runs that are compared with the open one, in the order of ``OVERLAYS``."""

    def color(self, name: str) -> QColor:
        """A colour by its field name, by the name of a part or one of ``OVERLAYS``. Raises KeyError for none of them."""
        if name in OVERLAYS:
            return QColor(self.overlays[OVERLAYS.index(name)])
        value = self.parts.get(name) or self.__dict__[name]
        return QColor(value)


LIGHT = Theme(
    name="light",
    window="#f3f5f8",
    surface="#ffffff",
    raised="#eaedf3",
    border="#d5dae3",
    text="#1a2130",
    muted="#5a6476",
    accent="#2a5fd3",
    accent_tint="#e9effc",
    on_accent="#ffffff",
    good="#17734a",
    warning="#8a5700",
    bad="#b9292f",
    train="#2a5fd3",
    validation="#c2570c",
    test="#0f8482",
    forecast="#7446c0",
    heat_low="#f6f8fb",
    heat_high="#0b3a8a",
    parts={
        "weights": "#3767cf",
        "adapter": "#12908e",
        "gradients": "#e08c22",
        "optimizer": "#c2548a",
        "activations": "#6da544",
        "logits": "#8562cc",
        "predictions": "#b0763b",
        "framework": "#98a1b1",
        "ours": "#2a5fd3",
        "others": "#a3abba",
        "free": "#eaedf3",
    },
    # After Okabe and Ito (2008), whose hues people with any colour vision tell apart; darker, as they are lines on white.
    overlays=("#00805f", "#b3417f", "#9a7400", "#3d9bd1", "#4a4a4a"),
)

DARK = Theme(
    name="dark",
    window="#14171d",
    surface="#1c2029",
    raised="#282e39",
    border="#363d4b",
    text="#e7eaf0",
    muted="#9ba5b7",
    accent="#7ba6ff",
    accent_tint="#222e4a",
    on_accent="#0c1424",
    good="#58c78b",
    warning="#e3b04e",
    bad="#ff8a86",
    train="#7ba6ff",
    validation="#f3a261",
    test="#4cc4c0",
    forecast="#b79df6",
    heat_low="#1f242e",
    heat_high="#a9cbff",
    parts={
        "weights": "#6f9bf5",
        "adapter": "#3fb8b4",
        "gradients": "#eda64b",
        "optimizer": "#dd7fae",
        "activations": "#8fc267",
        "logits": "#a98bea",
        "predictions": "#d3a26b",
        "framework": "#7d8798",
        "ours": "#7ba6ff",
        "others": "#6d7687",
        "free": "#282e39",
    },
    overlays=("#2fbf95", "#e58fc0", "#f0e442", "#56b4e9", "#c9c9c9"),
)


class _Notifier(QObject):
    """Says that the colours changed; keeps the chosen mode."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mode: Mode = "system"
        self.theme = LIGHT
        self.followed: QApplication | None = None


notifier = _Notifier()


def current() -> Theme:
    """The theme now in use."""
    return notifier.theme


def mode() -> Mode:
    """What was chosen: to follow the system, or light, or dark."""
    return notifier.mode


def as_mode(text: object) -> Mode:
    """A mode as it was stored; anything else means to follow the system."""
    return text if text in ("light", "dark") else "system"


def apply(application: QApplication, mode: Mode) -> None:
    """Dress the whole application; with "system" it follows later changes too."""
    if notifier.followed is not application:
        application.setStyle(QStyleFactory.create("Fusion"))
        font = QFont(application.font())
        font.setPixelSize(BASE_FONT)
        application.setFont(font)
        application.styleHints().colorSchemeChanged.connect(lambda _scheme: _refresh(application))
        notifier.followed = application
    notifier.mode = mode
    _refresh(application)


def _refresh(application: QApplication) -> None:
    system_is_dark = application.styleHints().colorScheme() == Qt.ColorScheme.Dark
    dark = notifier.mode == "dark" or (notifier.mode == "system" and system_is_dark)
    theme = DARK if dark else LIGHT
    if theme is notifier.theme and application.styleSheet():
        return
    notifier.theme = theme
    # A sheet in the place of another costs four times what none and then one do (PySide6 6.11.3, 1,300 widgets: 660 and 150 ms).
    application.setStyleSheet("")
    application.setPalette(_palette(theme))
    application.setStyleSheet(_stylesheet(theme))
    notifier.changed.emit()


def code_font() -> QFont:
    """Letters of one width, for what is read letter by letter: prompts, tokens, programs."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setPixelSize(CODE_FONT)
    return font


def restyle(widget: QWidget, name: str, value: str | bool) -> None:
    """Set a property that the stylesheet looks at, and have it looked at again."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)
    widget.updateGeometry()
    widget.update()


def _palette(theme: Theme) -> QPalette:
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: theme.window,
        QPalette.ColorRole.WindowText: theme.text,
        QPalette.ColorRole.Base: theme.surface,
        QPalette.ColorRole.AlternateBase: theme.window,
        QPalette.ColorRole.Text: theme.text,
        QPalette.ColorRole.Button: theme.surface,
        QPalette.ColorRole.ButtonText: theme.text,
        QPalette.ColorRole.BrightText: theme.bad,
        QPalette.ColorRole.Highlight: theme.accent,
        QPalette.ColorRole.HighlightedText: theme.on_accent,
        QPalette.ColorRole.ToolTipBase: theme.surface,
        QPalette.ColorRole.ToolTipText: theme.text,
        QPalette.ColorRole.PlaceholderText: theme.muted,
        QPalette.ColorRole.Link: theme.accent,
        QPalette.ColorRole.LinkVisited: theme.accent,
        QPalette.ColorRole.Accent: theme.accent,
        QPalette.ColorRole.Light: theme.raised,
        QPalette.ColorRole.Midlight: theme.raised,
        QPalette.ColorRole.Mid: theme.border,
        QPalette.ColorRole.Dark: theme.border,
        QPalette.ColorRole.Shadow: theme.border,
    }
    for role, value in roles.items():
        palette.setColor(role, QColor(value))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.muted))
    return palette


def _stylesheet(theme: Theme) -> str:
    template = files("studio.resources").joinpath("style.qss").read_text("utf-8")
    icons = str(files("studio.resources").joinpath("icons")).replace("\\", "/")
    values = {name: value for name, value in theme.__dict__.items() if isinstance(value, str)}
    values["icons"] = icons
    for name in sorted(values, key=len, reverse=True):
        template = template.replace(f"@{name}", values[name])
    return template
