"""A store that hangs takes no more than its own threads, and nobody waits long for it."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import redis

from api.rest.bounds.store_threads import StoreThreads
from pingti.errors import UnavailableError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import connect
from queue_worker.jobs import submission
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.rest import Door, problem, serving

CLIENTS = 80
BOUND_SECONDS = (
    12.0  # for all of them; each alone waits some two seconds, on a machine that does nothing else
)


@pytest.fixture
def door(workspace: Workspace) -> Iterator[Door]:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root))
        store = JobStore(connect(settings))
        broker = int(store.client.info("server")["process_id"])
        with serving(settings) as client:
            yield Door(client=client, settings=settings, store=store, processes=processes, broker=broker)
        store.client.close()


@pytest.mark.broker
def test_a_stopped_store_takes_nothing_but_its_own_threads(door: Door, tmp_path: Path) -> None:
    given = door.upload("a.csv", b"text\nthe match was won\n")
    body = {"inputs": [given], "tasks": ["sport"]}
    job = door.client.post("/v1/jobs", json=body).json()["id"]
    questions = [
        ("POST", "/v1/jobs", body),
        ("GET", "/v1/jobs", None),
        ("GET", f"/v1/jobs/{job}/results", None),
        ("GET", f"/v1/jobs/{job}/errors", None),
        ("GET", "/v1/queue", None),
        ("GET", "/v1/workers", None),
        ("GET", "/v1/tasks/sport/runs", None),
        ("GET", "/readyz", None),
    ]
    took: list[float] = []

    def ask(number: int) -> httpx.Response:
        method, path, sent = questions[number % len(questions)]
        with httpx.Client(base_url=door.client.base_url, timeout=60) as client:
            began = time.monotonic()
            answer = client.request(method, path, json=sent)
            took.append(time.monotonic() - began)
            return answer

    os.kill(door.broker, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            asked = [pool.submit(ask, number) for number in range(CLIENTS)]
            time.sleep(0.5)
            for path in ("/healthz", "/", "/v1/tasks", "/v1/files", "/v1/tasks/sport", "/static/pingti.css"):
                began = time.monotonic()
                assert door.client.get(path).status_code == 200
                assert time.monotonic() - began < 1.9, path
            answers = [future.result() for future in asked]
    finally:
        os.kill(door.broker, signal.SIGCONT)
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert "does not answer" in problem(answer)["detail"]
        assert "retry-after" in answer.headers
    assert max(took) < BOUND_SECONDS
    assert door.client.get(f"/v1/jobs/{job}").status_code == 200
    assert door.client.post("/v1/jobs", json=body).status_code == 202


@pytest.mark.broker
def test_a_store_that_stops_once_it_has_the_job_does_not_hold_the_answer(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = submission.publish_tickets

    def stopped(*arguments: Any) -> None:
        os.kill(door.broker, signal.SIGSTOP)
        real(*arguments)

    monkeypatch.setattr(submission, "publish_tickets", stopped)
    try:
        began = time.monotonic()
        answer = door.submit()
        assert answer.status_code == 202, answer.text
        assert time.monotonic() - began < 29
    finally:
        os.kill(door.broker, signal.SIGCONT)
    assert door.client.get(answer.json()["links"]["self"]).json()["status"] == "queued"


def test_no_more_threads_wait_than_there_may(tmp_path: Path) -> None:
    go_on = threading.Event()
    running: list[int] = []

    def hang() -> None:
        running.append(1)
        assert go_on.wait(30)
        raise redis.TimeoutError

    async def ask_all() -> list[type[BaseException]]:
        threads, errors = StoreThreads(most=3), list[type[BaseException]]()

        async def ask() -> None:
            try:
                await threads.run(hang)
            except (redis.TimeoutError, UnavailableError) as error:
                errors.append(type(error))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask)
            while len(errors) < 7:
                await anyio.sleep(0.01)
            assert len(running) == 3
            go_on.set()
        # One that is free again is used again; an answer ends the silence.
        assert await threads.run(lambda: 7) == 7
        return errors

    errors = anyio.run(ask_all)
    assert sorted(kind.__name__ for kind in errors) == ["TimeoutError"] * 3 + ["UnavailableError"] * 7


def test_where_the_store_answers_all_get_their_turn() -> None:
    async def ask_all() -> int:
        threads, count = StoreThreads(most=2), 0

        async def ask() -> None:
            nonlocal count
            await threads.run(lambda: time.sleep(0.1))
            count += 1

        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(ask)
        return count

    assert anyio.run(ask_all) == 60
