"""A few texts, any tasks, answered at once."""

import json
from typing import Annotated

from fastapi import APIRouter, Body
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.rest import problems
from api.rest.dependencies import CurrentServices
from api.rest.online_classifier import Online
from api.rest.routes.jobs import tasks_out
from api.rest.schemas.values import whole_text
from pingti.inference.pins import Pin
from pingti.rest_models import ClassifyOut

router = APIRouter(prefix="/v1/classify", tags=["classify"])

_AT_ONCE = 1000  # texts times tasks; fewer are not worth a thread, which costs more than they do
_CHARACTERS_AT_ONCE = 20_000


class ClassifyRequest(BaseModel):
    """Texts and what is asked about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: tuple[str | None, ...] = Field(
        min_length=1,
        max_length=1000,
        description="1 to 1,000 texts; null is no text, and has null for a label and a score.",
    )
    tasks: tuple[str, ...] = Field(
        min_length=1,
        max_length=1000,
        description='Label tasks: "task", or "task@scene" for one of its operating points; each may end in '
        '"#version", else it is the student in use now.',
    )


@router.post(
    "",
    summary="Classify a few texts at once",
    response_model=ClassifyOut,
    responses=problems.responses(
        damaged_artifact="tasks/sport/students/2/student.json: not readable as JSON",
        too_large="The body is larger than the limit of 1,048,576 bytes.",
        unsupported_media_type="The body's Content-Type is text/plain; allowed is application/json.",
        bad_request="There was an error parsing the body",
        invalid_input="#/tasks/0: there is no task spotr.",
    ),
)
async def classify_texts(
    services: CurrentServices,
    request: Annotated[
        ClassifyRequest,
        BeforeValidator(whole_text),
        Body(
            openapi_examples={
                "two texts": {
                    "value": {"texts": ["the match was won", "a new chip"], "tasks": ["sport", "topic@live"]}
                }
            }
        ),
    ],
) -> Response:
    """Decide without a job: for a page that waits for the answer. More than 1,000 texts are a job's work."""
    online = services.online
    size = len(request.texts) * len(request.tasks)
    if size <= _AT_ONCE and sum(len(text or "") for text in request.texts) <= _CHARACTERS_AT_ONCE:
        pins = online.pins(request.tasks)
        if online.ready(pins):
            return _answer(request, online, pins)
    return await run_in_threadpool(lambda: _answer(request, online, online.pins(request.tasks)))


def _answer(request: ClassifyRequest, online: Online, pins: tuple[Pin, ...]) -> Response:
    tasks = [task.model_dump() for task in tasks_out(pins)]
    document = {"tasks": tasks, "results": online.classify(request.texts, pins)}
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Response(content.encode("utf-8", "backslashreplace"), media_type="application/json")
