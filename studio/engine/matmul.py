"""Products of fp32 matrices by oneDNN, on CPUs for which torch's own library has no AVX-512 code.

torch multiplies fp32 matrices with MKL, which keeps its AVX-512 code to Intel's CPUs. On AMD's since Zen 4 oneDNN, which torch
carries as well, is twice as fast at the same arithmetic (240 against 110 thousand million operations a second and core on Zen 5).
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

_FEWEST_ROWS = 8
"""Below this a product is as slow as reading its weights, whoever multiplies."""


Product = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, str, list[float], str], torch.Tensor]


@cache
def multiply_with_onednn() -> None:
    """From now on this process multiplies fp32 matrices on the CPU with oneDNN, where that is faster."""
    if not _mkl_holds_back() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return
    # What torch's own compiler calls for a linear layer: left times the transpose of right, plus a vector.
    linear: Product = torch.ops.mkldnn._linear_pointwise.default

    def mm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if _worth_it(left, right):
            return linear(left, right.t(), None, "none", [], "")
        return torch.mm(left, right, out=_room_for(left, right))

    def addmm(added: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
        if _worth_it(left, right) and added.dtype == torch.float32 and added.ndim == 1 and alpha == beta == 1:
            return linear(left, right.t(), added, "none", [], "")
        return torch.addmm(added, left, right, beta=beta, alpha=alpha, out=_room_for(left, right))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Warning only once for all operators", UserWarning)
        _LIBRARY.impl("mm", mm, "CPU")
        _LIBRARY.impl("addmm", addmm, "CPU")


def _mkl_holds_back() -> bool:
    """Whether this is a CPU with AVX-512 that is not Intel's, and torch was built with MKL."""
    if not torch.backends.mkl.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        # Windows: "AMD64 Family 26 Model 68 Stepping 0, AuthenticAMD".
        return "AuthenticAMD" in platform.processor()


def _worth_it(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.dtype == right.dtype == torch.float32 and left.shape[0] >= _FEWEST_ROWS and right.numel() > 0


def _room_for(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return left.new_empty(left.shape[0], right.shape[1])


_LIBRARY = torch.library.Library("aten", "IMPL")
"""What is registered with it lasts as long as it does."""
