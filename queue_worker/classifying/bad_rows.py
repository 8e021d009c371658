"""The bad rows of one attempt at a unit: all counted, listed up to a bound, each a moment to stop at."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from pingti.corpus.reader import BadRow
from pingti.files import replacing

MOST_LISTED = 100_000
"""Bad rows of a job, or of one piece of it, that are listed at most."""
MOST_BYTES = 16 << 20
"""Bytes of that list at most: each line names its file, whose path may be long."""
_MOST_SHOWN = 500  # characters of an id or a reason
_UNLISTED = b'{"unlisted": '

Check = Callable[[], None]
"""Called between steps; raises when the attempt must stop (its lease is lost, or the job is cancelled)."""


class TooManyBadRowsError(Exception):
    """More bad rows came than whoever collects them wants to wait for."""


class BadRows:
    """Counts and lists bad rows, as ``on_bad_row``. Where no good row comes, only these can stop reading."""

    def __init__(self, check: Check, *, most: int | None = None, listing: bool = True) -> None:
        """Nothing has come yet.

        Args:
            check: called with each row, and by others where none comes for long.
            most: with more rows, TooManyBadRowsError.
            listing: False where the job's list is full already: rows are only counted.
        """
        self.check, self._most, self._listing = check, most, listing
        self.rows: list[BadRow] = []  # those that are listed
        self.count = 0
        self._bytes = 0

    def __call__(self, bad: BadRow) -> None:
        """Take a row.

        Raises:
            TooManyBadRowsError: there are more than ``most``.
        """
        self.check()
        self.count += 1
        if self._most is not None and self.count > self._most:
            raise TooManyBadRowsError(f"more than {self._most:,} bad rows")
        if not self._listing or len(self.rows) >= MOST_LISTED or self._bytes > MOST_BYTES:
            return
        identity = None if bad.id is None else _short(bad.id)
        self.rows.append(replace(bad, id=identity, reason=_short(bad.reason)))
        self._bytes += len(bad.file) + len(identity or "") + len(self.rows[-1].reason)

    def write(self, path: Path, *, tail: bool, sync: bool = True) -> None:
        """Write the list; ``tail`` as of ``Listing.write``."""
        listing = Listing()
        for row in self.rows:
            listing.add(line_of(row))
        listing.unlisted += self.count - len(self.rows)
        listing.write(path, tail=tail, sync=sync)


class Listing:
    """Lines of JSON about bad rows, as many as there is room for; the others are counted."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.unlisted = 0
        self._bytes = 0

    def add(self, line: bytes) -> None:
        """Take a line, or count it if there is no room."""
        self._bytes += len(line)
        if len(self.lines) < MOST_LISTED and self._bytes <= MOST_BYTES:
            self.lines.append(line)
        else:
            self.unlisted += 1

    def write(self, path: Path, *, tail: bool, sync: bool = True) -> None:
        """Write the lines, and with ``tail`` a last one that says how many there was no room for."""
        with replacing(path, sync=sync) as temporary, temporary.open("wb") as file:
            file.writelines(self.lines)
            if tail and self.unlisted:
                file.write(_UNLISTED + b"%d}\n" % self.unlisted)


def line_of(bad: BadRow) -> bytes:
    """A line of JSON about a row."""
    line = json.dumps(asdict(bad), ensure_ascii=False) + "\n"
    # An id may hold half a surrogate pair, as JSON allows.
    return line.encode("utf-8", "backslashreplace")


def read_piece(path: Path) -> Iterator[tuple[bytes, int]]:
    """Lines of what ``Listing.write`` wrote, each with the rows that it counts; a tail is an empty line."""
    with path.open("rb") as file:
        for line in file:
            if line.startswith(_UNLISTED):
                yield b"", int(line.removeprefix(_UNLISTED).rstrip(b"}\n"))
            else:
                yield line, 1


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
