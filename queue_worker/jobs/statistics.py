"""What the queue tells of itself: what waits, what workers do, and counters that only grow."""

import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from queue_worker.jobs.models import LATENCY_BOUNDS, SECONDS_BOUNDS
from queue_worker.keys import PREFIX


@dataclass(frozen=True, kw_only=True)
class Depth:
    """What waits at one priority level."""

    priority: int  # where the jobs stand now; one that has aged stands above its own
    units: int  # pieces of work that no worker has taken
    jobs: int  # that have such
    oldest_seconds: float  # since the job that waits longest had a turn, or was accepted; 0 where none waits


@dataclass(frozen=True, kw_only=True)
class WorkerLoad:
    """What a worker process told last."""

    name: str  # queue@host-process
    threads: int
    busy: int  # threads that work on a unit
    rows_per_second: float  # over about the last minute
    memory_bytes: int  # resident
    heard_seconds: float  # since


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counters since the store was empty; they never fall."""

    rows: int  # classified
    failed_rows: int  # that could not be read or classified
    label_scores: int  # rows times tasks asked of them
    rows_by_task: dict[str, int]
    rows_by_teacher: dict[str, int]  # those of a task with a cascade that its teacher decided
    shards: int  # finished, jobs that were worked on whole among them
    shard_seconds: float  # their sum
    shard_buckets: dict[float, int]  # shards by seconds: each of SECONDS_BOUNDS and infinity; not cumulated
    latency_seconds: float  # from the publication of shards to their begin: their sum
    latency_buckets: dict[float, int]  # as of ``shard_buckets``, each of LATENCY_BOUNDS
    retries: int  # units handed to another attempt
    rejected: int  # messages that no worker could take
    jobs_accepted: int
    jobs_ended: dict[str, int]  # by their final status
    alarms: dict[str, int]  # of student and teacher drifting apart, by task


@dataclass(frozen=True, kw_only=True)
class OwnerLoad:
    """What an owner has in the queue; rows of inputs that are still to be counted are missing."""

    jobs: int
    rows: int


class Statistics:
    """What is looked at and never changed, but for a worker's own word."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def depths(self) -> tuple[Depth, ...]:
        """The ten levels, 0 first."""
        pipe = self.client.pipeline(transaction=False)
        pipe.time()
        pipe.hgetall(f"{PREFIX}waiting")
        for level in range(10):
            pipe.zcard(f"{PREFIX}ready:{level}")
            pipe.zrange(f"{PREFIX}ready:{level}", 0, 0, withscores=True)
        (seconds, microseconds), units, *lines = pipe.execute()
        now = seconds + microseconds / 1e6
        return tuple(
            Depth(
                priority=level,
                units=int(units.get(str(level), 0)),
                jobs=jobs,
                oldest_seconds=max(0.0, now - first[0][1] / 1e6) if first else 0.0,
            )
            for level, (jobs, first) in enumerate(zip(lines[::2], lines[1::2], strict=True))
        )

    def waiting(self) -> tuple[int, ...]:
        """Units that wait for a worker, by priority level 0 to 9."""
        return tuple(depth.units for depth in self.depths())

    def workers(self, *, seconds: float = 15.0) -> dict[str, float]:
        """Workers heard of in the last ``seconds``, with the time of the last sign (Unix seconds)."""
        now, _ = self.client.time()
        # What is to come was told before the server's clock was set back.
        heard = self.client.zrangebyscore(
            f"{PREFIX}workers", (now - seconds) * 1000, (now + seconds) * 1000, withscores=True
        )
        return {name: at / 1000 for name, at in cast("list[tuple[str, float]]", heard)}

    def worker_loads(self, *, seconds: float = 15.0) -> tuple[WorkerLoad, ...]:
        """What the workers heard of in the last ``seconds`` told of themselves, in order of their names."""
        names = sorted(self.workers(seconds=seconds).items())
        pipe = self.client.pipeline(transaction=False)
        pipe.time()
        for name, _ in names:
            pipe.hgetall(f"{PREFIX}worker:{name}")
        (now, microseconds), *loads = pipe.execute()
        return tuple(
            WorkerLoad(
                name=name,
                threads=int(fields.get("threads", 0)),
                busy=int(fields.get("busy", 0)),
                rows_per_second=float(fields.get("rows_per_second", 0)),
                memory_bytes=int(fields.get("memory_bytes", 0)),
                heard_seconds=max(0.0, now + microseconds / 1e6 - at),
            )
            for (name, at), fields in zip(names, loads, strict=True)
        )

    def present(self, worker: str, load: Mapping[str, float] | None = None) -> None:
        """A worker's sign of life, and what it has to do: numbers of ``WorkerLoad`` by their names."""
        seconds, microseconds = self.client.time()
        now = seconds * 1000 + microseconds // 1000
        pipe = self.client.pipeline(transaction=False)
        pipe.zadd(f"{PREFIX}workers", {worker: now})
        if load:
            pipe.hset(f"{PREFIX}worker:{worker}", mapping={name: str(value) for name, value in load.items()})
            pipe.expire(f"{PREFIX}worker:{worker}", 3600)
        pipe.zremrangebyscore(f"{PREFIX}workers", "-inf", now - 3_600_000)
        pipe.execute()

    def totals(self) -> Totals:
        """The counters as they are now."""
        fields = cast("dict[str, str]", self.client.hgetall(f"{PREFIX}totals"))

        def some(prefix: str) -> dict[str, int]:
            return {
                name.removeprefix(prefix): int(value)
                for name, value in sorted(fields.items())
                if name.startswith(prefix)
            }

        def bounded(prefix: str, bounds: tuple[float, ...]) -> dict[float, int]:
            known = some(prefix)
            return {bound: known.get(str(bound), 0) for bound in (*bounds, float("inf"))}

        jobs = some("jobs:")
        return Totals(
            rows=int(fields.get("rows", 0)),
            failed_rows=int(fields.get("failed_rows", 0)),
            label_scores=int(fields.get("label_scores", 0)),
            rows_by_task=some("task:"),
            rows_by_teacher=some("by_teacher:"),
            shards=int(fields.get("shards", 0)),
            shard_seconds=float(fields.get("shard_seconds", 0)),
            shard_buckets=bounded("bucket:", SECONDS_BOUNDS),
            latency_seconds=float(fields.get("latency_seconds", 0)),
            latency_buckets=bounded("latency:", LATENCY_BOUNDS),
            retries=int(fields.get("retries", 0)),
            jobs_accepted=jobs.pop("accepted", 0),
            jobs_ended=jobs,
            alarms=some("alarms:"),
            rejected=int(fields.get("rejected", 0)),
        )

    def teacher_jobs(self) -> int:
        """Jobs that have not ended and ask a teacher about some of their rows."""
        return self.client.scard(f"{PREFIX}asking")

    def load_of(self, owner: str) -> OwnerLoad:
        """Jobs and rows of an owner that are in the queue or being worked on."""
        jobs, rows = cast("list[str | None]", self.client.hmget(f"{PREFIX}owner:{owner}", ["jobs", "rows"]))
        return OwnerLoad(jobs=int(jobs or 0), rows=max(0, int(rows or 0)))


def memory_bytes(child: int | None = None) -> int:
    """Resident memory of this process and its ``child``; where the system does not tell, its own peak."""
    try:
        resident = resident_bytes("self")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    if child is not None:
        with suppress(OSError):  # it has ended
            resident += resident_bytes(child)
    return resident


def resident_bytes(process: int | str) -> int:
    """Resident memory of a process by its id. OSError where it has ended, or the system has no /proc."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
