"""The longest time in which the window does not answer, under loads that are heavier than everyday ones.

    python -m tests.benchmarks.stalls [--only NAME …] [--json FILE] [--events N]

Prints one table and writes it as JSON. Nothing is asserted: the figures depend on the machine and on what else it does,
so beside the longest gap stands what the main thread computed in one gap, at most, and the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path

from PySide6.QtWidgets import QApplication

from tests.benchmarks import everyday, heavy_loads
from tests.benchmarks.bench import Bench

LOADS = {
    "tabs": everyday.tabs,
    "training": heavy_loads.training,
    "data": heavy_loads.data,
    "curve": heavy_loads.curve,
    "matrix": heavy_loads.matrix,
    "messages": heavy_loads.messages,
    "files": everyday.files,
    "switching": everyday.switching,
    "chat": everyday.chat,
    "typing": everyday.typing,
    "dialogs": everyday.dialogs,
    "log": everyday.log,
    "compare": everyday.compare,
    "looks": everyday.looks,
    "memory": heavy_loads.memory,
    "runs": everyday.runs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=LOADS, default=list(LOADS))
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "finetune-studio-stalls.json")
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(f"{'':<66} {'gap, ms':>8} {'computed':>9} {'>100':>6} {'load':>6}")
    with tempfile.TemporaryDirectory(prefix="finetune-stalls-") as root:
        bench = Bench(Path(root), arguments.events)
        for name in arguments.only:
            LOADS[name](bench)
        bench.close()
        QApplication.processEvents()
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "system": platform.platform()}
    arguments.json.write_text(json.dumps({"machine": machine, "figures": bench.figures}, indent=1), "utf-8")
    print(f"written to {arguments.json}")


if __name__ == "__main__":
    main()
