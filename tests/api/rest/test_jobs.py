"""Jobs over HTTP, with a real Valkey and a real worker."""

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pingti.workspace.registry import Workspace
from queue_worker.celery_app import connect
from queue_worker.jobs.models import Job
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.rest import Door, problem, serving, texts, until_ended

pytestmark = pytest.mark.broker


@pytest.fixture
def door(workspace: Workspace) -> Iterator[Door]:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root, concurrency=2, shard_rows=50))
        store = JobStore(connect(settings))
        broker = int(store.client.info("server")["process_id"])
        with serving(settings) as client:
            yield Door(client=client, settings=settings, store=store, processes=processes, broker=broker)
        store.client.close()


def test_a_batch_from_upload_to_results(door: Door) -> None:
    ready = door.client.get("/readyz")
    assert (ready.status_code, ready.json()["broker"]) == (503, "ok")
    assert "No worker" in ready.json()["workers"]

    path = door.upload("titles.csv", texts(120) + b"one field only\n")
    body = {"inputs": [path], "tasks": ["sport", "topic"], "id": "key", "metadata": {"team": "search"}}
    answer = door.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"]
    assert job["status"] == "queued"
    assert job["progress"] is None
    assert [(task["task"], task["version"]) for task in job["tasks"]] == [("sport", 1), ("topic", 1)]
    early = door.client.get(job["links"]["results"])
    assert early.status_code == 409
    assert "queued" in problem(early)["detail"]

    door.processes.start_worker(door.settings)
    assert door.client.get("/readyz").json() == {"ready": True, "broker": "ok", "workers": "ok"}
    ended = until_ended(door, job["links"]["self"])
    assert ended["status"] == "completed", ended
    assert ended["counts"] == {"total": 121, "completed": 120, "failed": 1}
    assert ended["shards"] == {"total": 3, "done": 3}
    assert ended["progress"] == 1.0
    assert ended["rows_per_second"] > 0
    assert ended["metadata"] == {"team": "search"}
    order = ["queued", "running", "finalizing", "completed"]
    assert sorted(ended["timestamps"], key=lambda status: ended["timestamps"][status]) == order

    results = door.client.get(job["links"]["results"])
    assert f'filename="{job["id"]}.parquet"' in results.headers["content-disposition"]
    table = pq.read_table(io.BytesIO(results.content))
    assert table.column_names == ["id", "sport", "sport_score", "topic", "topic_score"]
    assert table["id"].to_pylist() == [f"k{i}" for i in range(120)]
    assert table.schema.metadata[b"job"] == job["id"].encode()
    lines = door.client.get(job["links"]["results"], params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line)["sport"] for line in lines] == table["sport"].to_pylist()
    comma = door.client.get(job["links"]["results"], params={"format": "csv"})
    assert comma.headers["content-type"].startswith("text/csv")
    assert pyarrow.csv.read_csv(io.BytesIO(comma.content)).to_pylist() == [
        {**row, **{name: pytest.approx(row[name]) for name in ("sport_score", "topic_score")}}
        for row in table.to_pylist()
    ]
    wrong = door.client.get(job["links"]["results"], params={"format": "xlsx"})
    assert wrong.status_code == 422
    assert problem(wrong)["errors"][0]["parameter"] == "format"

    bad = [json.loads(line) for line in door.client.get(job["links"]["errors"]).text.splitlines()]
    assert [(row["file"], row["row"]) for row in bad] == [(path, 120)]
    late = door.client.post(f"{job['links']['self']}/cancel")
    assert late.status_code == 409
    problem(late)


def test_what_is_wrong_is_told_before_a_job_exists(door: Door) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"tasks": ["sport", "spotr"]}, "#/tasks/1", "spotr"),
        ({"tasks": ["sport@nowhere"]}, "#/tasks/0", "nowhere"),
        ({"tasks": ["sport", "sport"]}, "#/tasks/1", "twice"),
        ({"tasks": ["../sport"]}, "#/tasks/0", "../sport"),
        ({"inputs": ["nothing.csv"]}, "#/inputs/0", "nothing.csv"),
        ({"inputs": ["/etc/passwd"]}, "#/inputs/0", "/etc/passwd"),
        ({"inputs": ["uploads/../../x.csv"]}, "#/inputs/0", "x.csv"),
        ({"inputs": ["http://127.0.0.1/a.csv"]}, "#/inputs/0", "http://127.0.0.1/a.csv"),
        ({"text": "title"}, "#/inputs/0", "title"),
        ({"id": "key"}, "#/inputs/0", "key"),
    ]
    for changes, pointer, words in cases:
        answer = door.submit(**changes)
        assert answer.status_code == 422, changes
        (fault,) = problem(answer)["errors"]
        assert fault["pointer"] == pointer, changes
        assert words in fault["detail"], changes
    assert door.client.get("/v1/jobs").json() == {"items": [], "next_cursor": None}


def test_an_idempotency_key_makes_one_job(door: Door) -> None:
    path = door.upload("a.csv", b"text\nx\n")
    first = door.submit(inputs=[path], headers={"Idempotency-Key": "night-7"})
    again = door.submit(inputs=[path], headers={"Idempotency-Key": "night-7"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    other = door.submit(inputs=[path], priority=1, headers={"Idempotency-Key": "night-7"})
    assert other.status_code == 422
    assert "night-7" in problem(other)["detail"]
    assert len(door.client.get("/v1/jobs").json()["items"]) == 1


def test_jobs_are_listed_by_pages_and_by_status(door: Door) -> None:
    ids = [door.submit(priority=n).json()["id"] for n in range(5)]
    newest_first = ids[::-1]
    cancelled = {ids[1], ids[4]}
    for job in cancelled:
        assert door.client.post(f"/v1/jobs/{job}/cancel").json()["status"] == "cancelled"

    def walk(**query: Any) -> list[str]:
        ids_listed: list[str] = []
        while True:
            page = door.client.get("/v1/jobs", params={**query, "limit": 2}).json()
            assert len(page["items"]) <= 2
            ids_listed += [job["id"] for job in page["items"]]
            if page["next_cursor"] is None:
                return ids_listed
            query["cursor"] = page["next_cursor"]

    assert walk() == newest_first
    assert walk(status="cancelled") == [job for job in newest_first if job in cancelled]
    assert walk(status="queued") == [job for job in newest_first if job not in cancelled]
    assert walk(status="failed") == []
    levels = door.client.get("/v1/queue").json()["levels"]
    assert [level["waiting"] for level in levels] == [1, 0, 1, 1, 0, 0, 0, 0, 0, 0]


def test_a_cancelled_job_gives_what_is_finished(door: Door) -> None:
    job = door.submit().json()
    path = job["links"]["self"]
    for _ in range(2):  # cancelling twice changes nothing
        assert door.client.post(f"{path}/cancel").json()["status"] == "cancelled"
    results = door.client.get(job["links"]["results"])
    assert results.status_code == 200
    empty = pq.read_table(io.BytesIO(results.content))
    assert (empty.num_rows, empty.column_names) == (0, ["id", "sport", "sport_score"])
    assert door.client.get(job["links"]["errors"]).text == ""


def test_unknown_jobs(door: Door) -> None:
    job = door.submit().json()["id"]
    # The second is the name of another key of the store, not of a job.
    for name in ("job-0", f"{job}:held", f"{job}:out", "x" * 500, "%00", "a%2fb"):
        for method, rest in (("GET", ""), ("GET", "/results"), ("GET", "/errors"), ("POST", "/cancel")):
            answer = door.client.request(method, f"/v1/jobs/{name}{rest}")
            assert answer.status_code == 404
            problem(answer)


def test_a_hung_broker_holds_up_nobody_who_does_not_need_it(door: Door) -> None:
    os.kill(door.broker, signal.SIGSTOP)
    try:
        # More waiting requests than the event loop has: only threads may block.
        with httpx.Client(base_url=door.client.base_url, timeout=0.2) as impatient:
            for _ in range(5):
                with pytest.raises(httpx.ReadTimeout):
                    impatient.get("/v1/jobs")
        assert door.client.get("/healthz").status_code == 200
        ready = door.client.get("/readyz")
        assert (ready.status_code, ready.json()["broker"]) == (503, "The broker does not answer.")
    finally:
        os.kill(door.broker, signal.SIGCONT)
    assert door.client.get("/v1/jobs").status_code == 200


def test_a_dead_broker_is_a_503(door: Door) -> None:
    job = door.submit().json()
    os.kill(door.broker, signal.SIGKILL)
    for answer in (door.client.get("/v1/jobs"), door.client.get(job["links"]["self"]), door.submit()):
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        # What asks for a change may have got through before the answer was lost.
        assert ("is not known" in problem(answer)["detail"]) == (answer.request.method == "POST")
    ready = door.client.get("/readyz")
    assert (ready.status_code, ready.json()["broker"]) == (503, "The broker does not answer.")


def test_a_job_that_was_accepted_is_answered_so(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the broker afterwards."""
    look = JobStore.look

    def look_too_late(store: JobStore, id: str) -> tuple[Job, int | None]:
        os.kill(door.broker, signal.SIGKILL)
        return look(store, id)

    monkeypatch.setattr(JobStore, "look", look_too_late)
    answer = door.submit(metadata={"team": "search"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"]
    assert (job["status"], job["metadata"], job["place"]) == ("queued", {"team": "search"}, None)


def test_an_upload_is_an_input_also_where_other_roots_are_set(workspace: Workspace, tmp_path: Path) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root, input_roots=(tmp_path / "data",)))
        with serving(settings) as client:
            path = client.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")}).json()["path"]
            answer = client.post("/v1/jobs", json={"inputs": [path], "tasks": ["sport"]})
            assert answer.status_code == 202, answer.text
