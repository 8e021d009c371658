"""The events: everything once, then what changes; one look for all, and an end when the server ends."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import uvicorn

from api.rest.app import create_app
from api.rest.routes import events as events_routes
from api.rest.server import Server, listen, url
from pingti.workspace.registry import Workspace
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.rest import serving


def read(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Events by name; a comment's name is empty."""
    name = ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
        elif line.startswith(":"):
            yield "", None


def test_without_a_broker_there_are_tasks_and_the_reason(workspace: Workspace) -> None:
    with (
        serving(Settings(home=workspace.root)) as client,
        client.stream("GET", "/v1/events") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        latest: dict[str, Any] = {}
        for name, data in read(answer):
            latest[name] = data
            if {"health", "tasks"} <= latest.keys():
                break
    assert latest["health"]["ready"] is False
    assert "no Valkey is set" in latest["health"]["broker"]
    assert [task["name"] for task in latest["tasks"]] == ["sport", "tech", "topic"]
    assert "jobs" not in latest


@pytest.mark.broker
def test_a_job_is_told_from_its_acceptance_to_its_end(workspace: Workspace) -> None:
    (workspace.root / "in.csv").write_text("text\n" + "goal match team\n" * 500)
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root, concurrency=1))
        with serving(settings) as client, client.stream("GET", "/v1/events") as answer:
            id, states, seen = None, [], set()
            for name, data in read(answer):
                seen.add(name)
                if name == "jobs" and id is None:
                    body = {"inputs": ["in.csv"], "tasks": ["sport"]}
                    id = client.post("/v1/jobs", json=body).json()["id"]
                elif name == "job" and data["id"] == id:
                    states.append(data["status"])
                    if states == ["queued"]:
                        assert data["place"] == 0
                        processes.start_worker(settings, wait=False)
                    if data["status"] == "completed":
                        assert data["counts"] == {"total": 500, "completed": 500, "failed": 0}
                        break
    assert states[0] == "queued"
    assert {"queue", "workers", "tasks", "runs", "alarms", "health"} <= seen


def test_fifty_clients_are_one_look(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = events_routes.Feed._look

    def counted(feed: events_routes.Feed) -> dict[str, bytes]:
        nonlocal looks
        looks += 1
        return look(feed)

    monkeypatch.setattr(events_routes.Feed, "_look", counted)
    monkeypatch.setattr(events_routes, "PAUSE_SECONDS", 1000.0)
    with serving(Settings(home=workspace.root)) as client, ExitStack() as stack:
        limits = httpx.Limits(max_connections=60)
        many = stack.enter_context(httpx.Client(base_url=client.base_url, limits=limits, timeout=30))
        streams = [read(stack.enter_context(many.stream("GET", "/v1/events"))) for _ in range(50)]
        for stream in streams:
            assert next(data for name, data in stream if name == "tasks")
    assert looks == 1


def test_more_clients_than_allowed_are_told_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_routes, "MOST_CLIENTS", 1)
    with serving(Settings(home=workspace.root)) as client, client.stream("GET", "/v1/events") as first:
        events = read(first)
        next(events)
        refused = client.get("/v1/events")
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"


def test_an_idle_stream_breathes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_routes, "HEARTBEAT_SECONDS", 0.05)
    with serving(Settings(home=workspace.root)) as client, client.stream("GET", "/v1/events") as answer:
        names = read(answer)
        assert next(name for name, _ in names if name == "tasks")
        assert next(name for name, _ in names if name == "") == ""


def test_the_server_ends_its_streams_and_then_itself(workspace: Workspace) -> None:
    listener = listen(Settings(port=0))
    server = Server(uvicorn.Config(create_app(Settings(home=workspace.root)), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.stream("GET", f"{url(listener)}/v1/events", timeout=30) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.should_exit = True
            assert list(lines)[-1] == ""  # ended as a whole, not broken off
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive()


def test_a_task_that_changes_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_routes, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(events_routes, "SLOW_SECONDS", 0.05)
    with serving(Settings(home=workspace.root)) as client, client.stream("GET", "/v1/events") as answer:
        names = read(answer)
        first = next(data for name, data in names if name == "tasks")
        assert first[0]["priority"] == 3
        time.sleep(0.02)  # a file system's clock is coarse
        path = workspace.task("sport").path
        path.write_text(path.read_text().replace("priority = 3", "priority = 8"))
        second = next(data for name, data in names if name == "tasks")
        assert second[0]["priority"] == 8
