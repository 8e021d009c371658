"""How long jobs wait in the queue: by priority, by turns, by age. Part of ``make bench-queue``."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.submission import JobRequest, submit
from queue_worker.settings import Settings

SHARDS_OF_A_FILE: Final = 50
_URGENT: Final = 20
_FIFTY: Final = 50
_AGEING_SECONDS: Final = 1.5  # a level
_STREAM: Final = 4  # clients that each have an urgent job in the queue, always


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where it is measured: a service that runs, and a file whose shards take their time."""

    settings: Settings
    store: JobStore
    file: Path
    """Below home; has ``SHARDS_OF_A_FILE`` shards."""
    tasks: tuple[str, ...]
    titles: list[str]

    def submit(self, files: list[str], priority: int, **changes: float) -> Job:
        settings = self.settings.model_copy(update=changes)
        return submit(
            JobRequest(inputs=tuple(files), tasks=self.tasks, id="id", priority=priority),
            settings,
            self.store,
        )

    def links(self, count: int, name: str) -> list[str]:
        """Further names of the file."""
        names = [f"{name}-{number}.parquet" for number in range(count)]
        for link in names:
            (self.settings.home / link).hardlink_to(self.file)
        return names

    def small(self, name: str) -> str:
        """A file of ten rows."""
        table = pa.table({"id": [str(row) for row in range(10)], "text": self.titles[:10]})
        pq.write_table(table, self.settings.home / f"{name}.parquet")
        return f"{name}.parquet"

    def until(self, job: Job, reached: Callable[[Job], bool]) -> Job:
        while not reached(job := self.store.get(job.id)):
            time.sleep(0.02)
        return job

    def ended(self, job: Job) -> Job:
        job = self.until(job, lambda job: job.status.final)
        if job.status is not JobStatus.COMPLETED:
            raise SystemExit(f"job {job.id} is {job.status}: {job.error}")
        return job

    def cancel(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.store.cancel(job.id)
        for job in jobs:
            self.until(job, lambda job: job.status.final)


def measure_waiting(room: Room, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Each answer with the figures that it is judged by; seconds and shares."""
    say("an urgent job while 1,000 shards wait")
    urgent = _urgent(room)
    say("fifty jobs of one level, one of them small")
    turns = _turns(room)
    say("an aged job in a stream of urgent ones")
    return {"urgent": urgent, "turns": turns, "aged": _aged(room)}


def _urgent(room: Room) -> dict[str, float]:
    """Jobs of priority 0 while 1,000 shards of priority 9 wait: from accepted to begun."""
    low = room.submit(room.links(1020 // SHARDS_OF_A_FILE + 1, "low"), 9)
    room.until(low, lambda job: job.shards_total is not None and job.shards_done >= 2)
    before = room.store.statistics.totals()
    waits = []
    for number in range(_URGENT):
        job = room.ended(room.submit([room.small(f"urgent-{number}")], 0))
        waits.append(job.timestamps[JobStatus.RUNNING] - job.timestamps[JobStatus.QUEUED])
    after, low = room.store.statistics.totals(), room.store.get(low.id)
    left = (low.shards_total or 0) - low.shards_done
    room.cancel([low])
    shards = after.shards - before.shards - _URGENT
    return {
        "shards_waiting_at_the_end": left,
        "shard_seconds": (after.shard_seconds - before.shard_seconds) / max(1, shards),
        "median_wait_seconds": statistics.median(waits),
        "longest_wait_seconds": max(waits),
    }


def _turns(room: Room) -> dict[str, float]:
    """Fifty jobs of a level, the last of them small: how far the others are when it ends."""
    long = [room.submit([name], 5) for name in room.links(_FIFTY - 1, "long")]
    small = room.ended(room.submit([room.small("short")], 5))
    done = max(room.store.get(job.id).shards_done for job in long)
    room.cancel(long)
    return {
        "most_done_of_a_long_job": done / SHARDS_OF_A_FILE,
        "seconds": small.timestamps[JobStatus.COMPLETED] - small.timestamps[JobStatus.QUEUED],
    }


def _aged(room: Room) -> dict[str, float]:
    """A job of priority 9 beside urgent ones that never end: from accepted to begun."""
    names, stop = room.links(_STREAM, "stream"), Event()

    def stream(name: str) -> int:
        count = 0
        while not stop.is_set():
            room.ended(room.submit([name], 0, ageing_minutes=0.0))
            count += 1
        return count

    with ThreadPoolExecutor(_STREAM) as pool:
        streams = [pool.submit(stream, name) for name in names]
        time.sleep(1.0)
        aged = room.submit([room.small("aged")], 9, ageing_minutes=_AGEING_SECONDS / 60)
        aged = room.ended(aged)
        stop.set()
        urgent = sum(answer.result() for answer in streams)
    return {
        "urgent_jobs": urgent,
        "seconds_to_rise": 9 * _AGEING_SECONDS,
        "wait_seconds": aged.timestamps[JobStatus.RUNNING] - aged.timestamps[JobStatus.QUEUED],
    }
