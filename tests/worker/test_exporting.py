"""Exports: written by a worker, proved in a second process, and loaded here with nothing but transformers and peft."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig

from studio.core.answers import Exported, LabelProbability, Predicted, Prediction
from studio.core.commands import Export, VerifyExport
from studio.core.config import DeviceConfig
from studio.core.errors import StudioError
from studio.core.events import Event, Failed, Finished, StageChanged
from studio.core.predictions import read_predictions
from studio.core.runs import RunFolder
from studio.engine.exports import _set_end_token
from studio.engine.predictor import Predictor, load_run
from studio.supervise.process import WorkerProcess
from studio.worker import exporting
from studio.worker.channel import Channel
from tests.worker.conftest import CHAT_TEMPLATE
from tests.worker.jobs import RUNS, WORDS, Trained, await_no_thread, two_at_a_time, work, work_here

pytestmark = pytest.mark.timeout(300)  # the first test waits for all runs and exports
every_run = pytest.mark.parametrize("name", RUNS)
ADAPTERS = [name for name in RUNS if not name.startswith("full")]


def export_of(run: Trained, folder: Path) -> Export:
    kind = "model" if run.run.config().method.kind == "full" else "adapter"
    return Export(run=str(run.run.path), home=run.home_name, folder=str(folder), kind=kind)


@pytest.fixture(scope="module")
def exports(trained: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """The answer to the export of every run. Tests only read the folders."""
    folder = tmp_path_factory.mktemp("exports")
    found = {}
    for name in RUNS:
        answer = work_here(export_of(trained[name], folder / "new" / name))[-1]
        assert isinstance(answer, Exported), answer
        found[name] = answer
    return found


@every_run
def test_the_export_answers_as_the_run_does(exports: dict[str, Exported], name: str) -> None:
    exported = exports[name]
    assert exported.verified is True
    assert exported.compared == exported.agreeing == 12
    assert exported.largest_difference <= 1e-4
    folder = Path(exported.folder)
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == exported.files
    told = json.loads((folder / "verification.json").read_text("utf-8"))
    figures = exported.model_dump(include={"compared", "agreeing", "largest_difference", "tolerance", "verified"})
    assert told == {"kind": "model" if name.startswith("full") else "adapter", **figures}
    assert [row.difference for row in exported.messages] == sorted((row.difference for row in exported.messages), reverse=True)
    assert exported.messages[0].difference == exported.largest_difference
    assert sorted(path.name for path in folder.parent.iterdir()) == sorted(RUNS), "no half-written folder is left"


@every_run
def test_what_is_in_the_folder(
    exports: dict[str, Exported], trained: dict[str, Trained], base: Path, home_path: Path, name: str
) -> None:
    folder, run = Path(exports[name].folder), trained[name]
    kind = name.split("-")[0]
    names = set(exports[name].files)
    weights = {"model.safetensors", "config.json"} if kind == "full" else {"adapter_model.safetensors"}
    assert (
        weights | {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "labels.json", "prompt.json", "README.md"}
        <= names
    )
    assert ("adapter_config.json" in names) == (kind != "full")
    assert "manifest.json" not in names
    assert {Path(file).suffix for file in names} <= {".safetensors", ".json", ".md", ".jinja"}
    assert (folder / "chat_template.jinja").read_text("utf-8") == CHAT_TEMPLATE
    assert json.loads((folder / "labels.json").read_text("utf-8")) == sorted(WORDS)
    prompt = json.loads((folder / "prompt.json").read_text("utf-8"))
    config = run.run.config()
    assert (prompt["template"], prompt["max_length"], prompt["method"]) == (config.prompt.template, 96, kind)
    assert (prompt["use_chat_template"], config.prompt.use_chat_template) == (True, True)
    assert prompt["prompt"] == "user: Message: {text}\nIntent:\nassistant:"
    card = (folder / "README.md").read_text("utf-8")
    finished = run.one(Finished)
    for expected in (base.name, kind, f"{finished.accuracy:.1%}", f"{finished.base_accuracy:.1%}", run.run.name):
        assert expected in card
    for file in folder.iterdir():
        # A path of the machine that trained says nothing to others, and is nobody's business.
        assert str(home_path).encode() not in file.read_bytes()
        assert str(base.parent).encode() not in file.read_bytes()


@pytest.fixture
def home_path(trained: dict[str, Trained]) -> Path:
    return trained["full-fp32"].home.path


@every_run
def test_generation_stops_at_the_end_that_was_graded(exports: dict[str, Exported], name: str) -> None:
    folder = exports[name].folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert GenerationConfig.from_pretrained(folder).eos_token_id == tokenizer.eos_token_id


@pytest.fixture
def narrow_four_bit_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With AVX512-BF16, bitsandbytes 0.50 repacks 4-bit weights when evaluating; layers as narrow as the tiny ones break it."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


def plainly_loaded(folder: Path, base: Path, kind: str) -> Any:
    if kind == "full":
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    options: dict[str, Any] = {}
    if kind == "qlora":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, **options)
    return PeftModel.from_pretrained(model, folder).eval()


@pytest.mark.usefixtures("narrow_four_bit_layers")
@pytest.mark.parametrize("name", ["full-fp32", "lora-fp32", "qlora-fp32"])
def test_it_loads_with_plain_libraries_and_says_the_same(
    exports: dict[str, Exported], trained: dict[str, Trained], base: Path, name: str
) -> None:
    """The rule of prompt.json by brute force: every label scored from its first token to its end."""
    folder = Path(exports[name].folder)
    model = plainly_loaded(folder, base, name.split("-")[0])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    labels = json.loads((folder / "labels.json").read_text("utf-8"))
    facts = json.loads((folder / "prompt.json").read_text("utf-8"))
    end = tokenizer.convert_tokens_to_ids(facts["end_token"])
    endings = [tokenizer(facts["separator"] + label, add_special_tokens=False)["input_ids"] + [end] for label in labels]
    longest = max(map(len, endings))
    for row in read_predictions(trained[name].run.predictions_path).predictions:
        prompt = tokenizer(facts["prompt"].replace("{text}", row.text))["input_ids"]
        # What stands behind a label changes nothing before it.
        ids = torch.tensor([prompt + ending + [0] * (longest - len(ending)) for ending in endings])
        with torch.no_grad():
            log_probabilities = model(input_ids=ids).logits.double().log_softmax(-1)
        scores = [
            sum(log_probabilities[index, len(prompt) - 1 + offset, token] for offset, token in enumerate(ending))
            for index, ending in enumerate(endings)
        ]
        probabilities = torch.stack(scores).softmax(0)
        assert labels[int(probabilities.argmax())] == row.predicted
        assert float(probabilities.max()) == pytest.approx(row.probability, abs=1e-3)


@pytest.mark.usefixtures("narrow_four_bit_layers")
@pytest.mark.parametrize("name", ["full-bf16", "lora-bf16", "qlora-bf16"])
def test_the_program_of_the_card_runs(exports: dict[str, Exported], trained: dict[str, Trained], base: Path, name: str) -> None:
    folder = Path(exports[name].folder)
    card = (folder / "README.md").read_text("utf-8")
    rows = read_predictions(trained[name].run.predictions_path).predictions
    row = max((row for row in rows if not row.left_set), key=lambda row: row.probability)
    program = card.split("```python\n")[1].split("```")[0]
    ready = program.replace("THIS_FOLDER", str(folder)).replace("BASE_FOLDER", str(base))
    assert exports[name].program == ready.strip(), "the window shows it with the folders filled in"
    program = program.replace('"THIS_FOLDER"', repr(str(folder))).replace("'the message'", repr(row.text))
    assert ("BASE_FOLDER" in program) is not name.startswith("full")
    program = program.replace('"BASE_FOLDER"', repr(str(base)))
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(program, {})
    written = said.getvalue().strip()
    assert written == row.predicted


def test_a_target_that_is_in_use_is_refused(trained: dict[str, Trained], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for target in ("full", "file"):
        failed = work_here(export_of(trained["lora-fp32"], tmp_path / target))[-1]
        assert isinstance(failed, Failed)
        assert (failed.kind, bool(failed.remedy)) == ("bad_target", True)
    assert (tmp_path / "full" / "mine.txt").read_text() == (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("full-fp32", "adapter"), ("full-fp32", "merged"), ("lora-fp32", "model"), ("qlora-fp32", "model")],
)
def test_the_wrong_kind_is_refused(trained: dict[str, Trained], tmp_path: Path, name: str, kind: str) -> None:
    command = export_of(trained[name], tmp_path / "out").model_copy(update={"kind": kind})
    failed = work_here(command)[-1]
    assert isinstance(failed, Failed)
    assert failed.kind == "wrong_export"
    assert "adapter" in failed.remedy or "model" in failed.remedy
    assert not (tmp_path / "out").exists()


def test_a_target_among_the_runs_is_refused(own_run: RunFolder, trained: dict[str, Trained]) -> None:
    home = trained["lora-fp32"].home
    for target in (own_run.path / "export", home.runs / "export"):
        failed = work_here(Export(run=str(own_run.path), home=str(home.path), folder=str(target), kind="adapter"))[-1]
        assert isinstance(failed, Failed)
        assert "deleted" in failed.message
        assert not target.exists()


def test_too_little_room_is_told_before_anything_is_done(
    trained: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.engine.exports.free_bytes", lambda _folder: 1000)
    events = work_here(export_of(trained["lora-fp32"], tmp_path / "out"))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert (failed.kind, "1000 bytes left" in failed.message) == ("disk_full", True)
    assert not [event for event in events if isinstance(event, StageChanged)]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("studio.engine.exports.write_json", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
        ("studio.engine.exports.shutil.copy", PermissionError(errno.EACCES, os.strerror(errno.EACCES))),
        ("studio.engine.exports.load_tokenizer", SafetensorError("I/O error: No space left on device")),
    ],
)
def test_nothing_is_left_of_an_export_that_cannot_be_written(
    trained: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    target = tmp_path / "new" / "folders" / "out"

    def refuse(*_: object, **_more: object) -> None:
        assert (tmp_path / "new" / "folders" / ".out.partial").is_dir(), "it is written where it is to be"
        raise error

    begun = exporting.write_export

    def write(*arguments: Any) -> str:
        monkeypatch.setattr(place, refuse)
        return begun(*arguments)

    monkeypatch.setattr(exporting, "write_export", write)
    failed = work_here(export_of(trained["lora-fp32"], target))[-1]
    assert isinstance(failed, Failed)
    assert failed.kind == "unwritable_export"
    assert str(target) in failed.message
    assert "No space left" in failed.message or "Permission denied" in failed.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_target_that_may_not_be_written_is_told(trained: dict[str, Trained], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        failed = work_here(export_of(trained["lora-fp32"], tmp_path / "out"))[-1]
    finally:
        tmp_path.chmod(0o700)
    assert isinstance(failed, Failed)
    assert "Permission denied" in failed.message


def prediction(predicted: str, **probabilities: float) -> Prediction:
    top = [LabelProbability(label=name, probability=value) for name, value in probabilities.items()]
    return Prediction(
        text="t", predicted=predicted, probability=probabilities[predicted], top=top, left_set=False, outside_mass=0.0
    )


def test_the_comparison() -> None:
    ours = [prediction("a", a=0.7, b=0.3), prediction("b", b=0.9, a=0.1)]

    def agreement(theirs: list[Prediction]) -> exporting.Agreement:
        return exporting._agreement(exporting.compare(ours, theirs))

    same = {"compared": 2, "agreeing": 2, "largest_difference": 0.0, "tolerance": 1e-4, "verified": True}
    assert agreement(ours) == same
    near = [prediction("a", a=0.70005, b=0.29995), ours[1]]
    assert agreement(near)["verified"]
    far = [ours[0], prediction("b", b=0.9002, a=0.0998)]
    assert agreement(far)["largest_difference"] == pytest.approx(2e-4)
    assert not agreement(far)["verified"]
    worst, other = exporting.compare(ours, far)
    assert (worst.run_probability, worst.export_probability, other.difference) == (0.9, 0.9002, 0.0)
    tie = [prediction("a", a=0.5, b=0.5)], [prediction("b", b=0.5, a=0.5)]
    (told,) = exporting.compare(*tie)
    assert (told.run_predicted, told.export_predicted, told.difference) == ("a", "b", 0.0)
    assert not exporting._agreement([told])["verified"]
    # A label that one list leaves out had at most the probability of that list's last one.
    left_out = [prediction("a", a=0.6, b=0.3, c=0.1)], [prediction("a", a=0.6, b=0.3, d=0.1)]
    assert exporting.compare(*left_out)[0].difference == pytest.approx(0)
    assert exporting.compare([prediction("a", a=0.6, c=0.4)], [prediction("a", a=0.6, d=0.1)])[0].difference > 0.29
    with pytest.raises(ValueError, match="shorter"):
        exporting.compare(ours, ours[:1])


def test_an_export_that_answers_otherwise_is_told_as_unverified(
    trained: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process is replaced by one changed answer; the memory that it would need must be free by then."""
    models: list[weakref.ref[torch.nn.Module]] = []

    def watched(*args: Any) -> Predictor:
        predictor = load_run(*args)
        models.append(weakref.ref(predictor.model))
        return predictor

    def changed(command: VerifyExport, _channel: object) -> list[Prediction]:
        assert models[0]() is None, "the model of this process still takes its memory"
        return [prediction("a", a=1.0, b=0.0).model_copy(update={"text": text}) for text in command.texts]

    monkeypatch.setattr(exporting, "load_run", watched)
    monkeypatch.setattr(exporting, "_in_clean_process", changed)
    exported = work_here(export_of(trained["lora-fp32"], tmp_path / "out"))[-1]
    assert isinstance(exported, Exported), exported
    assert (exported.verified, exported.compared, exported.agreeing) == (False, 12, 0)
    assert json.loads((tmp_path / "out" / "verification.json").read_text("utf-8"))["verified"] is False


def test_a_check_that_ends_at_once_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """More is written to it than a pipe holds."""
    monkeypatch.setattr(exporting, "WORKER_COMMAND", [sys.executable, "-c", ""])
    device = DeviceConfig(kind="cpu")
    command = VerifyExport(folder="f", base="b", device=device, precision="fp32", texts=["a message"] * 50_000)
    commands, app = os.pipe()
    with tempfile.TemporaryFile() as said:
        channel = Channel(commands, said.fileno())
        try:
            with pytest.raises(StudioError, match="ended early"):
                exporting._in_clean_process(command, channel)
        finally:
            channel.close()
            os.close(app)
            await_no_thread("commands")
            os.close(commands)


def test_an_export_that_cannot_be_reloaded_is_not_kept(
    trained: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_command: object, _channel: object) -> list[Prediction]:
        raise StudioError("It is broken.", "Mend it.")

    monkeypatch.setattr(exporting, "_in_clean_process", fails)
    assert isinstance(work_here(export_of(trained["lora-fp32"], tmp_path / "out"))[-1], Failed)
    assert list(tmp_path.iterdir()) == []


def test_changed_weights_answer_otherwise(
    exports: dict[str, Exported], trained: dict[str, Trained], base: Path, tmp_path: Path
) -> None:
    """The check looks at the weights in the folder, not at the run's."""
    run = trained["lora-fp32"]
    expected = read_predictions(run.run.predictions_path).predictions
    folder = Path(shutil.copytree(exports["lora-fp32"].folder, tmp_path / "changed"))
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({key: value * 1.05 for key, value in weights.items()}, folder / "adapter_model.safetensors")
    found = []
    for place in (Path(exports["lora-fp32"].folder), folder):
        command = VerifyExport(folder=str(place), texts=[row.text for row in expected], base=str(base), precision="fp32")
        events = work_here(command)
        assert isinstance(events[-1], Finished), events[-1]
        found.append([event.prediction for event in events if isinstance(event, Predicted)])
    assert exporting._agreement(exporting.compare(expected, found[0]))["verified"]
    assert not exporting._agreement(exporting.compare(expected, found[1]))["verified"]


def test_no_process_is_left_when_the_check_is_broken_off(trained: dict[str, Trained], tmp_path: Path) -> None:
    children: list[psutil.Process] = []

    def broken_off(name: str) -> list[Event]:
        def act(process: WorkerProcess, event: Event) -> None:
            if isinstance(event, StageChanged) and event.stage.startswith("reloading the export"):
                children.extend(psutil.Process(process.pid).children(recursive=True))
                if name == "cancelled":
                    process.cancel()
                else:
                    os.kill(process.pid, signal.SIGKILL)  # this process alone, not its group

        return work(export_of(trained["full-fp32"], tmp_path / name), act)

    cancelled, _ = two_at_a_time([partial(broken_off, "cancelled"), partial(broken_off, "killed")])
    assert isinstance(cancelled[-1], Failed)
    assert cancelled[-1].kind == "cancelled"
    assert len(children) == 2
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert not (tmp_path / "cancelled").exists()
    assert not (tmp_path / "killed").exists()


def test_the_card_has_the_figures_of_a_later_evaluation(own_run: RunFolder, tmp_path: Path) -> None:
    own_run.write_outcome(Finished(outcome="stopped"))
    own_run.record_scores(Finished(outcome="completed", rows=40, accuracy=0.875, macro_f1=0.5))
    work_here(Export(run=str(own_run.path), home=str(tmp_path), folder=str(tmp_path / "out"), kind="adapter"))
    assert "Accuracy on 40 test messages: 87.5%" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_settings_of_a_base_that_contradict_themselves_do_not_stop_an_export(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "out"
    folder.mkdir()
    base.mkdir()
    (base / "generation_config.json").write_text(json.dumps({"temperature": 0.6, "eos_token_id": [1, 2], "bos_token_id": 5}))
    _set_end_token(base, folder, 7)
    written = GenerationConfig.from_pretrained(folder)
    assert (written.eos_token_id, written.bos_token_id) == (7, 5)
