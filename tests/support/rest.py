"""The REST service on a real server: clients, uploads, jobs, and what an error must look like."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.rest.app import create_app
from api.rest.problems import KINDS, MEDIA_TYPE
from api.rest.server import Server, configured, listen, url
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import connect
from queue_worker.jobs.models import JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings

WAIT_S = 60


def serving(settings: Settings, **choices: Any) -> AbstractContextManager[httpx.Client]:
    """A client of the real application on a real server."""
    return serving_app(create_app(settings, **choices))


@contextmanager
def serving_app(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of ``app`` on a free port, in a thread of this process."""
    listener = listen(Settings(port=0))
    server = Server(configured(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=url(listener), timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == MEDIA_TYPE
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"].removeprefix("/problems#") in KINDS
    assert document["title"]
    assert document["detail"]
    return document


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def upload(client: httpx.Client, name: str, content: bytes, **headers: str) -> httpx.Response:
    return client.post("/v1/files", files={"file": (name, content)}, headers=headers)


@dataclass(frozen=True, kw_only=True)
class Door:
    """A served workspace with its broker."""

    client: httpx.Client
    settings: Settings
    store: JobStore
    processes: Processes
    broker: int
    """Process id."""

    def upload(self, name: str, content: bytes) -> str:
        answer = self.client.post("/v1/files", files={"file": (name, content)})
        assert answer.status_code == 201, answer.text
        path: str = answer.json()["path"]
        return path

    def submit(self, **changes: Any) -> httpx.Response:
        headers = changes.pop("headers", {})
        body = {"inputs": [self.upload("a.csv", b"text\nthe match was won\n")], "tasks": ["sport"], **changes}
        return self.client.post("/v1/jobs", json=body, headers=headers)


def texts(count: int) -> bytes:
    return b"text,key\n" + b"".join(b"the match number %d was won,k%d\n" % (i, i) for i in range(count))


def until_ended(door: Door, path: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        job: dict[str, Any] = door.client.get(path).json()
        if JobStatus(job["status"]).final:
            return job
        time.sleep(0.05)
    raise AssertionError(f"job not ended: {job}")


@pytest.fixture(scope="module")
def home(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("batches") / "workspace"
    shutil.copytree(_workspace_template, root)
    return root


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[Door]:
    """A door with a worker, for all tests of this file."""
    with Processes() as processes:
        settings = processes.start_valkey(
            Settings(
                home=home,
                concurrency=2,
                shard_rows=50,
                private_networks=("127.0.0.0/8",),
                url_hosts=("127.0.0.1",),
            )
        )
        processes.start_worker(settings)
        store = JobStore(connect(settings))
        with serving(settings) as client:
            yield Door(client=client, settings=settings, store=store, processes=processes, broker=0)
        store.client.close()


@pytest.fixture
def idle(running: Door, tmp_path: Path) -> Iterator[Door]:
    """Another workspace's door on the same broker, in a database of its own, where nobody works."""
    shutil.copytree(running.settings.home / "tasks", tmp_path / "w" / "tasks")
    url = str(running.settings.redis_url).rpartition("/")[0] + "/1"
    settings = running.settings.model_copy(update={"home": tmp_path / "w", "redis_url": url, "key_jobs": 2})
    store = JobStore(connect(settings))
    store.client.flushdb()
    with serving(settings) as client:
        yield replace(running, client=client, settings=settings, store=store)
    store.client.close()


@pytest.fixture
def own_door(workspace: Workspace) -> Iterator[Door]:
    """A door whose broker is its own, to be stopped or set as a test wants it."""
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root))
        store = JobStore(connect(settings))
        broker = int(store.client.info("server")["process_id"])
        with serving(settings) as client:
            yield Door(client=client, settings=settings, store=store, processes=processes, broker=broker)
        store.client.close()
