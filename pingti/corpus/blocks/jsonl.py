"""JSON lines, block by block."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
from numpy.typing import NDArray

from pingti.corpus import json_lines
from pingti.corpus.blocks import lines as blocks
from pingti.corpus.blocks.rows import Row, row_of, with_kept
from pingti.corpus.columns import BadRow, Columns, OnBadRow
from pingti.corpus.formats import TextLines
from pingti.corpus.kept import carried_types
from pingti.corpus.paths import folder_values

_SHORT_LINE = 600  # bytes; in a shorter one nothing is nested too deeply, nor has a number too many digits
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % _SHORT_LINE)
# Arrow takes -NaN and Inf for numbers, too; "Information" in a text costs no more than a look.
_NO_NUMBERS = (
    (b"NaN", re.compile(rb"NaN[ \t\r]*[,\]}]")),
    (b"Inf", re.compile(rb"Inf(?:inity)?[ \t\r]*[,\]}]")),
)
_KINDS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64()}


def jsonl_batches(
    path: str, lines: TextLines, columns: Columns, on_bad_row: OnBadRow
) -> Iterator[pa.RecordBatch]:
    """The good rows of a file; see ``blocks.lines.batches``."""
    reader = _Reader(path, lines, columns, on_bad_row)
    return blocks.batches(lines, columns, reader.by_arrow, reader.by_row)


class _Reader:
    def __init__(self, path: str, lines: TextLines, columns: Columns, on_bad_row: OnBadRow) -> None:
        self._path, self._lines, self._columns, self._on_bad_row = path, lines, columns, on_bad_row
        self._number = 0  # of the next row
        self._kinds: dict[str, pa.DataType] | None = None  # of the fields, as the last block had them
        self._kept = carried_types(columns).names
        self._in_folders = folder_values(path)

    def by_row(self, block: bytes) -> Iterator[Row | None]:
        """As ``blocks.lines.ByRow``."""
        columns = self._columns
        end = self._lines.position + len(block)
        while self._lines.position < end:
            line = next(self._lines)
            if not line.strip():
                continue
            number, self._number = self._number, self._number + 1
            fields = json_lines.json_object(line)
            if fields is None:
                reason = json_lines.json_problem(line)
                self._on_bad_row(BadRow(file=self._path, row=number, id=None, reason=reason))
                continue
            identity = fields.get(columns.id) if columns.id else None
            if isinstance(identity, float) and columns.id:
                identity = json_lines.exactly(line, columns.id)
            time = fields.get(columns.time) if columns.time else None
            text = fields.get(columns.text)
            kept = {name: self._spelled(line, fields, name) for name in self._kept}
            row = row_of(self._path, number, columns, identity, text, time, self._on_bad_row, kept)
            if row is not None:
                yield row

    def _spelled(self, line: bytes, fields: dict[str, Any], name: str) -> str | None:
        value = fields[name] if name in fields else self._in_folders.get(name)
        if isinstance(value, float):
            return json_lines.literal(line, name)
        return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def by_arrow(self, block: bytes) -> pa.RecordBatch | None:
        """As ``blocks.lines.ByArrow``."""
        if self._columns.time is not None or not one_object_a_line(block):
            return None
        rows = blocks.lines_in(block) + (not block.endswith(b"\n"))
        table = self._table(block)
        if table is None or len(table) != rows:
            return None
        batch = self._converted(table)
        self._number += rows
        return batch

    def _table(self, block: bytes) -> pa.Table | None:
        """The fields as Arrow reads them, each of the type that it had last, or has in the first line."""
        if self._kinds is not None and (table := self._read(block, self._kinds)) is not None:
            return table
        first = json_lines.json_object(block[: block.find(b"\n") + 1] or block)
        values = {name: (first or {}).get(name) for name in (*self._columns.names, *self._kept)}
        if self._kept and any(name in self._in_folders for name in self._kept):
            return None  # a row may have it, or have it not
        if any(value is not None and type(value) not in _KINDS for value in values.values()):
            return None
        kinds = {name: _KINDS.get(type(value), pa.string()) for name, value in values.items()}
        if kinds == self._kinds:
            return None
        table = self._read(block, kinds)
        if table is not None:
            self._kinds = kinds
        return table

    def _read(self, block: bytes, kinds: dict[str, pa.DataType]) -> pa.Table | None:
        try:
            return pa.json.read_json(
                pa.BufferReader(block),
                pa.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                pa.json.ParseOptions(
                    explicit_schema=pa.schema(list(kinds.items())), unexpected_field_behavior="ignore"
                ),
            )
        except pa.ArrowException:
            return None

    def _converted(self, table: pa.Table) -> pa.RecordBatch:
        """The good rows; the others are reported."""
        columns = self._columns
        numbers = np.arange(self._number, self._number + len(table))
        texts = table[columns.text].combine_chunks()
        ids = pa.array(numbers) if columns.id is None else table[columns.id].combine_chunks()
        absent = texts.null_count or ids.null_count or not pa.types.is_string(texts.type)
        if absent:
            good = []
            for place, (identity, text) in enumerate(zip(ids.to_pylist(), texts.to_pylist(), strict=True)):
                row = row_of(self._path, int(numbers[place]), columns, identity, text, None, self._on_bad_row)
                good.append(row is not None)
            chosen = pa.array(good)
            numbers, ids, texts = numbers[np.array(good)], ids.filter(chosen), texts.filter(chosen)
        kept = [table[name].combine_chunks() for name in self._kept]
        if absent:
            kept = [column.filter(chosen) for column in kept]
        return with_kept(pa.array(numbers), ids, texts, kept, columns)


def one_object_a_line(block: bytes) -> bool:
    """Whether Arrow finds in a block what Python finds in its lines, if it finds as many objects.

    Behind a bracket that closes no other can open within one JSON text. So where each line begins and ends
    with a bracket there is at least one object in it. False where that is not sure.
    """
    if not (block.startswith(b"{") and block.endswith((b"}\n", b"}\r\n", b"}"))) or b"\0" in block:
        return False
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    last = data[ends - 1]
    if b"\r" in block:
        last = np.where(last == ord("\r"), data[ends - 2], last)
    starts = np.concatenate([[0], ends + 1])
    starts = starts[starts < len(data)]
    if (last != ord("}")).any() or (data[starts] != ord("{")).any():
        return False
    if any(word in block and form.search(block) for word, form in _NO_NUMBERS):
        return False
    return blocks.is_utf8(block) and _is_plain(block, data, starts)


def _is_plain(block: bytes, data: NDArray[np.uint8], starts: NDArray[np.int64]) -> bool:
    """Whether no line can be nested more deeply, or have a number of more digits, than Python reads.

    Args:
        block: the lines.
        data: the same, as numbers.
        starts: where each begins.
    """
    if np.diff(starts, append=len(data)).max() < _SHORT_LINE:
        return True
    opening = (data == ord("[")) | (data == ord("{"))
    nested = np.add.reduceat(opening, starts, dtype=np.int64).max() >= _SHORT_LINE // 2
    return not nested and _LONG_NUMBER.search(block) is None
