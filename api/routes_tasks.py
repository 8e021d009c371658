"""Label tasks over REST: what there is, which student answers now, and its report."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ValidationError

from api import problems
from api.schemas import GateOut, MetricsOut, TaskListOut, TaskOut
from api.services import Services, services
from pingti.errors import NotFoundError, PingtiError
from replacement.registry import TaskEntry

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

Room = Annotated[Services, Depends(services)]
TaskName = Annotated[str, Path(description="Name of a label task.", max_length=128)]
Version = Annotated[int, Path(description="A student's version, from 1.", ge=1, le=2**31 - 1)]

_NO_TASK = {"not_found": "There is no task spotr."}
_DAMAGED = {"damaged_artifact": "tasks/sport/students/2/report.json: not readable as JSON"}

# The report brings its own style sheet and pictures inside the page, and nothing else may run or load there.
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)


@router.get("", summary="List tasks")
def list_tasks(room: Room) -> TaskListOut:
    """All label tasks, by name, each with its current student's figures."""
    return TaskListOut(
        items=tuple(task_out(room.workspace.task(name)) for name in room.workspace.task_names())
    )


@router.get("/{name}", summary="Look at a task", responses=problems.responses(**_NO_TASK))
def get_task(room: Room, name: TaskName) -> TaskOut:
    """One label task with its current student's figures."""
    return task_out(room.workspace.task(name))


@router.get(
    "/{name}/versions/{version}/report",
    summary="Read a student's report",
    responses={
        200: {"description": "Rounds, figures on the holdout, gate, thresholds by scene."},
        **problems.responses(
            **_NO_TASK, **_DAMAGED, invalid_input="version: Input should be a valid integer"
        ),
    },
)
def get_report(room: Room, name: TaskName, version: Version) -> dict[str, Any]:
    """The report as JSON."""
    return room.workspace.task(name).report(version)


@router.get(
    "/{name}/versions/{version}/report.html",
    summary="Read a student's report as a page",
    response_class=Response,
    responses={
        200: {"description": "A page that stands alone.", "content": {"text/html": {}}},
        **problems.responses(
            **_NO_TASK, **_DAMAGED, invalid_input="version: Input should be a valid integer"
        ),
    },
)
def get_report_page(room: Room, name: TaskName, version: Version) -> FileResponse:
    """The report as a page, where the student has one."""
    path = room.workspace.task(name).student_folder(version) / "report.html"
    if not path.is_file():
        raise NotFoundError(f"Version {version} of task {name} has no report page.")
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": _REPORT_POLICY})


class _Gate(BaseModel):
    passed: bool


class _Report(BaseModel):
    """What the door reads of a report; the rest is handed on as it is."""

    holdout: MetricsOut
    gate: _Gate


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
        scenes=tuple(definition.all_scenes) if definition else (),
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
