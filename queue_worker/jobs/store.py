"""The store that keeps jobs in Valkey: what Celery lacks.

Claims with leases, what is finished, counts, the window of published shards. Each change is one atomic
command of ``store.lua``, so that a crash of anything between two of them leaves a state that the reaper can
mend. A command tells which messages are due by it; they are handed to ``publish``.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import redis

from pingti.corpus.reader import Columns
from pingti.errors import ConflictError, InputError, UnavailableError
from pingti.inference.pins import Pin
from queue_worker.jobs.clock import follow_clock
from queue_worker.jobs.commands import Commands, Publish, read_answer
from queue_worker.jobs.models import (
    DOCUMENT,
    FINALIZE,
    PLAN,
    RUN,
    Accepted,
    Claim,
    Counts,
    Done,
    Job,
    JobStatus,
    Message,
    no_job,
    read_job,
)
from queue_worker.jobs.statistics import Statistics
from queue_worker.jobs.transactions import transact
from queue_worker.keys import PREFIX
from queue_worker.settings import FileStamp, Settings

_LOST = "the worker that had it stopped answering"
_VOLATILE = (
    "the server keeps no append-only file, so that an accepted job could be lost: set 'appendonly yes' "
    "there, or PINGTI_DURABLE=false to accept that"
)
_SOURCES = 1000  # of shards in one command
_PUT_OFF_MS = 10 * 365 * 86_400_000  # since 1970, which stands for "not published yet"
_REAPED = 5000  # units in one look
_LOOKED_AT = 100  # jobs that are looked at together, when a page is made
_MOST_LOOKED_AT = 1000


class VolatileError(UnavailableError):
    """The server keeps no append-only file, and the settings ask for one: nothing was stored."""


def key_of(id: str) -> str:
    """The key of a job's or a retraining's fields, before every other of its keys."""
    return f"{PREFIX}{id if id.startswith(RUN) else f'job:{id}'}"


class JobStore:
    """The jobs in Valkey (or Redis 7.2 and newer). Safe for threads; every method may raise redis errors."""

    def __init__(
        self, client: redis.Redis, publish: Publish | None = None, *, patient: redis.Redis | None = None
    ) -> None:
        """Nothing is asked yet.

        Args:
            client: decodes responses, as the one of ``celery_app.connect`` does.
            publish: as of ``Commands``.
            patient: one of the same server that waits longer than ``durable_seconds`` for an answer;
                ``client`` itself where absent.
        """
        self.client = client
        self._patient = patient or client
        self.commands = Commands(client, publish)
        self.statistics = Statistics(client)
        self._waits = True  # the server has WAITAOF, as far as is known
        self._clock: tuple[float, float] | None = None  # server's clock minus ours; when that was looked up

    def _run(self, name: str, *arguments: str | int | float) -> Any:
        return self.commands.run(name, *arguments)

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
        output: str | None = None,
        max_bad_rows: int | float | None = None,
        row_limit: int | None = None,
        stamps: Iterable[FileStamp] = (),
        rows: int = 0,
        trace: str | None = None,
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
            output: address of a store's folder that gets the results, too.
            max_bad_rows: how many bad rows are allowed, or what share; any but all where absent.
            row_limit: most rows of the owner's unfinished jobs, looked at once the inputs are read; any where
                absent.
            stamps: what the files are, in the order of ``inputs``.
            rows: of all inputs; 0 where not known.
            trace: of ``telemetry.traces.current``, where it was submitted.

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
            output=output,
            max_bad_rows=max_bad_rows,
            row_limit=row_limit,
            trace=trace,
        )
        key = "" if idempotency_key is None else _mark(idempotency_key, owner)
        arguments = _create_arguments(draft, settings, key=key, fingerprint=fingerprint, rows=rows)
        outcome = self._create(arguments, settings)
        (verdict, id, known), _ = outcome[0]
        if verdict == "known" and id != draft.id and not _alike(known, fingerprint):
            raise _other_request(str(idempotency_key))
        return self._accepted(draft, settings, outcome, rows=rows)

    def _accepted(
        self,
        draft: Job,
        settings: Settings,
        outcome: tuple[tuple[Any, tuple[Message, ...]], bool],
        *,
        rows: int,
    ) -> Accepted:
        """What became of a new job; the errors of ``create``."""
        ((verdict, id, detail), messages), synced = outcome
        if verdict == "volatile":
            raise VolatileError(_VOLATILE)
        if not synced:
            raise _unconfirmed(id, settings)
        if verdict == "known":
            # The draft itself: the client sent its command again, because the first answer was lost.
            return Accepted(job=self.get(id), new=id == draft.id)
        stamped = {"timestamps": {JobStatus.QUEUED: float(detail)}, "counts": Counts(total=rows)}
        return Accepted(job=draft.model_copy(update=stamped), new=True, messages=messages)

    def _create(
        self, arguments: Sequence[str | int], settings: Settings
    ) -> tuple[tuple[Any, tuple[Message, ...]], bool]:
        """The command and the wait for the disk in one round trip; says, too, whether the disk has it."""
        if not settings.durable:
            return self.commands.run_quietly("create", *arguments), True
        for _ in range(2):
            pipe = self._patient.pipeline(transaction=False)
            # Not the script itself: a pipeline would look for it first.
            pipe.evalsha(self.commands.sha, 0, "create", *arguments)
            self._add_wait(pipe, settings)
            outcome, synced = pipe.execute(raise_on_error=False)
            if not isinstance(outcome, redis.exceptions.NoScriptError):
                break
            self.commands.load()
        if isinstance(outcome, Exception):
            raise outcome
        answer = read_answer(outcome)
        # Where the server keeps no file it refuses to wait for it; the outcome says so, too.
        return answer, answer[0][0] == "volatile" or self._has_synced(synced)

    def _add_wait(self, pipe: Any, settings: Settings) -> None:
        """The wait for the disk, after a write in the same pipeline."""
        if self._waits:
            pipe.waitaof(1, 0, int(settings.durable_seconds * 1000))
        else:
            pipe.config_get("appendfsync")

    def _has_synced(self, answer: Any) -> bool:
        """Whether the disk has what was written before, by the answer to the wait."""
        if isinstance(answer, redis.ResponseError) and "unknown command" in str(answer).lower():
            self._waits = False  # a Redis before 7.2: what it answers is on the disk, if it always syncs
            answer = self._patient.config_get("appendfsync")
        if isinstance(answer, Exception):
            raise answer
        return bool(answer.get("appendfsync") == "always" if isinstance(answer, dict) else answer[0] >= 1)

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
        self._add_wait(pipe, settings)
        try:
            written, answer = pipe.execute(raise_on_error=False)
            if isinstance(written, Exception):
                raise written
            synced = self._has_synced(answer)
        except redis.ResponseError as error:
            raise UnavailableError(
                f"job {id} is stored, but the server cannot confirm it: {' '.join(str(error).split())}"
            ) from error
        if not synced:
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
        if not _alike(str(known), fingerprint):
            raise _other_request(key)
        return self.get(id)

    def get(self, id: str) -> Job:
        """The job as it is now.

        Raises:
            NotFoundError: the id is unknown.
        """
        fields = cast("dict[str, str]", self.client.hgetall(f"{PREFIX}job:{id}"))
        if "document" not in fields:  # what the store keeps beside a job is none
            raise no_job(id)
        return read_job(id, fields)

    def look(self, id: str) -> tuple[Job, int | None]:
        """The job now, and how many jobs get a worker before it gets its next (None: it does not wait).

        Raises:
            NotFoundError: the id is unknown.
        """
        fields = cast("dict[str, str]", self.client.hgetall(f"{PREFIX}job:{id}"))
        if "document" not in fields:
            raise no_job(id)
        pipe = self.client.pipeline(transaction=False)
        for level in range(int(fields["level"])):
            pipe.zcard(f"{PREFIX}ready:{level}")
        pipe.zrank(f"{PREFIX}ready:{fields['level']}", id)
        *before, rank = pipe.execute()
        return read_job(id, fields), None if rank is None else sum(before) + rank

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
        """Forget a job that has ended; ``classifying.results.delete_job`` removes its files, too.

        Raises:
            NotFoundError: the id is unknown.
            ConflictError: the job is under way.
        """
        key = f"{PREFIX}job:{id}"

        def forget(pipe: Any) -> str | None:
            status, mark = pipe.hmget(key, ["status", "idempotency"])
            marked = f"{PREFIX}idempotency:{mark}"
            named = pipe.hget(marked, "job")
            pipe.multi()
            if status is not None and JobStatus(status).final:
                if named == id:
                    pipe.delete(marked)
                for name in ("jobs", f"status:{status}", "callbacks"):
                    pipe.zrem(f"{PREFIX}{name}", id)
                pipe.delete(key)
            return cast("str | None", status)

        status = transact(self.client, forget, key)
        if status is None:
            raise no_job(id)
        if not JobStatus(status).final:
            raise ConflictError(f"job {id} is {status}; only a job that has ended can be deleted")

    # -- for workers; those that end a claim return False, with nothing changed, when its lease was lost

    def claim(
        self, job: str, unit: str, *, worker: str, lease_seconds: float, most: int = 1
    ) -> tuple[Claim, ...]:
        """Take a unit, as its message says; none where it is over, not wanted any more, or somebody has it.

        Args:
            job: the job's id.
            unit: PLAN, FINALIZE or a shard's number.
            worker: name of the worker, for those who watch.
            lease_seconds: how long it is the worker's without a ``beat``.
            most: units in all. A small job that nobody has begun comes with others of its kind, which wait
                in no less urgent a line: a message each finds them done.
        """
        token = secrets.token_hex(8)
        answer = self._run("claim", job, unit, token, worker, int(lease_seconds * 1000), most)
        return tuple(
            Claim(
                job=id,
                unit=unit,
                attempt=attempt,
                token=token,
                source=source or None,
                snapshot=read_job(id, dict(zip(fields[::2], fields[1::2], strict=True))),
                waited=waited / 1000 if waited < _PUT_OFF_MS else 0.0,
            )
            for id, attempt, source, fields, waited in answer
        )

    def beat(self, claim: Claim, *, lease_seconds: float) -> str:
        """Renew a lease: ``held``, ``cancelling`` (held; stop soon), or ``lost`` (to another attempt)."""
        return str(self._run("beat", claim.job, claim.unit, claim.token, int(lease_seconds * 1000)))

    def fix_size(self, claim: Claim, rows: int, bytes: int) -> tuple[int, int]:
        """Most rows and bytes of the job's shards: those that its first attempt at the plan chose."""
        pipe = self.client.pipeline()
        pipe.hsetnx(f"{PREFIX}job:{claim.job}", "shard_rows", rows)
        pipe.hsetnx(f"{PREFIX}job:{claim.job}", "shard_bytes", bytes)
        pipe.hmget(f"{PREFIX}job:{claim.job}", ["shard_rows", "shard_bytes"])
        sizes = pipe.execute()[-1]
        return int(sizes[0]), int(sizes[1])

    def shards_ready(self, claim: Claim, first: int, sources: Sequence[str]) -> bool:
        """Shards from ``first`` on can be worked on, while the plan goes on; "" for one that is cut."""
        return bool(self._run("plan", claim.job, claim.token, first, "", "", "", *sources))

    def planned(
        self,
        claim: Claim,
        *,
        shards: int,
        total: int,
        failed: int,
        cut_input: str,
        sources: Sequence[str] = (),
    ) -> bool:
        """All ``shards`` are ready; ``failed`` of ``total`` rows could not be read while cutting.

        ``sources`` of the first of them, as of ``shards_ready``, where that was never called.
        """
        every = (*sources, *[""] * (shards - len(sources)))
        first = 0
        while len(every) - first > _SOURCES:  # a script takes some thousands of arguments
            if not self.shards_ready(claim, first, every[first : first + _SOURCES]):
                return False
            first += _SOURCES
        last = every[first:]
        return bool(self._run("plan", claim.job, claim.token, first, total, failed, cut_input, *last))

    def finish(self, claim: Claim, done: Done) -> bool:
        """A part is in place: a shard's, the last of which makes the finalize unit, or a small job's.

        A small job (the claim is of its plan) is completed by that: its manifest is in place, too.
        """
        return self.finish_all([(claim, done)])[0]

    def finish_all(self, claims: Sequence[tuple[Claim, Done]]) -> list[bool]:
        """As ``finish``, of several units together."""
        commands = [
            ("finish", claim.job, claim.unit, claim.token, *done.arguments(claim.waited))
            for claim, done in claims
        ]
        return [bool(held) for held in self.commands.run_all(commands)]

    def release(
        self,
        claim: Claim,
        *,
        reason: str,
        max_attempts: int,
        wait_seconds: float = 0,
        counts: bool = True,
    ) -> bool:
        """Hand a unit back without a result; its job fails when this was the last attempt allowed.

        After ``wait_seconds`` the reaper publishes it again; 0: at once. With ``counts`` False it is as if
        there had been no attempt.
        """
        wait = int(wait_seconds * 1000)
        arguments = (claim.job, claim.unit, claim.token, reason, max_attempts, wait, int(not counts))
        return bool(self._run("release", *arguments))

    def give_up(self, claim: Claim, *, reason: str) -> bool:
        """The unit can never succeed: its job fails, finished parts are kept."""
        return bool(self._run("release", claim.job, claim.unit, claim.token, reason, 0, 0, 0))

    def finished_shards(self, id: str) -> set[int]:
        """Shards marked finished; empty once the job has ended."""
        return {int(shard) for shard in cast("set[str]", self.client.smembers(f"{PREFIX}job:{id}:done"))}

    def finished_parts(self, id: str) -> dict[int, str]:
        """Of shards marked finished whose results are in the store: JSON of where; as ``finished_shards``."""
        parts = cast("dict[str, str]", self.client.hgetall(f"{PREFIX}job:{id}:parts"))
        return {int(shard): part for shard, part in parts.items()}

    def close(self, claim: Claim, *, refused: str | None = None) -> JobStatus | None:
        """End a job whose manifest is written; returns the final status, None when the lease is lost.

        ``refused``: why it fails, though all of its shards are done.
        """
        status = self._run("close", claim.job, claim.unit, claim.token, "", refused or "", "")
        return None if status is None else JobStatus(status)

    def workers_of(self, id: str) -> dict[str, str]:
        """The worker that has each running unit of a job: PLAN, FINALIZE or a shard's number."""
        held = cast("dict[str, str]", self.client.hgetall(f"{PREFIX}job:{id}:held"))
        last = {PLAN: -1, FINALIZE: 1 << 62}
        return dict(sorted(held.items(), key=lambda pair: last.get(pair[0]) or int(pair[0])))

    # -- for the reaper

    def reap(
        self, *, max_attempts: int, run_attempts: int = 3, oldest: Sequence[str] = ("",) * 30
    ) -> list[str]:
        """Publish again what is out and nobody works on: a lease has expired, or a message is lost.

        Any number of processes may do this at once: a unit that another has dealt with is let be.

        Args:
            max_attempts: after so many a job fails.
            run_attempts: after so many a retraining fails.
            oldest: as of ``celery_app.oldest_published``: what was published after that still has its
                message. Without it, every message that nobody has taken in time is taken for lost.

        Returns:
            The units whose lease had expired, as ``<job>/<unit>``.
        """
        now = follow_clock(self.client)
        names = cast(
            "list[str]", self.client.zrangebyscore(f"{PREFIX}out", "-inf", now, start=0, num=_REAPED)
        )
        units = [name.rpartition("/")[::2] for name in names]
        pipe = self.client.pipeline(transaction=False)
        for id, unit in units:
            pipe.hget(f"{key_of(id)}:out", unit)
            pipe.hget(key_of(id), "teacher")
        pipe.exists(f"{PREFIX}untaught")
        *known, untaught = pipe.execute()
        commands: list[tuple[str | int | float, ...]] = []
        for (id, unit), out, teacher in zip(units, known[::2], known[1::2], strict=True):
            run = id.startswith(RUN)
            taught = teacher == "1" and unit.isdecimal() and not untaught
            level, _, published = (out or "0 0").partition(" ")
            first = oldest[int(level) + 10 * (1 if run else 2 * taught)]  # of the message that is next
            lost = int(not first or int(first) > int(published))
            most, reason = (run_attempts, _LOST) if run else (max_attempts, f"unit {unit}: {_LOST}")
            commands.append(("reap", id, unit, most, reason, lost))
        ended = self.commands.run_all(commands) if commands else []
        return [name for name, leased in zip(names, ended, strict=True) if leased]

    def hear_teachers(self, present: bool, *, wait_seconds: float) -> bool:
        """Note whether a worker that has teachers is there; says whether none can be had.

        Args:
            present: whether one was heard of.
            wait_seconds: without one for so long, shards that ask a teacher go to the others, where
                ``cascade.on_no_teacher`` of a definition says what becomes of them.
        """
        return bool(self._run("hear", int(present), int(wait_seconds * 1000)))

    def no_teacher(self) -> bool:
        """Whether no worker that has teachers has been there for too long; as of ``hear_teachers``."""
        return bool(self.client.exists(f"{PREFIX}untaught"))

    def set_window(self, units: int) -> None:
        """Most units of one job that are published and not finished."""
        self.client.set(f"{PREFIX}window", max(2, units))


def _create_arguments(
    draft: Job, settings: Settings, *, key: str, fingerprint: str, rows: int
) -> list[str | int]:
    """What the command ``create`` takes, in its order."""
    return [
        draft.id,
        draft.model_dump_json(include=DOCUMENT),
        draft.priority,
        int(bool(draft.stamps) and draft.bytes <= settings.small_bytes),
        rows,
        draft.owner or "",
        draft.callback or "",
        settings.ageing_ms,
        key,
        fingerprint,
        settings.idempotency_seconds,
        int(settings.durable),
        int(draft.asks_teacher),
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


def _alike(known: str, fingerprint: str) -> bool:
    """Whether two requests agree: in one of the words of their fingerprints."""
    return known == fingerprint or not set(known.split()).isdisjoint(fingerprint.split())


def _other_request(key: str) -> InputError:
    return InputError(f"idempotency key {key!r} was used for another request; take a new key")
