"""Every error that Pingti raises on purpose.

    PingtiError                 exit 1, HTTP 500
    ├── InputError              exit 2, HTTP 422   a file, row, key or field that cannot be used
    │   ├── DefinitionError                        a label task's definition
    │   └── ArtifactError       exit 1, HTTP 500   a student, report or cache that is damaged or too new
    ├── NotFoundError           exit 3, HTTP 404   a task, version or job that is not there
    ├── ConflictError           exit 4, HTTP 409   a move that the present state does not allow
    ├── GateError               exit 5, HTTP 409   a student that falls short of its gate
    └── UnavailableError        exit 6, HTTP 503   a server, a worker or an optional package that is missing

A message is one sentence that names the thing, what is wrong with it and what is allowed. Where it is stands
beside it as data (``Fault``), so that nobody has to read it out of a sentence. The doors (command line, REST)
map an error by its class attributes and its faults alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong, and where."""

    detail: str
    """What is wrong and what is allowed, without the place."""
    pointer: str | None = None
    """JSON pointer (RFC 6901) into a request's body or a definition, such as ``/inputs/0``."""
    file: str | None = None
    row: int | None = None
    """Row of the file, from 0; or line, from 1, where the file has lines of its own."""


def json_pointer(parts: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a place: ``/teacher/map`` of ("teacher", "map")."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


class PingtiError(Exception):
    """Root of the hierarchy. ``kind`` names the error in problem documents."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"

    def __init__(self, message: str = "", *, faults: Sequence[Fault] = ()) -> None:
        """``message``: the sentence; ``faults``: what is wrong, and where, as far as it is known."""
        super().__init__(message)
        self.faults = tuple(faults)

    @classmethod
    def in_file(cls, file: str | Path, detail: str, *, line: int | None = None) -> Self:
        """The error of a file: "FILE: line 3: DETAIL", with the same as its fault.

        Args:
            file: its path or address.
            detail: what is wrong and what is allowed.
            line: where in the file, from 1; absent where that is all of it.
        """
        place = f"{file}: " if line is None else f"{file}: line {line}: "
        return cls(place + detail, faults=[Fault(detail=detail, file=str(file), row=line)])


class InputError(PingtiError):
    """A file, row, key or field that cannot be used."""

    exit_code = 2
    http_status = 422
    kind = "invalid-input"


class DefinitionError(InputError):
    """A label task's definition that is not allowed."""

    kind = "invalid-definition"


class ArtifactError(InputError):
    """A student, report or cache that is damaged or too new."""

    exit_code = 1
    http_status = 500
    kind = "damaged-artifact"


class NotFoundError(PingtiError):
    """A task, version or job that is not there."""

    exit_code = 3
    http_status = 404
    kind = "not-found"


class ConflictError(PingtiError):
    """A move that the present state does not allow."""

    exit_code = 4
    http_status = 409
    kind = "conflict"


class GateError(PingtiError):
    """A student that falls short of its gate."""

    exit_code = 5
    http_status = 409
    kind = "gate-not-reached"


class UnavailableError(PingtiError):
    """A server, a worker or an optional package that is missing."""

    exit_code = 6
    http_status = 503
    kind = "unavailable"
