"""The plots of the Training page: what each of them draws, and how."""

from __future__ import annotations

from studio.core.words import percent
from studio.ui.widgets.training.plot_legend import Curve
from studio.ui.widgets.training.run_plot import RunPlot

_GB = 2.0**-30


def loss_plot() -> RunPlot:
    """Loss in nats per graded token over steps."""
    return RunPlot(
        "lossPlot",
        "Loss",
        {
            "raw": Curve("train", "train", "raw", _loss),
            "smoothed": Curve("smoothed", "train", "line", _loss),
            "validation": Curve("validation", "validation", "diamonds", _loss),
        },
        "Mean loss per graded token, in nats, over optimizer steps.",
        "Comes with the first step",
    )


def score_plot() -> RunPlot:
    """Accuracy and macro-F1 over steps."""
    return RunPlot(
        "scorePlot",
        "Scores",
        {
            "accuracy": Curve("accuracy", "validation", "diamonds", percent),
            "macro_f1": Curve("macro-F1", "forecast", "circles", percent),
            "test": Curve("test accuracy", "test", "circles", percent),
        },
        "Share of validation messages predicted right, and mean F1 over intents, in percent.",
        "Comes with the first validation",
        y_axis="percent",
    )


def memory_plot() -> RunPlot:
    """Memory in GB over time, beside the forecast."""
    return RunPlot(
        "memoryPlot",
        "Memory",
        {
            "memory": Curve("measured", "ours", "line", _gigabytes, _GB),
            "forecast": Curve("forecast", "forecast", "dashed", _gigabytes, _GB),
        },
        "Memory of the training process over time, in GB, and the forecast of its peak.",
        "Comes with the first sign of the worker",
        x_axis="time",
    )


def rate_plot() -> RunPlot:
    """The learning rate over steps."""
    return RunPlot(
        "ratePlot",
        "Learning rate",
        {"rate": Curve("learning rate", "train", "line", "{:.2e}".format)},
        "Step size of the optimizer at each step, as the schedule sets it.",
        "Comes with the first step",
    )


def norm_plot() -> RunPlot:
    """The length of the gradient over steps."""
    return RunPlot(
        "normPlot",
        "Gradient norm",
        {"norm": Curve("before clipping", "validation", "line", "{:.3g}".format)},
        "Length of the gradient at each step, before it is clipped. A sudden rise is a warning.",
        "Comes with the first step",
    )


def tokens_plot() -> RunPlot:
    """Tokens a second over steps."""
    return RunPlot(
        "tokensPlot",
        "Tokens a second",
        {"tokens": Curve("tokens a second", "test", "line", "{:,.0f}".format)},
        "Tokens computed a second at each step, without padding.",
        "Comes with the first step",
    )


def pace_plot() -> RunPlot:
    """Optimizer steps a second over steps."""
    return RunPlot(
        "pacePlot",
        "Steps a second",
        {"pace": Curve("steps a second", "test", "line", "{:.3g}".format)},
        "Optimizer steps taken a second, validation and checkpoints left out.",
        "Comes with the first step",
    )


def _loss(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.3f}"


def _gigabytes(value: float) -> str:
    return f"{value:.2f} GB"
