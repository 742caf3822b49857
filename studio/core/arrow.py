"""pyarrow, kept from looking for pandas.

At its first array pyarrow 26 imports pandas, where that is installed, only to learn whether the array is one of its own:
half a second for a preview, and for the window. Take ``pa`` from here, and it finds none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa

__all__ = ["pa"]


class _NoPandas(MetaPathFinder):
    """While it is asked, there is no pandas."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)
        return None


def _settle() -> None:
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([""])  # it looks once and remembers
    finally:
        sys.meta_path.remove(finder)


_settle()
