"""CSV and TSV, block by block."""

import codecs
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pingti.corpus.blocks import lines as blocks
from pingti.corpus.blocks.rows import Row, row_of, with_kept
from pingti.corpus.columns import BadRow, Columns, OnBadRow
from pingti.corpus.delimited import Faulty, Layout, Table
from pingti.corpus.formats import TextLines
from pingti.corpus.kept import carried_types
from pingti.corpus.paths import folder_values

_log = logging.getLogger(__name__)
_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'


def delimited_batches(
    path: str, lines: TextLines, columns: Columns, on_bad_row: OnBadRow
) -> Iterator[pa.RecordBatch]:
    """The good rows of a file; see ``blocks.lines.batches``.

    Raises:
        InputError: as ``Table.open``.
    """
    table = Table.open(path, lines, columns)
    for notice in table.layout.notices:
        _log.info("%s: %s", path, notice)
    reader = _Reader(path, lines, table, columns, on_bad_row)
    return blocks.batches(lines, columns, reader.by_arrow, reader.by_row)


class _Reader:
    def __init__(
        self, path: str, lines: TextLines, table: Table, columns: Columns, on_bad_row: OnBadRow
    ) -> None:
        self._path, self._lines, self._table = path, lines, table
        self._columns, self._on_bad_row = columns, on_bad_row
        self._records = table.records()
        self._number = 0  # of the next row
        kept = carried_types(columns).names
        in_folders = folder_values(path)
        self._kept = {name: in_folders[name] for name in kept if name not in table.header}
        names = dict.fromkeys((*columns.names, *kept))
        self._places = {name: table.header.index(name) for name in names if name not in self._kept}
        self._carried = kept

    def by_row(self, block: bytes) -> Iterator[Row | None]:
        """As ``blocks.lines.ByRow``; to the end of the record that the block may end in."""
        table, columns, places = self._table, self._columns, self._places
        end = self._lines.position + len(block)
        while self._lines.position < end:
            fields = next(self._records, _END)
            if fields is _END:
                return
            if fields is None:
                yield None
                continue
            number, self._number = self._number, self._number + 1
            if isinstance(fields, Faulty):
                self._bad(number, fields.reason)
                continue
            if reason := table.misfit(len(fields), any('"' in field for field in fields)):
                self._bad(number, reason)
                continue
            identity = fields[places[columns.id]] if columns.id is not None else None
            time = fields[places[columns.time]] if columns.time is not None else None
            text = fields[places[columns.text]]
            kept = {
                name: fields[places[name]] if name in places else self._kept[name] for name in self._carried
            }
            row = row_of(self._path, number, columns, identity, text, time, self._on_bad_row, kept)
            if row is not None:
                yield row

    def _bad(self, number: int, reason: str) -> None:
        self._on_bad_row(BadRow(file=self._path, row=number, id=None, reason=reason))

    def by_arrow(self, block: bytes) -> pa.RecordBatch | None:
        """As ``blocks.lines.ByArrow``."""
        if self._columns.time is not None or not reads_alike(block, self._table.layout):
            return None
        misfits: list[pa.csv.InvalidRow] = []
        fields = self._read(block, None)
        if fields is None and blocks.is_utf8(block):  # Arrow can hand out no other lines
            fields = self._read(block, misfits)
        if fields is None:
            return None
        rows = fields.num_rows + len(misfits)
        numbers = np.arange(self._number, self._number + rows)
        if misfits:
            numbers = np.delete(numbers, [misfit.number - 1 for misfit in misfits])
            for misfit in misfits:
                reason = self._table.misfit(misfit.actual_columns, '"' in misfit.text)
                self._bad(self._number + misfit.number - 1, reason or "")
        self._number += rows
        self._table.pass_over(blocks.lines_in(block))
        row_numbers = pa.array(numbers)
        ids = row_numbers if self._columns.id is None else fields[self._columns.id].combine_chunks()
        texts = fields[self._columns.text].combine_chunks()
        kept = [
            fields[name].combine_chunks() if name in self._places else pa.array([self._kept[name]] * len(ids))
            for name in self._carried
        ]
        return with_kept(row_numbers, ids, texts, kept, self._columns)

    def _read(self, block: bytes, misfits: list[Any] | None) -> pa.Table | None:
        """The columns that are needed; None where Arrow refuses.

        Args:
            block: whole lines.
            misfits: where rows go that have not as many fields as the header; if absent it refuses them.
        """
        layout = self._table.layout

        def put_aside(row: Any) -> str:
            misfits.append(row)  # type: ignore[union-attr]
            return "skip"

        names = [str(place) for place in range(len(self._table.header))]
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(block),
                pa.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
                pa.csv.ParseOptions(
                    delimiter=layout.delimiter,
                    quote_char='"' if layout.quoted else False,
                    double_quote=layout.escape is None,
                    newlines_in_values=layout.trusted,
                    invalid_row_handler=None if misfits is None else put_aside,
                ),
                pa.csv.ConvertOptions(
                    include_columns=[str(place) for place in self._places.values()],
                    column_types={str(place): pa.string() for place in self._places.values()},
                ),
            )
        except pa.ArrowException:
            return None
        return table.rename_columns(list(self._places))


_END: Any = object()


def reads_alike(block: bytes, layout: Layout) -> bool:
    """Whether Arrow reads the lines of a block as ``Table`` does, but for rows of too many or few fields.

    Args:
        block: whole lines, the first of which begins a record.
        layout: of the file.
    """
    one_byte = layout.delimiter.isascii() and (layout.escape or "").isascii()
    if not one_byte or b"\0" in block or block.startswith(codecs.BOM_UTF8):
        return False
    if layout.escape is not None and layout.escape.encode() in block:
        return False
    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        return False
    return not (layout.quoted and b'"' in block) or _well_quoted(block, layout)


def _well_quoted(block: bytes, layout: Layout) -> bool:
    """Whether every quote opens a field, closes one, or is doubled within one."""
    data = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    if len(quotes) % 2:
        return False
    if not layout.trusted:
        line_ends = np.flatnonzero(data == _LINE_FEED)
        if (np.searchsorted(quotes, line_ends) % 2).any():  # a field that runs over lines
            return False
    # Of two quotes that stand together within a field, the first closes it and the second opens it again.
    around = np.full(len(data) + 2, _LINE_FEED, np.uint8)
    around[1:-1] = data
    before, behind = around[quotes[::2]], around[quotes[1::2] + 2]
    between = [ord(layout.delimiter), _LINE_FEED, *([_QUOTE] if layout.escape is None else [])]
    return bool(np.isin(before, between).all() and np.isin(behind, [*between, _RETURN]).all())
