"""Jobs from and to an object store over HTTP, by a worker process that has nothing but the store."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pingti.workspace.storage import Storage
from queue_worker.celery_app import connect
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.object_store import BUCKET, Server
from tests.support.rest import Door, problem, serving, until_ended, upload

pytestmark = pytest.mark.broker
_BUCKET = f"s3://{BUCKET}"


@pytest.fixture
def door(s3: Server, home: Path, tmp_path: Path) -> Iterator[Door]:
    with Processes() as processes:
        settings = processes.start_valkey(
            Settings(
                home=home,
                concurrency=1,
                shard_rows=50,
                store=f"{_BUCKET}/pingti",
                input_urls=(f"{_BUCKET}/in",),
                output_urls=(f"{_BUCKET}/out",),
            )
        )
        processes.start_scheduler(settings, log=tmp_path / "scheduler.log")
        processes.start_worker(
            settings.model_copy(update={"home": tmp_path / "worker"}), log=tmp_path / "worker.log"
        )
        store = JobStore(connect(settings))
        with serving(settings) as client:
            yield Door(client=client, settings=settings, store=store, processes=processes, broker=0)
        store.client.close()


def test_an_upload_and_objects_become_a_table(door: Door) -> None:
    lines = b"key,text\n" + b"".join(b"s%d,the match\n" % row for row in range(120))
    Storage(f"{_BUCKET}/in").put_bytes("t/day=1/a.csv", lines)
    sent = upload(door.client, "b.csv", b"key,text\nu0,the chip\nu1,the match\n").json()
    body = {"inputs": [sent["id"], f"{_BUCKET}/in/t"], "tasks": ["sport"], "id": "key"}
    output = f"{_BUCKET}/out/today"
    job = door.client.post("/v1/jobs", json={**body, "output": output}).json()
    assert job["output"] == output
    assert job["inputs"][0] == f"{_BUCKET}/pingti/uploads/{sent['id']}/b.csv"
    ended = until_ended(door, job["links"]["self"])
    assert (ended["status"], ended["error"]) == ("completed", None)
    ids = ["u0", "u1", *(f"s{row}" for row in range(120))]
    results = pq.read_table(io.BytesIO(door.client.get(job["links"]["results"]).content))
    assert results.column("id").to_pylist() == ids
    table = Storage(output)
    parts = [key for key in table.entries("") if key.endswith(".parquet")]
    written = [pq.read_table(io.BytesIO(table.read(key))).column("id").to_pylist() for key in parts]
    assert [id for part in written for id in part] == ids
    assert door.client.delete(job["links"]["self"]).status_code == 204
    assert Storage(f"{_BUCKET}/pingti").entries(f"jobs/{job['id']}") == {}
    assert table.read("_SUCCESS") == b""  # its owner's


@pytest.mark.parametrize(
    ("field", "value", "pointer", "words"),
    [
        ("inputs", [f"{_BUCKET}/secret/a.csv"], "#/inputs/0", "is not below an allowed address"),
        ("inputs", ["s3://key:hunter2@b/a.csv"], "#/inputs/0", "holds credentials"),
        ("inputs", [f"{_BUCKET}/in/nothing"], "#/inputs/0", "names no object of rows"),
        ("output", f"{_BUCKET}/in/x", "#/output", "is not below an allowed address"),
        ("output", "s3://b/x?X-Amz-Signature=hunter2", "#/output", "holds credentials"),
    ],
)
def test_what_is_refused(idle: Door, s3: Server, field: str, value: object, pointer: str, words: str) -> None:
    addresses = {"input_urls": (f"{_BUCKET}/in",), "output_urls": (f"{_BUCKET}/out",)}
    Storage(f"{_BUCKET}/in").put_bytes("a.csv", b"text\nx\n")
    body = {"inputs": [f"{_BUCKET}/in/a.csv"], "tasks": ["sport"], field: value}
    with serving(idle.settings.model_copy(update=addresses)) as client:
        answer = client.post("/v1/jobs", json=body)
        assert answer.status_code == 422
        assert problem(answer)["errors"][0]["pointer"] == pointer
        assert words in problem(answer)["errors"][0]["detail"]
        assert "hunter2" not in answer.text
        assert client.get("/v1/jobs").json()["items"] == []
