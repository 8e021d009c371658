"""A row's values: what a file holds as a string or a time, or a ValueError that says what is wrong."""

import datetime
import decimal
import math
import re
import time
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pingti.corpus.columns import TimeUnit

_DAY = 86_400  # seconds
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
EARLIEST = -62_135_596_800_000_000
"""The earliest time that a row may have, year 1, as ``microseconds`` gives it."""

_YEAR = re.compile(r"(?:19|20|21)\d\d")
_MONTH = re.compile(r"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])")
_DATE = re.compile(r"(?:19|20|21)\d{6}")
"""Digits that are a year, a month (202401) or a date (20240105). As Unix seconds all lie in 1970."""
_YEAR_FIRST = re.compile(
    r"(\d{4})[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?|月)?"
)
"""As spreadsheets write: 2025/11/3 8:15."""
_UTC = re.compile(r" ?(?:UTC|GMT)$")  # as BigQuery and HTTP write it

_TICKS: dict[TimeUnit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_RECENT = 631_152_000  # 1990: a number that leads there in a unit is of that unit, and in no other
_FIRST_YEAR = 31_536_000  # seconds of 1970, which hardly any text is from
_NEEDED = "needed is a timestamp, ISO 8601 or Unix seconds"
_SHOWN = 100  # characters of a value in a reason


@dataclass(frozen=True)
class Instant:
    """A time of a file's own type: it is what it is, whatever it looks like as a number."""

    microseconds: int

    def __repr__(self) -> str:
        return f"{self.microseconds / 1_000_000} (seconds since 1970)"


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


def spelled(field: str, identity: Any) -> Any:
    """An id that is a number as a string, exactly: 12 for 12.0, digits for a decimal. Others as they are.

    Not a number (NaN) becomes None, which is what pandas means by it.

    Raises:
        ValueError: it is infinite, as is what a float cannot hold: so would be many ids.
    """
    if isinstance(identity, float):
        if identity != identity:
            return None
        if math.isinf(identity):
            raise ValueError(f"field {field!r} is an infinite number; a string or a finite number is needed")
        return str(int(identity)) if identity.is_integer() else repr(identity)
    if isinstance(identity, decimal.Decimal):
        return format(identity, "f") if identity.is_finite() else str(identity)
    return str(identity) if isinstance(identity, int) else identity


def spelled_literal(literal: str) -> str | float:
    """A number as JSON writes it, with all its digits: 12 for 12.0; a float where it has an exponent."""
    if "e" in literal.lower():
        return float(literal)
    whole, _, fraction = literal.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def latest() -> int:
    """The latest time that a row may have, as ``microseconds`` gives it: in a day, as zones may be absent."""
    return int((time.time() + _DAY) * 1_000_000)


def microseconds(field: str, value: Any, form: str | None = None, unit: TimeUnit | None = None) -> int:
    """Microseconds since 1970 (UTC) of a date, a datetime, Unix time, or one of them as text.

    A date or datetime without a zone is taken as UTC. Digits such as 2024, 202401 and 20240105, text or not,
    are a year, a month and a date. Other numbers are seconds, or milliseconds and so on where they lead to a
    time since 1990 in that unit. What leads to 1970, but to no midnight, is refused where no unit is given:
    it is a number of something else. So is a time to come (9999-12-31): it would be all of the holdout.

    Args:
        field: its name.
        value: the value.
        form: how text is written, as ``strptime`` takes it; as above where absent.
        unit: of numbers; as above where absent.

    Raises:
        ValueError: it is no time of the past; with the field's name and what is needed.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    why = ""
    try:
        instant = _instant(value, form, unit)
        if EARLIEST <= instant <= latest():
            return instant
        why = ", later than now" if instant > 0 else ""
    except (ValueError, OverflowError) as error:
        why = f", {error}" if isinstance(error, _AmbiguousTimeError) else ""
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    needed = f"{_NEEDED}, or set time_format or time_unit"
    if form and not why:
        needed = f"needed is a timestamp, or text as time_format = {form!r} says"
    raise ValueError(f"field {field!r} is {shown}{why}; {needed}")


class _AmbiguousTimeError(ValueError):
    """What it may mean."""


def _instant(value: Any, form: str | None, unit: TimeUnit | None) -> int:
    if isinstance(value, Instant):
        return value.microseconds
    if form is not None and (isinstance(value, str) or _whole(value) is not None):
        text = value if isinstance(value, str) else str(_whole(value))
        return _since_1970(datetime.datetime.strptime(text, form))
    number = _number(value)
    if number is not None and unit is not None:
        return _ticks(number, _TICKS[unit])
    digits = str(_whole(number)) if number is not None else ""
    if _YEAR.fullmatch(digits):
        return _since_1970(datetime.datetime(int(digits), 1, 1))
    if _MONTH.fullmatch(digits):
        return _since_1970(datetime.datetime(int(digits[:4]), int(digits[4:]), 1))
    if _DATE.fullmatch(digits):
        value, number = datetime.date.fromisoformat(digits), None
    if number is not None:
        return _of_some_unit(number)
    if isinstance(value, str):
        value = _written(value.strip())
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        raise ValueError
    return _since_1970(value)


def _of_some_unit(number: int | float) -> int:
    now = time.time()
    for ticks in _TICKS.values():
        if _RECENT <= number / ticks <= now + _DAY:
            return _ticks(number, ticks)
    if abs(number) < _FIRST_YEAR and number % _DAY:
        raise _AmbiguousTimeError("which would be in 1970")
    return _ticks(number, 1)


def _ticks(number: int | float, per_second: int) -> int:
    if isinstance(number, int):  # exactly: nanoseconds are more than a float holds
        return number * 1_000_000 // per_second
    return round(number * (1_000_000 / per_second))


def _written(text: str) -> datetime.datetime:
    if len(text) > _SHOWN:  # fromisoformat takes any number of digits behind the seconds
        raise ValueError
    try:
        return datetime.datetime.fromisoformat(_UTC.sub("+00:00", text))
    except ValueError:
        parts = _YEAR_FIRST.fullmatch(_UTC.sub("", text))
        if parts is None:
            raise
        year, month, day, hour, minute, second = (int(part) if part else None for part in parts.groups())
        return datetime.datetime(
            year or 0, month or 0, day or 1, hour or 0, minute or 0, second or 0, tzinfo=datetime.UTC
        )


def _number(value: Any) -> int | float | None:
    if isinstance(value, str):
        try:
            value = float(value) if not value.strip().isdigit() else int(value)
        except ValueError:
            return None
    if isinstance(value, decimal.Decimal):
        value = int(value) if value == int(value) else float(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(number: Any) -> int | None:
    """The number if it is whole: pandas makes floats of whole numbers with a gap."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    return int(number) if number == number // 1 else None


def _since_1970(moment: datetime.datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def recent_ticks(numbers: NDArray[Any]) -> int | None:
    """In which unit all numbers lead to a time since 1990, as ticks of a second; None: in no single one.

    Args:
        numbers: (n,), n above 0, integers or floats.
    """
    lowest, highest = numbers.min(), numbers.max()
    for ticks in _TICKS.values():
        if _RECENT * ticks <= lowest and highest <= time.time() * ticks:
            return ticks
    return None


def iso_date(day: int) -> str:
    """The date of a day since 1970 (UTC), as ISO 8601 writes it."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
