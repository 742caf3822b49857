"""An hour at the window in which nobody knows what comes next: random but valid actions on the real program.

    python -m tests.soak.run --minutes 60 --seed 1 [--offscreen] [--replay actions.jsonl] [--keep DIR]

Fails when an exception was raised or Qt warned, when a worker crashed, when a process or thread is left at the end, or
when memory grew: the last quarter's median over 1.05 times the second's. actions.jsonl, rss.csv and summary.json are
left in a folder that is named at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.displays import virtual_display

if TYPE_CHECKING:
    from PySide6.QtWidgets import QPushButton

    from studio.ui.main_window import MainWindow
    from tests.soak.hands import Action, Hands
    from tests.soak.stage import Stage
    from tests.soak.watch import Watch

_PAUSE_MS = (20, 900)
"""Between two actions: mostly short; a person looks now and then, and workers get time to end what they do."""
_NEW_RUN_SECONDS = 75
"""So long after the last run a run that ends in seconds is set up, whatever else was going on."""
_PLAN_SECONDS = 60
"""So long it is waited for what a plan needs next; a busy machine is slow."""
_CLOSING_SECONDS = 60
_ROOT = "<the soak's folder>"
# What must have been reached, by words in what was acted on.
_REACHED = {
    "Pause": "pauseButton",
    "Resume": "resumeButton|Resume training",
    "Compare": "comparedRuns|Compare with",
    "Overlay": "Lay its curves|runList Key_Space",
    "Presets": "preset_",
    "Tokens": "token",
    "Known models": "knownModels",
    "Free text": "chatFreeMode",
    "Chat": "chatSend|chatInput",
    "Kinds of export": "click export_",
    "Help": "help",
    "Report": "Report",
}


class Soak:
    """Drives one window until its time is up, then closes it."""

    def __init__(self, window: MainWindow, stage: Stage, watch: Watch, arguments: argparse.Namespace) -> None:
        from random import Random

        from PySide6.QtCore import QTimer

        from tests.soak.hands import Hands

        self.window, self.stage, self.watch = window, stage, watch
        self.hands: Hands = Hands(window, stage, arguments.seed)
        self.endings: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self._random = Random(arguments.seed)
        self._later = QTimer.singleShot
        self._log = (stage.root / "actions.jsonl").open("w", encoding="utf-8")
        self._ends = time.monotonic() + 60 * arguments.minutes
        self._began = self._last_run = time.monotonic()
        self._planned: Iterator[Action] = iter(())
        self._plans = cycle((self._short_run, self._paused_run))
        self._replayed = read_actions(arguments.replay, stage.root) if arguments.replay else None
        window.session.run_ended.connect(self._run_ended)

    def begin(self) -> None:
        self._later(500, self._act)

    def _act(self) -> None:
        if time.monotonic() > self._ends:
            self._close()
            return
        # Before the action: one that opens a dialog returns only when the dialog was closed by a later one.
        self._later(self._pause(), self._act)
        action = self._next()
        if action is None:
            self._ends = 0.0
            return
        self.watch.action += 1
        said = {"number": self.watch.action, "at": round(time.monotonic() - self._began, 2), **action.as_dict()}
        self._log.write(json.dumps(said, ensure_ascii=False).replace(str(self.stage.root), _ROOT) + "\n")
        self._log.flush()
        self.hands.perform(action)

    def _next(self) -> Action | None:
        if self._replayed is not None:
            return next(self._replayed, None)
        planned = next(self._planned, None)
        if planned is not None:
            return planned
        if not self.window.session.active and time.monotonic() - self._last_run > _NEW_RUN_SECONDS:
            self._last_run = time.monotonic()
            self._planned = next(self._plans)()
        return self.hands.choose()

    def _short_run(self, *, long: bool = False) -> Iterator[Action]:
        """Drop settings, wait until they were read, and press Train. A short one trains in seconds."""
        from tests.soak.hands import Action

        settings = self.stage.settings_file(self._random.choice(("lora", "full", "qlora")), long=long)
        yield Action("press", text="Key_Escape")
        yield Action("press", text="Key_Escape")
        yield Action("drop", "", 500, 300, str(settings))
        yield from self._wait(lambda: not self.window.setup.missing())
        yield Action("shortcut", text="Ctrl+1")
        yield self._press(self.window.setup.train_button)

    def _paused_run(self) -> Iterator[Action]:
        """Pause a longer run at work, go on with it, and stop it; then lay another one's curves over."""
        from PySide6.QtWidgets import QPushButton

        from tests.soak.hands import Action, address

        yield from self._short_run(long=True)
        for name in ("pauseButton", "resumeButton", "stopButton"):
            button = self.window.findChild(QPushButton, name)
            if button is None:
                return
            yield from self._wait(partial(self._may_press, button))
            yield self._press(button)
        for key in ("Key_Down", "Key_Space"):
            yield Action("press", address(self.window.sidebar.view), text=key)

    def _may_press(self, button: QPushButton) -> bool:
        """Whether it is there for a run that has taken a step."""
        run = self.window.open_run
        return button.isVisible() and button.isEnabled() and run is not None and run.step > 0

    def _wait(self, until: Callable[[], bool]) -> Iterator[Action]:
        from tests.soak.hands import Action

        deadline = time.monotonic() + _PLAN_SECONDS
        while time.monotonic() < deadline and not until():
            yield Action("hover", "", self._random.randrange(800), self._random.randrange(600))

    def _press(self, button: QPushButton) -> Action:
        from tests.soak.hands import Action, address

        return Action("click", address(button), button.width() // 2, button.height() // 2, button.text())

    def _pause(self) -> int:
        low, high = _PAUSE_MS
        return low + round((high - low) * self._random.random() ** 3)

    def _run_ended(self, _run: object, final: Any) -> None:
        self._last_run = time.monotonic()
        self.endings[final.outcome if final.event == "finished" else final.event] += 1
        if final.event == "crashed":
            self.watch.add("crashed worker", f"{final.likely_cause}\n{final.log_tail}")
        elif final.event == "failed":
            self.problems[f"{final.kind}: {final.message[:90]}"] += 1

    def _close(self) -> None:
        from PySide6.QtWidgets import QApplication, QMessageBox

        if isinstance(box := QApplication.activeModalWidget() or QApplication.activePopupWidget(), QMessageBox):
            box.buttons()[0].click()
        elif box is not None:
            box.close()
        elif self.window.isVisible():
            self._later(100, self._close)
            self.window.close()
            return
        if self.window.isVisible() and time.monotonic() - self._ends < 60 * 60 + _CLOSING_SECONDS:
            self._later(100, self._close)
        else:
            self._log.close()
            QApplication.quit()


def read_actions(path: Path, root: Path) -> Iterator[Action]:
    """The actions that a soak wrote down, in their order, for one with this folder."""
    from tests.soak.hands import Action

    for line in path.read_text("utf-8").splitlines():
        told = json.loads(line.replace(_ROOT, str(root)))
        yield Action(told["do"], told["target"], told["x"], told["y"], told["text"])


def drive(root: Path, arguments: argparse.Namespace) -> int:
    """One soak in this process; the exit code."""
    from PySide6.QtCore import QEvent
    from PySide6.QtWidgets import QApplication

    from studio.core.runs import Home
    from studio.supervise.threads import WorkerThread
    from studio.ui.application import make_application, window_settings
    from studio.ui.main_window import MainWindow
    from tests.soak.stage import Stage
    from tests.soak.watch import Watch

    stage = Stage(root, arguments.seed)
    home = Home.locate(stage.home)
    application = make_application(home)
    application.setQuitOnLastWindowClosed(False)
    stage.replace_dialogs()
    watch = Watch()
    watch.start()
    window = MainWindow(home, window_settings(home))
    window.show()
    soak = Soak(window, stage, watch, arguments)
    began = time.monotonic()
    soak.begin()
    application.exec()
    watch.stop()
    WorkerThread.cancel_all()
    window.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    application.processEvents()
    watch.look_for_leaks()
    watch.save_memory(root / "rss.csv")
    return report(root, soak, time.monotonic() - began)


def report(root: Path, soak: Soak, seconds: float) -> int:
    """Print the table and write it; 1 when something must not be."""
    watch, hands = soak.watch, soak.hands
    quarters = [round(value / 2**20, 1) for value in watch.quarters()]
    faults = Counter(fault.kind for fault in watch.faults)
    table: dict[str, Any] = {
        "minutes": round(seconds / 60, 1),
        "actions": watch.action,
        "of these not in sight any more": watch.action - sum(hands.done.values()),
        "different targets": len(hands.targets),
        "kinds of actions": dict(hands.done.most_common()),
        "reached": {name: sum(n for key, n in hands.targets.items() if re.search(words, key)) for name, words in _REACHED.items()},
        "runs ended": dict(soak.endings),
        "runs refused or failed, with why": dict(soak.problems),
        "longest gap of the event loop, s": round(watch.longest_gap, 2),
        "during action": watch.gap_action,
        "RSS by quarter, MB": quarters,
        "grew by, last over second quarter": round(quarters[3] / quarters[1], 3) if quarters[1] else None,
        "faults": dict(faults),
    }
    for name, value in table.items():
        print(f"{name:<36} {value}")
    (root / "summary.json").write_text(
        json.dumps(
            table | {"targets": dict(hands.targets.most_common()), "told": [vars(fault) for fault in watch.faults]},
            indent=1,
            ensure_ascii=False,
        ),
        "utf-8",
    )
    print(f"{'records in':<36} {root}")
    return 1 if faults or watch.grew() else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--offscreen", action="store_true", help="without Xvfb")
    parser.add_argument("--replay", type=Path, help="the actions.jsonl of another soak")
    parser.add_argument("--keep", type=Path, help="a new folder for everything; a temporary one when left out")
    arguments = parser.parse_args()
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="finetune-soak-"))
    with ExitStack() as display:
        if arguments.offscreen:
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
        else:
            os.environ |= {"QT_QPA_PLATFORM": "xcb", "DISPLAY": display.enter_context(virtual_display())}
        return drive(root.resolve(), arguments)


if __name__ == "__main__":
    sys.exit(main())
