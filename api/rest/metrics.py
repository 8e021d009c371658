"""Figures for Prometheus, in its text format.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details

Everything comes from the store and the workspace at the moment of the scrape: counters live in the broker
and survive restarts, and several servers tell the same. A client library would keep counters of its own in
this process, which is not where the work is done.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import redis

from api.rest.dependencies import SILENT_SECONDS, Services
from pingti import __version__
from pingti.errors import PingtiError, UnavailableError
from queue_worker.jobs.statistics import Totals
from queue_worker.jobs.store import JobStore
from queue_worker.retraining.drift import agreement

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Sample: TypeAlias = tuple[Mapping[str, str], float]


def text(room: Services) -> str:
    """The whole answer to a scrape."""
    lines = _metric("pingti_info", "gauge", "Version.", [({"version": __version__}, 1)])
    lines += _tasks(room)
    try:
        found = _store(room.looking) + _agreement(room)
        up = 1
    except (redis.RedisError, UnavailableError):
        found, up = [], 0
    lines += _metric("pingti_broker_up", "gauge", "Whether the broker answers.", [({}, up)])
    return "".join(f"{line}\n" for line in lines + found)


def _store(store: JobStore) -> list[str]:
    depths = store.depths()
    workers = store.worker_loads(seconds=SILENT_SECONDS)
    totals = store.totals()

    def waiting(name: str, help: str, values: Iterable[float]) -> list[str]:
        levels = [{"priority": str(depth.priority)} for depth in depths]
        return _metric(f"pingti_queue_{name}", "gauge", help, zip(levels, values, strict=True))

    def working(name: str, help: str, values: Iterable[float]) -> list[str]:
        named = [{"worker": worker.name} for worker in workers]
        return _metric(f"pingti_worker_{name}", "gauge", help, zip(named, values, strict=True))

    def counter(name: str, help: str, value: float) -> list[str]:
        return _metric(f"pingti_{name}_total", "counter", help, [({}, value)])

    def counters(name: str, help: str, label: str, values: Mapping[str, int]) -> list[str]:
        samples = [({label: key}, value) for key, value in values.items()]
        return _metric(f"pingti_{name}_total", "counter", help, samples)

    return [
        *waiting("units", "Units of work that wait, by priority.", [d.units for d in depths]),
        *waiting("jobs", "Jobs that have units waiting, by priority.", [d.jobs for d in depths]),
        *waiting(
            "oldest_seconds",
            "Age of what waits longest, by priority; 0 where nothing waits.",
            [d.oldest_seconds if d.units else 0.0 for d in depths],
        ),
        *counter("rows", "Rows classified.", totals.rows),
        *counter("failed_rows", "Rows that could not be read.", totals.failed_rows),
        *counter("label_scores", "Rows times tasks asked of them.", totals.label_scores),
        *counters("task_rows", "Rows that a task was asked about.", "task", totals.rows_by_task),
        *_shards(totals),
        *counter("retries", "Units given to another attempt.", totals.retries),
        *counter("jobs_accepted", "Jobs accepted.", totals.jobs_accepted),
        *counters("jobs_ended", "Jobs that ended, by status.", "status", totals.jobs_ended),
        *counters(
            "agreement_alarms", "Alarms: a student that drifts from its teacher.", "task", totals.alarms
        ),
        *_metric("pingti_workers", "gauge", "Workers heard of lately.", [({}, len(workers))]),
        *working("threads", "Threads of a worker.", [w.threads for w in workers]),
        *working("busy_threads", "Threads that work on a unit.", [w.busy for w in workers]),
        *working(
            "rows_per_second", "Rows a second over about a minute.", [w.rows_per_second for w in workers]
        ),
        *working("memory_bytes", "Resident memory of a worker.", [w.memory_bytes for w in workers]),
    ]


def _shards(totals: Totals) -> list[str]:
    name, count = "pingti_shard_seconds", 0
    lines = [f"# HELP {name} Seconds that a shard took.", f"# TYPE {name} histogram"]
    for bound, shards in sorted(totals.shard_buckets.items()):
        count += shards
        lines.append(_line(f"{name}_bucket", {"le": _number(bound)}, count))
    return [*lines, _line(f"{name}_sum", {}, totals.shard_seconds), _line(f"{name}_count", {}, count)]


def _tasks(room: Services) -> list[str]:
    """What the report of each promoted student says; a damaged task is left out."""
    versions: list[_Sample] = []
    figures: dict[str, list[_Sample]] = {"precision": [], "recall": [], "f1": [], "accuracy": []}
    for name in room.workspace.task_names():
        entry = room.workspace.task(name)
        try:
            current = entry.current()
            holdout = entry.report(current)["holdout"] if current is not None else {}
            found = {figure: float(holdout[figure]) for figure in figures if figure in holdout}
        except (PingtiError, KeyError, TypeError, ValueError):
            continue
        if current is not None:
            versions.append(({"task": name}, current))
        for figure, value in found.items():
            figures[figure].append(({"task": name}, value))
    help = "of the promoted student against its teacher, on the last holdout."
    return [
        *_metric("pingti_task_version", "gauge", "Promoted version of a task.", versions),
        *_metric("pingti_holdout_precision", "gauge", f"Precision {help}", figures["precision"]),
        *_metric("pingti_holdout_recall", "gauge", f"Recall {help}", figures["recall"]),
        *_metric("pingti_holdout_f1", "gauge", f"F1 {help}", figures["f1"]),
        *_metric(
            "pingti_holdout_agreement", "gauge", f"Share of equal decisions {help}", figures["accuracy"]
        ),
    ]


def _agreement(room: Services) -> list[str]:
    samples: list[_Sample] = []
    for name in room.workspace.task_names():
        days = agreement(room.looking.client, name, days=2)
        if days:
            samples.append(({"task": name, "version": str(days[0].version)}, days[0].share))
    help = "Share of a job's sampled rows that student and teacher decided alike, on the newest day."
    return _metric("pingti_agreement_share", "gauge", help, samples)


def _metric(name: str, kind: str, help: str, samples: Iterable[_Sample]) -> list[str]:
    lines = [_line(name, labels, value) for labels, value in samples]
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}", *lines]


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    pairs: Sequence[str] = [f'{label}="{_escaped(text)}"' for label, text in labels.items()]
    return f"{name}{{{','.join(pairs)}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(value)
