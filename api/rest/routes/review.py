"""What people do about a task over REST: label unclear rows, and have it trained again."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api.rest import problems
from api.rest.bounds.store_threads import in_store_threads
from api.rest.dependencies import CurrentCaller, CurrentServices
from api.rest.routes.tasks import DAMAGED, NO_TASK, TaskName
from api.rest.schemas.values import utc, whole_text
from pingti.annotation import labels, review_queue
from pingti.errors import Fault, InputError
from pingti.rest_models import RunListOut, RunOut, RunProgressOut
from pingti.task_models import LabelledOut, ReviewOut, ReviewRowOut
from queue_worker.retraining import runs

router = APIRouter(prefix="/v1/tasks/{name}", tags=["tasks"])


_MOST_LABELS = 1000
RunName = Annotated[
    str, Path(description="The id of a retraining, without the task.", examples=["2025-12-02"])
]


class LabelIn(BaseModel):
    """What a person says of a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str | None = Field(default=None, min_length=1, description="The text itself; or its id.")
    id: str | None = Field(default=None, min_length=1, description="Id of the row; or its text.")
    label: str = Field(min_length=1, description="One of the task's classes.")

    @model_validator(mode="after")
    def _named(self) -> "LabelIn":
        if self.text is None and self.id is None:
            raise ValueError("needed is a text or an id")
        return self


class LabelsRequest(BaseModel):
    """Labels of some rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[LabelIn, ...] = Field(min_length=1, max_length=_MOST_LABELS)


@router.get(
    "/review",
    summary="Rows that a person should label",
    responses=problems.responses(**NO_TASK, **DAMAGED, invalid_input="limit: ..."),
)
def get_review(
    services: CurrentServices,
    name: TaskName,
    cursor: Annotated[int, Query(description="next_cursor of the page before.", ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(description="Rows a page.", ge=1, le=100)] = 20,
) -> ReviewOut:
    """Rows on which the teacher itself is unsure, the least clear first; those with a label are left out."""
    entry = services.workspace.task(name)
    rows = review_queue.unlabelled(entry, labels.read(entry))
    items = tuple(
        ReviewRowOut(id=row["id"], text=row["text"], reason=row["reason"], teacher=row["teacher"])
        for row in rows[cursor : cursor + limit]
    )
    after = cursor + limit
    return ReviewOut(items=items, next_cursor=after if after < len(rows) else None, left=len(rows))


@router.post(
    "/labels",
    summary="Give labels",
    responses=problems.responses(
        **NO_TASK,
        **DAMAGED,
        bad_request="There was an error parsing the body",
        too_large="The body is larger than the limit of 1,048,576 bytes.",
        unsupported_media_type="The body's Content-Type is text/plain; allowed is application/json.",
        no_space="The server's disk is full; nothing was stored.",
        invalid_input="#/labels/0: label: 'maybe' is no class; allowed are no, yes",
        invalid_definition="classes: this key is missing",
    ),
)
def post_labels(
    services: CurrentServices,
    who: CurrentCaller,
    name: TaskName,
    request: Annotated[
        LabelsRequest,
        BeforeValidator(whole_text),
        Body(
            openapi_examples={
                "by text": {"value": {"labels": [{"text": "谁在表扬单上呢", "label": "no"}]}},
                "by id": {"value": {"labels": [{"id": "a17", "label": "yes"}]}},
            }
        ),
    ],
) -> LabelledOut:
    """A person's word outranks the teacher's from the next training on. The latest label of a text counts."""
    entry = services.workspace.task(name)
    classes = entry.definition.classes
    for number, label in enumerate(request.labels):
        if label.label not in classes:
            detail = f"label: {label.label!r} is no class; allowed are {', '.join(classes)}"
            fault = Fault(detail=detail, pointer=f"/labels/{number}")
            raise InputError(f"labels[{number}]: {detail}", faults=[fault])
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    records = [
        {**label.model_dump(exclude_none=True), "who": who.name, "when": now} for label in request.labels
    ]
    imported = labels.add_records(entry, ((f"record {n}", record) for n, record in enumerate(records, 1)))
    return LabelledOut(added=imported.added, unchanged=imported.unchanged, bad=imported.bad)


@router.post(
    "/retrain",
    status_code=202,
    summary="Start a retraining",
    response_model=RunOut,
    responses={
        202: {
            "description": "A worker takes it; a run that still waits is answered as it is.",
            "headers": {"Location": {"description": "The task's runs.", "schema": {"type": "string"}}},
        },
        **problems.responses(**problems.BROKER, **NO_TASK),
    },
)
@in_store_threads
def retrain_task(services: CurrentServices, who: CurrentCaller, name: TaskName) -> JSONResponse:
    """Rounds as in the night; the new student is promoted if it passes its gate."""
    services.workspace.task(name)
    run = runs.request_retrain(services.settings, services.store.client, name, who.name)
    headers = {"Location": f"/v1/tasks/{name}/runs"}
    return JSONResponse(run_out(run).model_dump(mode="json"), 202, headers=headers)


@router.get(
    "/runs", summary="A task's retrainings", responses=problems.responses(**problems.BROKER, **NO_TASK)
)
@in_store_threads
def list_runs(services: CurrentServices, name: TaskName) -> RunListOut:
    """The last hundred, newest first, with how far a running one is."""
    services.workspace.task(name)
    return RunListOut(items=tuple(run_out(run) for run in runs.runs(services.store.client, name)))


@router.post(
    "/runs/{run}/cancel",
    summary="Cancel a retraining",
    responses=problems.responses(
        **problems.BROKER,
        not_found="There is no retraining 'sport/2025-12-02'.",
        conflict="Retraining sport/2025-12-02 is promoted; only one under way can be cancelled.",
    ),
)
@in_store_threads
def cancel_run(services: CurrentServices, name: TaskName, run: RunName) -> RunOut:
    """Its process is ended at once; what it has learnt is not used. The teacher's answers are kept."""
    return run_out(runs.cancel_retrain(services.settings, services.store.client, f"{name}/{run}"))


def run_out(run: runs.Run) -> RunOut:
    """A retraining as it is answered."""
    return RunOut(
        id=run.id,
        task=run.task,
        night=run.night,
        who=run.who,
        state=run.state,
        created=utc(run.created),
        started=None if run.started is None else utc(run.started),
        ended=None if run.ended is None else utc(run.ended),
        attempts=run.attempts,
        progress=None if run.progress is None else RunProgressOut(**run.progress.model_dump()),
        version=run.version,
        reason=run.reason,
    )
