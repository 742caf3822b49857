"""How fast a training step is, and what memory it takes: ours against transformers' Trainer and TRL's SFTTrainer, on a CPU.

`make bench-training` prints one table and writes all figures as JSON. Each contender runs in a fresh process, interleaved over
the rounds, on the same messages, from the same weights. Nothing is asserted: the figures depend on the machine and on what
else it does, so the load at each start is told with them. Columns: seconds and CPU seconds a step after the warm-up, seconds
of the whole epoch, how many times (A)'s speed that is, peak memory while training, and the largest relative difference of a
step's loss from (A)'s where the batches are the same; of the epoch's mean loss always.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from studio.core.config import MethodConfig
from studio.core.words import METHOD_NAMES
from studio.supervise.environment import computing_environment
from tests.benchmarks.training_inputs import (
    LLAMA,
    TRL_VERSION,
    find_base,
    initial_adapter,
    run_config,
    tokenised,
    trl_folder,
    write_rows,
)
from tests.benchmarks.training_job import TITLES, Contender, Job, Record, Report, Run, is_ours, precision_of
from tests.benchmarks.training_report import lines, machine

ROOT = Path(__file__).resolve().parents[2]
TOLD = 2000


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def several(name: str, default: Sequence[str], **more: object) -> None:
        parser.add_argument(name, nargs="+", default=list(default), **more)  # type: ignore[arg-type]

    several("--models", ("starter", LLAMA), metavar="MODEL", help=f"starter, {LLAMA} (random weights), or folders of models")
    several("--methods", ("lora", "full", "qlora"), choices=tuple(METHOD_NAMES))
    several("--contenders", tuple(TITLES), choices=tuple(TITLES))
    parser.add_argument("--rounds", type=int, default=3, help="times that each contender runs; medians are told (3)")
    parser.add_argument("--rows", type=int, default=128, help="messages of the epoch, over all lengths (128)")
    parser.add_argument("--batch-size", type=int, default=16, help="messages a step (16)")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1, help="CPU threads of everybody")
    parser.add_argument("--warm-up", type=int, default=2, help="first steps that seconds a step leave out (2)")
    parser.add_argument("--dropout", type=float, default=0.0, help="of adapters; 0: losses can be compared. The app's is 0.05")
    parser.add_argument("--data", default="sample", help="as [dataset] source of a run.toml: sample, a file, hub:mteb/banking77")
    parser.add_argument("--starter", type=Path, help="a folder with the converted starter; else it is converted into --home")
    parser.add_argument("--home", help="the app's data folder, where it keeps the starter")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench-training", help="for the random model and TRL")
    parser.add_argument("--out", type=Path, help="the JSON (by date, in --work)")
    return parser


def in_turn(contenders: Sequence[Contender], rounds: int) -> Iterator[tuple[int, Contender]]:
    """(round, contender): everybody once a round, somebody else first in each."""
    for number in range(rounds):
        start = number % len(contenders)
        for contender in (*contenders[start:], *contenders[:start]):
            yield number + 1, contender


def measure(job: Job, scratch: Path, libraries: Path | None) -> tuple[Record | None, str | None, float]:
    """Run a contender in a fresh process: its record, else the end of what it said; and the seconds of the process."""
    asked, told, log = scratch / "job.json", scratch / "record.json", scratch / "log.txt"
    asked.write_text(job.model_dump_json(), "utf-8")
    told.unlink(missing_ok=True)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    if is_ours(job.contender):
        environment |= computing_environment()
    if libraries is not None and job.contender.startswith("trl"):
        environment["PYTHONPATH"] = str(libraries)
    began = time.perf_counter()
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.benchmarks.training_contenders", str(asked), str(told)]
        ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    seconds = time.perf_counter() - began
    if ended.returncode == 0:
        return Record.model_validate_json(told.read_text("utf-8")), None, seconds
    return None, f"exit code {ended.returncode}: {log.read_text('utf-8', 'replace')[-TOLD:]}", seconds


def main(arguments: Sequence[str] | None = None) -> Report:
    """Measure everything that is asked for. Exits with 1 when a contender failed."""
    chosen = options().parse_args(arguments)
    chosen.work.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now().astimezone()
    out: Path = chosen.out or chosen.work / f"{now:%Y-%m-%d-%H%M%S}.json"
    contenders: list[Contender] = chosen.contenders
    libraries = trl_folder(chosen.work) if any(contender.startswith("trl") for contender in contenders) else None
    if libraries is None and (left := [contender for contender in contenders if contender.startswith("trl")]):
        print(f"TRL {TRL_VERSION} could not be installed: {' and '.join(left)} are left out.", flush=True)
        contenders = [contender for contender in contenders if contender not in left]
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(chosen).items()}
    report = Report(date=now.isoformat(timespec="seconds"), machine=machine(), settings=settings)
    print(", ".join(f"{key} {value}" for key, value in report.machine.items()))
    print(f"{chosen.data}, {chosen.threads} threads, dropout {chosen.dropout:g}, {chosen.rounds} rounds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in chosen.models:
            base = find_base(name, chosen.starter, chosen.home, chosen.work)
            rows = tokenised(base, chosen.data, chosen.rows)
            path = write_rows(rows, scratch / "rows.json")
            lengths = sorted(len(row.ids) for row in rows)
            average = sum(lengths) / len(rows)
            print(
                f"\n{base.name}: {len(rows)} messages of {lengths[0]} to {lengths[-1]} tokens, {average:.1f} on average", flush=True
            )
            adapter = initial_adapter(base, MethodConfig(dropout=chosen.dropout), scratch / base.name)
            for kind in chosen.methods:
                method = MethodConfig(kind=kind, dropout=chosen.dropout)
                runs: list[Run] = []
                for number, contender in in_turn(contenders, chosen.rounds):
                    job = Job(
                        contender=contender,
                        folder=str(base.folder),
                        tokenizer=str(base.tokenizer),
                        adapter=None if kind == "full" else str(adapter),
                        rows=str(path),
                        config=run_config(method, precision_of(contender), chosen.batch_size, chosen.threads),
                    )
                    load, started = list(os.getloadavg()), datetime.datetime.now().astimezone()
                    record, failure, seconds = measure(job, scratch, libraries)
                    runs.append(
                        Run(
                            model=base.name,
                            method=kind,
                            contender=contender,
                            round=number,
                            load=load,
                            started=started.isoformat(timespec="seconds"),
                            whole_seconds=seconds,
                            record=record,
                            failure=failure,
                        )
                    )
                    report.runs.append(runs[-1])
                    # After each: what was measured is kept, whatever ends the rest.
                    out.write_text(report.model_dump_json(indent=1), "utf-8")
                print("\n".join(lines(f"{base.name}, {METHOD_NAMES[kind]}", runs, chosen.warm_up)), flush=True)
    print(f"\n{out}")
    return report


if __name__ == "__main__":
    sys.exit(any(run.failure is not None for run in main().runs))
