"""A row's fields: what a file holds as a string or a time, or a ValueError that says what is wrong."""

import datetime
from typing import Any


def string(field: str, value: Any) -> str:
    """The value as a string that UTF-8 can spell; bytes are decoded."""
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


def microseconds(field: str, value: Any) -> int:
    """Microseconds since 1970 (UTC) of a date, a datetime, Unix seconds, or either of them as text.

    A date or datetime without a zone is taken as UTC.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = datetime.datetime.fromisoformat(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            rounded = round(value * 1_000_000)
            if -(2**63) < rounded < 2**63:  # what Arrow's timestamps hold
                return rounded
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        if isinstance(value, datetime.datetime):
            if value.tzinfo is None:
                value = value.replace(tzinfo=datetime.UTC)
            seconds: float = value.timestamp()
            return round(seconds * 1_000_000)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"field {field!r} is {value!r}; needed is a timestamp, ISO 8601 or Unix seconds")
