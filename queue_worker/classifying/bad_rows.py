"""The bad rows of one attempt at a unit: collected, and each a moment at which it may have to stop."""

from collections.abc import Callable

from pingti.corpus.reader import BadRow

Check = Callable[[], None]
"""Called between steps; raises when the attempt must stop (its lease is lost, or the job is cancelled)."""


class TooManyBadRowsError(Exception):
    """More bad rows came than whoever collects them wants to wait for."""


class BadRows:
    """Collects bad rows, as the reader's ``on_bad_row``. Where no good row comes, only these can stop it."""

    def __init__(self, check: Check, *, most: int | None = None) -> None:
        """Nothing has come yet.

        Args:
            check: called with each row.
            most: with more rows, TooManyBadRowsError.
        """
        self._check, self._most = check, most
        self.rows: list[BadRow] = []
        self.count = 0

    def __call__(self, bad: BadRow) -> None:
        """Take a row.

        Raises:
            TooManyBadRowsError: there are more than ``most``.
        """
        self._check()
        self.count += 1
        if self._most is not None and self.count > self._most:
            raise TooManyBadRowsError(f"more than {self._most:,} bad rows")
        self.rows.append(bad)
