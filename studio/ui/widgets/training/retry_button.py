"""The one click after memory ran out: the same training with fewer messages in memory at once."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton

from studio.core.batch_sizes import with_half_the_micro_batch
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.failures import ended_for_memory
from studio.ui.models.open_run import OpenRun
from studio.ui.widgets.basics import named
from studio.ui.words import plain_tooltip


class RetryButton(QPushButton):
    """In sight only for a run that ran out of memory and whose micro-batch can be halved."""

    wanted = Signal(object)
    """Emitted with the RunConfig that needs less memory and learns the same."""

    def __init__(self) -> None:
        super().__init__()
        named(self, "retryButton", "Retry with a smaller micro-batch", "Train with fewer messages in memory at once")
        self._config: RunConfig | None = None
        self.clicked.connect(self._ask)
        self.setProperty("kind", "primary")
        self.hide()

    def show_run(self, run: OpenRun) -> None:
        """Offer it for ``run``, or not."""
        # What runs out before, while the model is loaded, needs as much with any micro-batch.
        self._config = _smaller(run) if run.started is not None and ended_for_memory(run.final) else None
        self.setVisible(self._config is not None)
        if self._config is None:
            return
        training, step = self._config.training, run.resumable_step
        begin = "Start again" if step is None else f"Go on after step {step:,}"
        text = f"Retry with a micro-batch of {training.micro_batch}"
        self.setText(text)
        self.setAccessibleName(text)
        self.setToolTip(
            plain_tooltip(f"{begin} with fewer messages in memory at once. Each step still learns from {training.batch_size}.")
        )

    def _ask(self) -> None:
        if self._config is not None:
            self.wanted.emit(self._config)


def _smaller(run: OpenRun) -> RunConfig | None:
    try:
        # From the folder, because the worker has written there what 'auto' stood for.
        return with_half_the_micro_batch(run.folder.config())
    except StudioError:
        return None
