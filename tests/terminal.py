"""A terminal in which the command line runs against a fake worker, and what such a worker says."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio import cli
from studio.core.answers import LabelProbability, Prediction
from studio.core.config import MethodConfig, RunConfig
from studio.core.predictions import write_predictions
from studio.core.runs import Home, RunFolder
from tests.fake_workers import write_worker

LABELS = ["card_lost", "card_stolen", "transfer"]

STARTED = """
command = json.loads(sys.stdin.readline())
say("hello", protocol=1, pid=os.getpid())
say("stage_changed", stage="reading the data")
say("run_started", run="r", device="cpu", precision="fp32", trainable_parameters=10, total_parameters=1000,
    forecast_bytes=2_000_000_000, total_steps=4, train_rows=8, validation_rows=2, test_rows=3)
"""
TRAINED = """
say("heartbeat", memory_bytes=1)
same = dict(seconds=[0.1, 0.1], steps=4, learning_rate=1e-4, gradient_norm=1.0, tokens=10, memory_bytes=1)
say("steps_completed", first_step=1, losses=[2.0, 1.0], epoch=0.5, **same)
say("steps_completed", first_step=3, losses=[0.5, 0.25], epoch=1.0, **same)
say("evaluated", step=4, split="validation", loss=0.5, accuracy=0.75, macro_f1=0.7, outside_rate=0.125, rows=4)
"""
FINISHED = """
say("finished", outcome="completed", rows=4, accuracy=0.75, accuracy_low=0.3, accuracy_high=0.95, macro_f1=0.7, outside_rate=0.25,
    base_accuracy=0.125, peak_bytes=1_900_000_000, forecast_bytes=2_000_000_000, seconds=83)
"""
FAILURE = "say('failed', kind='bad_input', message='The file has no rows.', remedy='Add some.', detail='Traceback')"


def predictions() -> list[Prediction]:
    pairs = [(0, 0), (0, 1), (1, 1), (2, 2)]
    return [
        Prediction(
            text=f"message {row}",
            predicted=LABELS[predicted],
            probability=0.8,
            top=[LabelProbability(label=LABELS[predicted], probability=0.8), LabelProbability(label=LABELS[true], probability=0.1)],
            left_set=False,
            outside_mass=0.0,
            label=LABELS[true],
            label_probability=0.8,
        )
        for row, (true, predicted) in enumerate(pairs)
    ]


class Terminal:
    """Runs commands in this process against a fake worker and keeps what they write."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = Home.locate(folder / "home")
        self.folder = folder
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.out = self.err = ""
        monkeypatch.setenv("COLUMNS", "200")

    def worker_is(self, body: str) -> None:
        self._monkeypatch.setattr("studio.supervise.process.WORKER_COMMAND", write_worker(self.folder, body))

    def run(self, *arguments: str) -> int:
        code = cli.run(cli.parse([*arguments, "--home", str(self.home.path)]))
        self.out, self.err = self._capsys.readouterr()
        return code

    def a_run(self, kind: str = "lora") -> RunFolder:
        return self.home.create_run(RunConfig(method=MethodConfig.model_validate({"kind": kind})))

    def copy_predictions(self) -> str:
        """A line of Python that puts predictions where the worker's command wants them."""
        write_predictions(self.folder / "predictions.parquet", LABELS, predictions())
        target = "command.get('out') or command['run'] + '/predictions.parquet'"
        return f"import shutil; shutil.copy({str(self.folder / 'predictions.parquet')!r}, {target})\n"
