"""Health, metrics, queue and workers, who asks, and the pages for people."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Security
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from api.rest import metrics, problems
from api.rest.bounds.store_threads import in_store_threads
from api.rest.dependencies import SILENT_SECONDS, CurrentCaller, CurrentServices, Services
from api.rest.middleware import BEARER
from api.rest.routes.languages import preferred
from api.rest.routes.tasks import NO_TASK, TaskName
from api.rest.schemas.drift import AgreementOut
from api.rest.schemas.service import (
    AliveOut,
    MeOut,
    QueueLevelOut,
    QueueOut,
    ReadyOut,
    WorkerListOut,
    WorkerOut,
)
from pingti import __version__
from queue_worker.retraining.drift import agreement, alarms

STATIC = Path(__file__).parents[2] / "dashboard"

router = APIRouter()
v1 = APIRouter(prefix="/v1")
pages = APIRouter(include_in_schema=False)


@router.get("/healthz", tags=["health"], summary="Is the server alive?")
async def healthz() -> AliveOut:
    """Answers as long as the process does; it asks nothing else."""
    return AliveOut(status="alive", version=__version__)


@router.get(
    "/readyz",
    tags=["health"],
    summary="Would a job run now?",
    response_model=ReadyOut,
    responses=problems.responses(unavailable="No worker consumes the classify queue."),
)
@in_store_threads
def readyz(services: CurrentServices) -> Response:
    """Ready means: the broker answers, and a worker consumes the classify queue.

    The problem of one that is not ready has the members of this answer, too.
    """
    answer = services.look()
    if answer.ready:
        return JSONResponse(answer.model_dump())
    detail = answer.broker if answer.broker != "ok" else answer.workers
    return problems.problem_response("unavailable", detail, more=answer.model_dump())


@v1.get(
    "/queue",
    tags=["jobs"],
    summary="Queue depth by priority",
    responses=problems.responses(**problems.BROKER),
)
@in_store_threads
def get_queue(services: CurrentServices) -> QueueOut:
    """How much waits at each priority, 0 (first) to 9, and for how long."""
    return queue_out(services)


def queue_out(services: Services) -> QueueOut:
    """The queue as it is answered."""
    return QueueOut(
        levels=tuple(
            QueueLevelOut(
                priority=depth.priority,
                waiting=depth.units,
                jobs=depth.jobs,
                oldest_seconds=depth.oldest_seconds if depth.units else None,
            )
            for depth in services.store.statistics.depths()
        )
    )


@v1.get(
    "/workers",
    tags=["jobs"],
    summary="Workers and what they do",
    responses=problems.responses(**problems.BROKER),
)
@in_store_threads
def list_workers(services: CurrentServices) -> WorkerListOut:
    """Every worker process that was heard of in the last seconds."""
    loads = services.store.statistics.worker_loads(seconds=SILENT_SECONDS)
    return WorkerListOut(items=tuple(WorkerOut.model_validate(asdict(load)) for load in loads))


@v1.get(
    "/tasks/{name}/agreement",
    tags=["tasks"],
    summary="Student and teacher, day by day",
    responses=problems.responses(**problems.BROKER, **NO_TASK),
)
@in_store_threads
def get_agreement(services: CurrentServices, name: TaskName) -> AgreementOut:
    """How often the student decided as its teacher on rows of real jobs, newest day first; and alarms."""
    services.workspace.task(name)
    client = services.store.client
    return AgreementOut(items=tuple(agreement(client, name)), alarms=tuple(alarms(client, name)))


@v1.get("/me", tags=["health"], summary="Who asks")
def get_me(who: CurrentCaller) -> MeOut:
    """Name and role of the key that was sent; without any key on the server: local, admin."""
    return MeOut(name=who.name, role=who.role)


@router.get(
    "/metrics",
    tags=["health"],
    dependencies=[Security(BEARER)],
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "Text format 0.0.4.", "content": {metrics.MEDIA_TYPE: {}}},
        **problems.responses(
            unauthorized="This server asks for a key: send Authorization: Bearer KEY.",
            forbidden="Host 'x' is not answered without an API key; allowed are loopback names.",
            too_many="Too many wrong keys came from your address; wait before you send another.",
            internal="GET /metrics failed inside the server.",
        ),
    },
)
@in_store_threads
def get_metrics(services: CurrentServices) -> Response:
    """Queue, rows, shards, jobs, workers, agreement. Without a broker: ``pingti_broker_up 0`` and no more."""
    return Response(metrics.text(services), media_type=metrics.MEDIA_TYPE)


@pages.get("/")
async def dashboard() -> FileResponse:
    """The dashboard."""
    return FileResponse(STATIC / "index.html")


@pages.get("/docs")
async def docs() -> FileResponse:
    """The OpenAPI document as a page to read."""
    return FileResponse(STATIC / "docs.html")


@pages.get("/problems")
async def problem_kinds(
    language: Literal["en", "zh"] | None = None,
    accept_language: Annotated[str, Header()] = "",
) -> HTMLResponse:
    """What each kind of problem means, in the language that is asked for, else the browser's."""
    written = language or preferred(accept_language)
    return HTMLResponse(
        problems.page(written), headers={"Content-Language": written, "Vary": "Accept-Language"}
    )
