"""What the REST API answers of the service itself: health, queue, workers, who asks."""

from pydantic import Field

from pingti.rest_models import Answer


class QueueLevelOut(Answer):
    """What waits at one priority."""

    priority: int
    waiting: int = Field(description="Shards that no worker has; a job's plan counts as one.")
    jobs: int = Field(description="Jobs that have such.")
    oldest_seconds: float | None = Field(
        description="Since the job that waits longest had a turn, or was accepted; null where none waits."
    )


class QueueOut(Answer):
    """Depth of the classify queue, one entry for each of the ten priorities."""

    levels: tuple[QueueLevelOut, ...]


class AliveOut(Answer):
    """The server process answers."""

    status: str = Field(examples=["alive"])
    version: str = Field(description="Pingti's version.")


class ReadyOut(Answer):
    """Whether a job submitted now would run."""

    ready: bool
    broker: str = Field(description="ok, or what is wrong.", examples=["ok"])
    workers: str = Field(description="ok, or what is wrong.", examples=["ok"])


class WorkerOut(Answer):
    """A worker process, by its last sign of life."""

    name: str = Field(examples=["classify@host-4711"])
    threads: int
    busy: int = Field(description="Threads that work on a shard.")
    rows_per_second: float = Field(description="Over about the last minute.")
    memory_bytes: int = Field(description="Resident.")
    heard_seconds: float = Field(description="Since its last sign of life.")


class WorkerListOut(Answer):
    """Workers, by name."""

    items: tuple[WorkerOut, ...]


class MeOut(Answer):
    """Who asks."""

    name: str
    role: str = Field(description="read, submit or admin.")
