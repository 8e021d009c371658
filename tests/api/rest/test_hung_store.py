"""A store that hangs takes no more than its own threads, and nobody waits long for it."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import redis

from api.rest.bounds.store_threads import StoreThreads
from pingti.errors import UnavailableError
from queue_worker.jobs import submission
from tests.support.rest import Door, problem

CLIENTS = 80
ANSWERED_SECONDS = 60
"""That a client waits at most; it took 83 s where waits were not bounded."""


@pytest.mark.broker
def test_a_stopped_store_takes_nothing_but_its_own_threads(own_door: Door, tmp_path: Path) -> None:
    given = own_door.upload("a.csv", b"text\nthe match was won\n")
    body = {"inputs": [given], "tasks": ["sport"]}
    job = own_door.client.post("/v1/jobs", json=body).json()["id"]
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

    def ask(number: int) -> httpx.Response:
        method, path, sent = questions[number % len(questions)]
        with httpx.Client(base_url=own_door.client.base_url, timeout=ANSWERED_SECONDS) as client:
            return client.request(method, path, json=sent)

    os.kill(own_door.broker, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            asked = [pool.submit(ask, number) for number in range(CLIENTS)]
            time.sleep(0.5)
            for path in ("/healthz", "/", "/v1/tasks", "/v1/files", "/v1/tasks/sport", "/static/pingti.css"):
                assert own_door.client.get(path).status_code == 200, path
            answers = [future.result() for future in asked]
    finally:
        os.kill(own_door.broker, signal.SIGCONT)
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert "does not answer" in problem(answer)["detail"]
        assert "retry-after" in answer.headers
    assert own_door.client.get(f"/v1/jobs/{job}").status_code == 200
    assert own_door.client.post("/v1/jobs", json=body).status_code == 202


@pytest.mark.broker
def test_a_store_that_stops_once_it_has_the_job_does_not_hold_the_answer(
    own_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = submission.publish

    def stopped(*arguments: Any) -> None:
        os.kill(own_door.broker, signal.SIGSTOP)
        real(*arguments)

    monkeypatch.setattr(submission, "publish", stopped)
    try:
        answer = own_door.submit()  # while the store still stands: the client's own wait is bounded
        assert answer.status_code == 202, answer.text
    finally:
        os.kill(own_door.broker, signal.SIGCONT)
    assert own_door.client.get(answer.json()["links"]["self"]).json()["status"] == "queued"


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
