"""The file of ``make bench-students``: rows by their key, to which calls that run side by side add."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import harness
from benchmarks.fidelity import data
from benchmarks.kinds.runs import KINDS
from pingti import files

FORMAT: Final = 1
Row = dict[str, Any]
_KEY: Final = ("data", "task", "seed", "kind")


def key(row: Row) -> tuple[Any, ...]:
    """What a row is of: data set, task, seed, kind."""
    return tuple(row[name] for name in _KEY)


def read(out: Path | None) -> Row:
    """The document, or an empty one.

    Raises:
        SystemExit: the file is one of another format.
    """
    empty: Row = {"format": FORMAT, "settings": {}, "rows": [], "further": [], "left_out": {}}
    if out is None or not out.is_file():
        return empty
    document = json.loads(out.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise SystemExit(
            f"{out}: format {document.get('format')}, but this bench adds to files of format {FORMAT}: move "
            "it away"
        )
    return {**empty, **document}


def merge(
    out: Path | None,
    document: Row,
    *,
    rows: Sequence[Row] = (),
    further: Sequence[Row] = (),
    settings: Row | None = None,
    left_out: Row | None = None,
) -> Row:
    """The document with what is new; the file is written at once, under a lock, where there is one."""

    def merged(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
        return sorted({key(row): row for row in [*old, *new]}.values(), key=_order)

    def add() -> Row:
        kept = read(out) if out is not None else document
        absent = {**kept["left_out"], **(left_out or {})}
        for row in rows:
            absent.pop(row["data"], None)
            absent.pop(f"{row['data']}: {row['kind']}", None)
        return {
            "format": FORMAT,
            "machine": harness.machine(),
            "versions": harness.versions(),
            "kinds": KINDS,
            "settings": {**kept["settings"], **(settings or {})},
            "rows": merged(kept["rows"], rows),
            "further": merged(kept["further"], further),
            "left_out": absent,
        }

    if out is None:
        return add()
    with files.locked(out.with_suffix(".lock")):
        added = add()
        files.write_json(out, added)
    return added


def _order(row: Row) -> tuple[Any, ...]:
    return data.NAMES.index(row["data"]), row["task"], row["seed"], list(KINDS).index(row["kind"])
