"""Figures for Prometheus, read by its own parser, beside what truly happened."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.keys import Role, add_key
from api.rest import metrics
from api.rest.metrics import MEDIA_TYPE
from pingti.workspace.registry import Workspace
from queue_worker.settings import Settings
from tests.support.metrics import MadeUpStore, MadeUpTask
from tests.support.rest import Door, bearer, home, idle, running, serving, texts, until_ended

__all__ = ["home", "idle", "running"]  # fixtures


@dataclass
class Scrape:
    kinds: dict[str, str] = field(default_factory=dict)
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def of(self, name: str, **labels: str) -> float:
        return self.values[name, tuple(sorted(labels.items()))]


def scrape(client: httpx.Client) -> Scrape:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MEDIA_TYPE
    return read(answer.text)


def read(text: str) -> Scrape:
    scraped = Scrape()
    for family in text_string_to_metric_families(text):
        assert family.documentation
        scraped.kinds[family.name] = family.type
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in scraped.values
            scraped.values[key] = sample.value
    return scraped


def test_every_line_is_as_dashboards_and_alarms_out_there_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a scrape of figures that are made up, written when the format was our own.

    Only the order of lines may differ, and how a number is written.
    """

    def agreement(_: object, name: str, days: int) -> list[Any]:
        return [SimpleNamespace(version=3, share=0.98)] if name == "sport" else []

    monkeypatch.setattr(metrics, "agreement", agreement)
    names = ["gone", "sport", "tech", "topic"]
    workspace = SimpleNamespace(task_names=lambda: names, entries=lambda: map(MadeUpTask, names))
    services: Any = SimpleNamespace(looking=MadeUpStore(), workspace=workspace)
    now = metrics.text(services).decode()
    before = Path(__file__).with_name("metrics.txt").read_text()
    version = re.compile(r'^(pingti_info\{version=")[^"]*', re.MULTILINE)
    now, before = version.sub(r"\1X", now), version.sub(r"\1X", before)
    assert read(now) == read(before)
    assert comments(now) == comments(before)
    assert names_and_labels(now) == names_and_labels(before)


def comments(text: str) -> list[str]:
    return sorted(line for line in text.splitlines() if line.startswith("#"))


def names_and_labels(text: str) -> list[str]:
    return sorted(line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#"))


@pytest.fixture
def alone(workspace: Workspace) -> Iterator[httpx.Client]:
    """A server without a broker."""
    with serving(Settings(home=workspace.root)) as client:
        yield client


def test_without_a_broker_it_says_so_and_tells_what_it_knows(
    alone: httpx.Client, workspace: Workspace
) -> None:
    path = workspace.task("sport").student_folder(1) / "report.json"
    report = json.loads(path.read_text())
    report["holdout"] |= {"f1": 0.875, "accuracy": 0.9375}
    path.write_text(json.dumps(report))
    (workspace.task("tech").student_folder(1) / "report.json").write_text("{")
    scraped = scrape(alone)
    assert scraped.of("pingti_broker_up") == 0
    assert scraped.of("pingti_holdout_f1", task="sport") == 0.875
    assert scraped.of("pingti_holdout_agreement", task="sport") == 0.9375
    assert scraped.of("pingti_task_version", task="topic") == 1
    assert ("pingti_holdout_f1", (("task", "tech"),)) not in scraped.values
    assert "pingti_queue_units" not in scraped.kinds


@pytest.mark.broker
def test_it_counts_what_happens(running: Door) -> None:
    before = scrape(running.client)
    path = running.upload("titles.csv", texts(120) + b"one field only\n")
    answer = running.client.post("/v1/jobs", json={"inputs": [path], "tasks": ["sport", "topic"]})
    until_ended(running, answer.headers["location"])
    after = scrape(running.client)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after.values[key] - before.values.get(key, 0)

    assert grown("pingti_rows_total") == 120
    assert grown("pingti_failed_rows_total") == 1
    assert grown("pingti_label_scores_total") == 240
    assert grown("pingti_task_rows_total", task="sport") == 120
    assert grown("pingti_jobs_accepted_total") == 1
    assert grown("pingti_jobs_ended_total", status="completed") == 1
    assert grown("pingti_retries_total") == 0
    assert grown("pingti_rejected_messages_total") == 0
    shards = grown("pingti_shard_seconds_count")
    assert shards >= 1
    assert grown("pingti_shard_seconds_bucket", le="+Inf") == shards
    assert grown("pingti_shard_seconds_sum") > 0
    assert grown("pingti_task_latency_seconds_count") == shards
    buckets = [
        value
        for (name, labels), value in sorted(
            after.values.items(), key=lambda item: float(dict(item[0][1]).get("le", 0))
        )
        if name == "pingti_shard_seconds_bucket"
    ]
    assert buckets == sorted(buckets)
    assert after.kinds["pingti_shard_seconds"] == "histogram"
    assert after.of("pingti_broker_up") == 1
    assert after.of("pingti_workers") == 1
    (name,) = [dict(labels)["worker"] for metric, labels in after.values if metric == "pingti_worker_threads"]
    assert after.of("pingti_worker_threads", worker=name) == 2
    assert after.of("pingti_worker_memory_bytes", worker=name) > 10_000_000
    (worker,) = running.client.get("/v1/workers").json()["items"]
    assert worker["name"] == name


@pytest.mark.broker
def test_the_queue_by_priority(idle: Door) -> None:
    empty = scrape(idle.client)
    assert [empty.of("pingti_queue_units", priority=str(level)) for level in range(10)] == [0] * 10
    for priority in (2, 2, 7):
        idle.submit(priority=priority)
    scraped = scrape(idle.client)
    assert scraped.of("pingti_queue_units", priority="2") == 2
    assert scraped.of("pingti_queue_jobs", priority="7") == 1
    assert scraped.of("pingti_queue_oldest_seconds", priority="2") >= scraped.of(
        "pingti_queue_oldest_seconds", priority="7"
    )
    idle.store.client.hincrby("pingti:totals", "alarms:sport", 2)
    assert scrape(idle.client).of("pingti_agreement_alarms_total", task="sport") == 2
    levels = idle.client.get("/v1/queue").json()["levels"]
    assert [level["jobs"] for level in levels] == [0, 0, 2, 0, 0, 0, 0, 1, 0, 0]
    assert [level["oldest_seconds"] is None for level in levels] == [n not in (2, 7) for n in range(10)]


def test_the_figures_need_a_key_where_there_are_keys(alone: httpx.Client, workspace: Workspace) -> None:
    read = bearer(add_key(workspace.root, "prometheus", Role.READ))
    assert alone.get("/metrics").status_code == 401
    assert alone.get("/metrics", headers=read).status_code == 200
    assert alone.get("/v1/me", headers=read).json() == {"name": "prometheus", "role": "read"}
