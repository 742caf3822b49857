"""Reading data and describing runs loads none of the heavy libraries, so that a preview answers at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HEAVY = {"torch", "transformers", "tokenizers", "peft", "datasets", "pandas", "PySide6", "pyqtgraph"}
SCRIPT = """
import importlib, json, pkgutil, sys
import studio.core, studio.data
for package in (studio.core, studio.data):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from pathlib import Path
from studio.core.config import DatasetConfig
from studio.core.runs import RunFolder
from studio.data.splits import load_splits, read_split, write_splits
run = RunFolder(Path(sys.argv[2]))
write_splits(run, load_splits(DatasetConfig(source=sys.argv[1])))
read_split(run, "train")
print(json.dumps([name for name in sys.modules if "." not in name or name.startswith("studio.")]))
"""


def test_core_and_data_load_nothing_heavy(tmp_path: Path) -> None:
    source = tmp_path / "data.csv"
    source.write_text("text,label\n" + "".join(f"m{n},{'ab'[n % 2]}\n" for n in range(30)), "utf-8")
    command = [sys.executable, "-c", SCRIPT, str(source), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert {"studio.core.memory", "studio.data.prompts", "studio.data.splits"} <= loaded
    assert not HEAVY & loaded
    assert not {name for name in loaded if name.startswith(("studio.engine", "studio.worker", "studio.ui", "studio.supervise"))}
