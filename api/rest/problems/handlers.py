"""What turns an exception into a problem document."""

import errno
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import kombu.exceptions
import redis.exceptions
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.rest.problems.documents import ProblemError, ProblemItem, problem_response
from api.rest.problems.kinds import KIND_OF_STATUS
from pingti.errors import Fault, PingtiError
from pingti.files import disk_is_full
from pingti.validation import causes, faults_of, sentence

AWAY = "The broker (Valkey or Redis) does not answer"
_NOT_KNOWN = "whether this was carried out is not known: look before you send it again."
_log = logging.getLogger(__name__)

_BROKER_ERRORS: tuple[type[Exception], ...] = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ResponseError,
    kombu.exceptions.OperationalError,
)
# What a server that is there says first when it does not do what it is asked, and what that means.
_REFUSALS = {
    "MISCONF": "it cannot write its append-only file or snapshot; look at its disk and its log",
    "READONLY": "it is a replica, which takes no writes",
    "OOM": "it has used all the memory that its maxmemory allows",
    "LOADING": "it is still loading its data",
    "BUSY": "a script of somebody else's keeps it busy",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "NOREPLICAS": "it has fewer replicas than its settings ask for",
    "CLUSTERDOWN": "its cluster is down",
    "NOAUTH": "it asks for a password, which PINGTI_REDIS_URL must hold",
    "WRONGPASS": "the password in PINGTI_REDIS_URL is wrong or missing",
    "NOPERM": "the user in PINGTI_REDIS_URL may not do this",
}
_BY_TYPE: tuple[tuple[type[Exception], str], ...] = (  # redis-py takes the first word away
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.MasterDownError, "MASTERDOWN"),
    (redis.exceptions.ClusterDownError, "CLUSTERDOWN"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.AuthenticationError, "WRONGPASS"),
)
_UNREAD = "There was an error parsing the body"
"""What FastAPI says of a body that raises anything else than a fault of JSON's grammar."""


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""
    app.add_exception_handler(PingtiError, _pingti_error)
    app.add_exception_handler(ProblemError, _problem_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OSError, _os_error)
    for broker_error in _BROKER_ERRORS:
        app.add_exception_handler(broker_error, _broker_error)
    app.add_exception_handler(Exception, _unknown_error)


def _pingti_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PingtiError)
    # A fault of a file lies in no request: the caller can point at nothing that they sent.
    items = [
        ProblemItem(pointer=f"#{fault.pointer}", detail=fault.detail)
        for fault in error.faults
        if fault.pointer is not None and fault.file is None
    ]
    if error.http_status >= 500:
        _log.error("%s: %s", type(error).__name__, error)
    return problem_response(error.kind, str(error), items, status=error.http_status)


def _problem_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error.kind, str(error), error.errors, headers=error.headers)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = causes(error.errors())
    whole_body = any(entry["loc"] == ("body",) and entry["type"] != "json_invalid" for entry in errors)
    if whole_body and not _is_json(request):
        given = request.headers.get("content-type", "none")
        return problem_response(
            "unsupported-media-type", f"The body's Content-Type is {given}; allowed is application/json."
        )
    items = [_item(entry) for entry in errors]
    faults = [Fault(detail=item.detail) for item in items]
    detail = sentence(faults, lambda _: items[0].pointer or items[0].parameter or "")
    return problem_response("invalid-input", detail, items)


def _item(entry: Mapping[str, Any]) -> ProblemItem:
    """One of the errors that FastAPI lists: its location begins with the part of the request."""
    where, *place = entry["loc"]
    if where == "body" and entry["type"] == "json_invalid":
        reason = entry.get("ctx", {}).get("error", "")
        return ProblemItem(detail=f"not JSON at character {place[0]}: {reason}", pointer="#")
    (fault,) = faults_of([{**entry, "loc": tuple(place)}])
    if where == "body":
        return ProblemItem(detail=fault.detail, pointer=f"#{fault.pointer}")
    return ProblemItem(detail=fault.detail, parameter=".".join(map(str, place)))


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 400 and detail == _UNREAD:
        detail = (
            "The body is no JSON: it is not UTF-8, nested too deeply, or holds a number of too many digits."
        )
    if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"There is nothing at {request.url.path}."
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # A route knows its own methods alone; the header must name those of all routes of the path.
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        detail = f"{request.url.path} does not take {request.method}, but {headers['Allow']}."
    kind = KIND_OF_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "bad-request")
    return problem_response(kind, detail, status=error.status_code, headers=headers)


def _methods(request: Request) -> set[str]:
    routes = iter_route_contexts(request.app.routes)
    matching = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in matching for method in route.methods or ()}


def refusal_of(error: Exception) -> str:
    """Why a broker that answers does not do what it is asked: "The broker refuses (OOM): ..."; else ""."""
    code = next((code for kind, code in _BY_TYPE if isinstance(error, kind)), "")
    if not code and isinstance(error, redis.exceptions.ResponseError):
        code = next((word for word in re.findall(r"[A-Z]{3,}", str(error)) if word in _REFUSALS), "")
    return f"The broker (Valkey or Redis) refuses ({code}): {_REFUSALS[code]}" if code else ""


def full_disk(home: Path) -> str:
    """What is added where a broker is away: the embedded one ends when the workspace's disk is full."""
    return f": the disk of the workspace {home} is full" if disk_is_full(home) else ""


def _broker_error(request: Request, error: Exception) -> Response:
    refusal = refusal_of(error)
    if refusal:
        _log.warning("the broker refuses: %s", error)
        return problem_response("unavailable", f"{refusal}. Nothing was changed.")
    if isinstance(error, redis.exceptions.ResponseError):  # a fault of ours
        raise error
    _log.warning("the broker does not answer: %s", error)
    changes = request.method not in ("GET", "HEAD")
    away = f"{AWAY}{full_disk(request.app.state.services.settings.home)}"
    return problem_response("unavailable", f"{away}; {_NOT_KNOWN}" if changes else f"{away}.")


def _os_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        _log.error("%s %s: %s", request.method, request.url.path, error)
        return problem_response("no-space", "The server's disk is full; nothing was stored.")
    raise error


def _unknown_error(request: Request, error: Exception) -> Response:
    # Starlette raises the error again afterwards, so that the server's log has its traceback.
    return problem_response("internal", f"{request.method} {request.url.path} failed inside the server.")
