"""Errors as RFC 9457 problem documents: the one place that turns an exception into an HTTP answer.

``type`` is ``/problems#<kind>``, a page that this server answers itself. Where a request's body is at fault,
``errors[]`` carries a JSON pointer into it, written as a URI fragment as in RFC 9457, section 3
(``#/inputs/0``); for a query, path or header value it carries the ``parameter``'s name.
"""

import errno
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from typing import Any

import kombu.exceptions
import redis.exceptions
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pingti.errors import InputError, PingtiError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
_PLACE = re.compile(r"([a-z]+)\[(\d+)\]: (.+)", re.DOTALL)
_AWAY = "The broker (Valkey or Redis) does not answer"
_NOT_KNOWN = "whether this was carried out is not known: look before you send it again."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One type of problem: its HTTP status, its title and what it means to the caller."""

    status: int
    title: str
    meaning: str


KINDS: Mapping[str, Kind] = {
    "bad-request": Kind(
        status=400, title="The request cannot be read", meaning="Its body or its headers are malformed."
    ),
    "unauthorized": Kind(
        status=401,
        title="A key is needed",
        meaning="Send a key as Authorization: Bearer KEY; pingti keys add makes one.",
    ),
    "forbidden": Kind(
        status=403,
        title="Not allowed",
        meaning="The key's role (read, submit, admin) does not reach so far, or the job or file is another "
        "key's. Without any key the server answers requests to its loopback name alone; a page of another "
        "site may change nothing.",
    ),
    "not-found": Kind(
        status=404,
        title="There is no such thing here",
        meaning="The path, or the job, task, version or file that it names, does not exist.",
    ),
    "method-not-allowed": Kind(
        status=405,
        title="The path does not take this method",
        meaning="The Allow header lists those it takes.",
    ),
    "conflict": Kind(
        status=409,
        title="The present state does not allow this",
        meaning="Such as results of a job that still runs, or a task without a promoted student.",
    ),
    "gate-not-reached": Kind(
        status=409,
        title="The student falls short of its gate",
        meaning="Its holdout figures are in the report.",
    ),
    "too-large": Kind(
        status=413, title="The body is too large", meaning="The detail names the limit in bytes."
    ),
    "unsupported-media-type": Kind(
        status=415,
        title="The body's type is not taken",
        meaning="Jobs are application/json, files are multipart/form-data.",
    ),
    "range-not-satisfiable": Kind(
        status=416,
        title="The range is behind the end",
        meaning="Content-Range tells the file's size.",
    ),
    "invalid-input": Kind(
        status=422,
        title="The input cannot be used",
        meaning="errors[] names what is wrong: a pointer into the body, or a parameter.",
    ),
    "invalid-definition": Kind(
        status=422,
        title="The task's definition is wrong",
        meaning="The detail names the file, key and limits.",
    ),
    "too-many": Kind(
        status=429,
        title="Too much at once",
        meaning="A limit of the key on unfinished jobs, rows or stored bytes is reached, or too many wrong "
        "keys came from this address. Try again after Retry-After seconds.",
    ),
    "internal": Kind(
        status=500, title="Pingti failed", meaning="A fault of the server; its log has the details."
    ),
    "damaged-artifact": Kind(
        status=500,
        title="A stored file is damaged or too new",
        meaning="A student, report or cache in the workspace cannot be read.",
    ),
    "unavailable": Kind(
        status=503,
        title="Something that is needed does not answer",
        meaning="The broker or a worker cannot be reached now; try again after Retry-After seconds.",
    ),
    "no-space": Kind(
        status=507,
        title="The server's disk is full",
        meaning="Nothing was stored; delete files or jobs, or tell the operator.",
    ),
}

_KIND_OF_STATUS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
    429: "too-many",
    503: "unavailable",
    507: "no-space",
}

_BROKER_ERRORS: tuple[type[Exception], ...] = (
    redis.exceptions.ConnectionError,  # also: still loading its file, wrong password
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    kombu.exceptions.OperationalError,
)


class ProblemItem(BaseModel):
    """One fault among several: where it is and what is wrong there."""

    model_config = ConfigDict(frozen=True)

    detail: str = Field(description="What is wrong and what is allowed.")
    pointer: str | None = Field(
        default=None, description="JSON pointer into the body, as a URI fragment.", examples=["#/tasks/1"]
    )
    parameter: str | None = Field(default=None, description="Name of the query, path or header parameter.")


class Problem(BaseModel):
    """RFC 9457 problem document."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="URI reference of the kind of problem; its page explains it.")
    title: str = Field(description="Short name of the kind of problem.")
    status: int = Field(description="The HTTP status code.")
    detail: str = Field(description="One sentence about this occurrence.")
    errors: tuple[ProblemItem, ...] | None = Field(
        default=None, description="The single faults, where known."
    )


class ProblemError(Exception):
    """A problem of the door itself (not of the rooms behind it), raised by a route."""

    def __init__(
        self,
        kind: str,
        detail: str,
        errors: Sequence[ProblemItem] = (),
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def problem_response(
    kind: str,
    detail: str,
    errors: Sequence[ProblemItem] = (),
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """``more``: members beyond those of every problem (RFC 9457, section 3.2)."""
    known = KINDS.get(kind)
    status = status or (known.status if known else 500)
    document: dict[str, Any] = {
        "type": f"/problems#{kind}",
        "title": known.title if known else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(more or {}),
    }
    if errors:
        document["errors"] = [item.model_dump(exclude_none=True) for item in errors]
    all_headers = dict(headers or {})
    if status == 401:
        all_headers["WWW-Authenticate"] = 'Bearer realm="pingti"'
    if status == 503:
        all_headers["Retry-After"] = str(RETRY_AFTER_S)
    # backslashreplace: a lone surrogate of the caller's own text becomes its JSON escape, not a crash.
    content = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(content, status, headers=all_headers, media_type=MEDIA_TYPE)


def _pointer(parts: Sequence[str | int]) -> str:
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _pingti_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PingtiError)
    items: list[ProblemItem] = []
    # submit says where in the request: "inputs[0]: ..." becomes the pointer #/inputs/0.
    place = _PLACE.match(str(error)) if isinstance(error, InputError) else None
    if place is not None:
        items.append(ProblemItem(pointer=_pointer([place[1], place[2]]), detail=place[3]))
    if error.http_status >= 500:
        _log.error("%s: %s", type(error).__name__, error)
    return problem_response(error.kind, str(error), items, status=error.http_status)


def _problem_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error.kind, str(error), error.errors, headers=error.headers)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    items: list[ProblemItem] = []
    for fault in error.errors():
        where, *rest = fault["loc"]
        if where != "body":
            name = ".".join(map(str, rest))
            items.append(ProblemItem(detail=_said(fault), parameter=name))
        elif fault["type"] == "json_invalid":
            reason = fault.get("ctx", {}).get("error", "")
            items.append(ProblemItem(detail=f"not JSON at character {rest[0]}: {reason}", pointer="#"))
        elif not rest and not _says_json(request):
            given = request.headers.get("content-type", "none")
            return problem_response(
                "unsupported-media-type", f"The body's Content-Type is {given}; allowed is application/json."
            )
        else:
            items.append(ProblemItem(detail=_said(fault), pointer=_pointer(rest)))
    first = items[0]
    place = first.pointer or first.parameter
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    return problem_response("invalid-input", f"{place}: {first.detail}{more}", items)


def _said(fault: Mapping[str, Any]) -> str:
    """A fault of a request in words that do not ask for knowledge of Python."""
    given = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "this is needed"
        case "extra_forbidden":
            return "there is no such field"
        case "too_short":
            return f"needed is a list of at least {given['min_length']}"
        case "tuple_type":
            return "needed is a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "needed is an object"
        case _:
            return str(fault["msg"]).removeprefix("Value error, ")


def _says_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404 and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"There is nothing at {request.url.path}."
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # A route knows its own methods alone; the header must name those of all routes of the path.
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        detail = f"{request.url.path} does not take {request.method}, but {headers['Allow']}."
    kind = _KIND_OF_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "bad-request")
    return problem_response(kind, detail, status=error.status_code, headers=headers)


def _methods(request: Request) -> set[str]:
    routes = iter_route_contexts(request.app.routes)
    matching = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in matching for method in route.methods or ()}


def _broker_error(request: Request, error: Exception) -> Response:
    _log.warning("the broker does not answer: %s", error)
    changes = request.method not in ("GET", "HEAD")
    return problem_response("unavailable", f"{_AWAY}; {_NOT_KNOWN}" if changes else f"{_AWAY}.")


def _os_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        _log.error("%s %s: %s", request.method, request.url.path, error)
        return problem_response("no-space", "The server's disk is full; nothing was stored.")
    raise error


def _unknown_error(request: Request, error: Exception) -> Response:
    # Starlette raises the error again afterwards, so that the server's log has its traceback.
    return problem_response("internal", f"{request.method} {request.url.path} failed inside the server.")


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


def responses(**examples: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for a route's problems: kind (underscores for hyphens) = the detail of its example."""
    entries: dict[int | str, dict[str, Any]] = {}
    for name, detail in examples.items():
        kind = name.replace("_", "-")
        status = KINDS[kind].status
        entry = entries.setdefault(
            status,
            {
                "description": KINDS[kind].title,
                "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}},
            },
        )
        value = {
            "type": f"/problems#{kind}",
            "title": KINDS[kind].title,
            "status": status,
            "detail": detail,
        }
        entry["content"][MEDIA_TYPE]["examples"][kind] = {"value": value}
    return entries


BROKER = {"unavailable": f"{_AWAY}."}
RANGE = {"range_not_satisfiable": "The file has 1,024 bytes; the range 'bytes=2048-' is not in it."}
_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def page() -> str:
    """The HTML page behind every problem's ``type``."""
    rows = "".join(
        f'<section id="{kind}"><h2>{escape(entry.title)}</h2>'
        f"<p><code>{kind}</code>, HTTP {entry.status}. {escape(entry.meaning)}</p></section>"
        for kind, entry in KINDS.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Problems · Pingti</title>'
        f'<link rel="stylesheet" href="/static/pingti.css"></head><body><main class="text">'
        f"<h1>Problems that Pingti reports</h1>{rows}</main></body></html>"
    )
