"""The file of ``make bench-fidelity``."""

from typing import Any, Final

from benchmarks.fidelity import data, methods
from benchmarks.rows_file import Row, RowsFile

FORMAT: Final = 2
"""2: rows have a share of the pool."""


def _order(row: Row) -> tuple[Any, ...]:
    method = methods.METHODS.index(row["method"])
    return data.NAMES.index(row["data"]), row["task"], row["seed"], row["share"], method


_FILE: Final = RowsFile(
    format=FORMAT,
    names=("data", "task", "method", "share", "seed"),
    what="method",
    about={"methods": methods.WHAT},
    order=_order,
)
key, read, merge = _FILE.key, _FILE.read, _FILE.merge
