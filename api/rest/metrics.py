"""Figures for Prometheus, in its text format.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details

Everything comes from the store and the workspace at the moment of the scrape: counters live in the broker
and survive restarts, and several servers tell the same. So nothing is counted in this process, which is not
where the work is done: a collector reads the figures anew for each scrape.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

import redis
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from api.rest.dependencies import SILENT_SECONDS, Services
from pingti import __version__
from pingti.errors import PingtiError, UnavailableError
from queue_worker.jobs.models import JobStatus
from queue_worker.jobs.statistics import Totals
from queue_worker.jobs.store import JobStore
from queue_worker.retraining.drift import agreement

_ENDS = [status.value for status in JobStatus if status.final]
MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def text(services: Services) -> bytes:
    """The whole answer to a scrape."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(services))
    return generate_latest(registry)


class ServiceCollector(Collector):
    """The figures of a service as they are when they are asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """All figures. Without a broker: those of the workspace, and that it is away."""
        services = self._services
        yield _gauge("pingti_info", "Version.", ["version"], [([__version__], 1)])
        yield from _tasks(services)
        try:
            broker_metrics = [
                *_store(services.looking, services.workspace.task_names()),
                _agreement(services),
            ]
        except (redis.RedisError, UnavailableError):
            broker_metrics = []
        yield GaugeMetricFamily(
            "pingti_broker_up", "Whether the broker answers.", value=1 if broker_metrics else 0
        )
        yield from broker_metrics


def _store(store: JobStore, task_names: Iterable[str]) -> Iterator[Metric]:
    depths = store.statistics.depths()
    workers = store.statistics.worker_loads(seconds=SILENT_SECONDS)
    totals = store.statistics.totals()
    teacher_jobs = store.statistics.teacher_jobs()

    def queue(name: str, help: str, values: Iterable[float]) -> Metric:
        levels = ([str(depth.priority)] for depth in depths)
        return _gauge(f"pingti_queue_{name}", help, ["priority"], zip(levels, values, strict=True))

    def worker(name: str, help: str, values: Iterable[float]) -> Metric:
        names = ([load.name] for load in workers)
        return _gauge(f"pingti_worker_{name}", help, ["worker"], zip(names, values, strict=True))

    yield queue(
        "units",
        "Shards (plans, ends of jobs) that wait, by priority.",
        [d.units for d in depths],
    )
    yield queue("jobs", "Jobs that have shards waiting, by priority.", [d.jobs for d in depths])
    yield queue(
        "oldest_seconds",
        "Age of what waits longest, by priority; 0 where nothing waits.",
        [d.oldest_seconds if d.units else 0.0 for d in depths],
    )
    yield GaugeMetricFamily(
        "pingti_teacher_jobs",
        "Unfinished jobs that ask a teacher about rows of which the student is not sure.",
        value=teacher_jobs,
    )
    yield from _counters(totals, task_names)
    yield GaugeMetricFamily("pingti_workers", "Workers heard of lately.", value=len(workers))
    yield worker("threads", "Threads of a worker.", [w.threads for w in workers])
    yield worker("busy_threads", "Threads that work on a shard.", [w.busy for w in workers])
    yield worker(
        "rows_per_second", "Rows a second over about a minute.", [w.rows_per_second for w in workers]
    )
    yield worker("memory_bytes", "Resident memory of a worker.", [w.memory_bytes for w in workers])


def _counters(totals: Totals, task_names: Iterable[str]) -> Iterator[Metric]:
    # A counter that first appears with its first event never rises by it: what can be counted is told as 0.
    ended = dict.fromkeys(_ENDS, 0) | dict(totals.jobs_ended)
    none_yet = dict.fromkeys(task_names, 0)
    alarms, by_teacher = none_yet | totals.alarms, none_yet | totals.rows_by_teacher
    yield CounterMetricFamily("pingti_rows", "Rows classified.", value=totals.rows)
    yield CounterMetricFamily("pingti_failed_rows", "Rows that could not be read.", value=totals.failed_rows)
    yield CounterMetricFamily(
        "pingti_label_scores", "Rows times tasks asked of them.", value=totals.label_scores
    )
    yield _counter_by("task", "pingti_task_rows", "Rows that a task was asked about.", totals.rows_by_task)
    yield _counter_by(
        "task",
        "pingti_teacher_rows",
        "Rows of a task with a cascade that its teacher decided.",
        by_teacher,
    )
    yield _histogram(
        "pingti_shard_seconds", "Seconds that a shard took.", totals.shard_buckets, totals.shard_seconds
    )
    yield _histogram(
        "pingti_task_latency_seconds",
        "Seconds from the publication of a shard's task to its begin.",
        totals.latency_buckets,
        totals.latency_seconds,
    )
    yield CounterMetricFamily(
        "pingti_retries", "Shards (plans, ends of jobs) given to another attempt.", value=totals.retries
    )
    yield CounterMetricFamily(
        "pingti_rejected_messages", "Messages that no worker could take, put aside.", value=totals.rejected
    )
    yield CounterMetricFamily("pingti_jobs_accepted", "Jobs accepted.", value=totals.jobs_accepted)
    yield _counter_by("status", "pingti_jobs_ended", "Jobs that ended, by status.", ended)
    yield _counter_by(
        "task", "pingti_agreement_alarms", "Alarms: a student that drifts from its teacher.", alarms
    )


def _histogram(name: str, documentation: str, counts: Mapping[float, int], total: float) -> Metric:
    """A histogram; the store's counts are not cumulated, and the last one's bound is infinite."""
    count = 0
    buckets: list[tuple[str, float]] = []
    for bound, some in sorted(counts.items()):
        count += some
        buckets.append(("+Inf" if math.isinf(bound) else str(bound), count))
    return HistogramMetricFamily(name, documentation, buckets=buckets, sum_value=total)


def _tasks(services: Services) -> Iterator[Metric]:
    """What the report of each promoted student says; a damaged task is left out."""
    of_student = "of the promoted student against its teacher, on the last holdout."
    version = GaugeMetricFamily("pingti_task_version", "Promoted version of a task.", labels=["task"])
    figures = {  # by their name in the report
        name: GaugeMetricFamily(f"pingti_holdout_{metric}", f"{what} {of_student}", labels=["task"])
        for name, metric, what in (
            ("precision", "precision", "Precision"),
            ("recall", "recall", "Recall"),
            ("f1", "f1", "F1"),
            ("accuracy", "agreement", "Share of equal decisions"),
        )
    }
    for entry in services.workspace.entries():
        try:
            current = entry.current()
            holdout = entry.report(current)["holdout"] if current is not None else {}
            values = {figure: float(holdout[figure]) for figure in figures if holdout.get(figure) is not None}
        except (PingtiError, KeyError, TypeError, ValueError):
            continue
        if current is not None:
            version.add_metric([entry.name], current)
        for figure, value in values.items():
            figures[figure].add_metric([entry.name], value)
    yield version
    yield from figures.values()


def _agreement(services: Services) -> Metric:
    samples: list[tuple[list[str], float]] = []
    for name in services.workspace.task_names():
        days = agreement(services.looking.client, name, days=2)
        if days:
            samples.append(([name, str(days[0].version)], days[0].share))
    help = "Share of a job's sampled rows that student and teacher decided alike, on the newest day."
    return _gauge("pingti_agreement_share", help, ["task", "version"], samples)


def _gauge(name: str, help: str, labels: list[str], samples: Iterable[tuple[list[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter_by(label: str, name: str, help: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, help, labels=[label])
    for labelled, value in values.items():
        family.add_metric([labelled], value)
    return family
