"""Every error that Pingti raises on purpose.

    PingtiError                 exit 1, HTTP 500
    ├── InputError              exit 2, HTTP 422   a file, row, key or field that cannot be used
    │   ├── DefinitionError                        a label task's definition
    │   └── ArtifactError       exit 1, HTTP 500   a student, report or cache that is damaged or too new
    ├── NotFoundError           exit 3, HTTP 404   a task, version or job that is not there
    ├── ConflictError           exit 4, HTTP 409   a move that the present state does not allow
    ├── GateError               exit 5, HTTP 409   a student that falls short of its gate
    └── UnavailableError        exit 6, HTTP 503   a server, a worker or an optional package that is missing

A message is one sentence that names the thing, what is wrong with it and what is allowed. The doors
(command line, REST) map an error by its two class attributes alone.
"""

from typing import ClassVar


class PingtiError(Exception):
    """Root of the hierarchy. ``kind`` names the error in problem documents."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"


class InputError(PingtiError):
    exit_code = 2
    http_status = 422
    kind = "invalid-input"


class DefinitionError(InputError):
    kind = "invalid-definition"


class ArtifactError(InputError):
    exit_code = 1
    http_status = 500
    kind = "damaged-artifact"


class NotFoundError(PingtiError):
    exit_code = 3
    http_status = 404
    kind = "not-found"


class ConflictError(PingtiError):
    exit_code = 4
    http_status = 409
    kind = "conflict"


class GateError(PingtiError):
    exit_code = 5
    http_status = 409
    kind = "gate-not-reached"


class UnavailableError(PingtiError):
    exit_code = 6
    http_status = 503
    kind = "unavailable"
