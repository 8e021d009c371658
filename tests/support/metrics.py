"""A broker's figures of every kind, made up: what a scrape is made of."""

from types import SimpleNamespace
from typing import Any

from queue_worker.jobs.statistics import Depth, Totals, WorkerLoad

INFINITE = float("inf")


class MadeUpStatistics:
    """In place of the job store's statistics."""

    def depths(self) -> tuple[Depth, ...]:
        waiting = {2: (3, 1, 12.5), 7: (1, 1, 0.25)}
        return tuple(
            Depth(priority=level, units=units, jobs=jobs, oldest_seconds=age)
            for level, (units, jobs, age) in ((n, waiting.get(n, (0, 0, 9.0))) for n in range(10))
        )

    def worker_loads(self, **_: Any) -> tuple[WorkerLoad, ...]:
        names = ("classify@a-1", 'classify@"b"\\-2')
        return tuple(
            WorkerLoad(
                name=name, threads=4, busy=n, rows_per_second=1234.5, memory_bytes=10**9, heard_seconds=1.0
            )
            for n, name in enumerate(names)
        )

    def teacher_jobs(self) -> int:
        return 2

    def totals(self) -> Totals:
        return Totals(
            rows=120_000_000_000,
            failed_rows=1,
            label_scores=240,
            rows_by_task={"sport": 120, "topic": 7},
            rows_by_teacher={"sport": 12},
            shards=6,
            shard_seconds=3.75,
            shard_buckets={0.1: 1, 0.25: 0, 1.0: 2, 60.0: 2, INFINITE: 1},
            latency_seconds=12.5,
            latency_buckets={0.01: 1, 1.0: 3, INFINITE: 2},
            retries=2,
            rejected=0,
            jobs_accepted=3,
            jobs_ended={"completed": 2, "failed": 1},
            alarms={"sport": 1},
        )


class MadeUpStore:
    """In place of the job store, for a scrape."""

    client = SimpleNamespace()
    statistics = MadeUpStatistics()


class MadeUpTask:
    """In place of a task's entry in the registry."""

    def __init__(self, name: str) -> None:
        self.name = name

    def current(self) -> int | None:
        return {"gone": 1, "sport": 3, "topic": 1}.get(self.name)

    def report(self, _: int) -> dict[str, Any]:
        figures = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "accuracy": 0.9375}
        reports: dict[str, dict[str, Any]] = {
            "gone": {},
            "sport": {"holdout": figures},
            "topic": {"holdout": {"f1": 1}},
        }
        return reports[self.name]
