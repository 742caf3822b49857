"""What a chat talks to: a run's model, its base, and other runs on the same base, with that base in memory once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.generation import Speaker
from studio.core.runs import Home, RunFolder
from studio.core.words import size
from studio.data.progress import Progress
from studio.engine.checkpoints import verify_checkpoint
from studio.engine.exactness import prepare_for_prediction
from studio.engine.methods import load_method_base
from studio.engine.models import base_folder
from studio.engine.predictor import Predictor, kept_checkpoint, load_run, run_prompt


class ChatModels:
    """One run at a time is ``tuned``. A LoRA or QLoRA run's base is the same model with its adapter switched off; after full
    fine-tuning it is a second model, loaded when it is first asked for."""

    def __init__(self, home: Home, progress: Progress) -> None:
        self._home = home
        self._progress = progress
        self._run: RunFolder | None = None
        self._config = RunConfig()
        self._tuned: Predictor | None = None
        self._base: Predictor | None = None
        self._adapters = 0

    @property
    def tuned(self) -> Predictor:
        """The open run."""
        assert self._tuned is not None
        return self._tuned

    def open(self, run: RunFolder) -> Predictor:
        """Make ``run`` the one that is asked: loaded whole the first time, after that by its adapter alone.

        Raises StudioError when it cannot be loaded, or does not share the base that is loaded.
        """
        config = run.config()
        if self._tuned is None:
            self._tuned = load_run(run, self._home, self._progress)
        elif self._config.shares_base(config):
            self._tuned = self._change_adapter(self._tuned, run)
        else:
            raise StudioError(
                f"The run {run.name} needs another base than the one that is loaded.", "Unload the model first.", kind="protocol"
            )
        self._run, self._config = run, config
        return self._tuned

    @contextmanager
    def speaking(self, speaker: Speaker) -> Iterator[Predictor]:
        """The one who answers, for as long as this lasts. Raises StudioError when the base cannot be loaded."""
        tuned = self.tuned
        if speaker == "tuned":
            yield tuned
        elif self._config.method.kind == "full":
            yield self._base_beside(tuned)
        else:
            model: Any = tuned.model
            with model.disable_adapter():
                yield tuned

    def _change_adapter(self, loaded: Predictor, run: RunFolder) -> Predictor:
        checkpoint = kept_checkpoint(run)
        self._progress("checking the checkpoint", 0, 0)
        verify_checkpoint(checkpoint)
        self._progress("changing the adapter", 0, 0)
        encoder, labels = run_prompt(run, base_folder(run.config().model, self._home, self._progress))
        model: Any = loaded.model
        before = model.active_adapter
        self._adapters += 1
        name = f"adapter_{self._adapters}"
        # The base was made ready when it was loaded, and peft keeps an adapter's weights in fp32.
        model.load_adapter(str(checkpoint), name, torch_device=str(loaded.compute.device))
        model.set_adapter(name, inference_mode=True)
        model.delete_adapter(before)
        return Predictor(model, encoder, labels, loaded.compute)

    def _base_beside(self, tuned: Predictor) -> Predictor:
        if self._base is None:
            needed = sum(parameter.nbytes for parameter in tuned.model.parameters())
            free = tuned.compute.available_bytes()
            if needed > free:
                raise StudioError(
                    f"The base would take {size(needed)} beside the tuned model, and {size(free)} of memory are free.",
                    "Close other programs, or compare with the base in the results.",
                    kind="out_of_memory",
                )
            folder = base_folder(self._config.model, self._home, self._progress)
            self._progress("loading the base", 0, 0)
            model = prepare_for_prediction(load_method_base(folder, self._config.method, tuned.compute), tuned.compute)
            self._base = Predictor(model, tuned.encoder, tuned.labels, tuned.compute)
        return self._base
