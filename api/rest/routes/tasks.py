"""Label tasks over REST: what there is, which student answers now, and its report."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api.rest import problems
from api.rest.bounds.store_threads import in_store_threads
from api.rest.dependencies import CurrentCaller, CurrentServices
from api.rest.schemas.values import whole_text
from pingti.errors import NotFoundError, PingtiError
from pingti.rest_models import GateOut, MetricsOut, TaskListOut, TaskOut
from pingti.task_models import EventOut, HistoryOut, RoundOut, VersionListOut, VersionOut
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry
from pingti.workspace.report import Report
from pingti.workspace.verdict import LANGUAGES, page_name, verdict
from queue_worker import task_use

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

TaskName = Annotated[str, Path(description="Name of a label task.")]
Version = Annotated[int, Path(description="A student's version, from 1.", ge=1, le=2**31 - 1)]

NO_TASK = {"not_found": "There is no task spotr."}
DAMAGED = {"damaged_artifact": "tasks/sport/students/2/report.json: not readable as JSON"}

# The report brings its own style sheet and pictures inside the page, and nothing else may run or load there.
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)


@router.get("", summary="List tasks")
def list_tasks(services: CurrentServices) -> TaskListOut:
    """All label tasks, by name, each with its current student's figures."""
    return TaskListOut(items=tuple(map(task_out, services.workspace.entries())))


@router.get("/{name}", summary="Look at a task", responses=problems.responses(**NO_TASK))
def get_task(services: CurrentServices, name: TaskName) -> TaskOut:
    """One label task with its current student's figures."""
    return task_out(services.workspace.task(name))


@router.delete(
    "/{name}",
    summary="Remove a task",
    status_code=204,
    responses=problems.responses(
        **problems.BROKER,
        **NO_TASK,
        conflict="Task sport: jobs that have not ended need it: job-019; wait for them or cancel them.",
    ),
)
@in_store_threads
def delete_task(services: CurrentServices, name: TaskName) -> Response:
    """A task goes with its students, history, labels and review queue: all of it, for good.

    Refused where a job or retraining that has not ended needs it, or the definition of another task.
    """
    task_use.remove(services.workspace.task(name), services.store)
    return Response(status_code=204)


@router.get(
    "/{name}/versions/{version}/report",
    summary="Read a student's report",
    responses={
        200: {"description": "Rounds, figures on the holdout, gate, thresholds by operating point."},
        **problems.responses(**NO_TASK, **DAMAGED, invalid_input="version: Input should be a valid integer"),
    },
)
def get_report(services: CurrentServices, name: TaskName, version: Version) -> dict[str, Any]:
    """The report as JSON."""
    return services.workspace.task(name).report(version)


@router.get(
    "/{name}/versions/{version}/report.html",
    summary="Read a student's report as a page",
    response_class=Response,
    responses={
        200: {"description": "A page that stands alone.", "content": {"text/html": {}}},
        **problems.responses(**NO_TASK, **DAMAGED, invalid_input="version: Input should be a valid integer"),
    },
)
def get_report_page(
    services: CurrentServices,
    name: TaskName,
    version: Version,
    language: Annotated[
        Literal["en", "zh"], Query(description="Of the page; students of before have it in English alone.")
    ] = "en",
) -> FileResponse:
    """The report as a page, where the student has one; Content-Language says in which language it is."""
    folder = services.workspace.task(name).student_folder(version)
    for written in (language, LANGUAGES[0]):
        path = folder / page_name(written)
        if path.is_file():
            headers = {"Content-Security-Policy": _REPORT_POLICY, "Content-Language": written}
            return FileResponse(path, media_type="text/html", headers=headers)
    raise NotFoundError(f"Version {version} of task {name} has no report page.")


@router.get("/{name}/versions", summary="A task's students", responses=problems.responses(**NO_TASK))
def list_versions(services: CurrentServices, name: TaskName) -> VersionListOut:
    """Every student with its figures, newest first."""
    entry = services.workspace.task(name)
    current = entry.current()
    items = (_version_out(entry, version, current) for version in reversed(entry.versions()))
    try:
        before = promotion.before_present(entry)
    except PingtiError:  # a damaged history hides no versions
        before = None
    return VersionListOut(items=tuple(items), before=before)


@router.get(
    "/{name}/history", summary="What was done to a task", responses=problems.responses(**NO_TASK, **DAMAGED)
)
def get_history(services: CurrentServices, name: TaskName) -> HistoryOut:
    """Promotions, refusals, roll-backs and changes of the definition: who, when and why; newest first."""
    lines = services.workspace.task(name).history()
    return HistoryOut(items=tuple(EventOut.model_validate(line) for line in reversed(lines)))


class Move(BaseModel):
    """Which version, why, and whether the gate counts."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"version": 2, "why": "fewer misses"}]}
    )

    version: int | None = Field(
        default=None, ge=1, le=2**31 - 1, strict=True, description="See the operation."
    )
    why: str | None = Field(default=None, min_length=1, max_length=500, description="Kept in the history.")
    force: bool = Field(default=False, strict=True, description="Even if it fell short of its gate.")


_MOVE = problems.responses(
    **NO_TASK,
    **DAMAGED,
    conflict="Task sport: no version was promoted before the present one.",
    gate_not_reached="Task sport: version 3: recall 0.86 is below 0.90; force (--force) promotes it.",
    bad_request="There was an error parsing the body",
    too_large="The body is larger than the limit of 1,048,576 bytes.",
    unsupported_media_type="The body's Content-Type is text/plain; allowed is application/json.",
    no_space="The server's disk is full; nothing was stored.",
    invalid_input="#/version: Input should be greater than or equal to 1",
)


@router.post("/{name}/promote", summary="Promote a version", responses=_MOVE)
def promote_version(
    services: CurrentServices,
    who: CurrentCaller,
    name: TaskName,
    move: Annotated[Move, BeforeValidator(whole_text)],
) -> TaskOut:
    """Jobs get this version (the newest where none is named) from now on."""
    entry = services.workspace.task(name)
    version = move.version if move.version is not None else entry.newest()
    promotion.promote(entry, version, who=who.name, why=move.why or "over REST", force=move.force)
    return task_out(entry)


@router.post("/{name}/rollback", summary="Go back to an earlier version", responses=_MOVE)
def roll_back(
    services: CurrentServices,
    who: CurrentCaller,
    name: TaskName,
    move: Annotated[Move, BeforeValidator(whole_text)],
) -> TaskOut:
    """Promote the version before the present one again, or the one that is named."""
    entry = services.workspace.task(name)
    why = move.why or "rolled back over REST"
    promotion.roll_back(entry, move.version, who=who.name, why=why, force=move.force)
    return task_out(entry)


class _Gate(BaseModel):
    passed: bool


class _Report(BaseModel):
    """What the API reads of a report; the rest is handed on as it is."""

    holdout: MetricsOut
    gate: _Gate


class _Version(_Report):
    """The same, and what the list of versions shows."""

    class Round(BaseModel):
        round: int
        holdout: MetricsOut

    class OperatingPoint(BaseModel):
        threshold: float | None = None

    made: datetime | None = None
    rounds: tuple[Round, ...] = ()
    operating_points: dict[str, OperatingPoint] = Field(default={}, alias="scenes")


def _version_out(entry: TaskEntry, version: int, current: int | None) -> VersionOut:
    """A report that is missing or damaged leaves its figures out."""
    try:
        document = entry.report(version)
        report = _Version.model_validate(document)
    except (PingtiError, ValidationError):
        document, report = None, None
    return VersionOut(
        version=version,
        promoted=version == current,
        made=report.made if report else None,
        holdout=report.holdout if report else None,
        gate_passed=report.gate.passed if report else None,
        thresholds={name: point.threshold for name, point in report.operating_points.items()}
        if report
        else {},
        rounds=tuple(
            RoundOut(
                round=turn.round,
                precision=turn.holdout.precision,
                recall=turn.holdout.recall,
                f1=turn.holdout.f1,
            )
            for turn in report.rounds
        )
        if report
        else (),
        report_page=(entry.folder / "students" / str(version) / "report.html").is_file(),
        verdict=_verdict(document),
    )


def _verdict(document: Mapping[str, Any] | None) -> dict[str, str]:
    """In every language; nothing of a report that tells too little."""
    try:
        whole = Report.model_validate(document)
    except ValidationError:
        return {}
    return {language: verdict(whole, language) for language in LANGUAGES}


def task_out(task: TaskEntry) -> TaskOut:
    """What is known of a task; a damaged part is named in ``fault`` and does not hide the other tasks."""
    fault = None
    try:
        definition = task.definition
    except PingtiError as error:
        definition, fault = None, str(error)
    current, report, page = None, None, False
    try:
        current = task.current()
        if current is not None:
            page = (task.student_folder(current) / "report.html").is_file()
            report = _Report.model_validate(task.report(current))
    except PingtiError as error:
        fault = fault or str(error)
    except ValidationError:
        fault = fault or f"task {task.name!r}: the report of version {current} has no holdout or no gate"
    retrain = definition.retrain if definition else None
    return TaskOut(
        name=task.name,
        classes=definition.classes if definition else (),
        priority=definition.priority if definition else None,
        scenes=tuple(definition.operating_points) if definition else (),
        versions=tuple(task.versions()),
        current=current,
        holdout=report.holdout if report else None,
        gate=GateOut(precision=definition.gate.precision, recall=definition.gate.recall)
        if definition
        else None,
        gate_passed=report.gate.passed if report else None,
        report_page=page,
        retrain_at=retrain.at.strftime("%H:%M") if retrain else None,
        fault=fault,
    )
