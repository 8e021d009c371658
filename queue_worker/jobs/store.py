"""The store that keeps jobs in Valkey, and the truth about them; Celery's messages only wake workers.

Each change is one Lua script (``scripts``), so that a crash of anything between two of them leaves a state
that the reaper can mend.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import redis

from pingti.corpus.reader import Columns
from pingti.errors import ConflictError, InputError, NotFoundError, UnavailableError
from pingti.inference.pins import Pin
from queue_worker.celery_app import CLASSIFY_LISTS, MOST_TICKETS
from queue_worker.jobs import scripts
from queue_worker.jobs.models import (
    DOCUMENT,
    Accepted,
    Claim,
    Claims,
    Counts,
    Done,
    Job,
    JobStatus,
    allowed_moves,
    read_job,
)
from queue_worker.jobs.statistics import Statistics
from queue_worker.keys import PREFIX
from queue_worker.settings import FileStamp, Settings

_LOST = "the worker that had it stopped answering"
_VOLATILE = (
    "the server keeps no append-only file, so that an accepted job could be lost: set 'appendonly yes' "
    "there, or PINGTI_DURABLE=false to accept that"
)
_LOOKED_AT = 100  # jobs that are looked at together, when a page is made
_MOST_LOOKED_AT = 1000


class VolatileError(UnavailableError):
    """The server keeps no append-only file, and the settings ask for one: nothing was stored."""


class JobStore:
    """The jobs in Valkey (or Redis 7.2 and newer). Safe for threads; every method may raise redis errors."""

    def __init__(self, client: redis.Redis, *, patient: redis.Redis | None = None) -> None:
        """Nothing is asked yet.

        Args:
            client: decodes responses, as the one of ``celery_app.connect`` does.
            patient: one of the same server that waits longer than ``durable_seconds`` for an answer;
                ``client`` itself where absent.
        """
        self.client = client
        self._patient = patient or client
        moves = {str(status): frozenset(map(str, allowed_moves(status))) for status in JobStatus}
        sources = scripts.build(moves, CLASSIFY_LISTS, MOST_TICKETS)
        self._scripts = {name: client.register_script(text) for name, text in sources.items()}
        self.statistics = Statistics(client, self._scripts)
        self._clock: tuple[float, float] | None = None  # server's clock minus ours; when that was looked up

    def _run(self, name: str, *arguments: str | int | float) -> Any:
        return self._scripts[name](args=arguments)

    def close_clients(self) -> None:
        """End the connections."""
        self.client.close()
        self._patient.close()

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
        owner: str | None = None,
        callback: str | None = None,
        max_bad_rows: int | float | None = None,
        stamps: Iterable[FileStamp] = (),
        rows: int = 0,
    ) -> Accepted:
        """Store a new job, or find the one that the key had made before.

        Returns when the server's disk has it: WAITAOF on the connection of the write. With the embedded
        server (``appendfsync always``) that is at once; with ``everysec`` it takes up to a second or two.

        Args:
            inputs: real paths of the files.
            columns: which columns of them hold what.
            pins: tasks with the versions of their students.
            priority: 0 runs first, 9 last.
            metadata: the submitter's own notes.
            settings: what is small, how a job ages, and whether it must be durable.
            idempotency_key: the submitter's name for the request, if any.
            fingerprint: words of the request, of which one must be the same where the key is known.
            owner: name of the key that submits.
            callback: address that is told of the job's end.
            max_bad_rows: how many bad rows are allowed, or what share; any but all where absent.
            stamps: what the files are, in the order of ``inputs``.
            rows: of all inputs; 0 where not known.

        Raises:
            VolatileError: the server keeps no append-only file (``durable=False`` in the settings accepts
                this); nothing is stored.
            InputError: the key belongs to a request with another ``fingerprint``; nothing is stored.
            UnavailableError: the disk does not answer in time. The job may be there, as after every other
                error.
        """
        draft = Job(
            id=f"job-{int(self._now() * 1e6):014x}{secrets.token_hex(3)}",
            inputs=tuple(inputs),
            stamps=tuple(stamps),
            columns=columns,
            pins=tuple(pins),
            priority=priority,
            metadata=dict(metadata),
            owner=owner,
            callback=callback,
            max_bad_rows=max_bad_rows,
        )
        key = "" if idempotency_key is None else _mark(idempotency_key, owner)
        arguments = _create_arguments(draft, settings, key=key, fingerprint=fingerprint, rows=rows)
        outcome = self._create(arguments, settings)
        return self._accepted(draft, settings, outcome, rows=rows, idempotency_key=idempotency_key)

    def _accepted(
        self,
        draft: Job,
        settings: Settings,
        outcome: tuple[list[Any], bool],
        *,
        rows: int,
        idempotency_key: str | None,
    ) -> Accepted:
        """What became of a new job; the errors of ``create``."""
        (verdict, id, at, tickets), synced = outcome
        if verdict == "volatile":
            raise VolatileError(_VOLATILE)
        if verdict == "other":
            raise _other_request(str(idempotency_key))
        if not synced:
            raise _unconfirmed(id, settings)
        if verdict == "same":
            # The draft itself: the client sent its command again, because the first answer was lost.
            return Accepted(job=self.get(id), new=id == draft.id, tickets=int(id == draft.id))
        stamped = {"timestamps": {JobStatus.QUEUED: float(at)}, "counts": Counts(total=rows)}
        return Accepted(job=draft.model_copy(update=stamped), new=True, tickets=tickets)

    def _create(self, arguments: Sequence[str | int], settings: Settings) -> tuple[list[Any], bool]:
        """The script and the wait for the disk in one round trip; says, too, whether the disk has it."""
        if not settings.durable:
            return self._run("create", *arguments), True
        script = self._scripts["create"]
        for _ in range(2):
            pipe = self._patient.pipeline(transaction=False)
            pipe.evalsha(
                script.sha, 0, *arguments
            )  # not the script itself: a pipeline would look for it first
            pipe.waitaof(1, 0, int(settings.durable_seconds * 1000))
            outcome, synced = pipe.execute(raise_on_error=False)
            if not isinstance(outcome, redis.exceptions.NoScriptError):
                break
            self.client.script_load(script.script)
        if isinstance(outcome, Exception):
            raise outcome
        # Where the server keeps no file it refuses to wait for it; the outcome says so, too.
        if isinstance(synced, Exception) and outcome[0] != "volatile":
            raise synced
        return outcome, isinstance(synced, list) and synced[0] >= 1

    def confirm(self, id: str, settings: Settings) -> None:
        """Wait until the server's disk has a job that was there before.

        Raises:
            UnavailableError: as of ``create``.
        """
        if not settings.durable:
            return
        pipe = self._patient.pipeline(transaction=False)
        # WAITAOF waits for what its own connection has written: something must be, after the job.
        pipe.hincrby(f"{PREFIX}totals", "repeated", 1)
        pipe.waitaof(1, 0, int(settings.durable_seconds * 1000))
        try:
            _, synced = pipe.execute()
        except redis.ResponseError as error:
            raise UnavailableError(
                f"job {id} is stored, but the server cannot confirm it: {' '.join(str(error).split())}"
            ) from error
        if synced[0] < 1:
            raise _unconfirmed(id, settings)

    def _now(self) -> float:
        """Unix seconds by the server's clock, looked up once a minute."""
        ours = time.time()
        if self._clock is None or not 0 <= ours - self._clock[1] < 60:
            seconds, microseconds = self.client.time()
            self._clock = (seconds + microseconds / 1e6 - ours, ours)
        return ours + self._clock[0]

    def find_idempotent(self, key: str, fingerprint: str, *, owner: str | None = None) -> Job | None:
        """The job that this key of this owner made before, if any.

        Raises:
            InputError: the key was used for another request.
        """
        mark = f"{PREFIX}idempotency:{_mark(key, owner)}"
        id, known = cast("list[str | None]", self.client.hmget(mark, ["job", "fingerprint"]))
        if id is None:
            return None
        if known != fingerprint and not set(str(known).split()) & set(fingerprint.split()):
            raise _other_request(key)
        return self.get(id)

    def get(self, id: str) -> Job:
        """The job as it is now.

        Raises:
            NotFoundError: the id is unknown.
        """
        fields = cast("dict[str, str]", self.client.hgetall(f"{PREFIX}job:{id}"))
        if not fields:
            raise NotFoundError(f"there is no job {id!r}")
        return read_job(id, fields)

    def look(self, id: str) -> tuple[Job, int | None]:
        """The job now, and how many jobs get a worker before it gets its next (None: it does not wait).

        Raises:
            NotFoundError: the id is unknown.
        """
        fields, *place = self._run("look", id)  # a nil at the end is left out
        if not fields:
            raise NotFoundError(f"there is no job {id!r}")
        return read_job(id, dict(zip(fields[::2], fields[1::2], strict=True))), place[0] if place else None

    def known(self, id: str) -> bool:
        """Whether there is a job of that id."""
        return bool(self.client.exists(f"{PREFIX}job:{id}"))

    def list_jobs(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        status: JobStatus | None = None,
        task: str | None = None,
        owner: str | None = None,
        priority: int | None = None,
        submitted_after: float | None = None,
        submitted_before: float | None = None,
    ) -> tuple[list[Job], str | None]:
        """One page of jobs, newest first, and the cursor (``after``) of the next page, None at the end.

        The times are Unix seconds. At most 1,000 jobs are looked at for one page: with ``task``, ``owner``
        or ``priority`` it may hold fewer than ``limit``, even none, and still have a next one.
        """
        index = f"{PREFIX}status:{status}" if status else f"{PREFIX}jobs"
        last = "-" if submitted_after is None else f"[{_first_id(submitted_after)}"
        bounds = [id for id in (after, submitted_before and _first_id(submitted_before)) if id]
        start = f"({min(bounds)}" if bounds else "+"

        def fits(job: Job) -> bool:
            return (
                (task is None or any(pin.task == task and not pin.hidden for pin in job.pins))
                and (owner is None or job.owner == owner)
                and (priority is None or job.priority == priority)
                and (status is None or job.status is status)
            )

        page: list[Job] = []
        for _ in range(0, _MOST_LOOKED_AT, _LOOKED_AT):
            num = limit + 1 if (task, owner, priority) == (None, None, None) else _LOOKED_AT
            ids = cast("list[str]", self.client.zrevrangebylex(index, start, last, start=0, num=num))
            pipe = self.client.pipeline(transaction=False)
            for id in ids:
                pipe.hgetall(f"{PREFIX}job:{id}")
            for id, fields in zip(ids, pipe.execute(), strict=True):
                if fields and fits(job := read_job(id, fields)):
                    if len(page) == limit:
                        return page, page[-1].id
                    page.append(job)
            if len(ids) < num:
                return page, None
            start = f"({ids[-1]}"
        return page, start[1:]

    def cancel(self, id: str) -> Job:
        """Stop a job at its shards' borders.

        A job that nobody has begun is ``cancelled`` at once, another is ``cancelling`` first. Cancelling
        twice changes nothing.

        Raises:
            NotFoundError: the id is unknown.
            ConflictError: the job is past stopping.
        """
        status = self._run("cancel", id)
        job = self.get(id)
        if status not in (JobStatus.CANCELLING, JobStatus.CANCELLED):
            raise ConflictError(
                f"job {id} is {status}; only a job that is queued or running can be cancelled"
            )
        return job

    def delete(self, id: str) -> None:
        """Forget a job that has ended; ``shards.delete_job`` removes its files, too.

        Raises:
            NotFoundError: the id is unknown.
            ConflictError: the job is under way.
        """
        refusal = self._run("delete", id)
        if refusal == "unknown":
            raise NotFoundError(f"there is no job {id!r}")
        if refusal:
            raise ConflictError(f"job {id} is {refusal}; only a job that has ended can be deleted")

    # -- for workers

    def claim(self, *, lease_seconds: float, ageing_ms: int = 0) -> Claim | None:
        """Take the most urgent waiting unit; None when nothing waits.

        Lower levels come first; within one, jobs take turns, so that a job of a thousand shards does not
        hold up a job of one. Each ``ageing_ms`` a job rises a level (0: never).
        """
        return self.claim_some(lease_seconds=lease_seconds, ageing_ms=ageing_ms, most=1).first

    def claim_some(self, *, lease_seconds: float, ageing_ms: int, most: int) -> Claims:
        """As ``claim``; up to ``most`` units where all of them are small jobs that nobody has begun."""
        token = secrets.token_hex(8)
        tickets, taken = self._run("claim", token, int(lease_seconds * 1000), ageing_ms, most)
        claims = [
            Claim(
                job=id,
                unit=unit,
                attempt=attempt,
                token=token,
                source=source or None,
                snapshot=read_job(id, dict(zip(fields[::2], fields[1::2], strict=True))),
            )
            for id, unit, attempt, fields, source in taken
        ]
        return Claims(claims=tuple(claims), tickets=tickets)

    def beat(self, claim: Claim, *, lease_seconds: float) -> str:
        """Renew a lease: ``held``, ``cancelling`` (held; stop soon), or ``lost`` (to another attempt)."""
        return str(self._run("beat", claim.job, claim.unit, claim.token, int(lease_seconds * 1000)))

    # The next return how many tickets to publish for units that wait because of them, and None, with
    # nothing changed, when the lease was lost to another attempt.

    def fix_size(self, claim: Claim, rows: int, bytes: int) -> tuple[int, int] | None:
        """Most rows and bytes of the job's shards: those that its first attempt at the plan chose."""
        size = self._run("fix_size", claim.job, claim.token, rows, bytes)
        return None if size is None else (int(size[0]), int(size[1]))

    def shards_ready(self, claim: Claim, first: int, sources: Sequence[str]) -> int | None:
        """Shards from ``first`` on can be worked on, while the plan goes on; "" for one that is cut."""
        return self._end("shards_ready", claim.job, claim.token, first, *sources)

    def planned(
        self,
        claim: Claim,
        *,
        shards: int,
        total: int,
        failed: int,
        cut_input: str,
        sources: Sequence[str] = (),
    ) -> int | None:
        """All ``shards`` are ready; ``failed`` of ``total`` rows could not be read while cutting.

        ``sources`` of the first of them, as of ``shards_ready``, where that was never called.
        """
        return self._end("planned", claim.job, claim.token, shards, total, failed, cut_input, *sources)

    def finish_shard(self, claim: Claim, done: Done) -> int | None:
        """A shard's part is in place; the last shard's end makes the finalize unit."""
        return self._end("finish_shard", claim.job, int(claim.unit), claim.token, *done.arguments())

    def finish_whole(self, claims: Sequence[tuple[Claim, Done]]) -> list[int | None]:
        """Small jobs were worked on whole, with part and manifest in place: all are completed at once."""
        script = self._scripts["finish_whole"]
        pipe = self.client.pipeline(transaction=False)
        for claim, done in claims:
            total = done.rows + done.failed
            given = [claim.job, claim.token, total, *done.arguments(), done.refused or ""]
            script(args=given, client=pipe)
        return [None if tickets < 0 else tickets for tickets in map(int, pipe.execute())]

    def release(
        self,
        claim: Claim,
        *,
        reason: str,
        max_attempts: int,
        wait_seconds: float = 0,
        counts: bool = True,
    ) -> int | None:
        """Hand a unit back without a result; its job fails when this was the last attempt allowed.

        After ``wait_seconds`` the reaper hands it to another worker; 0: at once. With ``counts`` False it is
        as if there had been no attempt.
        """
        wait = int(wait_seconds * 1000)
        arguments = (claim.job, claim.unit, claim.token, reason, max_attempts, wait, int(not counts))
        return self._end("release", *arguments)

    def give_up(self, claim: Claim, *, reason: str) -> int | None:
        """The unit can never succeed: its job fails, finished parts are kept."""
        return self._end("give_up", claim.job, claim.unit, claim.token, reason)

    def _end(self, name: str, *arguments: str | int | float) -> int | None:
        tickets = int(self._run(name, *arguments))
        return None if tickets < 0 else tickets

    def finished_shards(self, id: str) -> set[int]:
        """Shards marked finished; empty once the job has ended."""
        return {int(shard) for shard in cast("set[str]", self.client.smembers(f"{PREFIX}job:{id}:done"))}

    def close(self, claim: Claim, *, refused: str | None = None) -> JobStatus | None:
        """End a job whose manifest is written; returns the final status, None when the lease is lost.

        ``refused``: why it fails, though all of its shards are done.
        """
        status = self._run("close", claim.job, claim.token, refused or "")
        return None if status is None else JobStatus(status)

    # -- for the reaper

    def reap(self, *, max_attempts: int) -> list[str]:
        """Give units with an expired lease back; returns their names. Any number may do this at once."""
        return list(self._run("reap", max_attempts, _LOST))


def _create_arguments(
    draft: Job, settings: Settings, *, key: str, fingerprint: str, rows: int
) -> list[str | int]:
    """What the script "create" takes, in its order."""
    return [
        draft.id,
        draft.model_dump_json(include=DOCUMENT),
        draft.priority,
        key,
        fingerprint,
        settings.idempotency_seconds,
        draft.owner or "",
        draft.callback or "",
        int(bool(draft.stamps) and draft.bytes <= settings.small_bytes),
        rows,
        settings.ageing_ms,
        int(settings.durable),
    ]


def _first_id(submitted: float) -> str:
    """Below every id of a job that was accepted from then on."""
    return f"job-{int(submitted * 1e6):014x}"


def _mark(key: str, owner: str | None) -> str:
    """Each owner has keys of its own."""
    return f"{owner or ''}:{key}"


def _unconfirmed(id: str, settings: Settings) -> UnavailableError:
    return UnavailableError(
        f"job {id} is stored, but the server's disk did not confirm it within "
        f"{settings.durable_seconds:g} s: look whether it is there before you submit again"
    )


def _other_request(key: str) -> InputError:
    return InputError(f"idempotency key {key!r} was used for another request; take a new key")
