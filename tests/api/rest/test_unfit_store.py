"""A store that answers, and cannot keep jobs or does not do what it is asked: 503, with the reason."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from api.rest import dependencies
from api.rest.problems import refusal_of
from queue_worker.celery_app import connect
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.rest import Door, problem


@pytest.mark.broker
def test_a_store_that_evicts_takes_no_job_and_is_not_ready(own_door: Door) -> None:
    own_door.store.client.config_set("maxmemory-policy", "allkeys-lru")
    answer = own_door.submit()
    assert answer.status_code == 503
    assert "maxmemory-policy is allkeys-lru" in problem(answer)["detail"]
    ready = own_door.client.get("/readyz")
    assert ready.status_code == 503
    assert "maxmemory-policy is allkeys-lru" in problem(ready)["detail"]
    assert own_door.client.get("/v1/jobs").json()["items"] == []  # refused, and not kept
    own_door.store.client.config_set("maxmemory-policy", "noeviction")
    assert own_door.submit().status_code == 202
    assert own_door.client.get("/readyz").json()["broker"] == "ok"


@pytest.mark.broker
def test_an_old_redis_is_refused_and_keeps_no_job(own_door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    real = redis.Redis.info

    def old(self: redis.Redis, *sections: str) -> Any:
        told: Any = real(self, *sections)
        return {**{k: v for k, v in told.items() if k != "valkey_version"}, "redis_version": "6.0.20"}

    monkeypatch.setattr(redis.Redis, "info", old)
    answer = own_door.submit()
    assert answer.status_code == 503
    assert "Redis 6.0.20; needed is Valkey, or Redis 6.2 or newer" in problem(answer)["detail"]
    assert own_door.client.get("/v1/jobs").json()["items"] == []


@pytest.mark.broker
@pytest.mark.parametrize("code", ["OOM", "READONLY"])
def test_what_the_server_refuses_is_503_with_its_reason(
    own_door: Door, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "require_server", lambda client, durable: None)
    if code == "OOM":
        own_door.store.client.config_set("maxmemory", 1)
    else:
        own_door.store.client.replicaof("127.0.0.1", "1")
    answer = own_door.submit()
    assert answer.status_code == 503, answer.text
    assert f"({code})" in problem(answer)["detail"]
    assert "retry-after" in answer.headers
    ready = own_door.client.get("/readyz")
    assert ready.status_code == 503
    assert {"OOM": "(OOM)", "READONLY": "it is a replica"}[code] in problem(ready)["detail"]


@pytest.mark.broker
def test_a_store_that_ended_on_a_full_disk_is_told_as_that(
    own_door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_door.processes.stop(own_door.processes.latest("valkey"))
    for path in ("/v1/jobs", "/readyz"):
        assert "full" not in problem(own_door.client.get(path))["detail"]
    room = shutil.disk_usage(own_door.settings.home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room._replace(free=4096))
    for path in ("/v1/jobs", "/readyz"):
        answer = own_door.client.get(path)
        assert answer.status_code == 503
        assert "does not answer: the disk of the workspace" in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "MISCONF"),
        (redis.ResponseError("ERR Error running script: -MISCONF Valkey is configured to save"), "MISCONF"),
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), "READONLY"),
        (redis.ResponseError("user_script:3: READONLY You can't write, script: 1f"), "READONLY"),
        (redis.exceptions.OutOfMemoryError("command not allowed when used memory"), "OOM"),
        (redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'. script: 2"), "OOM"),
        (redis.exceptions.BusyLoadingError("loading the dataset in memory"), "LOADING"),
        (redis.exceptions.AuthenticationError("invalid username-password pair"), "WRONGPASS"),
        (redis.exceptions.NoPermissionError("no permissions to run the 'evalsha' command"), "NOPERM"),
        (redis.ConnectionError("Connection refused"), ""),
        (redis.TimeoutError("Timeout reading from socket"), ""),
        (redis.ResponseError("ERR unknown command 'WAITAOF'"), ""),
    ],
)
def test_what_a_refusal_is_called(error: Exception, code: str) -> None:
    assert (f"({code})" in refusal_of(error)) is bool(code)


@pytest.mark.broker
@pytest.mark.parametrize(
    "command",
    [
        ["api.rest.server"],
        ["queue_worker.worker"],
        ["queue_worker.worker", "--queue", "retrain"],
        ["queue_worker.scheduler"],
    ],
)
def test_nothing_starts_on_a_store_that_cannot_keep_jobs(tmp_path: Path, command: list[str]) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        environment = {**settings.environment(), "PINGTI_PORT": "0", "PYTHONPATH": ":".join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-m", *command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 6
    (line,) = run.stderr.splitlines()
    assert "cannot keep jobs: its maxmemory-policy is allkeys-lru" in line
