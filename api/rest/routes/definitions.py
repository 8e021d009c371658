"""Definitions of label tasks over REST: read, made, changed. An admin's work."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.keys import Caller
from api.rest import problems
from api.rest.bounds.definition_text import refuse_unbounded
from api.rest.definition_toml import write_toml
from api.rest.dependencies import CurrentCaller, CurrentServices, Services
from api.rest.problems import ProblemError, ProblemItem
from api.rest.routes.tasks import NO_TASK, TaskName, task_out
from api.rest.schemas.values import whole_text
from pingti.checks import check_task
from pingti.corpus.reader import expand
from pingti.errors import InputError, PingtiError, json_pointer
from pingti.http.outbound import Outbound
from pingti.rest_models import TaskOut
from pingti.task_models import DefinitionOut
from pingti.workspace import definition
from pingti.workspace.definition import Definition
from queue_worker.settings import Settings

router = APIRouter(prefix="/v1/tasks/{name}/definition", tags=["tasks"])


_LOOK_SECONDS = 5.0
_PATTERNS = (("corpus", "files"), ("teacher", "answers"))
_TOML = ("application/toml", "text/toml", "text/x-toml")
_TOML_EXAMPLE = """classes = ["no", "yes"]
[corpus]
files = ["../history/*.parquet"]
[teacher]
model = "../models/praise-bert"
"""
_JSON_EXAMPLE = {
    "classes": ["no", "yes"],
    "corpus": {"files": ["../history/*.parquet"], "text": "text", "time": "created_at"},
    "teacher": {"model": "../models/praise-bert"},
    "gate": {"precision": 0.9, "recall": 0.9},
    "retrain": {"at": "02:00"},
}


@router.get(
    "",
    summary="Read a task's definition",
    responses=problems.responses(**NO_TASK, invalid_definition="classes: this key is missing"),
)
def get_definition(services: CurrentServices, name: TaskName) -> DefinitionOut:
    """The file as its owner wrote it, and what it says with all defaults filled in."""
    entry = services.workspace.task(name)
    document = entry.definition.model_dump(mode="json", by_alias=True, exclude_none=True)
    return DefinitionOut(toml=entry.path.read_text(encoding="utf-8"), definition=document)


@router.put(
    "",
    summary="Make a task, or change its definition",
    response_model=TaskOut,
    responses={
        200: {"description": "Changed.", "model": TaskOut},
        201: {"description": "Made.", "model": TaskOut},
        204: {"description": "With validate_only: it would be stored."},
        **problems.responses(
            bad_request="There was an error parsing the body",
            too_large="The body is larger than the limit of 1,048,576 bytes.",
            unsupported_media_type="The body's Content-Type is text/csv; allowed are application/json and "
            "application/toml.",
            no_space="The server's disk is full; nothing was stored.",
            invalid_input="#/corpus/files/0: '/etc/*.csv' is not below an allowed folder (/srv/pingti).",
            invalid_definition="task 'A b': not a name; allowed are a-z, 0-9 and _, a letter first",
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Definition"},
                    "example": _JSON_EXAMPLE,
                },
                "application/toml": {"schema": {"type": "string"}, "example": _TOML_EXAMPLE},
            },
        }
    },
)
async def put_definition(
    request: Request,
    response: Response,
    services: CurrentServices,
    who: CurrentCaller,
    name: TaskName,
    validate_only: Annotated[bool, Query(description="Check everything, store nothing.")] = False,
) -> Any:
    """A definition as TOML, or the same as JSON. JSON changes the file that is there: its comments stay.

    Its files, and the teacher's folder, must lie below the folders that the server's settings allow; what
    lies elsewhere is for the command line on the server itself. All that it names is looked at, as ``pingti
    task add`` does: files and their columns, labels, the tasks that it depends on, the teacher's folder. What
    is wrong is told at once, each with its place.
    """
    media_type = request.headers.get("content-type", "none").partition(";")[0].strip().lower()
    if media_type not in ("application/json", *_TOML):
        raise ProblemError(
            "unsupported-media-type",
            f"The body's Content-Type is {media_type}; allowed are application/json and application/toml.",
        )
    body = await request.body()
    return await run_in_threadpool(_put, services, who, response, name, body, media_type, validate_only)


def _put(
    services: Services, who: Caller, response: Response, name: str, body: bytes, media_type: str, dry: bool
) -> Response | TaskOut:
    definition.check_name(name)
    text, parsed = _parsed(body, media_type)
    refusals = list(_refusals(parsed, services.settings, services.workspace.tasks))
    if refusals:
        raise ProblemError("invalid-input", f"{refusals[0].pointer}: {refusals[0].detail}", refusals)
    check_task(name, parsed, services.workspace, "#")
    new = name not in services.workspace.task_names()
    if text is None:
        before = "" if new else _read_text(services.workspace.task(name).path)
        text = write_toml(parsed.model_dump(mode="json", by_alias=True, exclude_unset=True), over=before)
    if dry:
        return Response(status_code=204)
    entry = services.workspace.add_task(name, text)
    entry.record(
        "defined", entry.current() or 0, who=who.name, why="made over REST" if new else "changed over REST"
    )
    response.status_code = 201 if new else 200
    return task_out(entry)


def _read_text(path: FilePath) -> str:
    """A file's text, as far as it is text: a damaged definition may be replaced."""
    return path.read_bytes().decode("utf-8", "replace")


def _parsed(body: bytes, media_type: str) -> tuple[str | None, Definition]:
    """The body itself where it is TOML, and what it says."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError("bad-request", f"The body is not UTF-8 (byte {error.start}).") from error
    refuse_unbounded(text)
    if media_type in _TOML:
        return text, definition.parse(text, "#")
    try:
        whole_text(json.loads(text, parse_constant=_no_constant))
        # The same rules as for the file; here each error has its place in the body.
        return None, Definition.model_validate_json(text, strict=True)
    except ValidationError as error:
        errors = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors(include_url=False)]
        raise RequestValidationError(errors) from error
    except (ValueError, RecursionError) as error:
        reason = str(error) or "nested too deeply"
        raise ProblemError(
            "invalid-input",
            f"#: not JSON: {reason}",
            [ProblemItem(pointer="#", detail=f"not JSON: {reason}")],
        ) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refusals(parsed: Definition, settings: Settings, folder: FilePath) -> Iterator[ProblemItem]:
    """What a caller over REST may not name: files outside the allowed folders, private addresses."""
    for place, path in parsed.paths.items():  # the name of a hub's model may be a folder's, too
        refusal = _outside(path, settings, folder, pattern=place[:-1] in _PATTERNS)
        if refusal:
            yield ProblemItem(pointer=f"#{json_pointer(place)}", detail=refusal)
    endpoint = parsed.teacher.endpoint
    url = None if endpoint is None else endpoint.url
    addresses = {"#/watch/callback": parsed.watch.callback, "#/teacher/endpoint/url": url}
    out = Outbound(private_networks=settings.private_networks, seconds=_LOOK_SECONDS)
    for pointer, address in addresses.items():
        if address is None:
            continue
        try:
            out.check(address)
        except PingtiError as error:
            yield ProblemItem(pointer=pointer, detail=str(error))


def _outside(given: str, settings: Settings, folder: FilePath, *, pattern: bool = False) -> str | None:
    """Why a path may not be named; None where it may. What it matches now is looked at as well."""
    refusal = f"{given[:200]!r} is not below an allowed folder ({settings.roots_text()})"
    if "://" in given or "\0" in given or given.startswith("~"):  # a home folder, to some readers
        return refusal
    try:
        fixed = given
        if pattern:
            parts = FilePath(given).parts
            fixed = str(FilePath(*_before(parts)))
            if ".." in parts[len(_before(parts)) :]:
                return refusal
        named = [folder / fixed]
        if pattern:
            with contextlib.suppress(InputError):  # nothing there yet
                named += map(FilePath, expand(given, folder))
        allowed = (*settings.real_roots(), folder.resolve())
        inside = all(any(path.resolve().is_relative_to(root) for root in allowed) for path in named)
    except (OSError, RuntimeError, ValueError):
        return refusal
    return None if inside else refusal


def _before(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of a path before its first wildcard."""
    for number, part in enumerate(parts):
        if any(character in part for character in "*?["):
            return parts[:number]
    return parts
