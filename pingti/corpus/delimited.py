"""CSV and TSV: how a file is written, seen by its first lines, and its records, none merged in silence.

A quote that opens a field and is never closed as it should be would swallow the rows that follow. Such a
field is reported by its first line, and the lines behind it are read as rows of their own. That is so, too,
where a field is closed some lines later, but each of these lines looks like a row: hardly is it quoted then.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pingti.corpus.columns import Columns, check_columns
from pingti.corpus.formats import HEAD_BYTES, LINE_BYTES, TOO_LONG, TextLines, format_of, is_cut
from pingti.errors import InputError

_LONGEST_FIELD = 1 << 26  # characters: a quote that is never closed must not hold a whole file
_SAMPLE_BYTES = 1 << 16
_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {"\t": "tabs"}
_MANY_EMPTY = 1 << 18  # lines
_BACKSLASH = "\\"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a file is written."""

    delimiter: str
    quoted: bool
    """Whether a field may stand in quotes."""
    trusted: bool
    """Whether somebody says so: then a field may run over lines that look like rows."""
    escape: str | None
    """Stands before a quote inside a quoted field; None: a quote is doubled."""
    before_header: int
    """Lines in front of the header."""
    notices: tuple[str, ...]
    """What is otherwise than a file's name says, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class Faulty:
    """A record that cannot be read."""

    reason: str


class Table:
    """An opened file: its header, and the records behind it."""

    def __init__(self, path: str, layout: Layout, lines: "_Lines", columns: Columns) -> None:
        self.layout = layout
        self.header: list[str] = []
        self._path, self._lines, self._columns = path, lines, columns
        self._first_line = 1 + layout.before_header  # of the next record, in the file

    @classmethod
    def open(cls, path: str, raw: TextLines, columns: Columns) -> Self:
        """Look at the first lines, read the header, and check that it has the columns.

        Args:
            path: of the file.
            raw: its lines; behind the header, once the table is open.
            columns: what is read of it.

        Raises:
            InputError: a column is missing, the header is not readable, or a line is too long.
        """
        table = cls.with_header(path, raw, columns)
        check_columns(path, table.header, columns)
        return table

    @classmethod
    def with_header(cls, path: str, raw: TextLines, columns: Columns) -> Self:
        """As ``open``, whatever columns the header has.

        Args:
            path: of the file.
            raw: its lines, as ``formats.text_lines`` gives them.
            columns: how the file is laid out.

        Raises:
            InputError: the header is not readable, or a line is too long.
        """
        csv.field_size_limit(_LONGEST_FIELD)
        first_lines = _sample(raw)
        first_lines[:1] = [line.removeprefix(codecs.BOM_UTF8) for line in first_lines[:1]]
        raw.give_back(b"".join(first_lines))
        layout = layout_of(path, [_decoded(path, line) for line in first_lines], columns)
        for _ in range(layout.before_header):
            next(raw)
        table = cls(path, layout, _Lines(path, raw), columns)
        header = table._first_record()
        if isinstance(header, Faulty):
            raise InputError.in_file(path, f"its header is not readable: {header.reason}")
        table.header = header
        return table

    def _first_record(self) -> list[str] | Faulty:
        """The header; empty where there is no record."""
        empty = 0
        for record in self.records():
            if record is not None:
                return record
            empty += _MANY_EMPTY
            if empty >= HEAD_BYTES:
                raise InputError.in_file(
                    self._path, f"its first {empty:,} lines are empty; a header is needed"
                )
        return []

    def records(self) -> Iterator[list[str] | Faulty | None]:
        """The fields of each record; empty lines are left out, but for a None after very many of them.

        Raises:
            InputError: a line is too long.
        """
        lines = self._lines
        reader = _reader(lines, self.layout, strict=True)
        empty = 0
        while True:
            self._first_line += len(lines.taken)
            lines.taken.clear()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield self._rescued()
                continue
            if len(lines.taken) > 1 and not self.layout.trusted and self._look_like_rows(lines.taken):
                yield self._unclosed(f"runs over {len(lines.taken)} lines that look like rows")
            elif fields:
                empty = 0
                yield fields
            else:
                empty += 1
                if empty % _MANY_EMPTY == 0:
                    yield None

    def pass_over(self, lines: int) -> None:
        """Count lines that somebody else has read, for the numbers of those behind them."""
        self._first_line += lines

    def misfit(self, fields: int, has_quotes: bool) -> str | None:
        """Why the fields of a record are not those of the header, if there are not as many.

        Args:
            fields: how many there are.
            has_quotes: whether a quote stands in one of them.
        """
        if fields == len(self.header):
            return None
        reason = f"{fields} fields; the header has {len(self.header)}"
        if has_quotes and not self.layout.quoted and self._columns.quoting == "auto":
            return f'{reason}; set quoting = "quoted" if its fields stand in quotes'
        return reason

    def _rescued(self) -> list[str] | Faulty:
        """What can be made of the first line of a record that is not written as it should be."""
        first = self._lines.taken[0]
        if len(self._lines.taken) > 1:
            return self._unclosed("is never closed as it should be")
        ended = False

        def alone() -> Iterator[str]:
            nonlocal ended
            yield first
            ended = True  # asked for more

        try:
            fields: list[str] = next(_reader(alone(), self.layout, strict=False))
        except csv.Error as error_alone:
            return Faulty(reason=_in_words(error_alone, first))
        if ended:
            return self._unclosed("is never closed")
        if self.layout.escape is None and f'{_BACKSLASH}"' in first:
            return Faulty(
                reason=f"a quote in it (line {self._first_line}) stands behind a backslash, as Spark writes; "
                f'set escape = "{_BACKSLASH}{_BACKSLASH}" if it is so'
            )
        return fields

    def _unclosed(self, what: str) -> Faulty:
        self._lines.give_back()
        return Faulty(
            reason=f"a quote in it (line {self._first_line}) {what}; the lines behind it are read as rows of "
            'their own; set quoting = "none" if the file has no quoting, "quoted" if it is right as it is'
        )

    def _look_like_rows(self, lines: Sequence[str]) -> bool:
        """Whether all lines of one record would be rows, alike in a column other than the text."""
        rows = [line.rstrip("\r\n").split(self.layout.delimiter) for line in lines]
        width = len(self.header)
        if width < 2 or any(len(row) != width for row in rows):
            return False
        others = [at for at, name in enumerate(self.header) if name != self._columns.text]
        return any(rows[0][at] and len({_shape(row[at]) for row in rows}) == 1 for at in others)


class _Lines:
    """Lines for a csv.reader, as strings; those of a record can be given back, all but its first."""

    def __init__(self, path: str, raw: TextLines) -> None:
        self._path, self._raw = path, raw
        self.taken: list[str] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = _decoded(self._path, next(self._raw))
        self.taken.append(line)
        return line

    def give_back(self) -> None:
        self._raw.give_back("".join(self.taken[1:]).encode("utf-8", "surrogateescape"))
        del self.taken[1:]


def layout_of(path: str, sample: Sequence[str], columns: Columns) -> Layout:
    """How a file is written, by its name, its first lines, and what a caller says.

    Args:
        path: of the file.
        sample: its first lines.
        columns: those that are read; what they say of the layout holds.

    Raises:
        InputError: one character would both separate and escape.
    """
    notices = []
    sep_line = re.fullmatch(r"sep=(.)\r?\n?", sample[0]) if sample else None
    before_header = 1 if sep_line else 0
    header = sample[before_header] if len(sample) > before_header else ""
    usual = "\t" if format_of(path) == ".tsv" else ","
    delimiter = columns.delimiter or (sep_line[1] if sep_line else _delimiter(header, usual, columns))
    if delimiter == columns.escape:
        raise InputError.in_file(path, f"{delimiter!r} separates its fields and cannot be escape, too")
    if delimiter != usual and columns.delimiter is None:
        notices.append(f"its fields are separated by {_NAMES.get(delimiter, repr(delimiter))}")
    quoted = columns.quoting == "quoted"
    if columns.quoting == "auto":
        quoted = delimiter != "\t" or header.startswith('"')
    escape = columns.escape
    if escape is None and quoted and _backslashes(sample[before_header + 1 :], delimiter):
        escape = _BACKSLASH
        notices.append("its quotes are escaped by backslashes")
    return Layout(
        delimiter=delimiter,
        quoted=quoted,
        trusted=columns.quoting == "quoted",
        escape=escape,
        before_header=before_header,
        notices=tuple(notices),
    )


def _delimiter(header: str, usual: str, columns: Columns) -> str:
    """The one by which the header has all columns; else the usual one, or one by which it has several."""
    fields = {
        delimiter: next(csv.reader([header], delimiter=delimiter), [])
        for delimiter in (usual, *_DELIMITERS)
        if "\r" not in header.rstrip("\r\n")
    }
    for delimiter, names in fields.items():
        if set(columns.names) <= set(names):
            return delimiter
    several = [delimiter for delimiter, names in fields.items() if len(names) > 1]
    return several[0] if several else usual


def _backslashes(lines: Iterable[str], delimiter: str) -> bool:
    """Whether quotes are escaped by backslashes: some lines are right only so, and none doubles quotes."""
    by_doubling = {"delimiter": delimiter, "strict": True}
    by_backslash = {**by_doubling, "escapechar": _BACKSLASH, "doublequote": False}
    only_so = False
    for line in lines:
        if '"' not in line:
            continue
        doubled = _is_record(line, **by_doubling)
        escaped = _is_record(line, **by_backslash)
        if doubled and not escaped and '""' in line.replace(f'{delimiter}""', delimiter):
            return False
        only_so |= f'{_BACKSLASH}"' in line and escaped and not doubled
    return only_so


def _is_record(line: str, **form: Any) -> bool:
    try:
        next(csv.reader([line], **form), None)
    except csv.Error:
        return False
    return True


def _reader(lines: Iterator[str], layout: Layout, *, strict: bool) -> Any:
    return csv.reader(
        lines,
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
        escapechar=layout.escape,
        doublequote=layout.escape is None,
        strict=strict,
    )


def _in_words(error: csv.Error, line: str) -> str:
    """Why a line cannot be read, without advice that is meant for programmers."""
    if "\r" in line.rstrip("\r\n"):
        return "a carriage return stands within the line, outside of quotes; lines end in LF or CRLF"
    return f"not readable as CSV: {error}"


def _shape(field: str) -> str:
    """What a field looks like: runs of digits and of letters, each as one."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", field))


def _decoded(path: str, line: bytes) -> str:
    """The line as a string; bytes that are not UTF-8 stay recognisable."""
    if is_cut(line):  # of what follows nobody can say where a row starts
        raise InputError.in_file(path, TOO_LONG)
    return line.decode("utf-8", "surrogateescape")


def _sample(lines: Iterator[bytes]) -> list[bytes]:
    sample: list[bytes] = []
    size = 0
    for line in lines:
        sample.append(line)
        size += len(line)
        if size >= min(_SAMPLE_BYTES, LINE_BYTES):
            break
    return sample
