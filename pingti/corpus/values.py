"""A row's values: what a file holds as a string or a time, or a ValueError that says what is wrong."""

import datetime
import re
import time
from typing import Any

_DAY = 86_400  # seconds
EARLIEST = -62_135_596_800_000_000
"""The earliest time that a row may have, year 1, as ``microseconds`` gives it."""

_AS_DIGITS = re.compile("(19|20|21)[0-9]{6}")
"""A date as 20240105. As Unix seconds it would lie in some weeks of 1970."""

_UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_RECENT = 631_152_000  # 1990: a number that leads there in another unit is of that unit


def string(field: str, value: Any) -> str:
    """The value as a string that UTF-8 can spell; bytes are decoded.

    Raises:
        ValueError: it is none; with the field's name and what is needed.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"field {field!r} is not UTF-8 (byte {error.start})") from None
    if value is None:
        raise ValueError(f"field {field!r} is missing or null")
    if not isinstance(value, str):
        raise ValueError(f"field {field!r} is of type {type(value).__name__}; a string is needed")
    # What surrogateescape let through, and lone surrogates that JSON can spell.
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"field {field!r} is not UTF-8")
    return value


def latest() -> int:
    """The latest time that a row may have, as ``microseconds`` gives it: in a day, as zones may be absent."""
    return int((time.time() + _DAY) * 1_000_000)


def microseconds(field: str, value: Any) -> int:
    """Microseconds since 1970 (UTC) of a date, a datetime, Unix seconds, or either of them as text.

    A date or datetime without a zone is taken as UTC; digits such as 20240105, text or not, are a date. A
    time to come (9999-12-31, or milliseconds taken for seconds) is refused: it would be all of the holdout.

    Raises:
        ValueError: it is no time of the past; with the field's name and what is needed.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    why = ""
    try:
        instant, seconds = _instant(value)
        if EARLIEST <= instant <= latest():
            return instant
        if instant > 0:
            likely = [name for name, unit in _UNITS.items() if _RECENT <= seconds / unit <= time.time()]
            why = f", later than now{f' ({likely[0]}?)' if likely else ''}"
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"field {field!r} is {value!r}{why}; needed is a timestamp, ISO 8601 or Unix seconds")


def _instant(value: Any) -> tuple[int, float]:
    """Microseconds since 1970, and the Unix seconds that they were given as; 0 for a date."""
    if isinstance(value, (int, str)) and _AS_DIGITS.fullmatch(str(value)):
        value = datetime.date.fromisoformat(str(value))
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = datetime.datetime.fromisoformat(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return round(value * 1_000_000), float(value)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        raise ValueError
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    return round(value.timestamp() * 1_000_000), 0.0


def iso_date(day: int) -> str:
    """The date of a day since 1970 (UTC), as ISO 8601 writes it."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
