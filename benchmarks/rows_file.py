"""A file of what a bench measured: rows by their key, to which calls that run side by side add."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from pingti import files

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RowsFile:
    """How the file of a bench is read and added to."""

    format: int
    names: tuple[str, ...]
    """Fields of a row that make its key."""
    what: str
    """The field that tells what was measured on a data set, such as "method"."""
    about: Row
    """What the document says of the bench besides."""
    order: Callable[[Row], tuple[Any, ...]]
    """By which rows are sorted."""

    def key(self, row: Row) -> tuple[Any, ...]:
        """What a row is of."""
        return tuple(row[name] for name in self.names)

    def read(self, out: Path | None) -> Row:
        """The document, or an empty one.

        Raises:
            SystemExit: the file is one of another format.
        """
        empty: Row = {"format": self.format, "settings": {}, "rows": [], "further": [], "left_out": {}}
        if out is None or not out.is_file():
            return empty
        document = json.loads(out.read_text(encoding="utf-8"))
        if document.get("format") != self.format:
            raise SystemExit(
                f"{out}: format {document.get('format')}, but this bench adds to files of format "
                f"{self.format}: move it away"
            )
        return {**empty, **document}

    def merge(
        self,
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
            return sorted({self.key(row): row for row in [*old, *new]}.values(), key=self.order)

        def add() -> Row:
            kept = self.read(out) if out is not None else document
            absent = {**kept["left_out"], **(left_out or {})}
            for row in rows:
                absent.pop(row["data"], None)
                absent.pop(f"{row['data']}: {row[self.what]}", None)
            return {
                "format": self.format,
                "machine": harness.machine(),
                "versions": harness.versions(),
                **self.about,
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
