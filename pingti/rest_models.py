"""What a service answers over REST, as typed values: the server writes them, the client reads them.

They stand here and not with the server, so that the client needs no server to be installed.
"""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MOST_INPUTS = 1000
"""Files of a job."""
JOB_ID = "job-065a1b2c3d4e5f6a1b2c"
FILE_ID = "file-065a1b2c3d4e5f6a1b2c3d"
JOB_EXAMPLE: dict[str, Any] = {
    "id": JOB_ID,
    "status": "running",
    "inputs": ["/srv/pingti/uploads/file-065a1b2c3d4e5f6a1b2c3d/titles.csv"],
    "tasks": [
        {"task": "sport", "scene": "default", "version": 1, "threshold": 0.42, "hidden": False},
        {"task": "topic", "scene": "default", "version": 3, "threshold": None, "hidden": False},
    ],
    "priority": 5,
    "metadata": {"team": "search"},
    "timestamps": {"queued": "2026-11-21T02:00:00.120000Z", "running": "2026-11-21T02:00:00.310000Z"},
    "counts": {"total": 40000, "completed": 20000, "failed": 0},
    "shards": {"total": 2, "done": 1},
    "progress": 0.5,
    "rows_per_second": 198000.0,
    "seconds_left": 0.1,
    "place": 0,
    "owner": "nightly",
    "callback": {
        "url": "https://batch.example/pingti",
        "state": "waiting",
        "attempts": 0,
        "error": None,
    },
    "error": None,
    "max_bad_rows": None,
    "output": None,
    "links": {
        "self": f"/v1/jobs/{JOB_ID}",
        "results": f"/v1/jobs/{JOB_ID}/results",
        "errors": f"/v1/jobs/{JOB_ID}/errors",
    },
}
TASK_EXAMPLE: dict[str, Any] = {
    "name": "sport",
    "classes": ["no", "yes"],
    "priority": 5,
    "scenes": ["default", "live"],
    "versions": [1, 2],
    "current": 2,
    "holdout": {"precision": 0.94, "recall": 0.92, "f1": 0.93, "rows": 5000},
    "gate": {"precision": 0.9, "recall": 0.9},
    "gate_passed": True,
    "report_page": True,
    "retrain_at": "02:00",
    "fault": None,
}


class Answer(BaseModel):
    """What an answer is built of: a value that does not change."""

    model_config = ConfigDict(frozen=True)


class JobTaskOut(Answer):
    """A task as the job uses it, fixed when the job was accepted."""

    task: str = Field(description="Name of the label task.")
    scene: str = Field(description="The operating point asked for.")
    version: int = Field(description="The student's version.")
    threshold: float | None = Field(
        description="A text is positive from this score on; null with three or more classes."
    )
    hidden: bool = Field(description="Asked only because another task depends on it; not in the results.")
    column: str = Field(
        default="",
        description="Its decisions in the results; scores have _score behind it. It is the task's name, or "
        "task@scene where the job asks for several operating points of the task.",
    )
    second: str | None = Field(
        default=None,
        description="Who answers where the student is not sure: teacher, or transformer, a student of the "
        "same version; null: the student decides alone.",
    )


class CountsOut(Answer):
    """Rows of a job. When it is completed, total = completed + failed."""

    total: int = Field(description="Rows in the inputs; 0 until the inputs have been read.")
    completed: int = Field(description="Rows with results.")
    failed: int = Field(description="Rows that could not be used; each has a line in errors.")


class ShardsOut(Answer):
    """The pieces into which a job's rows are cut."""

    total: int = Field(description="0 until the inputs have been read.")
    done: int


class JobLinks(Answer):
    """Paths on this server."""

    self: str
    results: str
    errors: str


class CallbackOut(Answer):
    """Whether the address that asked for it was told of the job's end."""

    url: str
    state: str = Field(description="waiting, delivered or given up.")
    attempts: int = Field(description="So far.")
    error: str | None = Field(description="Why the last attempt failed.")


class JobOut(Answer):
    """A batch: input files × label tasks."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [JOB_EXAMPLE]})

    id: str
    status: str = Field(
        description="queued, running, finalizing, completed, failed, cancelling or cancelled.",
        examples=["running"],
    )
    inputs: tuple[str, ...] = Field(description="Files, in the order of the results' rows.")
    tasks: tuple[JobTaskOut, ...] = Field(
        description="Tasks with the operating point, version and threshold in use."
    )
    priority: int = Field(description="0 runs first, 9 last.")
    metadata: dict[str, str] = Field(description="The caller's own pairs.")
    timestamps: dict[str, datetime] = Field(
        description="When each status was reached, by the broker's clock."
    )
    counts: CountsOut
    shards: ShardsOut
    progress: float | None = Field(description="Share of the rows that are done, 0 to 1; null while unknown.")
    rows_per_second: float | None = Field(
        description="Mean rate since the job began to run; null before that."
    )
    seconds_left: float | None = Field(
        description="At the mean rate so far; null unless the job runs and its rows are counted."
    )
    place: int | None = Field(
        description="Jobs that get a worker before this one gets its next; null in lists, and where none "
        "of its shards waits."
    )
    workers: dict[str, str] = Field(
        default={},
        description="The worker that has each shard under way, by the shard's number; plan and finalize "
        "stand for the job's begin and end. Empty in lists.",
    )
    waits_for: str | None = Field(
        default=None,
        description="What the job cannot go on without, and why: a worker that has the teacher, where none "
        "runs or all are at retrainings. Null in lists, and where nothing is missing.",
    )
    decided: dict[str, dict[str, int]] = Field(
        default={},
        description="Of tasks with a cascade, rows so far by who decided them: student, teacher, "
        "transformer, or unsure (the student, without being sure).",
    )
    owner: str | None = Field(description="Name of the key that submitted it.")
    callback: CallbackOut | None = Field(description="Null in lists, and where none was asked for.")
    error: str | None = Field(description="Why the job failed.")
    max_bad_rows: int | float | None = Field(
        default=None, description="Bad rows that are allowed, or their share; null: any but all."
    )
    output: str | None = Field(
        default=None, description="Address of a store's folder that gets the results, too."
    )
    links: JobLinks


class JobListOut(Answer):
    """A page of jobs, newest first."""

    items: tuple[JobOut, ...]
    next_cursor: str | None = Field(description="Pass as ``cursor`` for the next page; null on the last one.")


class FileOut(Answer):
    """An uploaded file."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": FILE_ID,
                    "name": "titles.csv",
                    "path": f"/srv/pingti/uploads/{FILE_ID}/titles.csv",
                    "bytes": 1048576,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                }
            ]
        },
    )

    id: str = Field(description="Use this as an input of a job.")
    name: str = Field(description="The file's name as stored (unsafe characters became _).")
    path: str = Field(description="Where it is on the server; a job takes this too.")
    bytes: int = Field(description="Size.")
    sha256: str = Field(description="Hexadecimal SHA-256 of the stored bytes.")
    created: datetime = Field(description="When the upload ended.")
    owner: str = Field(description="Name of the key that sent it.")


class FileListOut(Answer):
    """A page of uploaded files, newest first."""

    items: tuple[FileOut, ...]
    next_cursor: str | None = Field(description="Pass as ``cursor`` for the next page; null on the last one.")


class MetricsOut(Answer):
    """Agreement with the teacher; with three or more classes, means over the classes (macro).

    Null is a figure that no row of the holdout could tell.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    rows: int = Field(description="Rows of the holdout.")


class GateOut(Answer):
    """What a student must reach on the holdout."""

    precision: float
    recall: float


class TaskOut(Answer):
    """A label task and the student that answers for it now."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [TASK_EXAMPLE]})

    name: str
    classes: tuple[str, ...] = Field(description="With two, the second is the positive one.")
    priority: int | None = Field(description="Default priority of the task's jobs; 0 runs first, 9 last.")
    scenes: tuple[str, ...] = Field(description="Named operating points; ask for one as task@scene.")
    versions: tuple[int, ...] = Field(description="Students that exist, oldest first.")
    current: int | None = Field(description="The promoted version; null where none is.")
    holdout: MetricsOut | None = Field(description="The current version's figures on its holdout.")
    gate: GateOut | None
    gate_passed: bool | None = Field(description="Whether the current version reached the gate.")
    report_page: bool = Field(description="Whether the current version has a report as a page.")
    retrain_at: str | None = Field(
        description="Hour of the nightly retraining, HH:MM; null: never by itself."
    )
    fault: str | None = Field(description="What is damaged: the definition, the student or its report.")


class TaskListOut(Answer):
    """All label tasks, by name."""

    items: tuple[TaskOut, ...]


class DecisionOut(Answer):
    """What a task says of a text."""

    label: str | None = Field(
        description="The class; null where the task was not asked, and of what is no text."
    )
    score: float | None = Field(
        description="Probability of the positive class; with three or more classes, of the one decided on."
    )
    sure: bool | None = Field(
        default=None,
        description="Whether the decision is sure, of a task with a cascade; a job asks the teacher where it "
        "is not. Null or absent for other tasks.",
    )


class ClassifyOut(Answer):
    """Decisions in the order of the texts."""

    tasks: tuple[JobTaskOut, ...] = Field(description="The students that answered.")
    results: tuple[dict[str, DecisionOut], ...] = Field(description="For each text: task to decision.")


class RunProgressOut(Answer):
    """How far a running retraining is."""

    round: int = Field(description="Rounds finished.")
    rounds: int | None = Field(description="Most rounds that there can be.")
    f1: float | None = Field(description="On the holdout, after the last finished round.")
    what: str = Field(description="What is being done now.")
    done: int = Field(description="How much of that is done.")
    total: int = Field(description="How much of that there is.")


class RunOut(Answer):
    """A retraining."""

    id: str
    task: str
    night: date | None = Field(description="The scheduled date; null: on demand.")
    who: str = Field(description="Who asked for it; the scheduler, for a night.")
    state: str = Field(description="queued, running, promoted, refused, failed, cancelled or missed.")
    created: datetime
    started: datetime | None = Field(description="When a worker first took it.")
    ended: datetime | None
    attempts: int = Field(description="How often a worker took it; more than 1 after a crash.")
    progress: RunProgressOut | None
    version: int | None = Field(description="The candidate's, once there is one.")
    reason: str | None = Field(description="Why it ended so, or why it was given back.")


class RunListOut(Answer):
    """A task's retrainings, newest first."""

    items: tuple[RunOut, ...]
