"""The settings that rarely need a change, group by group, each beside what it is for. What stands elsewhere is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args, get_origin

from PySide6.QtWidgets import QVBoxLayout, QWidget

from studio.core.settings import annotation_of, declared, smallest_of
from studio.ui.theme import GRID
from studio.ui.widgets.basics import text_label
from studio.ui.widgets.fields import (
    Field,
    choice,
    decimal,
    lines,
    names,
    number_or_auto,
    optional_number,
    switch,
    whole,
)

ELSEWHERE = {
    "Data": "Source, columns, shares and files of the splits are in the Dataset card.",
    "Model": "The base is chosen in the Model card.",
    "Adapter": "The method has cards of its own, and the rank stands above.",
    "Prompt": "Template, chat template and length limit are in the Prompt card.",
    "Optimizer": "The learning rate and the batch size stand above.",
    "Steps and evaluation": "The number of epochs stands above.",
    "Checkpoints": "The best checkpoint on validation is always kept.",
    "Device": "",
}
"""The headings, and where what else belongs under them is found."""
_GROUP_OF_TABLE = {"dataset": "Data", "model": "Model", "method": "Adapter", "prompt": "Prompt", "device": "Device"}
_GROUP_OF_SETTING = {
    **dict.fromkeys(("scheduler", "warmup_ratio", "weight_decay", "max_grad_norm", "optimizer", "seed"), "Optimizer"),
    **dict.fromkeys(("precision", "activation_checkpointing", "threads", "micro_batch"), "Device"),
    **dict.fromkeys(("checkpoint_every", "keep_checkpoints"), "Checkpoints"),
}


_OPTIMIZERS = {"adamw": "AdamW", "adamw8bit": "8-bit AdamW", "paged_adamw8bit": "Paged 8-bit"}


def group_of(path: str) -> str:
    """The heading that a setting stands under."""
    section, name = path.split(".")
    return _GROUP_OF_TABLE.get(section) or _GROUP_OF_SETTING.get(name, "Steps and evaluation")


def advanced_fields(elsewhere: Iterable[str]) -> list[Field]:
    """A field for every setting but those whose control is ``elsewhere``."""
    made = [
        optional_number("dataset.limit", "Row limit", "all rows", "training rows"),
        lines("dataset.labels", "Intents to keep", "all of them; one a line"),
        whole("dataset.seed", "Seed of the splits", 0),
        decimal("method.alpha", "Alpha", 0.001, 1_000_000, 1, 1, "plain factor"),
        decimal("method.dropout", "Dropout", 0, 0.999, 0.01, 2, "share from 0 to 1"),
        names("method.target_modules", "Adapted layers", "all-linear", "all-linear, or names with commas between them"),
        choice("training.optimizer", "Optimizer", _OPTIMIZERS),
        choice("training.scheduler", "Schedule"),
        decimal("training.warmup_ratio", "Warm-up", 0, 0.999, 0.01, 2, "share of all steps"),
        decimal("training.weight_decay", "Weight decay", 0, 1000, 0.01, 3, "share per unit of learning rate"),
        decimal("training.max_grad_norm", "Clip gradients at", 0.000001, 1_000_000, 0.1, 2, "gradient length"),
        whole("training.seed", "Seed of training", 0),
        optional_number("training.max_steps", "Step limit", "none", "optimizer steps"),
        number_or_auto("training.evaluate_every", "Validate every", "steps, or epoch"),
        switch("training.evaluate_base", "Test the untrained base too"),
        optional_number("training.early_stopping_patience", "Patience", "never ends early", "validations"),
        number_or_auto("training.log_every", "Read the loss every", "steps, or auto"),
        number_or_auto("training.checkpoint_every", "Checkpoint every", "steps, or evaluation"),
        whole("training.keep_checkpoints", "Checkpoints to keep", 1, 1_000_000, 1, "checkpoints besides the best"),
        choice("device.kind", "Device"),
        whole("device.index", "CUDA device", 0, 1023, 1, "number of the device"),
        choice("training.precision", "Precision"),
        number_or_auto("training.micro_batch", "Micro-batch", "messages, or auto"),
        switch("training.activation_checkpointing", "Checkpoint activations"),
        number_or_auto("training.threads", "CPU threads", "threads, or auto"),
    ]
    placed = {field.path for field in made} | set(elsewhere)
    made += [_plain_field(path) for path in declared() if path not in placed]
    order = list(ELSEWHERE)
    return sorted(made, key=lambda field: order.index(group_of(field.path)))


def _plain_field(path: str) -> Field:
    """A field as the setting's type asks for."""
    title = path.split(".")[1].replace("_", " ").capitalize()
    annotation = annotation_of(path)
    if annotation is bool:
        return switch(path, title)
    if annotation is int:
        return whole(path, title, smallest_of(path), unit="number")
    if annotation is float:
        return decimal(path, title, smallest_of(path), 1e6, 0.1, 3, "number")
    if get_origin(annotation) is Literal:
        return choice(path, title)
    if any(get_origin(kind) is Literal for kind in get_args(annotation)):
        return number_or_auto(path, title, "number, or a word")
    if str in get_args(annotation):
        return optional_number(path, title, "as found", "text")
    return optional_number(path, title, "none", "number")


class AdvancedSettings(QWidget):
    """The fields under their headings, in their order."""

    def __init__(self, fields: list[Field]) -> None:
        super().__init__()
        self.setObjectName("advancedSettings")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        for number, (heading, note) in enumerate(ELSEWHERE.items()):
            if number:
                column.addSpacing(GRID)
            column.addWidget(text_label(heading, "strong"))
            if note:
                column.addWidget(text_label(note, "small", wrap=True))
            for field in fields:
                if group_of(field.path) == heading:
                    column.addWidget(field.beside_its_help())
