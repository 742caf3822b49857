"""What a dead worker leaves behind, in words: the exit code, the end of its log, and the likely cause."""

from __future__ import annotations

import signal

from studio.core.events import Crashed
from studio.core.words import REPORT

_NO_MEMORY = "Memory ran out."
_LESS_MEMORY = "Close other programs, or choose LoRA or QLoRA, a smaller micro-batch or a smaller maximum length."
_DOCTOR = "Run `finetune-studio doctor`; it names what is missing and how to install it."

_SIGNALS = {
    "SIGKILL": ("The operating system ended it, most likely because memory ran out.", _LESS_MEMORY),
    "SIGSEGV": ("A native library (torch, bitsandbytes or a driver) crashed.", _DOCTOR),
    "SIGBUS": ("A native library crashed, or a file it had mapped was cut short or its disk is full.", _DOCTOR),
    "SIGABRT": ("A native library (torch, bitsandbytes or a driver) gave up.", _DOCTOR),
    "SIGFPE": ("A native library (torch, bitsandbytes or a driver) crashed.", _DOCTOR),
    "SIGILL": ("A native library used an instruction that this processor does not have.", "Install a build of torch for this CPU."),
    "SIGTERM": ("Another program, or the system shutting down, ended it.", "Start it again."),
    "SIGHUP": ("The session it ran in was closed.", "Start it again."),
    "SIGXCPU": ("It used up the processor time that this account allows.", "Raise the limit or train fewer steps."),
}
# The first that occurs in the log decides, so the specific ones come first.
_LOG_SIGNS = (
    ("No module named studio", "Finetune Studio is not installed in this Python.", "Install it with `pip install .`."),
    ("ModuleNotFoundError", "A library that it needs is not installed.", _DOCTOR),
    ("ImportError", "A library that it needs could not be loaded.", _DOCTOR),
    ("No space left on device", "The disk is full.", "Free some space and start again."),
    ("MemoryError", _NO_MEMORY, _LESS_MEMORY),
    ("out of memory", _NO_MEMORY, _LESS_MEMORY),
)


def explain_crash(exit_code: int, log_tail: str, ended_because: str = "") -> Crashed:
    """``exit_code`` as subprocess tells it: negative is a signal. ``ended_because`` is the app's own reason to end it."""
    name = _signal_name(exit_code)
    cause, remedy = _likely_cause(exit_code, name, log_tail)
    if ended_because:
        cause, remedy = ended_because, f"Start it again. If that repeats: {REPORT}"
    return Crashed(
        exit_code=exit_code,
        signal=name,
        log_tail=log_tail,
        likely_cause=cause,
        remedy=remedy,
        out_of_memory=remedy == _LESS_MEMORY,
    )


def _signal_name(exit_code: int) -> str | None:
    if exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def _likely_cause(exit_code: int, name: str | None, log_tail: str) -> tuple[str, str]:
    if name in _SIGNALS:
        return _SIGNALS[name]
    for sign, cause, remedy in _LOG_SIGNS:
        if sign in log_tail:
            return cause, remedy
    if exit_code == 0:
        return "It ended in good order but gave no answer.", REPORT
    return "An unexpected error ended it.", REPORT
