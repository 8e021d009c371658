"""Values that request bodies and answers have in common."""

import json
from datetime import UTC, datetime
from typing import Any


def whole_text(value: Any) -> Any:
    """Check the text of a request's body before it is read: pydantic's BeforeValidator.

    JSON may hold half of a surrogate pair, which no file and no database takes.

    Raises:
        ValueError: it does.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair (\\ud800 to \\udfff); it is no text") from None
    except TypeError:
        pass  # bytes, no JSON at all: whoever comes next says so
    return value


def utc(seconds: float) -> datetime:
    """The moment of Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC)
