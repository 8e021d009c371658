"""What is read of a file: which columns, how they are written, and what a row or a bad row is."""

import codecs
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pingti.corpus.paths import folder_values
from pingti.errors import InputError

Quoting = Literal["auto", "quoted", "none"]
TimeUnit = Literal["s", "ms", "us", "ns"]
_NO_CHARSETS = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined")
"""Codecs of Python that write text as text, but in which nobody writes files."""
_MOST_NAMES = 20
_MOST_LETTERS = 60  # of a column's name


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns (or JSON fields) of a file are what, and how a file is written where that is not seen."""

    text: str = "text"
    id: str | None = None
    """The row's number stands for it where absent."""
    time: str | None = None
    """Not read where absent."""
    delimiter: str | None = None
    """Between the fields of CSV and TSV: one character. By the file's name and header where absent."""
    quoting: Quoting = "auto"
    """Of CSV and TSV. ``auto``: CSV is quoted, TSV only where its header is; see ``delimited``."""
    escape: str | None = None
    """Stands before a quote inside a quoted field, such as a backslash; a quote is doubled where absent."""
    encoding: str | None = None
    """Of text files; UTF-8 where absent."""
    time_format: str | None = None
    """Of times that are text, as ``strptime`` takes it."""
    time_unit: TimeUnit | None = None
    """Of times that are numbers since 1970."""
    keep: tuple[str, ...] = ()
    """Columns that go along into the results of a classification."""
    carried: str | None = None
    """The types of what goes along, as ``kept.Carrying`` puts them; nothing does where absent."""

    @property
    def names(self) -> list[str]:
        """Names of the columns that are read: text, id and time, those that there are."""
        return [name for name in (self.text, self.id, self.time) if name is not None]


def one_character(value: str) -> str:
    """The value, if it can separate or escape.

    Raises:
        ValueError: it cannot.
    """
    if len(value) != 1 or value in '"\r\n':
        raise ValueError(f"{value!r}: needed is one character, not a quote nor the end of a line")
    return value


def known_encoding(value: str) -> str:
    """The value, if it is an encoding of texts.

    Raises:
        ValueError: it is none.
    """
    try:
        value.encode(value)  # of a codec that is none of texts it raises, too
        charset = codecs.lookup(value).name.replace("_", "-") not in _NO_CHARSETS
    except (LookupError, ValueError):
        charset = False
    if not charset:
        raise ValueError(f'{value!r} is no encoding of texts; one is "gb18030"')
    return value


def dated_form(value: str) -> str:
    """The value, if ``strptime`` reads a date with its year by it.

    Raises:
        ValueError: it does not, or it has the name of a zone, which ``strptime`` reads and leaves out.
    """
    example = datetime.datetime(2025, 1, 15, 10, 30, tzinfo=datetime.UTC)
    problem = ""
    try:
        read = datetime.datetime.strptime(example.strftime(value), value)
    except ValueError as error:
        problem = f": {error}"
    else:
        if read.year != example.year:
            problem = ": it has no year"
        elif "%Z" in value.replace("%%", ""):
            problem = ": %Z is not known to mean one zone; %z reads +0800, and UTC may stand there as it is"
    if problem:
        raise ValueError(f'{value!r} is no form of times{problem}; one is "%d.%m.%Y %H:%M"')
    return value


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that could not be read, and why."""

    file: str
    row: int
    """Number of the data row in its file, from 0; a header does not count."""
    id: str | None
    reason: str


OnBadRow = Callable[[BadRow], None]


def check_columns(path: str, names: Sequence[str], columns: Columns) -> None:
    """Check that a file has each column that is read once.

    Raises:
        InputError: with all columns that it lacks, and those that it has.
    """
    asked = dict.fromkeys((*columns.names, *columns.keep))
    lacking = [name for name in asked if name not in names]
    if any(name in columns.keep for name in lacking):
        in_folders = folder_values(path)
        lacking = [name for name in lacking if name not in columns.keep or name not in in_folders]
    if lacking:
        wanted = f"column{'s' if len(lacking) > 1 else ''} {_listed(lacking)}"
        raise InputError.in_file(path, f"no {wanted}; there are {_listed(names)}{_of_folders(path, lacking)}")
    for name in asked:
        if names.count(name) > 1:
            raise InputError.in_file(path, f"{names.count(name)} columns are named {name!r}; one is needed")


def _of_folders(path: str, lacking: Sequence[str]) -> str:
    """The columns that a file has by its folders' names, for the end of a sentence; empty: it has none."""
    in_folders = list(folder_values(path))
    if not in_folders:
        return ""
    only_kept = "; of a text file these can only be kept" if set(lacking) & set(in_folders) else ""
    return f", and by the names of its folders {_listed(in_folders)}{only_kept}"


def _listed(names: Sequence[str]) -> str:
    """Names of columns for a sentence, which a person can read however many there are."""
    shown = [name if len(name) <= _MOST_LETTERS else f"{name[:_MOST_LETTERS]}..." for name in names]
    more = [f"{len(names) - _MOST_NAMES:,} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*map(repr, shown[:_MOST_NAMES]), *more]) or "none"
