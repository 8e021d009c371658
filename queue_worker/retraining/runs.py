"""Retrainings as those who watch see them: a record in Valkey for each, and its states.

A run is made by the scheduler for a task's night, or on demand, and done by the task ``pingti.retrain`` under
the same leases as a job's units: the run of a worker that is silent is given to another, which goes on with
it (``replacement.retrain``). Times are the server's.

Keys (prefix ``pingti:``):

    run:<id>          hash: task, night, who, status, at:<status>, attempts, progress, ... (see ``store.lua``)
    runs:of:<task>    sorted set of a task's runs by the time of their making; the last hundred are kept
    nights            hash: task -> "<hour of its plan> <date of the last night that was dealt with>"
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from typing import Any, cast

import redis
from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict, Field

from pingti.errors import ConflictError, NotFoundError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import DEFAULT_PRIORITY, make_celery
from queue_worker.jobs.commands import Commands, Publish
from queue_worker.jobs.models import RETRAIN_UNIT, RUN, RUN_MOVES, Message
from queue_worker.jobs.publishing import publisher
from queue_worker.jobs.transactions import transact
from queue_worker.keys import PREFIX
from queue_worker.settings import Settings

_KEPT = 100  # runs of a task
_LOOK_MS = 5000  # as of ``store.lua``


class RunState(StrEnum):
    """Where a retraining is."""

    QUEUED = "queued"  # made; no worker has it, or the one that had it was lost
    RUNNING = "running"  # a worker holds its lease
    PROMOTED = "promoted"  # the candidate passed the gate and is the one that new jobs get
    REFUSED = "refused"  # the candidate fell short of the gate, or of the version in use
    FAILED = "failed"  # there is no candidate; ``reason`` says why
    CANCELLED = "cancelled"  # a person stopped it; what it had learnt is not used
    MISSED = "missed"  # no scheduler ran before the next night's hour: that night's run stands for it

    @property
    def final(self) -> bool:
        """Whether no other state follows."""
        return not allowed_moves(self)


def allowed_moves(state: RunState) -> frozenset[RunState]:
    """The states that may follow ``state``. The store's script is built from the same table."""
    return frozenset(map(RunState, RUN_MOVES.get(state, ())))


class Progress(BaseModel):
    """How far a running retraining is."""

    model_config = ConfigDict(frozen=True)

    round: int = Field(default=0, description="Rounds finished.")
    rounds: int | None = Field(default=None, description="Most rounds that there can be.")
    f1: float | None = Field(default=None, description="On the holdout, after the last finished round.")
    what: str = Field(default="", description="What is being done now.")
    done: int = Field(default=0, description="How much of that is done.")
    total: int = Field(default=0, description="How much of that there is.")


class Run(BaseModel):
    """All that is known of a retraining at one moment."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description='"<task>/<night>", or "<task>/<a name>" on demand.')
    task: str
    night: date | None = Field(default=None, description="The scheduled date; null: on demand.")
    who: str = Field(description="Who asked for it; the scheduler, for a night.")
    state: RunState
    created: float = Field(description="Unix seconds.")
    started: float | None = Field(default=None, description="When a worker first took it.")
    ended: float | None = None
    attempts: int = Field(default=0, description="How often a worker took it; more than 1 after a crash.")
    progress: Progress | None = None
    version: int | None = Field(default=None, description="The candidate's, once there is one.")
    reason: str | None = Field(default=None, description="Why it ended so, or why it was given back.")


@dataclass(frozen=True, kw_only=True)
class RunClaim:
    """The right to work on a run until its lease ends."""

    run: Run
    token: str  # of this attempt alone


class RunStore:
    """The runs in Valkey. Safe for threads; every method may raise redis errors."""

    def __init__(self, client: redis.Redis, publish: Publish | None = None) -> None:
        """As of ``jobs.commands.Commands``."""
        self.client = client
        self._commands = Commands(client, publish)

    # -- for those who ask and watch

    def demand(self, task: str, *, who: str) -> Run:
        """A run of ``task`` at once; where one waits already, that one."""
        seconds, _ = self.client.time()
        return self.get(str(self._add(task, f"{seconds:x}-{secrets.token_hex(3)}", who)))

    def _add(
        self,
        task: str,
        name: str,
        who: str,
        night: str = "",
        state: RunState = RunState.QUEUED,
        why: str = "",
    ) -> str | None:
        """Make a run and return its id: on demand, of the one that waits already; None where it is there."""
        id, index = f"{task}/{name}", f"{PREFIX}runs:of:{task}"
        seconds, microseconds = self.client.time()
        now = seconds * 1000 + microseconds // 1000
        message = Message(id=RUN + id, unit=RETRAIN_UNIT, level=DEFAULT_PRIORITY, attempt=1, published=now)

        def add(pipe: Any) -> tuple[str | None, bool]:
            known = pipe.zrange(index, 0, -1)
            states = {other: pipe.hget(f"{PREFIX}run:{other}", "status") for other in known}
            waiting = next((other for other in known if states[other] == RunState.QUEUED), None)
            pipe.multi()
            if id in known:
                return None, False
            if not night and waiting is not None:
                return waiting, False
            at = {"at:queued": now / 1000, f"at:{state}": now / 1000}
            fields = {"task": task, "night": night, "who": who, "status": str(state), "reason": why}
            pipe.hset(f"{PREFIX}run:{id}", mapping={**fields, **at, "priority": DEFAULT_PRIORITY})
            pipe.zadd(index, {id: now})
            for old in known[: max(0, len(known) + 1 - _KEPT)]:
                if states[old] is None or RunState(states[old]).final:
                    pipe.delete(f"{PREFIX}run:{old}")
                    pipe.zrem(index, old)
            if state is RunState.QUEUED:  # as the store's script publishes a unit
                pipe.hset(f"{PREFIX}{RUN}{id}:out", RETRAIN_UNIT, f"{DEFAULT_PRIORITY} {now}")
                pipe.zadd(f"{PREFIX}out", {f"{RUN}{id}/{RETRAIN_UNIT}": now + _LOOK_MS})
            return id, state is RunState.QUEUED

        run, new = transact(self.client, add, index)
        if new:
            self._commands.publish([message])
        return run

    def get(self, id: str) -> Run:
        """The run as it is now.

        Raises:
            NotFoundError: the id is unknown, or of long ago.
        """
        fields = cast("dict[str, str]", self.client.hgetall(f"{PREFIX}run:{id}"))
        if not fields:
            raise NotFoundError(f"there is no retraining {id!r}")
        return _parsed(id, fields)

    def of_task(self, task: str, *, limit: int = _KEPT) -> list[Run]:
        """The runs of a task, the newest first."""
        ids = cast("list[str]", self.client.zrevrange(f"{PREFIX}runs:of:{task}", 0, limit - 1))
        pipe = self.client.pipeline(transaction=False)
        for id in ids:
            pipe.hgetall(f"{PREFIX}run:{id}")
        return [_parsed(id, fields) for id, fields in zip(ids, pipe.execute(), strict=True) if fields]

    def cancel(self, id: str) -> Run:
        """Cancel a run; the process of one under way is ended by whoever revokes its task.

        Raises:
            NotFoundError: there is none of that id.
            ConflictError: it has ended.
        """
        before = self.get(id)
        if self._commands.run("cancel", RUN + id) != RunState.CANCELLED or before.state.final:
            raise ConflictError(
                f"retraining {id} is {self.get(id).state}; only one under way can be cancelled"
            )
        return self.get(id)

    def move(self, task: str, to: str | None) -> None:
        """Give the runs of a renamed task, all of which have ended, to its new name.

        Args:
            task: its name before.
            to: its new name; the runs are forgotten where absent.
        """
        known: Any = self.client.zrange(f"{PREFIX}runs:of:{task}", 0, -1, withscores=True)
        pipe = self.client.pipeline()
        for id, created in known:
            if to is not None and self.client.exists(f"{PREFIX}run:{id}"):
                new = f"{to}/{id.partition('/')[2]}"
                pipe.rename(f"{PREFIX}run:{id}", f"{PREFIX}run:{new}")
                pipe.hset(f"{PREFIX}run:{new}", "task", to)
                pipe.zadd(f"{PREFIX}runs:of:{to}", {new: created})
            pipe.delete(f"{PREFIX}run:{id}")
        pipe.delete(f"{PREFIX}runs:of:{task}")
        night = self.client.hget(f"{PREFIX}nights", task)
        if to is not None and night is not None:
            pipe.hset(f"{PREFIX}nights", to, night)
        pipe.hdel(f"{PREFIX}nights", task)
        pipe.execute()

    # -- for the scheduler

    def night(self, task: str, at: time, night: date, missed: Iterable[date] = ()) -> bool:
        """Make the run of a task's night; ``missed`` nights before it are recorded as such.

        Each night is dealt with once, whoever asks how often, since its run has its name. For a task whose
        plan was not known, or had another hour, nothing is made: it starts with the next night. Returns
        whether a run was made.
        """
        last = self.last_night(task, at)
        if last is not None and last >= night:
            return False
        reason = f"no scheduler ran; the run of {night} stands for it"
        new = False
        if last is not None:
            for day in map(str, missed):
                self._add(task, day, "scheduler", day, RunState.MISSED, reason)
            new = self._add(task, str(night), "scheduler", str(night)) is not None
        self.client.hset(f"{PREFIX}nights", task, f"{at.isoformat()} {night}")
        return new

    def last_night(self, task: str, at: time) -> date | None:
        """The last night of the task's plan that was dealt with."""
        hour, _, last = (cast("str | None", self.client.hget(f"{PREFIX}nights", task)) or "").partition(" ")
        return date.fromisoformat(last) if hour == at.isoformat() else None

    # -- for retrain workers; those that end a claim return False when the lease was lost

    def claim(self, id: str, *, worker: str, lease_seconds: float) -> RunClaim | None:
        """Take a run, as its message says; None where it has ended, or somebody has it."""
        token = secrets.token_hex(8)
        lease = int(lease_seconds * 1000)
        if not self._commands.run("claim", RUN + id, RETRAIN_UNIT, token, worker, lease, 1):
            return None
        return RunClaim(run=self.get(id), token=token)

    def beat(self, claim: RunClaim, progress: Progress, *, lease_seconds: float) -> bool:
        """Renew a lease and tell how far the run is."""
        held = bool(self._on("beat", claim, int(lease_seconds * 1000)) == "held")
        if held:
            self.client.hset(f"{PREFIX}{RUN}{claim.run.id}", "progress", progress.model_dump_json())
        return held

    def finish(self, claim: RunClaim, state: RunState, *, version: int | None, reason: str) -> bool:
        """End a run."""
        number = "" if version is None else version
        return bool(self._on("close", claim, state, reason, number))

    def release(self, claim: RunClaim, *, reason: str, max_attempts: int, counted: bool = True) -> bool:
        """Hand a run back; it fails when this was the last attempt allowed, unless that is not counted."""
        return bool(self._on("release", claim, reason, max_attempts, 0, int(not counted)))

    def _on(self, command: str, claim: RunClaim, *arguments: str | int) -> Any:
        return self._commands.run(command, RUN + claim.run.id, RETRAIN_UNIT, claim.token, *arguments)


def _parsed(id: str, fields: Mapping[str, str]) -> Run:
    state = RunState(fields["status"])
    known = {name: value for name, value in fields.items() if name in Run.model_fields and value != ""}
    if "progress" in known:
        known["progress"] = json.loads(known["progress"])
    ended = fields.get(f"at:{state}") if state.final else None
    times = {"created": fields["at:queued"], "started": fields.get("at:running"), "ended": ended}
    return Run.model_validate({**known, **times, "state": state, "id": id})


def request_retrain(settings: Settings, client: redis.Redis, task: str, who: str) -> Run:
    """Have a task retrained as soon as a retrain worker is free; where a run waits already, that one.

    Raises:
        NotFoundError: there is no such task.
    """
    Workspace(settings.home).task(task)
    return RunStore(client, publisher(settings)).demand(task, who=who)


def cancel_retrain(settings: Settings, client: redis.Redis, id: str) -> Run:
    """Cancel a retraining, and have the process that works on it ended.

    Raises:
        NotFoundError: there is none of that id.
        ConflictError: it has ended.
    """
    before = find_run(client, id)
    run = RunStore(client).cancel(id)
    if before.state is RunState.RUNNING:
        with suppress(OperationalError):  # its worker sees at the next heartbeat that it has lost the lease
            make_celery(settings).control.revoke(
                f"{id}/{RETRAIN_UNIT}/{before.attempts}", terminate=True, signal="SIGKILL"
            )
    return run


def runs(client: redis.Redis, task: str, limit: int = _KEPT) -> list[Run]:
    """The retrainings of a task, the newest first."""
    return RunStore(client).of_task(task, limit=limit)


def find_run(client: redis.Redis, id: str) -> Run:
    """One retraining.

    Raises:
        NotFoundError: the id is unknown, or of long ago.
    """
    return RunStore(client).get(id)
