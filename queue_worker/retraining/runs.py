"""Retrainings as those who watch see them: a record in Valkey for each, its states, and the store's scripts.

A run is made by the scheduler for a task's night, or on demand. Retrain workers take runs from a list of
their own, one after the other, under a lease as with a job's units: the run of a worker that is silent is
given to another, which goes on with it (``replacement.retrain``). Times are the server's.

Keys (prefix ``pingti:``):

    run:<id>          hash: task, night, who, state, created, started, ended, attempts, progress, ...
    runs:of:<task>    sorted set of a task's runs by the time of their making; the last hundred are kept
    runs:waiting      list of the runs that nobody works on, oldest first
    runs:leases       sorted set: run -> deadline in ms
    nights            hash: task -> "<hour of its plan> <date of the last night that was dealt with>"
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from typing import Any, cast

import redis
from pydantic import BaseModel, ConfigDict, Field

from pingti.errors import NotFoundError
from pingti.workspace.registry import Workspace
from queue_worker.keys import PREFIX
from queue_worker.settings import Settings

_KEPT = 100  # runs of a task


class RunState(StrEnum):
    """Where a retraining is."""

    QUEUED = "queued"  # made; no worker has it, or the one that had it was lost
    RUNNING = "running"  # a worker holds its lease
    PROMOTED = "promoted"  # the candidate passed the gate and is the one that new jobs get
    REFUSED = "refused"  # the candidate fell short of the gate, or of the version in use
    FAILED = "failed"  # there is no candidate; ``reason`` says why
    MISSED = "missed"  # no scheduler ran before the next night's hour: that night's run stands for it

    @property
    def final(self) -> bool:
        """Whether no other state follows."""
        return not allowed_moves(self)


_MOVES: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING}),
    RunState.RUNNING: frozenset({RunState.QUEUED, RunState.PROMOTED, RunState.REFUSED, RunState.FAILED}),
}


def allowed_moves(state: RunState) -> frozenset[RunState]:
    """The states that may follow ``state``. The Lua scripts are built from the same table."""
    return _MOVES.get(state, frozenset())


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


_PRELUDE = """
local call = redis.call
local function run(id) return P .. 'run:' .. id end
local function now() local t = call('TIME'); return t[1] * 1000 + math.floor(t[2] / 1000) end
local function seconds() return string.format('%.3f', now() / 1000) end

local function add(id, task, night, who, state, reason)
  if call('EXISTS', run(id)) == 1 then return 0 end
  call('HSET', run(id), 'task', task, 'night', night, 'who', who, 'state', state, 'created', seconds())
  if reason then call('HSET', run(id), 'reason', reason, 'ended', seconds()) end
  local all = P .. 'runs:of:' .. task
  call('ZADD', all, now(), id)
  for _, old in ipairs(call('ZRANGE', all, 0, -KEPT - 1)) do
    if not MOVES[call('HGET', run(old), 'state') or ''] then call('DEL', run(old)); call('ZREM', all, old) end
  end
  if state == 'queued' then call('RPUSH', P .. 'runs:waiting', id) end
  return 1
end

-- The one place that changes a state.
local function move(id, to)
  local from = call('HGET', run(id), 'state')
  if not from or not MOVES[from] or not MOVES[from][to] then
    return redis.error_reply('PINGTI illegal move from ' .. tostring(from) .. ' to ' .. to)
  end
  call('HSET', run(id), 'state', to)
  return true
end

local function drop_lease(id)
  call('ZREM', P .. 'runs:leases', id)
  call('HDEL', run(id), 'token')
end

local function give_back(id, reason, most)
  drop_lease(id)
  if tonumber(call('HGET', run(id), 'attempts')) >= most then
    move(id, 'failed')
    call('HSET', run(id), 'ended', seconds(), 'reason', reason .. ' (' .. most .. ' attempts)')
  else
    move(id, 'queued')
    call('HSET', run(id), 'reason', reason)
    call('LPUSH', P .. 'runs:waiting', id)
  end
end
"""

_BODIES = {
    # ARGV: task, name, who -> id of the run of the task that waits, made if there is none
    "demand": """
for _, id in ipairs(call('LRANGE', P .. 'runs:waiting', 0, -1)) do
  if call('HGET', run(id), 'task') == ARGV[1] then return id end
end
local id = ARGV[1] .. '/' .. ARGV[2]
add(id, ARGV[1], '', ARGV[3], 'queued')
return id
""",
    # ARGV: task, hour, night, reason of those missed or '', missed nights... -> 1 when a run was made.
    # The nights are dealt with once, however many schedulers ask. A plan that is new, or has another hour,
    # starts after the night given.
    "night": """
local known = call('HGET', P .. 'nights', ARGV[1])
local hour, last = string.match(known or '', '^(%S+) (%S+)$')
call('HSET', P .. 'nights', ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
if hour ~= ARGV[2] or last >= ARGV[3] then
  if hour == ARGV[2] and last > ARGV[3] then call('HSET', P .. 'nights', ARGV[1], known) end
  return 0
end
for index = 5, #ARGV do
  if ARGV[index] > last then
    add(ARGV[1] .. '/' .. ARGV[index], ARGV[1], ARGV[index], 'scheduler', 'missed', ARGV[4])
  end
end
return add(ARGV[1] .. '/' .. ARGV[3], ARGV[1], ARGV[3], 'scheduler', 'queued')
""",
    # ARGV: token, lease ms -> id or nil
    "claim": """
local id = call('LPOP', P .. 'runs:waiting')
if not id then return nil end
move(id, 'running')
call('HSETNX', run(id), 'started', seconds())
call('HINCRBY', run(id), 'attempts', 1)
call('HSET', run(id), 'token', ARGV[1])
call('HDEL', run(id), 'reason')
call('ZADD', P .. 'runs:leases', now() + ARGV[2], id)
return id
""",
    # ARGV: id, token, lease ms, progress -> 1, or 0 when the lease is lost
    "beat": """
if call('HGET', run(ARGV[1]), 'token') ~= ARGV[2] then return 0 end
call('ZADD', P .. 'runs:leases', 'XX', now() + ARGV[3], ARGV[1])
call('HSET', run(ARGV[1]), 'progress', ARGV[4])
return 1
""",
    # ARGV: id, token, state, version or '', reason -> 1, or 0 when the lease is lost
    "finish": """
local id = ARGV[1]
if call('HGET', run(id), 'token') ~= ARGV[2] then return 0 end
drop_lease(id)
move(id, ARGV[3])
call('HSET', run(id), 'ended', seconds(), 'reason', ARGV[5])
if ARGV[4] ~= '' then call('HSET', run(id), 'version', ARGV[4]) end
return 1
""",
    # ARGV: id, token, reason, most attempts, 1 where this attempt is not to count
    "release": """
if call('HGET', run(ARGV[1]), 'token') ~= ARGV[2] then return 0 end
if ARGV[5] == '1' then call('HINCRBY', run(ARGV[1]), 'attempts', -1) end
give_back(ARGV[1], ARGV[3], tonumber(ARGV[4]))
return 1
""",
    # ARGV: most attempts, reason -> runs whose lease had expired
    "reap": """
local ids = call('ZRANGEBYSCORE', P .. 'runs:leases', '-inf', now())
for _, id in ipairs(ids) do give_back(id, ARGV[2], tonumber(ARGV[1])) end
return ids
""",
}


class RunStore:
    """The runs in Valkey. Safe for threads; every method may raise redis errors."""

    def __init__(self, client: redis.Redis) -> None:
        """``client`` must decode responses, as the one of ``celery_app.connect`` does."""
        self.client = client
        table = ", ".join(
            f"{start} = {{{', '.join(f'{end} = true' for end in sorted(ends))}}}"
            for start, ends in _MOVES.items()
        )
        head = f"local P = '{PREFIX}'\nlocal KEPT = {_KEPT}\nlocal MOVES = {{{table}}}\n{_PRELUDE}"
        self._scripts = {name: client.register_script(head + body) for name, body in _BODIES.items()}

    def _run(self, name: str, *arguments: str | int) -> Any:
        return self._scripts[name](args=arguments)

    # -- for those who ask and watch

    def demand(self, task: str, *, who: str) -> Run:
        """A run of ``task`` at once; where one waits already, that one."""
        seconds, _ = self.client.time()
        return self.get(str(self._run("demand", task, f"{seconds:x}-{secrets.token_hex(3)}", who)))

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

    # -- for the scheduler

    def night(self, task: str, at: time, night: date, missed: Iterable[date] = ()) -> bool:
        """Make the run of a task's night; ``missed`` nights before it are recorded as such.

        Each night is dealt with once, whoever asks how often. For a task whose plan was not known, or had
        another hour, nothing is made: it starts with the next night. Returns whether a run was made.
        """
        reason = f"no scheduler ran; the run of {night} stands for it"
        days = [day.isoformat() for day in missed]
        return bool(self._run("night", task, at.isoformat(), night.isoformat(), reason, *days))

    def last_night(self, task: str, at: time) -> date | None:
        """The last night of the task's plan that was dealt with."""
        hour, _, last = (cast("str | None", self.client.hget(f"{PREFIX}nights", task)) or "").partition(" ")
        return date.fromisoformat(last) if hour == at.isoformat() else None

    def reap(self, *, max_attempts: int) -> list[str]:
        """Give back the runs of workers that are silent; returns their ids. Any number may do this."""
        return list(self._run("reap", max_attempts, "the worker that had it stopped answering"))

    # -- for retrain workers; the last three return False when the lease was lost to another attempt

    def claim(self, *, lease_seconds: float) -> RunClaim | None:
        """Take the run that has waited longest."""
        token = secrets.token_hex(8)
        id = self._run("claim", token, int(lease_seconds * 1000))
        return None if id is None else RunClaim(run=self.get(id), token=token)

    def beat(self, claim: RunClaim, progress: Progress, *, lease_seconds: float) -> bool:
        """Renew a lease and tell how far the run is."""
        document = progress.model_dump_json()
        return bool(self._run("beat", claim.run.id, claim.token, int(lease_seconds * 1000), document))

    def finish(self, claim: RunClaim, state: RunState, *, version: int | None, reason: str) -> bool:
        """End a run."""
        number = "" if version is None else version
        return bool(self._run("finish", claim.run.id, claim.token, state, number, reason))

    def release(self, claim: RunClaim, *, reason: str, max_attempts: int, counted: bool = True) -> bool:
        """Hand a run back; it fails when this was the last attempt allowed, unless that is not counted."""
        flag = "0" if counted else "1"
        return bool(self._run("release", claim.run.id, claim.token, reason, max_attempts, flag))


def _parsed(id: str, fields: Mapping[str, str]) -> Run:
    known = {name: value for name, value in fields.items() if name != "token" and value != ""}
    if "progress" in known:
        known["progress"] = json.loads(known["progress"])
    return Run.model_validate({**known, "id": id})


def request_retrain(settings: Settings, client: redis.Redis, task: str, who: str) -> Run:
    """Have a task retrained as soon as a retrain worker is free; where a run waits already, that one.

    Raises:
        NotFoundError: the task is unknown.
    """
    Workspace(settings.home).task(task)
    return RunStore(client).demand(task, who=who)


def runs(client: redis.Redis, task: str, limit: int = _KEPT) -> list[Run]:
    """The retrainings of a task, the newest first."""
    return RunStore(client).of_task(task, limit=limit)


def find_run(client: redis.Redis, id: str) -> Run:
    """One retraining.

    Raises:
        NotFoundError: the id is unknown, or of long ago.
    """
    return RunStore(client).get(id)
