"""Alert rules and the dashboard ask for figures that /metrics has, by labels that these have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import Metric

from api.rest import metrics
from tests.support.metrics import MadeUpStore, MadeUpTask
from tests.support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="transformers brings PyYAML along")

RULES = ROOT / "deploy" / "alerts.yaml"
ALERTS = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "pingti.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_PROMETHEUS = {"up": {"job", "instance"}}

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_USED = re.compile(r"\b(pingti_\w+|up)\b(?:\{([^}]*)\})?")


@pytest.fixture
def families(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, set[str]]]:
    """Of each figure as it is scraped its type and the names of its labels."""

    def agreement(_: object, name: str, days: int) -> list[Any]:
        return [SimpleNamespace(version=3, share=0.98)] if name == "sport" else []

    monkeypatch.setattr(metrics, "agreement", agreement)
    names = ["sport", "topic"]
    workspace = SimpleNamespace(task_names=lambda: names, entries=lambda: map(MadeUpTask, names))
    services: Any = SimpleNamespace(looking=MadeUpStore(), workspace=workspace)
    return dict(_scraped(metrics.ServiceCollector(services).collect()))


def _scraped(collected: Iterator[Metric]) -> Iterator[tuple[str, tuple[str, set[str]]]]:
    for family in collected:
        for sample in family.samples:
            yield sample.name, (family.type, set(sample.labels))


def faults(query: str, families: dict[str, tuple[str, set[str]]]) -> list[str]:
    """What is wrong with a query: figures, labels, and functions that are not for them."""
    known = {**families, **{name: ("gauge", labels) for name, labels in OF_PROMETHEUS.items()}}
    bare = _STRING.sub('""', query)
    wrong, labels_of_query = [], set()
    for used in _USED.finditer(bare):
        name, selector = used[1], used[2] or ""
        if name not in known:
            wrong.append(f"no figure {name}")
            continue
        kind, labels = known[name]
        labels_of_query |= labels
        asked = {part.split("=")[0].rstrip("!~ ").strip() for part in selector.split(",") if part.strip()}
        wrong += [f"{name} has no label {label}" for label in sorted(asked - labels)]
        ranged = bare[used.end() :].startswith("[")
        if ranged != (kind != "gauge"):
            wrong.append(f"{name} is a {kind}")
    for grouped in re.findall(r"\bby \(([^)]*)\)", bare):
        named = {label.strip() for label in grouped.split(",")}
        wrong += [f"grouped by {label}" for label in sorted(named - labels_of_query)]
    return wrong


def queries() -> dict[str, str]:
    """Every query of the dashboard and of the rules, by where it is."""
    of_panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in PANELS
        for target in panel["targets"]
    }
    assert len(of_panels) == sum(len(panel["targets"]) for panel in PANELS)  # no title twice
    return {**of_panels, **{name: rule["expr"] for name, rule in ALERTS.items()}}


@pytest.mark.parametrize("place", queries())
def test_a_query_is_of_figures_that_there_are(place: str, families: dict[str, tuple[str, set[str]]]) -> None:
    query = queries()[place]
    assert _USED.search(query)
    assert faults(query, families) == []
    # Several servers tell the same: a sum over them would count twice.
    for summed in re.findall(r"\bsum(?: by \([^)]*\))? ?\((.*)", query):
        assert summed.startswith("max by (")


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("max(pingti_nothing)", "no figure pingti_nothing"),
        ('max(pingti_queue_jobs{level=~".*"})', "pingti_queue_jobs has no label level"),
        ("max by (worker) (pingti_queue_jobs)", "grouped by worker"),
        ("max(pingti_rows_total)", "pingti_rows_total is a counter"),
        ("rate(pingti_workers[5m])", "pingti_workers is a gauge"),
        ("rate(pingti_shard_seconds[5m])", "no figure pingti_shard_seconds"),
    ],
)
def test_a_wrong_query_is_found(query: str, fault: str, families: dict[str, tuple[str, set[str]]]) -> None:
    assert faults(query, families) == [fault]


def test_the_dashboard_shows_every_figure(families: dict[str, tuple[str, set[str]]]) -> None:
    shown = {used[1] for query in queries().values() for used in _USED.finditer(query)}
    parts = {
        "pingti_task_latency_seconds_sum",
        "pingti_task_latency_seconds_count",
    }  # its quantiles are shown
    assert set(families) - parts == shown - set(OF_PROMETHEUS)


def test_the_variables_of_the_dashboard_are_of_figures_too(
    families: dict[str, tuple[str, set[str]]],
) -> None:
    source, task = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    listed = re.fullmatch(r"label_values\((\w+), (\w+)\)", task["query"]["query"])
    assert listed is not None
    assert listed[2] in families[listed[1]][1]
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["description"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_no_two_panels_lie_on_one_another() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        own = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not own & places, panel["title"]
        places |= own


@pytest.mark.parametrize("page", ["docs/operating.md", "docs/zh/operating.md"])
def test_every_alert_has_its_heading_and_every_heading_its_alert(page: str) -> None:
    headings = set(re.findall(r"^### (Pingti\w+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))
    assert headings == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is_and_where_to_look(name: str) -> None:
    rule = ALERTS[name]
    assert rule["annotations"]["runbook_url"] == f"docs/operating.md#{name.lower()}"
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["labels"]["severity"] in ("critical", "warning")


def _promtool(*arguments: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, which comes with Prometheus")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    _promtool("check", "rules", str(RULES))
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries().values())
    ]
    path = tmp_path / "dashboard.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    _promtool("check", "rules", str(path))


FIRING: dict[str, dict[str, str]] = {
    "PingtiApiDown": {'up{job="pingti", instance="a"}': "0x400"},
    "PingtiBrokerDown": {"pingti_broker_up": "0x400"},
    "PingtiNoWorker": {"pingti_broker_up": "1x400", 'pingti_worker_threads{worker="control@a-1"}': "4x400"},
    "PingtiNoScheduler": {
        "pingti_broker_up": "1x400",
        'pingti_worker_threads{worker="classify@a-1"}': "4x400",
    },
    "PingtiNoTeacher": {
        "pingti_teacher_jobs": "2x400",
        'pingti_worker_threads{worker="classify@a-1"}': "4x400",
    },
    "PingtiUrgentWorkWaits": {'pingti_queue_oldest_seconds{priority="0"}': "61x400"},
    "PingtiBacklog": {'pingti_queue_oldest_seconds{priority="9"}': "21601x400"},
    "PingtiJobFailed": {'pingti_jobs_ended_total{status="failed"}': "0x395 1x5"},
    "PingtiBadRows": {"pingti_failed_rows_total": "0+2x400", "pingti_rows_total": "0+100x400"},
    "PingtiShardsTriedAgain": {"pingti_retries_total": "0+1x400"},
    "PingtiForeignMessages": {"pingti_rejected_messages_total": "0x395 1x5"},
    "PingtiDrift": {'pingti_agreement_alarms_total{task="sport"}': "0x395 1x5"},
}
QUIET: dict[str, str] = {
    'up{job="pingti", instance="a"}': "1x400",
    "pingti_broker_up": "1x400",
    'pingti_worker_threads{worker="classify@a-1"}': "4x400",
    'pingti_worker_threads{worker="control@a-1"}': "4x400",
    'pingti_worker_threads{worker="retrain@a-1"}': "1x400",
    "pingti_teacher_jobs": "2x400",
    'pingti_queue_oldest_seconds{priority="0"}': "0x400",
    'pingti_queue_oldest_seconds{priority="9"}': "3600x400",
    'pingti_jobs_ended_total{status="failed"}': "1x400",
    "pingti_failed_rows_total": "0+0.5x400",
    "pingti_rows_total": "0+100x400",
    "pingti_retries_total": "0+0.1x400",
    "pingti_rejected_messages_total": "3x400",
    'pingti_agreement_alarms_total{task="sport"}': "2x400",
}


def _given(series: dict[str, str], alert: str, firing: list[dict[str, Any]]) -> dict[str, Any]:
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    asked = [{"eval_time": "400m", "alertname": alert, "exp_alerts": firing}]
    return {"interval": "1m", "input_series": inputs, "alert_rule_test": asked}


def test_alerts_fire_when_they_should_and_not_when_all_is_well(tmp_path: Path) -> None:
    assert set(FIRING) == set(ALERTS)
    labels = {"PingtiApiDown": {"job": "pingti", "instance": "a"}, "PingtiDrift": {"task": "sport"}}
    values = {"PingtiUrgentWorkWaits": "1m 1s", "PingtiBacklog": "6h 0m 1s"}
    tests = []
    for name, rule in ALERTS.items():
        annotations = dict(rule["annotations"])
        for label, value in labels.get(name, {}).items():
            annotations["summary"] = annotations["summary"].replace(f"{{{{ $labels.{label} }}}}", value)
        annotations["summary"] = annotations["summary"].replace(
            "{{ $value | humanizeDuration }}", values.get(name, "")
        )
        expected = {"exp_labels": {**rule["labels"], **labels.get(name, {})}, "exp_annotations": annotations}
        tests += [_given(FIRING[name], name, [expected]), _given(QUIET, name, [])]
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump(document))
    _promtool("test", "rules", str(path))
