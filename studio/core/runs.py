"""The run folder and the index over all of them.

A run folder holds run.toml, environment.json, data/*.parquet, events.jsonl, outcome.json, checkpoints/step-N/,
predictions.parquet, chat.jsonl once its model was asked in the window, and, when it was evaluated after training, scores.json.
Nothing in it is ever executed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.event_log import EventLog
from studio.core.events import Crashed, Event, Failed, Finished
from studio.core.files import write_atomically
from studio.core.notes import ABOUT, RunNotes, read_notes
from studio.core.paths import as_typed
from studio.core.run_file import dump_run_config, load_run_config

RunState = Literal["new", "running", "completed", "stopped", "paused", "failed", "crashed", "interrupted"]


class Outcome(BaseModel):
    """How a run ended: the contents of outcome.json."""

    # As for events: a run that was never evaluated has NaN for an accuracy.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    final: Finished | Failed | Crashed

    @property
    def state(self) -> RunState:
        if isinstance(self.final, Finished):
            return self.final.outcome
        return "failed" if isinstance(self.final, Failed) else "crashed"


def usual_home() -> Path:
    """The platform's data folder, where the app keeps its own unless told otherwise."""
    return platformdirs.user_data_path("finetune-studio", False)


@dataclass(frozen=True)
class Home:
    """The app's data folder: runs/, models/ and settings."""

    path: Path

    @classmethod
    def locate(cls, given: str | Path | None = None) -> Home:
        """``given``, else FINETUNE_STUDIO_HOME, else the platform's data folder. Created; StudioError if it can't be."""
        chosen = given or os.environ.get("FINETUNE_STUDIO_HOME") or usual_home()
        path = as_typed(chosen).resolve()
        try:
            for folder in (path / "runs", path / "models"):
                folder.mkdir(parents=True, exist_ok=True)
            probe = path / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StudioError(
                f"The data folder {path} cannot be written: {error.strerror or error}.",
                "Choose another one with --home DIR or FINETUNE_STUDIO_HOME, or mend its permissions.",
                kind="unwritable_home",
            ) from error
        return cls(path)

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def models(self) -> Path:
        return self.path / "models"

    def create_run(self, config: RunConfig) -> RunFolder:
        """A new run folder with its run.toml, named after the data, the method and a running number."""
        stem = re.sub(r"[^a-z0-9]+", "-", Path(config.dataset.source).stem.lower()).strip("-") or "data"
        prefix = f"{stem[:40]}-{config.method.kind}"
        for number in range(1, 100_000):
            folder = self.runs / f"{prefix}-{number}"
            run = RunFolder(folder)
            try:
                folder.mkdir()
                run.write_config(config)
            except FileExistsError:
                continue
            except OSError as error:
                with contextlib.suppress(OSError):
                    folder.rmdir()
                raise StudioError(
                    f"No run folder can be made in {self.runs}: {error.strerror or error}.",
                    "Free some space or choose another folder with --home DIR.",
                    kind="unwritable_home",
                ) from error
            return run
        raise StudioError(f"{self.runs} is full of runs named {prefix}.", "Delete some of them.")

    def find_run(self, name: str) -> RunFolder:
        """A run by its name or folder. Raises StudioError when there is none."""
        for folder in (self.runs / name, as_typed(name)):
            if (folder / "run.toml").is_file():
                run = RunFolder(folder.resolve())
                run.put_back_replaced()
                return run
        known = ", ".join(run.name for run in self.list_runs()[:5]) or "none yet"
        raise StudioError(f"There is no run {name!r}.", f"Name a run folder or one of the runs listed by `runs` ({known}).")

    def list_runs(self) -> list[RunFolder]:
        """All runs, newest first."""
        folders = [path.parent for path in self.runs.glob("*/run.toml")]
        return [RunFolder(path) for path in sorted(folders, key=_created, reverse=True)]


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs."""

    name: str
    path: Path
    state: RunState
    method: str
    base: str
    source: str
    accuracy: float | None
    created: float
    notes: RunNotes


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def predictions_path(self) -> Path:
        return self.path / "predictions.parquet"

    @property
    def base_predictions_path(self) -> Path:
        """The untrained base's predictions of the test split."""
        return self.path / "base_predictions.parquet"

    def predictions_of(self, name: str) -> Path:
        """The predictions of a labelled file: ``name`` is that file's, without its ending."""
        return self.path / f"predictions-{name}.parquet"

    def predicted_files(self) -> list[str]:
        """The names of the labelled files that were predicted with this run, in their order."""
        return sorted(path.stem.removeprefix("predictions-") for path in self.path.glob("predictions-*.parquet"))

    @property
    def scores_path(self) -> Path:
        """The figures of the test split, when it was predicted after training had ended."""
        return self.path / "scores.json"

    @property
    def log_path(self) -> Path:
        """What the worker's libraries printed."""
        return self.path / "worker.log"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def split_path(self, split: str) -> Path:
        return self.path / "data" / f"{split}.parquet"

    def config(self) -> RunConfig:
        """Raises StudioError for an unreadable run.toml."""
        config = load_run_config(self.path / "run.toml")
        if "use_chat_template" not in config.prompt.model_fields_set:
            # A snapshot names every setting. One without this is older than it, when every prompt was plain.
            config = config.model_copy(update={"prompt": config.prompt.model_copy(update={"use_chat_template": False})})
        return config

    def write_config(self, config: RunConfig) -> None:
        write_atomically(self.path / "run.toml", dump_run_config(config))

    def change_config(self, config: RunConfig) -> None:
        """Write run.toml anew, with the date of the old one, which is that of the run."""
        path = self.path / "run.toml"
        before = path.stat()
        self.write_config(config)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def events(self) -> Iterator[Event]:
        """Everything the training worker said, oldest first; a torn last line is left out."""
        return EventLog(self.events_path).read()

    def notes(self) -> RunNotes:
        return read_notes(self.path)

    def write_notes(self, notes: RunNotes) -> None:
        """Raises StudioError."""
        try:
            write_atomically(self.path / ABOUT, notes.model_dump_json(indent=1))
        except OSError as error:
            raise StudioError(
                f"The notes of {self.name} cannot be kept: {error.strerror or error}.", "Free some space or mend permissions."
            ) from error

    def lock(self) -> FileLock:
        """Held by the training worker for as long as it lives."""
        return FileLock(self.path / ".lock")

    def is_running(self) -> bool:
        if not self.path.is_dir():  # the lock would make a folder that was deleted anew
            return False
        lock = self.lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # a folder that cannot be written is not being trained in
            return False
        lock.release()
        return False

    def put_back_replaced(self) -> None:
        """Bring back each checkpoint that was being written again, with the same step, when its process was killed.

        Between taking the old one away and putting the new one there nothing has that name. A run at work is left alone.
        """
        cut_short = [
            (old, folder)
            for old in self.checkpoints.glob(".step-*.replaced")
            if not (folder := self.checkpoints / old.name[1:].removesuffix(".replaced")).exists()
        ]
        if cut_short:
            with contextlib.suppress(Timeout, OSError), self.lock().acquire(timeout=0):
                for old, folder in cut_short:
                    if not folder.exists():
                        old.rename(folder)

    def outcome(self) -> Outcome | None:
        try:
            return Outcome.model_validate_json((self.path / "outcome.json").read_bytes())
        except (OSError, ValueError):
            return None

    def write_outcome(self, final: Finished | Failed | Crashed) -> None:
        write_atomically(self.path / "outcome.json", Outcome(final=final).model_dump_json(indent=1))

    def forget_end(self) -> None:
        """The run is trained again: how it had ended, and what its model had answered by then, no longer holds."""
        files = map(self.predictions_of, self.predicted_files())
        for path in (self.path / "outcome.json", self.scores_path, self.predictions_path, *files):
            path.unlink(missing_ok=True)

    def record_scores(self, scores: Finished) -> None:
        """Keep the figures of the test split when it was predicted after training, in scores.json.

        How the run ended stays as it was, for some of them a failure or unknown. Raises StudioError.
        """
        outcome = self.outcome()
        if outcome is not None and isinstance(outcome.final, Finished):
            scores = scores.model_copy(update={"base_accuracy": outcome.final.base_accuracy})
        try:
            write_atomically(self.scores_path, scores.model_dump_json(indent=1))
        except OSError as error:
            raise StudioError(
                f"The scores of {self.name} cannot be kept: {error.strerror or error}.", "Free some space or mend permissions."
            ) from error

    def scores(self) -> Finished | None:
        """The figures of the test split as it was predicted last; None when it never was."""
        try:
            final: Finished | Failed | Crashed | None = Finished.model_validate_json(self.scores_path.read_bytes())
        except (OSError, ValueError):
            outcome = self.outcome()
            final = outcome.final if outcome is not None else None
        return final if isinstance(final, Finished) and final.rows > 0 else None

    def state(self) -> RunState:
        if (outcome := self.outcome()) is not None:
            return outcome.state
        if self.is_running():
            return "running"
        if (outcome := self.outcome()) is not None:  # it ended between the two looks
            return outcome.state
        return "interrupted" if self.events_path.exists() else "new"

    def checkpoint(self) -> Path | None:
        """The checkpoint that stands for the run: the best on validation, else the newest; None when none is complete."""
        complete: list[tuple[bool, int, Path]] = []
        for manifest in self.checkpoints.glob("step-*/manifest.json"):
            step = manifest.parent.name.removeprefix("step-")
            if step.isdecimal():
                complete.append((_is_best(manifest), int(step), manifest.parent))
        return max(complete)[2] if complete else None

    def summary(self) -> RunSummary:
        config = self.config()
        return RunSummary(
            name=self.name,
            path=self.path,
            state=self.state(),
            method=config.method.kind,
            base=config.model.base,
            source=config.dataset.source,
            accuracy=None if (scores := self.scores()) is None else scores.accuracy,
            created=_created(self.path),
            notes=self.notes(),
        )


def _is_best(manifest: Path) -> bool:
    try:
        return bool(json.loads(manifest.read_text("utf-8"))["best"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _created(folder: Path) -> float:
    try:
        return (folder / "run.toml").stat().st_mtime
    except OSError:  # deleted since it was found
        return 0.0
