"""The ``finetune-studio`` command: speaks to a worker like the window does, and needs no Qt. What it takes and returns."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import get_args

from studio import __version__
from studio.cli_chat import add_chat_options, chat_settings
from studio.cli_commands import COMMANDS
from studio.cli_output import FAILED, INTERRUPTED, PROGRAM, Output
from studio.core.exports import ExportKind
from studio.core.failures import explain
from studio.core.settings import declared

_RUN_FILE = "the run file, or the word 'sample' for the built-in example"
_RUN = "a run's name or folder"
_PREDICTED = """the CSV file has every column of the file as it is, and behind them:
  predicted, probability                the most probable intent
  second, second_probability            the next one
  left_set                              true where the model, left to write freely, would have written no intent
A file that has one of these columns already gets the answers as predicted_2, probability_2 and so on."""


def _messages(text: str) -> int:
    """A number of messages, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line as a namespace; ``command`` None asks for the window. Exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Fine-tune a small language model on your own computer. Without a command, the window opens.",
        epilog="Exit codes: 0 done, 1 failed with a reason, 2 wrong usage, 130 interrupted (a run is paused and can be resumed).",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--home", metavar="DIR", help="where runs and models are kept (or set FINETUNE_STUDIO_HOME)")
    parser.add_argument("--demo-without-display", action="store_true", help="where no window can open, run `demo` instead")
    parser.add_argument(
        "--install-libraries",
        action="store_true",
        help="on Debian and Ubuntu, as root or with sudo that asks for no password: first install what Qt's window misses",
    )
    parser.set_defaults(json=False)
    # Options that are left out after the command must not overwrite those before it.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--home", metavar="DIR", help="where runs and models are kept (or set FINETUNE_STUDIO_HOME)")
    shared.add_argument("--json", action="store_true", help="write one JSON document to stdout (train, resume, chat: one a line)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            parents=[shared],
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    settings = describe_settings()
    train = add("train", "train as a run file says", settings)
    train.add_argument("config", metavar="RUN.toml", help=_RUN_FILE)
    resume = add("resume", "go on with a paused, stopped or interrupted run from its newest checkpoint")
    resume.add_argument("run", metavar="RUN", help=_RUN)
    smaller = "messages computed at once from now on, where memory ran out; what is learnt stays the same"
    resume.add_argument("--micro-batch", metavar="N", type=_messages, help=smaller)
    evaluate = add("evaluate", "predict a run's test split again, or a labelled file")
    evaluate.add_argument("run", metavar="RUN", help=_RUN)
    evaluate.add_argument("--data", metavar="FILE", type=Path, help="a labelled CSV, TSV, JSON, JSONL or Parquet file")
    found = "as the run names it, or guessed, when left out"
    evaluate.add_argument("--text-column", metavar="NAME", help=f"the column that holds the message; {found}")
    evaluate.add_argument("--label-column", metavar="NAME", help=f"the column that holds the intent; {found}")
    predict = add("predict", "predict the intent of messages", _PREDICTED)
    predict.add_argument("run", metavar="RUN", help=_RUN)
    predict.add_argument("texts", metavar="TEXT", nargs="*", help="messages")
    predict.add_argument("--data", metavar="FILE", type=Path, help="a CSV, TSV, JSON, JSONL or Parquet file of messages")
    predict.add_argument("--text-column", metavar="NAME", help="the column that holds the message; guessed when left out")
    predict.add_argument("--out", metavar="FILE", type=Path, help="the CSV file to write, with --data: its columns, then answers")
    chat = add("chat", "ask a run's model message by message, from the terminal or a pipe")
    chat.add_argument("run", metavar="RUN", help=_RUN)
    add_chat_options(chat)
    export = add("export", "write what was learnt to a folder and verify it in a clean process")
    export.add_argument("run", metavar="RUN", help=_RUN)
    export.add_argument(
        "--as",
        dest="kind",
        required=True,
        choices=get_args(ExportKind),
        help="adapter: the small part that a LoRA or QLoRA run learnt; merged: base and adapter in one; model: of a full run",
    )
    export.add_argument("--to", dest="folder", metavar="DIR", type=Path, required=True, help="the folder to write")
    report = add("report", "write a run's figures, curves, matrix and mistakes as one HTML page")
    report.add_argument("run", metavar="RUN", help=_RUN)
    report.add_argument("--out", metavar="FILE", type=Path, help="the page to write; report.html in the run's folder when left out")
    forecast = add("forecast", "say whether a run fits into memory, without training", settings)
    forecast.add_argument("config", metavar="RUN.toml", help=_RUN_FILE)
    download = add("download", "fetch a base model of the Hugging Face hub, so that runs on it need no network")
    download.add_argument("base", metavar="ID", help="the model's id, written org/name or hub:org/name")
    download.add_argument("--revision", metavar="NAME", help="a branch, tag or commit; main when left out")
    listed = add("runs", "list all runs, newest first, or compare some of them")
    listed.add_argument("--compare", metavar="RUN", nargs="+", help="put these runs side by side, the first against the others")
    doctor = add("doctor", "check this computer and the installation")
    doctor.add_argument("--hub", action="store_true", help="also ask whether the Hugging Face hub can be reached")
    add("demo", "run the sample end to end in this terminal: train, evaluate, export")

    parsed = parser.parse_args(arguments)
    if parsed.command == "predict":
        from_file = parsed.data is not None and parsed.out is not None
        if (parsed.data is None) != (parsed.out is None) or from_file == bool(parsed.texts):
            predict.error("give messages, or --data FILE with --out FILE")
    elif parsed.command == "chat":
        try:
            chat_settings(parsed)
        except ValueError as error:
            chat.error(str(error))
    return parsed


def run(arguments: argparse.Namespace) -> int:
    """Carry out a parsed command; returns the exit code. Problems are told on stderr, in words."""
    output = Output(arguments.json, streaming=arguments.command in ("train", "resume", "chat"))
    try:
        code = COMMANDS[arguments.command](arguments, output)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has closed it; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        output.fail(explain(error))
        return FAILED
    return code


def run_without_display(arguments: argparse.Namespace, problem: str) -> int:
    """The window was asked for where none can open: run the demo if that was allowed, else say what works instead."""
    print(f"The window cannot open. {problem}", file=sys.stderr)
    if not arguments.demo_without_display:
        print(f"Without a window, try `{PROGRAM} demo`, or see `{PROGRAM} --help`.", file=sys.stderr)
        return FAILED
    print("Running the demo in this terminal instead.", file=sys.stderr, flush=True)
    arguments.command = "demo"
    return run(arguments)


def describe_settings() -> str:
    """The keys of run.toml with their defaults and meanings, for the help texts."""
    lines, table = ["keys of run.toml and their defaults:"], ""
    for path, field in declared().items():
        section, key = path.split(".")
        if section != table:
            table = section
            lines.append(f"\n  [{table}]")
        default = "" if field.default is None else json.dumps(field.default)
        lines.append(f"  {f'{key} = {default}':<30} {field.description}")
    return "\n".join(lines)
