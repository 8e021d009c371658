"""The figures for Prometheus, as a scrape of a made-up service with one of everything gives them."""

import math
from types import SimpleNamespace
from typing import Any

from prometheus_client import Metric

from api.rest import metrics
from queue_worker.jobs.statistics import Depth, Totals, WorkerLoad
from reference_pages.fields import cell

_HEAD = """\
# Metrics

<!-- Written by docs/generate.py from api/rest/metrics.py; do not edit by hand. -->

`GET /metrics` of the service, in Prometheus' text format. Where there are keys it needs one, of any
role. Counters live in the store and survive restarts, and several API processes tell the same figures. A
histogram NAME has the series `NAME_bucket` (label `le`), `NAME_sum` and `NAME_count`. What to be woken
by: [Operating](../operating.md#alerts).

| metric | type | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The text of reference/metrics.md."""
    return _HEAD + "".join(
        f"| `{name}` | {kind} | {_labels(labels)} | {cell(meaning)} |\n"
        for name, kind, labels, meaning in sorted(map(_row, _families()))
    )


def _row(family: Metric) -> tuple[str, str, list[str], str]:
    """Name as it is scraped, type, names of labels, meaning."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = {label for sample in family.samples for label in sample.labels} - {"le"}
    return name, family.type, sorted(labels), family.documentation


def _labels(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _families() -> list[Metric]:
    """Every family of figures, each with a sample that shows its labels."""
    days = SimpleNamespace(hgetall=lambda _: None, execute=lambda: [{"1:rows": 50, "1:agreed": 49}, {}])
    client = SimpleNamespace(time=lambda: (0, 0), pipeline=lambda **_: days)
    statistics = SimpleNamespace(
        depths=lambda: [_DEPTH],
        worker_loads=lambda **_: [_WORKER],
        totals=lambda: _TOTALS,
        teacher_jobs=lambda: 1,
    )
    figures = dict.fromkeys(("precision", "recall", "f1", "accuracy"), 0.9)
    entry = SimpleNamespace(name="sport", current=lambda: 1, report=lambda _: {"holdout": figures})
    workspace = SimpleNamespace(task_names=lambda: ["sport"], entries=lambda: [entry])
    services: Any = SimpleNamespace(
        workspace=workspace, looking=SimpleNamespace(client=client, statistics=statistics)
    )
    return list(metrics.ServiceCollector(services).collect())


_DEPTH = Depth(priority=5, units=1, jobs=1, oldest_seconds=1.0)
_WORKER = WorkerLoad(
    name="classify@host-1", threads=2, busy=1, rows_per_second=1.0, memory_bytes=1, heard_seconds=0.0
)
_TOTALS = Totals(
    rows=1,
    failed_rows=1,
    label_scores=1,
    rows_by_task={"sport": 1},
    rows_by_teacher={"sport": 1},
    shards=1,
    shard_seconds=1.0,
    shard_buckets={1.0: 1, math.inf: 0},
    latency_seconds=1.0,
    latency_buckets={1.0: 1, math.inf: 0},
    retries=1,
    rejected=1,
    jobs_accepted=1,
    jobs_ended={"completed": 1},
    alarms={"sport": 1},
)
