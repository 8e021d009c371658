"""Accept a job: check all of it, fix its student versions, store it durably, then wake a worker."""

import hashlib
import logging
from typing import Annotated

import redis
from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pingti.errors import ConflictError, InputError, NotFoundError
from queue_worker.app import make_celery, publish_tickets
from queue_worker.jobs import Job, JobStore
from queue_worker.settings import Settings
from replacement.classify import Choice, Pin, pin
from replacement.corpus import Columns, check_input
from replacement.registry import Workspace

_log = logging.getLogger(__name__)

_Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]


class JobRequest(BaseModel):
    """What to classify, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[str, ...] = Field(
        min_length=1,
        max_length=1000,
        description="Files (.parquet, .jsonl, .csv, .tsv; the last three also .gz) below the allowed "
        "folders; a relative path counts from the workspace.",
    )
    tasks: tuple[str, ...] = Field(
        min_length=1, max_length=1000, description='Label tasks: "task", or "task@scene".'
    )
    priority: int | None = Field(
        default=None, ge=0, le=9, description="0 runs first; absent: the most urgent of the tasks' own."
    )
    metadata: dict[_Key, _Value] = Field(default_factory=dict, max_length=16, description="Your own notes.")
    text: str = Field(default="text", min_length=1, description="Column of the texts.")
    id: str | None = Field(default=None, description="Column of the ids; absent: the row's number.")


def submit(
    request: JobRequest, settings: Settings, store: JobStore, *, idempotency_key: str | None = None
) -> Job:
    """Accept a job, or return the one that the same key made before.

    Everything is checked first: InputError says where in the request (``inputs[0]: ...``). Of an input
    only what the check needs is read, never the rows. The student versions in use now are fixed.

    The job is on the server's disk before this returns (see ``JobStore.create``): a crash of this
    process, of the server or of the machine does not lose it. Only then is a ticket published; when that
    fails, or the process dies in between, the scheduler publishes one. UnavailableError when the server
    cannot make the job durable.
    """
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= 255:
        raise InputError("an idempotency key must have 1 to 255 characters")
    fingerprint = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
    if idempotency_key is not None:
        known = store.find_idempotent(idempotency_key, fingerprint)
        if known is not None:
            return known

    columns = Columns(text=request.text, id=request.id)
    inputs = [_checked_input(request, index, columns, settings) for index in range(len(request.inputs))]
    workspace = Workspace(settings.home)
    choices, pins = _pinned(request, workspace)
    priority = request.priority
    if priority is None:
        priority = min(workspace.task(choice.task).definition.priority for choice in choices)
    job, new = store.create(
        inputs=inputs,
        columns=columns,
        pins=pins,
        priority=priority,
        metadata=request.metadata,
        settings=settings,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
    )
    if new:
        try:
            publish_tickets(make_celery(settings), 1, priority)
        except (OperationalError, redis.RedisError) as error:
            _log.warning("ticket not published job=%s reason=%s", job.id, error)
    return job


def _checked_input(request: JobRequest, index: int, columns: Columns, settings: Settings) -> str:
    try:
        real = str(settings.allowed_input(request.inputs[index]))
        check_input(real, columns)
    except InputError as error:
        raise InputError(f"inputs[{index}]: {error}") from None
    return real


def _pinned(request: JobRequest, workspace: Workspace) -> tuple[list[Choice], tuple[Pin, ...]]:
    choices: list[Choice] = []
    for index, text in enumerate(request.tasks):
        try:
            choice = Choice.parse(text)
        except InputError as error:
            raise InputError(f"tasks[{index}]: {error}") from None
        if any(choice.task == other.task for other in choices):
            raise InputError(f"tasks[{index}]: task {choice.task!r} is asked for twice; name each task once")
        choices.append(choice)
    try:
        return choices, pin(workspace, choices)
    except (NotFoundError, ConflictError) as error:
        raise InputError(f"tasks{_culprit(workspace, choices)}: {error}") from None


def _culprit(workspace: Workspace, choices: list[Choice]) -> str:
    """``[index]`` of the first task that cannot be pinned by itself; empty when only all together fail."""
    for index, choice in enumerate(choices):
        try:
            pin(workspace, [choice])
        except (NotFoundError, ConflictError):
            return f"[{index}]"
    return ""
