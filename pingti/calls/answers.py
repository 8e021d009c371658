"""The errors that a service's answers stand for: Pingti's own, and those that only a client meets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import httpx

from pingti.errors import (
    ConflictError,
    Fault,
    GateError,
    InputError,
    NotFoundError,
    PingtiError,
    UnavailableError,
)
from pingti.rest_models import JobOut

_SHOWN = 20  # characters on both sides of one that cannot be sent


class DeniedError(PingtiError):
    """The key is wrong, or its role does not reach so far."""

    exit_code: ClassVar[int] = 2
    kind: ClassVar[str] = "forbidden"
    http_status: ClassVar[int] = 403


class LimitError(PingtiError):
    """A limit of the key is reached; ``retry_after`` says in how many seconds to come again."""

    exit_code: ClassVar[int] = 4
    kind: ClassVar[str] = "too-many"
    http_status: ClassVar[int] = 429

    def __init__(self, message: str, retry_after: float) -> None:
        """``retry_after``: seconds."""
        super().__init__(message)
        self.retry_after = retry_after


class JobFailedError(PingtiError):
    """The job that was waited for failed or was cancelled; ``job`` is its last state."""

    kind: ClassVar[str] = "job-failed"

    def __init__(self, job: JobOut) -> None:
        super().__init__(f"job {job.id} is {job.status}" + (f": {job.error}" if job.error else ""))
        self.job = job


_ERRORS: Mapping[int, type[PingtiError]] = {
    400: InputError,
    404: NotFoundError,
    405: InputError,
    409: ConflictError,
    413: InputError,
    415: InputError,
    416: InputError,
    422: InputError,
    503: UnavailableError,
    507: UnavailableError,
}


def unsendable(error: UnicodeEncodeError) -> InputError:
    """The error of a value that a request cannot hold."""
    value = error.object[max(0, error.start - _SHOWN) : error.end + _SHOWN]
    needed = "letters of ASCII" if error.encoding == "ascii" else "text that UTF-8 can spell"
    return InputError(f"{value!r} cannot be sent: needed is {needed}")


def error_of(answer: httpx.Response) -> PingtiError:
    """The error that an answer stands for, which is no success."""
    if answer.has_redirect_location:  # not followed: a key goes to nobody but who was named
        place = answer.headers["location"]
        return InputError(f"{answer.request.url} redirects to {place}; give the service's own address")
    try:
        problem = answer.json()
        message, kind = str(problem["detail"]), str(problem["type"])
        faults = [_fault(item) for item in problem.get("errors", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        message, kind, faults = f"{answer.request.url}: HTTP {answer.status_code}", "", []
    if answer.status_code == 401:
        sent = "authorization" in answer.request.headers
        known = "the key that was sent is none of its keys" if sent else "PINGTI_API_KEY or --key gives it"
        return DeniedError(f"{message.rstrip('.')}; {known}")
    if answer.status_code == 403:
        return DeniedError(message)
    if answer.status_code == 429:
        seconds = answer.headers.get("retry-after", "1")
        return LimitError(message, float(seconds) if seconds.isdigit() else 1.0)
    if kind.endswith("#gate-not-reached"):
        return GateError(message)
    return _ERRORS.get(answer.status_code, PingtiError)(message, faults=faults)


def _fault(item: Mapping[str, Any]) -> Fault:
    """One of a problem's errors; its pointer is a URI fragment there (RFC 9457, section 3)."""
    pointer = item.get("pointer")
    return Fault(
        detail=str(item["detail"]), pointer=None if pointer is None else str(pointer).removeprefix("#")
    )
