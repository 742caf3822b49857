"""Any exception as the last word of a job: what happened and what to do."""

from __future__ import annotations

import errno
import sys
import traceback

from studio.core.errors import StudioError
from studio.core.events import Crashed, Event, Failed
from studio.core.words import REPORT

OUT_OF_MEMORY = "out_of_memory"
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}
# CPU torch and MPS report exhausted memory as a plain RuntimeError; only its words tell.
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
# CUDA's words for it: unplugged or fallen off the bus, taken by a reset, the driver gone.
_LOST_DEVICE_WORDS = (
    "no cuda-capable device",
    "gpu is lost",
    "device(s) is/are busy or unavailable",
    "device unavailable",
    "unspecified launch failure",
    "driver shutting down",
    "cuda error: unknown error",
)


def explain(error: Exception) -> Failed:
    """An exception as the last word of a job."""
    detail = "".join(traceback.format_exception(error))
    if isinstance(error, StudioError):
        return Failed(kind=error.kind, message=error.message, remedy=error.remedy, detail=error.detail)
    if is_out_of_memory(error):
        return Failed(
            kind=OUT_OF_MEMORY,
            message="The job needed more memory than there was" + (f": {_first_line(error)}" if str(error).strip() else "."),
            remedy="Close other programs, or choose LoRA or QLoRA, a smaller micro-batch or a smaller maximum length.",
            detail=detail,
        )
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return Failed(
            kind="disk",
            message=f"A file could not be written or read: {error.strerror}" + (f" ({error.filename})." if error.filename else "."),
            remedy="Free some disk space or mend the permissions, then start the job again.",
            detail=detail,
        )
    if is_lost_device(error):
        return Failed(
            kind="device_lost",
            message=f"The graphics card stopped answering: {_first_line(error)}",
            remedy="Check its power, its cable and its driver, restart the computer if need be, and train again.",
            detail=detail,
        )
    return Failed(
        kind="bug",
        message=f"An error in the program ended the job: {_first_line(error)}",
        remedy=REPORT,
        detail=detail,
    )


def ended_for_memory(final: Event | None) -> bool:
    """Whether a job's last word says that memory ran out."""
    return (isinstance(final, Failed) and final.kind == OUT_OF_MEMORY) or (isinstance(final, Crashed) and final.out_of_memory)


def is_out_of_memory(error: BaseException) -> bool:
    """True for exhausted memory on any device."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _MEMORY_WORDS)


def is_lost_device(error: BaseException) -> bool:
    """True when a graphics card that was there is gone: unplugged, reset, or its driver is."""
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _LOST_DEVICE_WORDS)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else f"{type(error).__name__}."
