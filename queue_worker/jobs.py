"""Jobs: their states, what is known of one, and the store that keeps them in Valkey.

The store is the truth about jobs; Celery's messages only wake workers. Each change is one Lua script
(``scripts``), so that a crash of anything between two of them leaves a state that the reaper can mend.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import redis
from pydantic import BaseModel, ConfigDict, Field

from pingti.errors import ConflictError, InputError, NotFoundError, UnavailableError
from queue_worker import scripts
from queue_worker.app import DEFAULT_PRIORITY
from queue_worker.settings import Settings
from replacement.classify import Pin
from replacement.corpus import Columns

PLAN = "plan"
FINALIZE = "finalize"

_P = "pingti:"
_LOST = "the worker that had it stopped answering"


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


class Counts(BaseModel):
    """Rows of a job. ``total`` is 0 until the inputs are cut; at the end total = completed + failed."""

    model_config = ConfigDict(frozen=True)

    total: int = Field(default=0, ge=0, description="Rows read from the inputs.")
    completed: int = Field(default=0, ge=0, description="Rows in finished parts.")
    failed: int = Field(default=0, ge=0, description="Rows that could not be read; they are in errors.jsonl.")


class Job(BaseModel):
    """All that is known of a job at one moment."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="Sorts by the time of acceptance.")
    inputs: tuple[str, ...] = Field(description="Real paths of the input files.")
    columns: Columns = Field(description="Which columns of the inputs hold what.")
    pins: tuple[Pin, ...] = Field(description="Tasks with the student versions fixed at acceptance.")
    priority: int = Field(default=DEFAULT_PRIORITY, ge=0, le=9, description="0 runs first, 9 last.")
    metadata: dict[str, str] = Field(default_factory=dict, description="The submitter's own notes.")
    status: JobStatus = JobStatus.QUEUED
    timestamps: dict[JobStatus, float] = Field(
        default_factory=dict, description="Unix seconds of each change, by the server's clock."
    )
    counts: Counts = Counts()
    shards_total: int | None = Field(default=None, description="Not known until the inputs are cut.")
    shards_done: int = 0
    error: str | None = Field(default=None, description="Why the job failed, in one sentence.")
    cut_input: str | None = Field(default=None, description="Folder of the cut input, inside the job's own.")


_DOCUMENT = {"inputs", "columns", "pins", "priority", "metadata"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to work on one unit until its lease ends."""

    job: str
    unit: str  # PLAN, FINALIZE or a shard's number
    attempt: int  # from 1
    token: str  # of this attempt alone


class JobStore:
    """The jobs in Valkey (or Redis 7.2 and newer). Safe for threads; every method may raise redis errors."""

    def __init__(self, client: redis.Redis) -> None:
        """``client`` must decode responses, as the one of ``app.connect`` does."""
        self.client = client
        moves = {str(status): frozenset(map(str, allowed_moves(status))) for status in JobStatus}
        self._scripts = {name: client.register_script(text) for name, text in scripts.build(moves).items()}

    def _run(self, name: str, *arguments: str | int | float) -> Any:
        return self._scripts[name](args=arguments)

    # -- for those who submit and watch

    def create(
        self,
        *,
        inputs: Iterable[str],
        columns: Columns,
        pins: Iterable[Pin],
        priority: int,
        metadata: Mapping[str, str],
        settings: Settings,
        idempotency_key: str | None = None,
        fingerprint: str = "",
    ) -> tuple[Job, bool]:
        """Store a new job; returns it and whether it is new (False: the key had made it before).

        Returns when the server's disk has it: WAITAOF on the connection of the write. With the embedded
        server (``appendfsync always``) that is at once; with ``everysec`` it takes up to a second or two.
        Raises UnavailableError when the server keeps no append-only file (nothing is stored then;
        ``durable=False`` in the settings accepts this) or its disk does not answer in time; InputError
        when the key belongs to a request with another ``fingerprint``.
        """
        if settings.durable:
            self._require_aof()
        seconds, microseconds = self.client.time()
        draft = Job(
            id=f"job-{seconds * 1_000_000 + microseconds:014x}{secrets.token_hex(3)}",
            inputs=tuple(inputs),
            columns=columns,
            pins=tuple(pins),
            priority=priority,
            metadata=dict(metadata),
        )
        arguments: list[str | int] = [
            draft.id,
            draft.model_dump_json(include=_DOCUMENT),
            priority,
            idempotency_key or "",
            fingerprint,
            settings.idempotency_seconds,
        ]
        pipe = self.client.pipeline(transaction=False)
        self._scripts["create"](args=arguments, client=pipe)
        if settings.durable:
            pipe.waitaof(1, 0, int(settings.durable_seconds * 1000))
        outcome, *synced = pipe.execute()
        verdict, id = outcome
        if verdict == "other":
            raise _other_request(str(idempotency_key))
        if synced and synced[0][0] < 1:
            raise UnavailableError(
                f"job {id} is stored, but the server's disk did not confirm it within "
                f"{settings.durable_seconds:g} s: look whether it is there before you submit again"
            )
        return self.get(id), verdict == "new"

    def _require_aof(self) -> None:
        persistence = self.client.info("persistence")
        if not persistence.get("aof_enabled"):
            raise UnavailableError(
                "the server keeps no append-only file, so that an accepted job could be lost: set "
                "'appendonly yes' there, or PINGTI_DURABLE=false to accept that"
            )

    def find_idempotent(self, key: str, fingerprint: str) -> Job | None:
        """The job that this key made before, if any; InputError when another request made it."""
        id, known = cast(
            "list[str | None]", self.client.hmget(f"{_P}idempotency:{key}", ["job", "fingerprint"])
        )
        if id is None:
            return None
        if known != fingerprint:
            raise _other_request(key)
        return self.get(id)

    def get(self, id: str) -> Job:
        """The job as it is now; NotFoundError for an unknown id."""
        fields = cast("dict[str, str]", self.client.hgetall(f"{_P}job:{id}"))
        if not fields:
            raise NotFoundError(f"there is no job {id!r}")
        return _job(id, fields)

    def list_jobs(self, *, after: str | None = None, limit: int = 20) -> tuple[list[Job], str | None]:
        """One page of jobs, newest first, and the cursor (``after``) of the next page, None at the end."""
        start = f"({after}" if after else "+"
        ids = cast("list[str]", self.client.zrevrangebylex(f"{_P}jobs", start, "-", start=0, num=limit + 1))
        pipe = self.client.pipeline(transaction=False)
        for id in ids[:limit]:
            pipe.hgetall(f"{_P}job:{id}")
        jobs = [_job(id, fields) for id, fields in zip(ids, pipe.execute(), strict=False) if fields]
        return jobs, ids[limit - 1] if len(ids) > limit else None

    def cancel(self, id: str) -> Job:
        """Stop a job at its shards' borders. NotFoundError; ConflictError when it is past stopping.

        A job that nobody has begun is ``cancelled`` at once, another is ``cancelling`` first. Cancelling
        twice changes nothing.
        """
        status = self._run("cancel", id)
        job = self.get(id)
        if status not in (JobStatus.CANCELLING, JobStatus.CANCELLED):
            raise ConflictError(
                f"job {id} is {status}; only a job that is queued or running can be cancelled"
            )
        return job

    def workers(self, *, seconds: float = 15.0) -> dict[str, float]:
        """Workers heard of in the last ``seconds``, with the time of the last sign (Unix seconds)."""
        now, _ = self.client.time()
        found = self.client.zrangebyscore(f"{_P}workers", (now - seconds) * 1000, "+inf", withscores=True)
        return {name: at / 1000 for name, at in cast("list[tuple[str, float]]", found)}

    def waiting(self) -> tuple[int, ...]:
        """Units that wait for a worker, by priority level 0 to 9."""
        return tuple(self._run("waiting"))

    # -- for workers

    def claim(self, *, lease_seconds: float) -> Claim | None:
        """Take the most urgent waiting unit; None when nothing waits.

        Lower levels come first; within one, jobs take turns, so that a job of a thousand shards does not
        hold up a job of one.
        """
        token = secrets.token_hex(8)
        found = self._run("claim", token, int(lease_seconds * 1000))
        if found is None:
            return None
        job, unit, attempt = found
        return Claim(job=job, unit=unit, attempt=attempt, token=token)

    def beat(self, claim: Claim, *, lease_seconds: float) -> str:
        """Renew a lease: ``held``, ``cancelling`` (held; stop soon), or ``lost`` (to another attempt)."""
        return str(self._run("beat", claim.job, claim.unit, claim.token, int(lease_seconds * 1000)))

    # The next four return how many units wait because of them (each needs a ticket), and None, with nothing
    # changed, when the lease was lost to another attempt.

    def planned(self, claim: Claim, *, shards: int, total: int, failed: int, cut_input: str) -> int | None:
        """The inputs are cut into ``shards`` units; ``failed`` of ``total`` rows could not be read."""
        return self._end("planned", claim.job, claim.token, shards, total, failed, cut_input)

    def finish_shard(self, claim: Claim, *, rows: int) -> int | None:
        """A shard's part is in place; the last shard's end makes the finalize unit."""
        return self._end("finish_shard", claim.job, int(claim.unit), claim.token, rows)

    def release(self, claim: Claim, *, reason: str, max_attempts: int) -> int | None:
        """Hand a unit back after an error; its job fails when this was the last attempt allowed."""
        return self._end("release", claim.job, claim.unit, claim.token, reason, max_attempts)

    def give_up(self, claim: Claim, *, reason: str) -> int | None:
        """The unit can never succeed: its job fails, finished parts are kept."""
        return self._end("give_up", claim.job, claim.unit, claim.token, reason)

    def _end(self, name: str, *arguments: str | int) -> int | None:
        waiting = int(self._run(name, *arguments))
        return None if waiting < 0 else waiting

    def finished_shards(self, id: str) -> set[int]:
        """Shards marked finished; empty once the job has ended."""
        return {int(shard) for shard in cast("set[str]", self.client.smembers(f"{_P}job:{id}:done"))}

    def close(self, claim: Claim) -> JobStatus | None:
        """End a job whose manifest is written; returns the final status, None when the lease is lost."""
        status = self._run("close", claim.job, claim.token)
        return None if status is None else JobStatus(status)

    def present(self, worker: str) -> None:
        """A worker's sign of life."""
        self._run("present", worker)

    # -- for the reaper

    def reap(self, *, max_attempts: int) -> list[str]:
        """Give units with an expired lease back; returns their names. Any number may do this at once."""
        return list(self._run("reap", max_attempts, _LOST))


def _job(id: str, fields: Mapping[str, str]) -> Job:
    stamps = {name[3:]: float(value) for name, value in fields.items() if name.startswith("at:")}
    return Job.model_validate(
        {
            **json.loads(fields["document"]),
            "id": id,
            "status": fields["status"],
            "timestamps": stamps,
            "counts": {name: int(fields.get(name, 0)) for name in Counts.model_fields},
            "shards_total": int(fields["shards_total"]) if "shards_total" in fields else None,
            "shards_done": int(fields.get("shards_done", 0)),
            "error": fields.get("error"),
            "cut_input": fields.get("input"),
        }
    )


def _other_request(key: str) -> InputError:
    return InputError(f"idempotency key {key!r} was used for another request; take a new key")
