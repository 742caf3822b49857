"""pyarrow, kept from looking for pandas.

At its first array pyarrow 26 imports pandas, where that is installed, only to learn whether the array is one of its own:
half a second for a preview, and for the window. Take ``pa`` from here, and it finds none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.files import write_atomically

__all__ = ["pa", "write_parquet"]


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


def write_parquet(path: Path, table: pa.Table) -> None:
    """The file is either as before or complete, whoever else writes it meanwhile. Raises OSError."""
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    write_atomically(path, content.getvalue().to_pybytes())
