"""Starts the window. What goes wrong in a slot is shown and logged, and the window lives on."""

from __future__ import annotations

import contextlib
import locale
import signal
import sys
import threading
import time
import traceback
from importlib.resources import files
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QObject, QSettings, Qt, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication, QMessageBox

from studio.core.errors import StudioError
from studio.core.runs import Home
from studio.supervise.background import finish_all
from studio.supervise.threads import WorkerThread
from studio.ui import theme
from studio.ui.main_window import MainWindow

_LOG_LIMIT = 2**20


class FaultReporter(QObject):
    """Catches what no one caught: in slots, in threads. Each fault goes to the log and, as a signal, to the window."""

    reported = Signal(str, str)
    """What happened in a sentence, and the traceback."""

    def __init__(self, log_path: Path) -> None:
        super().__init__()
        self._log_path = log_path

    def install(self) -> None:
        sys.excepthook = self.report
        threading.excepthook = self._report_thread

    def report(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Log and show one exception. Ctrl+C closes the program instead."""
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
            return
        detail = "".join(traceback.format_exception(kind, error, trace))
        self._log(detail)
        self.reported.emit(f"Something in the window went wrong: {kind.__name__}: {error}", detail)

    def _report_thread(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self.report(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    def _log(self, detail: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        # On a full disk the window still shows the fault.
        with contextlib.suppress(OSError):
            too_long = self._log_path.exists() and self._log_path.stat().st_size > _LOG_LIMIT
            with self._log_path.open("w" if too_long else "a", encoding="utf-8") as log:
                log.write(f"{stamp}\n{detail}\n")
        if sys.stderr is not None:
            sys.stderr.write(detail)


def make_application(home: Home) -> QApplication:
    """The QApplication, dressed as the settings in ``home`` say."""
    existing = QApplication.instance()
    application = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    # QApplication takes over the user's locale, and a comma for a decimal point breaks number parsing in libraries.
    locale.setlocale(locale.LC_NUMERIC, "C")
    application.setApplicationName("finetune-studio")
    application.setApplicationDisplayName("Finetune Studio")
    application.setDesktopFileName("finetune-studio")
    application.setWindowIcon(QIcon(str(files("studio.resources").joinpath("icons", "finetune-studio.svg"))))
    theme.apply(application, theme.as_mode(window_settings(home).value("theme", "system")))
    return application


def window_settings(home: Home) -> QSettings:
    """What the window remembers, in a file of the home folder."""
    return QSettings(str(home.path / "window.ini"), QSettings.Format.IniFormat)


def refuse_start(problem: StudioError) -> None:
    """Say in a box of its own why there is no window, and wait until it was read."""
    application = QApplication.instance() or QApplication(sys.argv[:1])
    box = QMessageBox()
    box.setObjectName("refusedStart")
    box.setWindowTitle("Finetune Studio")
    box.setIcon(QMessageBox.Icon.Warning)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(problem.message)
    box.setInformativeText(problem.remedy)
    box.exec()
    del application


def run_window(home: Home) -> int:
    """Show the window until it is closed; returns the exit code."""
    application = make_application(home)
    reporter = FaultReporter(home.path / "app.log")
    reporter.install()
    window = MainWindow(home, window_settings(home))
    reporter.reported.connect(window.show_fault)
    signal.signal(signal.SIGINT, lambda _number, _frame: window.close())
    window.show()
    code = application.exec()
    WorkerThread.cancel_all()
    finish_all()
    return code
