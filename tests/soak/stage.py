"""What a soak plays with, all under one temporary folder: tiny models, small data, settings, and dialogs that choose among them."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QUrl, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QWidget

from studio.core.config import MethodKind
from studio.core.run_file import dump_run_config, validate_run_config

INTENTS = {
    "card_lost": "i lost my card",
    "exchange_rate": "what is the exchange rate",
    "top_up_failed": "my top up failed",
    "transfer_pending": "the transfer is pending",
    "überweisung": "wo bleibt die Überweisung",
}
ENDINGS = ("", " today", " please", " !", " again", " and i wait", " since a week", " 😀", ", sorry", " 3", " help", " ?")
STEPS, LONG = 6, 3000
# In a process of its own: the window's must never load torch.
_SAVE_MODELS = """
import sys
from pathlib import Path
from tests.tiny import save_tiny
folder = Path(sys.argv[1])
save_tiny(folder / "llama", "llama")
save_tiny(folder / "starter", "gemma3")
"""


class Stage:
    """The folders of one soak. ``home`` is the app's; ``files`` holds what can be opened and dropped, ``results`` what is saved."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.home, self.files, self.results = root / "home", root / "files", root / "results"
        for folder in (self.home / "models", self.home / "runs", self.files, self.results, root / "user"):
            folder.mkdir(parents=True)
        self._random = random.Random(seed)
        self._saved = 0
        # Exports and the trash go to the person's own folders.
        os.environ |= {"HOME": str(root / "user"), "XDG_DATA_HOME": str(root / "user" / ".local" / "share")}
        os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self._save_models()
        self._save_data()
        for method in ("lora", "full", "qlora"):
            self.settings_file(method)

    @property
    def droppable(self) -> list[Path]:
        """Files and folders that a person might drop on the window."""
        runs = sorted((self.home / "runs").iterdir())
        return [*sorted(self.files.iterdir()), *runs[-2:], self.root / "absent.csv"]

    def settings_file(self, method: MethodKind, *, long: bool = False) -> Path:
        """A run.toml that trains in seconds. A longer one is not among what may be dropped."""
        path = (self.root if long else self.files) / f"{method}.toml"
        table: dict[str, Any] = {
            "dataset": {"source": str(self.files / "messages.csv")},
            "model": {"base": str(self.files / "llama")},
            "method": {"kind": method},
            "training": {"max_steps": LONG if long else STEPS, "batch_size": 4, "precision": "fp32", "threads": 1},
        }
        path.write_text(dump_run_config(validate_run_config(table)), "utf-8")
        return path

    def replace_dialogs(self) -> None:
        """From now on file dialogs answer at once with something of the stage, or nothing, and no browser is opened."""
        QFileDialog.getOpenFileName = staticmethod(self._open_file)  # type: ignore[method-assign,assignment]
        QFileDialog.getExistingDirectory = staticmethod(self._existing_folder)  # type: ignore[method-assign,assignment]
        QFileDialog.getSaveFileName = staticmethod(self._save_file)  # type: ignore[method-assign,assignment]
        QDesktopServices.openUrl = staticmethod(lambda _url: True)  # type: ignore[method-assign,assignment]
        self._nowhere = _Nowhere()
        for scheme in ("http", "https", "file"):
            QDesktopServices.setUrlHandler(scheme, self._nowhere, "visit")

    def choose(self, dialog: QFileDialog) -> str:
        """A path for a file dialog that was opened without its static functions."""
        if dialog.acceptMode() == QFileDialog.AcceptMode.AcceptSave:
            return self._save_file()[0]
        folder = dialog.fileMode() == QFileDialog.FileMode.Directory
        return self._existing_folder() if folder else self._open_file()[0]

    def _open_file(self, *_arguments: Any, **_named: Any) -> tuple[str, str]:
        files = [path for path in self.files.iterdir() if path.is_file()]
        return self._sometimes(str(self._random.choice(sorted(files)))), ""

    def _existing_folder(self, *_arguments: Any, **_named: Any) -> str:
        folders = [path for path in self.files.iterdir() if path.is_dir()]
        return self._sometimes(str(self._random.choice([*sorted(folders), self._fresh("")])))

    def _save_file(self, _parent: QWidget | None = None, _title: str = "", start: str = "", *_rest: Any) -> tuple[str, str]:
        return self._sometimes(str(self._fresh(Path(start).suffix or ".out"))), ""

    def _fresh(self, suffix: str) -> Path:
        self._saved += 1
        return self.results / f"saved-{self._saved}{suffix}"

    def _sometimes(self, path: str) -> str:
        """The path, or nothing, as from a dialog that was cancelled."""
        return path if self._random.random() < 0.8 else ""

    def _save_models(self) -> None:
        subprocess.run([sys.executable, "-c", _SAVE_MODELS, str(self.files)], check=True)
        starter = self.home / "models" / "gemma-3-270m-starter"
        shutil.move(self.files / "starter", starter)
        (starter / "source.json").write_text(json.dumps({"source": "a random stand-in", "terms": ""}), "utf-8")

    def _save_data(self) -> None:
        rows = [(f"{words}{ending}", intent) for intent, words in INTENTS.items() for ending in ENDINGS]
        self._random.shuffle(rows)
        with (self.files / "messages.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "intent"), *rows])
        lines = [json.dumps({"text": text, "label": intent}, ensure_ascii=False) for text, intent in rows]
        (self.files / "messages.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
        (self.files / "three columns.tsv").write_text(
            "id\tmessage\ttopic\n" + "".join(f"{number}\t{text}\t{intent}\n" for number, (text, intent) in enumerate(rows)), "utf-8"
        )
        (self.files / "empty.csv").write_text("")
        (self.files / "one intent.csv").write_text("text,label\n" + "hello,greeting\n" * 20)
        (self.files / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
        (self.files / "an empty folder").mkdir()
        shards = self.files / "a folder of tables"
        shards.mkdir()
        for name, part in (("train", rows[10:]), ("test", rows[:10])):
            with (shards / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("text", "intent"), *part])


class _Nowhere(QObject):
    @Slot(QUrl)
    def visit(self, _url: QUrl) -> None:
        """Where links lead during a soak."""
