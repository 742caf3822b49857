"""What each command of the command line does."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from studio import doctor
from studio.cli_chat import chat
from studio.cli_comparison import show_comparison
from studio.cli_jobs import ask, listen, tell_failure
from studio.cli_output import DONE, FAILED, INTERRUPTED, PROGRAM, Output, plain, to_json
from studio.core.answers import Exported, Forecasted, ModelDescribed, Predicted
from studio.core.bases import HUB_PREFIX, is_hub_id, typed_hub_id
from studio.core.commands import DownloadModel, Evaluate, Export, Forecast, Predict
from studio.core.compare_runs import compare_runs
from studio.core.config import RunConfig
from studio.core.errors import StudioError
from studio.core.events import Event, Finished
from studio.core.exports import ExportKind, check_export_kind, export_kinds
from studio.core.files import save_file
from studio.core.paths import as_typed
from studio.core.predictions import PredictionTable, name_for, read_predictions, write_confusion
from studio.core.report import report_html
from studio.core.resuming import resumable_step
from studio.core.run_file import load_run_config, sample_run_config, validate_run_config
from studio.core.runs import Home, RunFolder
from studio.supervise.process import WorkerProcess
from studio.supervise.starting import resume_training, start_job, start_training


def train(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    config = _load_config(arguments.config)
    _warn(config, output)
    return _conclude(arguments, output, *start_training(home, config))


def resume(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    run = home.find_run(arguments.run)
    return _conclude(arguments, output, run, resume_training(home, run, arguments.micro_batch))


def _conclude(arguments: argparse.Namespace, output: Output, run: RunFolder, process: WorkerProcess) -> int:
    """Watch a training run to its end and show what became of it."""
    finished, code = _watch(arguments, output, run, process, output.event)
    if finished is None:
        return code
    table = _confusion(run.predictions_path, run.path / "confusion.csv") if finished.rows else None
    if not output.json:
        output.training(run, finished, table)
        output.next_commands(_next_commands(arguments, run, evaluated=table is not None))
    return code


def evaluate(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    run = home.find_run(arguments.run)
    predictions, matrix, data = run.predictions_path, run.path / "confusion.csv", None
    if arguments.data:
        data = arguments.data.resolve()
        name = name_for(run, data)
        predictions, matrix = run.predictions_of(name), run.path / f"confusion-{name}.csv"
    command = Evaluate(
        run=str(run.path),
        home=str(home.path),
        data=str(data) if data else None,
        text_column=arguments.text_column,
        label_column=arguments.label_column,
        out=str(predictions),
    )
    finished, code = ask(command, Finished, output)
    if finished is None:
        return code
    if data is None:
        run.record_scores(finished)
    table = _confusion(predictions, matrix)
    if output.json:
        output.document({**to_json(finished), "predictions": str(predictions), "confusion": str(matrix)})
    else:
        output.scores(finished, table)
        output.say(f"Confusion matrix: {matrix}")
    return code


def predict(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    run = home.find_run(arguments.run)
    command = Predict(
        run=str(run.path),
        home=str(home.path),
        texts=arguments.texts,
        data=str(arguments.data.resolve()) if arguments.data else None,
        text_column=arguments.text_column,
        out=str(arguments.out.resolve()) if arguments.out else None,
    )
    answers: list[Predicted] = []

    def keep(event: Event) -> None:
        if isinstance(event, Predicted):
            answers.append(event)
        output.progress(event)

    process = start_job(command)
    with output.live():
        final, code = listen(process, output, keep, process.stop, "Stopping; what is predicted so far is kept.")
    if not isinstance(final, Finished | Predicted):
        return tell_failure(final, code, output)
    predictions = [answer.prediction for answer in sorted(answers, key=lambda answer: answer.request)]
    if output.json:
        out = command.out if arguments.out else None
        output.document({"predictions": [to_json(prediction) for prediction in predictions], "out": out})
    elif arguments.out:
        output.say(f"Predictions: {arguments.out}")
    else:
        output.predictions(predictions)
    return code


def export(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    exported, code = _export(home, home.find_run(arguments.run), arguments.kind, arguments.folder, output)
    if exported is None:
        return code
    if output.json:
        output.document(to_json(exported))
    else:
        output.exported(exported)
    return code if exported.verified else FAILED


def report(arguments: argparse.Namespace, output: Output) -> int:
    run = Home.locate(arguments.home).find_run(arguments.run)
    path = (arguments.out or run.path / "report.html").absolute()
    save_file(path, report_html(run))
    if output.json:
        output.document({"report": str(path)})
    else:
        output.say(f"Report: {path}")
    return DONE


def forecast(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    config = _load_config(arguments.config)
    _warn(config, output)
    answer, code = ask(Forecast(config=config, home=str(home.path)), Forecasted, output)
    if answer is None:
        return code
    if output.json:
        output.document(to_json(answer))
    else:
        output.forecast(answer)
    return code


def download(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    id = typed_hub_id(arguments.base)
    if not is_hub_id(id):
        raise StudioError(f"{arguments.base!r} is no id of a model of the hub.", "Write it as org/name, as on huggingface.co.")
    table = {"base": HUB_PREFIX + id, "revision": arguments.revision}
    model = validate_run_config({"model": table}).model
    answer, code = ask(DownloadModel(model=model, home=str(home.path)), ModelDescribed, output)
    if answer is None:
        if code == INTERRUPTED:
            output.warn("What has come so far is kept; the same command goes on from there.")
        return code
    if output.json:
        output.document(to_json(answer))
    else:
        output.downloaded(answer.description)
    return code


def runs(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    if arguments.compare is not None:
        comparison = compare_runs([home.find_run(name) for name in arguments.compare])
        if output.json:
            output.document(to_json(comparison))
        else:
            show_comparison(comparison, output)
        return DONE
    summaries = []
    for run in home.list_runs():
        try:
            summaries.append(run.summary())
        except StudioError as error:  # one damaged run must not hide the others
            output.warn(f"{run.name}: {error.message}")
    output.runs(summaries)
    return DONE


def diagnose(arguments: argparse.Namespace, output: Output) -> int:
    checks = output.checks(doctor.examine(arguments.home, arguments.hub))
    return FAILED if any(check.state == "wrong" for check in checks) else DONE


def demo(arguments: argparse.Namespace, output: Output) -> int:
    home = Home.locate(arguments.home)
    output.say("The sample: a small model learns to write the intent of a bank customer's message.")
    run, process = start_training(home, _load_config("sample"))
    finished, code = _watch(arguments, output, run, process, output.progress)
    if finished is None:
        return code
    if code:
        if output.json:
            output.document({"run": str(run.path), "finished": to_json(finished)})
        else:
            output.training(run, finished, None)
            output.next_commands(_next_commands(arguments, run, evaluated=False))
        return code
    matrix = run.path / "confusion.csv"
    table = _confusion(run.predictions_path, matrix)
    if not output.json:
        output.training(run, finished, table)
    kind = export_kinds(run.config().method.kind)[0]
    exported, code = _export(home, run, kind, home.path / "exports" / f"{run.name}-{kind}", output)
    if exported is None:
        return code
    if output.json:
        parts = {"finished": finished, "exported": exported}
        shown = {name: to_json(part) for name, part in parts.items()}
        output.document({"run": str(run.path), "confusion": str(matrix), **shown})
    else:
        output.exported(exported)
        output.next_commands(_next_commands(arguments, run, evaluated=True, exported=True))
    return code if exported.verified else FAILED


COMMANDS: dict[str, Callable[[argparse.Namespace, Output], int]] = {
    "train": train,
    "resume": resume,
    "evaluate": evaluate,
    "predict": predict,
    "chat": chat,
    "export": export,
    "report": report,
    "forecast": forecast,
    "download": download,
    "runs": runs,
    "doctor": diagnose,
    "demo": demo,
}


def _load_config(name: str) -> RunConfig:
    return sample_run_config() if name == "sample" else load_run_config(as_typed(name))


def _warn(config: RunConfig, output: Output) -> None:
    for warning in config.warnings():
        output.warn(warning)


def _watch(
    arguments: argparse.Namespace, output: Output, run: RunFolder, process: WorkerProcess, on_event: Callable[[Event], None]
) -> tuple[Finished | None, int]:
    """What a training run ended with, or None after its failure was told, and the exit code."""
    output.say(f"Run {run.name}")
    with output.live():
        # Ctrl-C must not mean waiting for the last evaluation; a resumed run makes up for it.
        final, code = listen(process, output, on_event, on_interrupt=process.pause)
    if isinstance(final, Finished):
        return final, code
    output.fail(final, run.log_path)
    if (step := resumable_step(run)) is not None:
        output.warn(f"The run can be resumed after step {step:,}: {_resume_command(arguments, run)}")
    return None, code or FAILED


def _confusion(predictions: Path, matrix: Path) -> PredictionTable:
    table = read_predictions(predictions)
    write_confusion(matrix, table)
    return table


def _export(home: Home, run: RunFolder, kind: ExportKind, folder: Path, output: Output) -> tuple[Exported | None, int]:
    check_export_kind(kind, run.config().method.kind)
    command = Export(run=str(run.path), home=str(home.path), folder=str(as_typed(folder).resolve()), kind=kind)
    return ask(command, Exported, output)


def _home(arguments: argparse.Namespace) -> str:
    return f" --home {shlex.quote(arguments.home)}" if arguments.home else ""


def _resume_command(arguments: argparse.Namespace, run: RunFolder) -> str:
    return f"{PROGRAM} resume {shlex.quote(plain(run.name))}{_home(arguments)}"


def _next_commands(arguments: argparse.Namespace, run: RunFolder, evaluated: bool, exported: bool = False) -> list[str]:
    home, name = _home(arguments), shlex.quote(plain(run.name))
    commands = [] if resumable_step(run) is None else [_resume_command(arguments, run)]
    commands.append(f'{PROGRAM} predict {name} "I lost my card yesterday"{home}')
    if not evaluated:
        commands.append(f"{PROGRAM} evaluate {name}{home}")
    if not exported:
        kind = export_kinds(run.config().method.kind)[0]
        commands.append(f"{PROGRAM} export {name} --as {kind} --to my-{kind}{home}")
    return [*commands, f"{PROGRAM} runs{home}"]
