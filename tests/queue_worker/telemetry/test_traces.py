"""Traces: a job's units are spans of the trace that it was submitted in; without the SDK nothing happens."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from queue_worker.telemetry import logs, traces
from tests.support.paths import ROOT
from tests.support.service import run_out, serving

NO_SDK = "make test-deploy installs OpenTelemetry's SDK"


@pytest.fixture(scope="module")
def exporter() -> Any:
    """What keeps the spans of this process."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason=NO_SDK)
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: Any) -> Any:
    exporter.clear()
    return exporter.get_finished_spans


def test_without_an_address_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, since a provider is set once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    code = (
        "from queue_worker.telemetry import traces\n"
        "assert traces.start('x') is False\n"
        "with traces.span('a', None, job='j'):\n"
        "    assert traces.current() is None and traces.current_ids() == {}\n"
        "traces.fail(ValueError('words'))\n"
    )
    environment = {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), kept.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_span_is_of_its_parents_trace_and_linked_to_where_it_runs(spans: Any) -> None:
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with traces.span("task", None), traces.span("pingti shard", parent, job="job-1", unit="3"):
        ids, here = traces.current_ids(), traces.current()
        line = logs.JsonFormatter().format(_record())
    shard, task = spans()
    assert (shard.name, task.name) == ("pingti shard", "task")
    assert f"{shard.context.trace_id:032x}" == ids["trace_id"] == "a" * 32
    assert f"{shard.parent.span_id:016x}" == "b" * 16
    assert [link.context.span_id for link in shard.links] == [task.context.span_id]
    assert dict(shard.attributes) == {"pingti.job": "job-1", "pingti.unit": "3"}
    assert here == f"00-{ids['trace_id']}-{ids['span_id']}-01"
    assert ids["trace_id"] in line


def test_a_failed_span_has_the_errors_class_and_not_its_words(spans: Any) -> None:
    with pytest.raises(ValueError, match="zaubernuss"), traces.span("pingti shard", None):
        traces.fail(ValueError("zaubernuss"))
        raise ValueError("zaubernuss")
    (span,) = spans()
    assert span.status.description == "ValueError"
    assert "zaubernuss" not in span.to_json()


@pytest.mark.broker
def test_from_the_request_to_each_shard_it_is_one_trace(template: Path, tmp_path: Path, spans: Any) -> None:
    with serving(template, tmp_path / "workspace") as service:
        name = service.write("rows.parquet", [f"a match {number}" for number in range(60)])
        with traces.span("POST /v1/jobs", None):
            trace, job = traces.current(), service.submit(name)
        run_out(service)
        ended = service.wait(job)
        assert ended.counts.completed == 60
        assert service.store.get(job.id).trace == trace
    of_the_job = [span for span in spans() if span.attributes.get("pingti.job") == job.id]
    request = next(span for span in spans() if span.name == "POST /v1/jobs")
    units = {(span.name, span.attributes["pingti.unit"]) for span in of_the_job}
    assert units == {
        ("pingti plan", "plan"),
        *(("pingti shard", str(shard)) for shard in range(ended.shards_done)),
        ("pingti finalize", "finalize"),
    }
    assert {span.context.trace_id for span in of_the_job} == {request.context.trace_id}
    assert {span.parent.span_id for span in of_the_job} == {request.context.span_id}


@pytest.fixture
def template(_workspace_template: Path) -> Path:
    return _workspace_template


def test_requests_are_spans_but_not_those_of_every_few_seconds(spans: Any) -> None:
    pytest.importorskip("opentelemetry.instrumentation.fastapi", reason=NO_SDK)
    app = FastAPI()

    @app.get("/v1/tasks")
    def tasks() -> dict[str, str | None]:
        return {"trace": traces.current()}

    @app.get("/healthz")
    def healthz() -> None:
        return None

    traces.trace_requests(app)
    with TestClient(app) as client:
        client.get("/healthz")
        parent = "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
        answer = client.get("/v1/tasks", headers={"traceparent": parent})
    assert answer.json()["trace"].split("-")[1] == "c" * 32  # the caller's trace goes on
    assert {f"{span.context.trace_id:032x}" for span in spans()} == {"c" * 32}


def _record() -> Any:
    return logging.LogRecord("queue_worker.test", logging.INFO, "", 0, "something", (), None)
