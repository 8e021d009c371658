"""Health, queue depth, and the pages for people."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from api import problems
from api.schemas import AliveOut, QueueLevelOut, QueueOut, ReadyOut
from api.services import Services, services
from pingti import __version__

STATIC = Path(__file__).parent / "static"

router = APIRouter()
v1 = APIRouter(prefix="/v1")
pages = APIRouter(include_in_schema=False)

Room = Annotated[Services, Depends(services)]


@router.get("/healthz", tags=["health"], summary="Is the server alive?")
async def healthz() -> AliveOut:
    """Answers as long as the process does; it asks nothing else."""
    return AliveOut(status="alive", version=__version__)


@router.get(
    "/readyz",
    tags=["health"],
    summary="Would a job run now?",
    response_model=ReadyOut,
    responses={503: {"description": "Not ready; the body says what is missing.", "model": ReadyOut}},
)
def readyz(room: Room) -> JSONResponse:
    """Ready means: the broker answers, and a worker consumes the classify queue."""
    answer = room.look()
    return JSONResponse(answer.model_dump(), 200 if answer.ready else 503)


@v1.get(
    "/queue",
    tags=["jobs"],
    summary="Queue depth by priority",
    responses=problems.responses(
        unavailable="The broker (Valkey or Redis) does not answer; nothing was accepted or changed.",
    ),
)
def get_queue(room: Room) -> QueueOut:
    """How much waits at each priority, 0 (first) to 9."""
    return QueueOut(
        levels=tuple(QueueLevelOut(priority=level, waiting=n) for level, n in enumerate(room.store.waiting()))
    )


@pages.get("/")
async def dashboard() -> FileResponse:
    return FileResponse(STATIC / "index.html")


@pages.get("/docs")
async def docs() -> FileResponse:
    return FileResponse(STATIC / "docs.html")


@pages.get("/problems")
async def problem_kinds() -> HTMLResponse:
    return HTMLResponse(problems.page())
