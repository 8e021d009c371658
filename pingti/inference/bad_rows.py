"""Rows that could not be read: listed compactly, up to a bound, and all counted; how many are too many."""

import json
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from pingti.corpus.reader import BadRow
from pingti.errors import InputError

MOST_LISTED = 100_000
"""Bad rows that are listed at most."""
_MOST_SHOWN = 500
"""Characters of an id or a reason."""

MaxBad = int | float | None
"""How many bad rows a caller allows: a count, a share (float) of all rows, or None: any but all of them."""


class BadRowList:
    """Writes bad rows to a JSONL file: ``{"file": 0, "row": 7, "id": ..., "reason": ...}``.

    ``file`` is a number; a line ``{"file": 0, "path": ...}`` before the first row of each file says which. A
    last line ``{"unlisted": 12}`` counts the bad rows above ``MOST_LISTED``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers: dict[str, int] = {}
        self.count = 0

    def __enter__(self) -> Self:
        # A file's name may not be UTF-8, and an id may hold half of a surrogate pair.
        self._lines = self._path.open("w", encoding="utf-8", errors="backslashreplace")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lines:
            if self.count > MOST_LISTED:
                self._write({"unlisted": self.count - MOST_LISTED})

    def add(self, bad: BadRow) -> None:
        """Count a row, and list it if there is room."""
        self.count += 1
        if self.count > MOST_LISTED:
            return
        number = self._numbers.get(bad.file)
        if number is None:
            number = self._numbers[bad.file] = len(self._numbers)
            self._write({"file": number, "path": bad.file})
        identity = None if bad.id is None else _short(bad.id)
        self._write({"file": number, "row": bad.row, "id": identity, "reason": _short(bad.reason)})

    def _write(self, line: dict[str, object]) -> None:
        self._lines.write(json.dumps(line, ensure_ascii=False) + "\n")


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def first_bad(path: Path) -> str | None:
    """What is wrong with the first row of a list that ``BadRowList`` wrote; None where there is no list."""
    try:
        with path.open(encoding="utf-8") as lines:
            file, row = json.loads(next(lines)), json.loads(next(lines))
    except (OSError, StopIteration):
        return None
    return f"{file['path']}: row {row['row']}: {row['reason']}"


def parse_max_bad(text: str) -> int | float:
    """Read "100" as a count, and "5%" or "0.05" as a share.

    Raises:
        InputError: the text is of none of these forms.
    """
    try:
        if text.isascii() and text.isdigit():
            return int(text)
        share = Fraction(repr(float(text.removesuffix("%")))) / (100 if text.endswith("%") else 1)
        if 0 <= share <= 1:
            return float(share)
    except ValueError:
        pass
    raise InputError(f'max-bad {text!r}: needed is a count, such as 100, or a share, such as "5%" or 0.05')


def check_bad(total: int, failed: int, max_bad: MaxBad = None) -> None:
    """Refuse a result of which too many rows were bad.

    Args:
        total: rows, good and bad.
        failed: bad rows.
        max_bad: how many a caller allows.

    Raises:
        InputError: there are more, or nothing was said and all rows are bad.
    """
    if not too_many_bad(total, failed, max_bad):
        return
    if max_bad is None:
        raise InputError(f"all {total:,} rows are bad; nothing was classified")
    allowed = f"{max_bad:.2%} of them" if isinstance(max_bad, float) else f"{max_bad:,}"
    raise InputError(f"{failed:,} of {total:,} rows are bad; {allowed} are allowed")


def too_many_bad(total: int, failed: int, max_bad: MaxBad) -> bool:
    """Whether more of ``total`` rows failed than ``max_bad`` allows; None allows any but all of them."""
    if max_bad is None:
        return bool(failed) and failed == total
    if isinstance(max_bad, float):
        return failed > Fraction(repr(max_bad)) * total  # 29 of 100 are 0.29, which no float is
    return failed > max_bad
