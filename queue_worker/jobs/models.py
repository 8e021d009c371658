"""Jobs: their states, what is known of one, and the units of work that one is made of."""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from pingti.corpus.reader import Columns
from pingti.errors import NotFoundError
from pingti.inference.pins import Pin
from queue_worker.celery_app import DEFAULT_PRIORITY
from queue_worker.settings import FileStamp

PLAN = "plan"
FINALIZE = "finalize"
RETRAIN_UNIT = "retrain"
_BY = "by:"  # begins the names of counts that are the job's own; see store.lua
RUN = "run:"
"""Before the id of a retraining where those of jobs stand, too."""
SECONDS_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LATENCY_BOUNDS = (0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0)
"""Upper bounds of the histogram of a shard's seconds; what is above the last counts as infinite."""


class JobStatus(StrEnum):
    """Where a job is; named as in the batches of hosted APIs."""

    QUEUED = "queued"  # accepted and durable; no worker has begun
    RUNNING = "running"  # being cut into shards, or shards being classified
    FINALIZING = "finalizing"  # no shard is left; the manifest is being written
    COMPLETED = "completed"  # every row is in a part or in errors.jsonl; the manifest is there
    FAILED = "failed"  # given up; ``error`` says why; finished parts are kept
    CANCELLING = "cancelling"  # asked to stop; shards that run are finishing
    CANCELLED = "cancelled"  # stopped; finished parts are kept

    @property
    def final(self) -> bool:
        """Whether no other status follows."""
        return not allowed_moves(self)


_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset({JobStatus.FINALIZING, JobStatus.CANCELLING, JobStatus.FAILED}),
    JobStatus.FINALIZING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED}),
    JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED, JobStatus.FAILED}),
}


def allowed_moves(status: JobStatus) -> frozenset[JobStatus]:
    """The statuses that may follow ``status``. The Lua scripts are built from the same table."""
    return _MOVES.get(status, frozenset())


RUN_MOVES: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"running", "cancelled"}),
    "running": frozenset({"queued", "promoted", "refused", "failed", "cancelled"}),
}
"""The same of a retraining (``retraining.runs.RunState``), which is kept by the same script."""


class Counts(BaseModel):
    """Rows of a job. When it is completed, total = completed + failed.

    ``total`` is 0 until the inputs are cut, unless all of them told their rows at acceptance.
    """

    model_config = ConfigDict(frozen=True)

    total: int = Field(default=0, ge=0, description="Rows read from the inputs.")
    completed: int = Field(default=0, ge=0, description="Rows in finished parts.")
    failed: int = Field(default=0, ge=0, description="Rows that could not be read; they are in errors.jsonl.")


class Job(BaseModel):
    """All that is known of a job at one moment."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="Sorts by the time of acceptance.")
    inputs: tuple[str, ...] = Field(description="Real paths of the input files.")
    stamps: tuple[FileStamp, ...] = Field(
        default=(), description="What the inputs were at acceptance; another file in one's place is noticed."
    )
    columns: Columns = Field(description="Which columns of the inputs hold what.")
    pins: tuple[Pin, ...] = Field(description="Tasks with the student versions fixed at acceptance.")
    priority: int = Field(default=DEFAULT_PRIORITY, ge=0, le=9, description="0 runs first, 9 last.")
    metadata: dict[str, str] = Field(default_factory=dict, description="The submitter's own notes.")
    owner: str | None = Field(default=None, description="Name of the key that it was submitted with.")
    output: str | None = Field(
        default=None, description="Address of a store's folder that gets the results, too."
    )
    callback: str | None = Field(default=None, description="Address that is told of the job's end.")
    max_bad_rows: int | float | None = Field(
        default=None, description="Bad rows that are allowed, or their share; null: any but all."
    )
    row_limit: int | None = Field(
        default=None, description="Most rows of its owner's unfinished jobs, its own among them; null: any."
    )
    trace: str | None = Field(default=None, description="W3C's traceparent of where it was submitted.")
    status: JobStatus = JobStatus.QUEUED
    timestamps: dict[JobStatus, float] = Field(
        default_factory=dict, description="Unix seconds of each change, by the server's clock."
    )
    counts: Counts = Counts()
    shards_total: int | None = Field(default=None, description="Not known until the inputs are cut.")
    shard_rows: int | None = Field(default=None, description="Most rows of its shards, once that is fixed.")
    shard_bytes: int | None = Field(default=None, description="As that, of the texts' bytes.")
    shards_ready: int = Field(default=0, description="Shards that could be worked on so far.")
    shards_done: int = 0
    decided: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="Of tasks with a cascade: rows by who decided them, so far."
    )
    error: str | None = Field(default=None, description="Why the job failed, in one sentence.")
    cut_input: str | None = Field(default=None, description="Folder of the cut input, inside the job's own.")

    @property
    def asks_teacher(self) -> bool:
        """Whether a teacher is asked about rows of which its students are not sure."""
        return any(pin.second == "teacher" for pin in self.pins)

    @property
    def bytes(self) -> int:
        """Size of the inputs."""
        return sum(stamp.size for stamp in self.stamps)


DOCUMENT = {
    "inputs",
    "stamps",
    "columns",
    "pins",
    "priority",
    "metadata",
    "owner",
    "output",
    "callback",
    "max_bad_rows",
    "row_limit",
    "trace",
}
"""Fields that never change."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to work on one unit until its lease ends."""

    job: str
    unit: str  # PLAN, FINALIZE or a shard's number
    attempt: int  # from 1
    token: str  # of this attempt alone
    source: str | None = None  # where a shard's rows are, if it was not cut
    snapshot: Job  # as the job was when the unit was taken
    waited: float = 0.0  # seconds from the publication of its message


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a shard brought."""

    rows: int  # in its part
    failed: int = 0  # bad rows, beyond those found while cutting
    seconds: float = 0.0
    tasks: Mapping[str, int] = field(default_factory=dict)  # rows that each task was asked about
    decided: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # of cascades: rows by who decided
    refused: str | None = None  # of a whole job: why it has failed, though all was done
    part: str = ""  # JSON of where a shard's results are in the store; "" where they are in the workspace

    def arguments(self, waited: float) -> list[str | int]:
        """What the command ``finish`` takes of it: rows, bad rows, JSON of counts, refusal or "", part.

        Args:
            waited: as of ``Claim``.
        """
        bucket = (*SECONDS_BOUNDS, float("inf"))[bisect_left(SECONDS_BOUNDS, self.seconds)]
        latency = (*LATENCY_BOUNDS, float("inf"))[bisect_left(LATENCY_BOUNDS, waited)]
        counts: dict[str, float] = {
            "shards": 1,
            "rows": self.rows,
            "failed_rows": self.failed,
            "label_scores": sum(self.tasks.values()),
            "shard_seconds": round(self.seconds, 6),
            f"bucket:{bucket}": 1,
            "latency_seconds": round(waited, 3),
            f"latency:{latency}": 1,
            **{f"task:{name}": rows for name, rows in self.tasks.items()},
            **{
                f"{_BY}{name}:{who}": rows
                for name, decided in self.decided.items()
                for who, rows in decided.items()
            },
            **{f"by_teacher:{task}": rows for task, rows in self._by_teacher().items()},
        }
        return [self.rows, self.failed, json.dumps(counts), self.refused or "", self.part]

    def _by_teacher(self) -> Counter[str]:
        """Rows that a task's teacher decided, at all operating points."""
        asked: Counter[str] = Counter()
        for name, decided in self.decided.items():
            asked[name.partition("@")[0]] += decided.get("teacher", 0)
        return asked


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is to be published, so that a worker takes a unit."""

    id: str  # of a job, or "run:" and that of a retraining
    unit: str  # PLAN, FINALIZE, a shard's number, or RETRAIN_UNIT
    level: int  # priority of the message: the job's, risen by its age
    attempt: int  # that it would be, from 1
    published: int  # ms of the store's clock
    taught: bool = False  # goes to the workers that have a teacher

    @property
    def task_id(self) -> str:
        """The Celery id of the task, in which a person finds the shard."""
        return f"{self.id.removeprefix(RUN)}/{self.unit}/{self.attempt}"


def _decided(fields: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Rows by task and who decided them, of the hash's fields ``by:TASK:WHO``."""
    decided: dict[str, dict[str, int]] = {}
    for name, rows in fields.items():
        if name.startswith(_BY):
            task, _, who = name.removeprefix(_BY).rpartition(":")
            decided.setdefault(task, {})[who] = int(rows)
    return decided


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What became of a submission."""

    job: Job
    new: bool  # False: its key had made the job before
    messages: tuple[Message, ...] = ()  # to publish, so that a worker begins


def no_job(id: str) -> NotFoundError:
    """The error of an id that no job has."""
    return NotFoundError(f"there is no job {id!r}, or no more; pingti jobs list names those there are")


def read_job(id: str, fields: Mapping[str, str]) -> Job:
    """The job of the store's hash."""
    stamps = {status: float(fields[f"at:{status}"]) for status in JobStatus if f"at:{status}" in fields}
    return Job.model_validate(
        {
            **json.loads(fields["document"]),
            "id": id,
            "status": fields["status"],
            "timestamps": stamps,
            "counts": {name: int(fields.get(name, 0)) for name in Counts.model_fields},
            "shards_total": int(fields["shards_total"]) if "shards_total" in fields else None,
            "shard_rows": int(fields["shard_rows"]) if "shard_rows" in fields else None,
            "shard_bytes": int(fields["shard_bytes"]) if "shard_bytes" in fields else None,
            "shards_ready": int(fields.get("shards_total", fields.get("shards_cut", 0))),
            "shards_done": int(fields.get("shards_done", 0)),
            "decided": _decided(fields),
            "error": fields.get("error"),
            "cut_input": fields.get("input"),
        }
    )
