"""The file of ``make bench-students``."""

from typing import Any, Final

from benchmarks.fidelity import data
from benchmarks.kinds.runs import KINDS
from benchmarks.rows_file import Row, RowsFile

FORMAT: Final = 1


def _order(row: Row) -> tuple[Any, ...]:
    return data.NAMES.index(row["data"]), row["task"], row["seed"], list(KINDS).index(row["kind"])


_FILE: Final = RowsFile(
    format=FORMAT, names=("data", "task", "seed", "kind"), what="kind", about={"kinds": KINDS}, order=_order
)
key, read, merge = _FILE.key, _FILE.read, _FILE.merge
