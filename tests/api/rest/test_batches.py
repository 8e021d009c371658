"""Jobs over HTTP, beyond the straight way: keys, limits, inputs, filters, downloads, deletion."""

import errno
import gzip
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api.keys import Role, add_key, revoke_key
from api.rest.routes import files as files_routes
from pingti.http.outbound import Outbound
from pingti.workspace.registry import Workspace
from queue_worker import retention
from queue_worker.classifying.shards import job_folder
from queue_worker.jobs.store import JobStore
from queue_worker.retention import expire
from queue_worker.settings import Settings
from tests.support.http_servers import server
from tests.support.rest import Door, bearer, problem, serving, texts, until_ended

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def done(running: Door) -> dict[str, Any]:
    """A job that is completed, with one bad row."""
    path = running.upload("titles.csv", texts(120) + b"one field only\n")
    answer = running.client.post("/v1/jobs", json={"inputs": [path], "tasks": ["sport", "topic#1"]})
    return until_ended(running, answer.headers["location"])


def test_what_a_job_tells_of_itself(running: Door, done: dict[str, Any], idle: Door) -> None:
    assert done["owner"] == "local"
    assert (done["place"], done["seconds_left"], done["callback"]) == (None, None, None)
    first, second = idle.submit(priority=5).json(), idle.submit(priority=5).json()
    assert (first["place"], second["place"]) == (0, 1)
    urgent = idle.submit(priority=0).json()
    places = [idle.client.get(job["links"]["self"]).json()["place"] for job in (urgent, first, second)]
    assert places == [0, 1, 2]


def test_validate_only_checks_all_and_stores_nothing(idle: Door) -> None:
    file = idle.client.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")}).json()
    body = {"inputs": [file["id"]], "tasks": ["sport@strict", "topic"]}
    answer = idle.client.post("/v1/jobs", params={"validate_only": True}, json=body)
    assert answer.status_code == 200
    checked = answer.json()
    assert checked["valid"] is True
    assert checked["inputs"] == [file["path"]]
    assert checked["bytes"] == file["bytes"]
    assert [(t["task"], t["scene"], t["version"]) for t in checked["tasks"]] == [
        ("sport", "strict", 1),
        ("topic", "default", 1),
    ]
    assert checked["priority"] == 3
    for changes, pointer in [
        ({"tasks": ["sport#7"]}, "#/tasks/0"),
        ({"inputs": ["file-" + "0" * 22]}, "#/inputs/0"),
        ({"callback": "http://10.0.0.1/"}, "#/callback"),
        ({"callback": "ftp://x"}, "#/callback"),
    ]:
        wrong = idle.client.post("/v1/jobs", params={"validate_only": True}, json={**body, **changes})
        assert wrong.status_code == 422
        assert problem(wrong)["errors"][0]["pointer"] == pointer
    assert idle.client.get("/v1/jobs").json()["items"] == []


def test_results_by_range_and_packed(running: Door, done: dict[str, Any]) -> None:
    path = done["links"]["results"]
    folder = running.settings.home / "jobs" / done["id"] / "exports"
    for form in ("jsonl", "csv", "parquet"):
        query = {"format": form}
        whole = running.client.get(path, params=query, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in whole.headers
        assert whole.headers["accept-ranges"] == "bytes"
        assert not (folder / f"results.{form}").exists()  # streamed
        part = running.client.get(path, params=query, headers={"Range": "bytes=10-99"})
        assert (part.status_code, part.content) == (206, whole.content[10:100])
        assert part.headers["content-range"] == f"bytes 10-99/{len(whole.content)}"
        assert part.headers["etag"] == whole.headers["etag"]
        head = running.client.head(path, params=query)
        assert head.headers["content-length"] == str(len(whole.content))
        behind = running.client.get(path, params=query, headers={"Range": f"bytes={len(whole.content)}-"})
        assert behind.status_code == 416
        problem(behind)
        again = running.client.get(path, params=query, headers={"Accept-Encoding": "identity"})
        assert again.content == whole.content
        with running.client.stream("GET", path, params=query, headers={"Accept-Encoding": "gzip"}) as packed:
            raw = b"".join(packed.iter_raw())
            if form == "parquet":
                assert "content-encoding" not in packed.headers
                assert raw == whole.content
            else:
                assert packed.headers["content-encoding"] == "gzip"
                assert packed.headers["etag"] != whole.headers["etag"]
                assert gzip.decompress(raw) == whole.content
    assert pq.read_table(io.BytesIO(whole.content)).num_rows == 120


def test_an_export_is_written_once_for_many_at_a_time(running: Door, done: dict[str, Any]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = done["links"]["results"]

    def last(_: int) -> bytes:
        return running.client.get(path, params={"format": "jsonl"}, headers={"Range": "bytes=-20"}).content

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(last, range(16)))) == 1
    folder = running.settings.home / "jobs" / done["id"] / "exports"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_bad_rows_whole_by_range_and_packed(running: Door, done: dict[str, Any]) -> None:
    path = done["links"]["errors"]
    whole = running.client.get(path, headers={"Accept-Encoding": "identity"})
    (bad,) = [json.loads(line) for line in whole.text.splitlines()]
    assert bad["row"] == 120
    assert running.client.get(path, headers={"Range": "bytes=0-4"}).content == whole.content[:5]
    packed = running.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == whole.content
    assert running.client.head(path).headers["content-length"] == str(len(whole.content))


def test_jobs_are_found_by_what_they_are(idle: Door) -> None:
    one = idle.submit(tasks=["sport"], priority=1).json()
    time.sleep(0.01)
    middle = time.time()
    two = idle.submit(tasks=["topic"], priority=2).json()

    def ids(**query: Any) -> list[str]:
        answer = idle.client.get("/v1/jobs", params=query)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["items"]]

    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle)) + f".{int(middle % 1 * 1e6):06}Z"
    assert ids(task="sport") == [one["id"]]
    assert ids(priority=2) == [two["id"]]
    assert ids(owner="local") == [two["id"], one["id"]]
    assert ids(owner="nobody") == []
    assert ids(submitted_after=stamp) == [two["id"]]
    assert ids(submitted_before=stamp) == [one["id"]]
    assert ids(task="sport", submitted_after=stamp) == []
    naive = idle.client.get("/v1/jobs", params={"submitted_after": "2026-11-21T00:00:00"})
    assert naive.status_code == 422


def test_each_key_has_its_jobs_its_limits_and_its_idempotency(idle: Door) -> None:
    home = idle.settings.home
    one, other = (bearer(add_key(home, name, Role.SUBMIT)) for name in ("one", "other"))
    admin = bearer(add_key(home, "boss", Role.ADMIN))
    path = idle.client.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")}, headers=one).json()["id"]

    def submit(headers: dict[str, str], key: str | None = None) -> httpx.Response:
        named = {"Idempotency-Key": key} if key else {}
        body = {"inputs": [path], "tasks": ["sport"]}
        return idle.client.post("/v1/jobs", json=body, headers={**headers, **named})

    first = submit(one, "night")
    assert first.json()["owner"] == "one"
    assert submit(other, "night").json()["id"] != first.json()["id"]
    assert submit(one).status_code == 202
    full = submit(one)
    assert full.status_code == 429
    assert full.headers["retry-after"]
    assert "2 unfinished jobs" in problem(full)["detail"]
    body = {"inputs": [path], "tasks": ["sport"]}
    checked = idle.client.post("/v1/jobs", params={"validate_only": True}, json=body, headers=one)
    assert checked.status_code == 429  # as it would not be accepted
    assert submit(one, "night").json()["id"] == first.json()["id"]  # no new job, no limit
    # The same file sent again is the same request; another one under that key is not.
    for text, status in ((b"text\nx\n", 202), (b"text\ny\n", 422)):
        again = idle.client.post("/v1/files", files={"file": ("a.csv", text)}, headers=one).json()["id"]
        headers = {**one, "Idempotency-Key": "night"}
        answered = idle.client.post("/v1/jobs", json={**body, "inputs": [again]}, headers=headers)
        assert answered.status_code == status
        assert status == 422 or answered.json()["id"] == first.json()["id"]
    assert submit(admin).status_code == 202

    link = first.json()["links"]["self"]
    foreign = idle.client.post(f"{link}/cancel", headers=other)
    assert foreign.status_code == 403
    problem(foreign)
    assert idle.client.get(link, headers=other).status_code == 200
    assert idle.client.delete(link, headers=one).status_code == 409  # not ended yet
    assert idle.client.post(f"{link}/cancel", headers=one).json()["status"] == "cancelled"
    assert submit(one).status_code == 202  # there is room again
    assert idle.client.delete(link, headers=other).status_code == 403
    assert idle.client.delete(link, headers=admin).status_code == 204
    assert idle.client.get(link, headers=one).status_code == 404


def test_a_key_may_have_so_many_rows_waiting(idle: Door) -> None:
    one = bearer(add_key(idle.settings.home, "one", Role.SUBMIT))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["x"] * 60}), buffer)
    settings = idle.settings.model_copy(update={"key_rows": 100})
    with serving(settings) as client:
        file = client.post("/v1/files", files={"file": ("a.parquet", buffer.getvalue())}, headers=one).json()
        body = {"inputs": [file["id"]], "tasks": ["sport"]}
        assert client.post("/v1/jobs", json=body, headers=one).status_code == 202
        full = client.post("/v1/jobs", json=body, headers=one)
        assert full.status_code == 429
        assert "60 rows" in problem(full)["detail"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_rows_that_no_file_tells_are_counted_by_the_worker(running: Door, name: str) -> None:
    content = texts(60)
    if name == "a.jsonl":
        content = b'{"text": "the match was won"}\n' * 60
    sent = gzip.compress(content) if name.endswith(".gz") else content
    body = {"inputs": [running.upload(name, sent)], "tasks": ["sport"]}
    home = running.settings.home
    with serving(running.settings.model_copy(update={"key_rows": 59})) as client:
        submit, admin = (bearer(add_key(home, role, role)) for role in (Role.SUBMIT, Role.ADMIN))
        try:
            accepted = [client.post("/v1/jobs", json=body, headers=key) for key in (submit, admin)]
        finally:
            for role in (Role.SUBMIT, Role.ADMIN):
                revoke_key(home, role)
    limited, free = (until_ended(running, answer.json()["links"]["self"]) for answer in accepted)
    assert (limited["status"], limited["counts"]["completed"]) == ("failed", 0)
    assert limited["error"].startswith(
        "the key 'submit' may have 59 rows in unfinished jobs, and 0 are in others"
    )
    assert (free["status"], free["counts"]["completed"]) == ("completed", 60)


def test_a_file_that_a_job_waits_for_stays(idle: Door) -> None:
    file = idle.client.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")}).json()
    link = idle.submit(inputs=[file["id"]]).json()["links"]["self"]
    refused = idle.client.delete(f"/v1/files/{file['id']}")
    assert refused.status_code == 409
    problem(refused)
    idle.client.post(f"{link}/cancel")
    assert idle.client.delete(f"/v1/files/{file['id']}").status_code == 204


def test_inputs_from_an_allowed_host(running: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        known = {"/a.csv": b"text\nthe match was won\n", "/b.parquet": b"no parquet", "/c.csv": b"title\nx\n"}
        handler.send_response(302 if handler.path.startswith("/away") else 200)
        handler.send_header("Location", "/a.csv")
        body = known.get(handler.path.partition("?")[0], b"")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    uploads = running.settings.home / "uploads"
    uploads.mkdir(exist_ok=True)
    with server(answer) as url:
        before = set(uploads.iterdir())
        for path, words in [
            ("/b.parquet", "not a readable Parquet"),
            ("/c.csv", "text"),
            ("/away.csv", "redirects are not followed"),
            ("/empty.csv", "is empty"),
            ("/a.exe", "must end in the name of a file"),
        ]:
            refused = running.submit(inputs=[url + path])
            assert refused.status_code == 422, path
            assert problem(refused)["errors"][0]["pointer"] == "#/inputs/0"
            assert words in problem(refused)["detail"]
        elsewhere = running.submit(inputs=[url.replace("127.0.0.1", "127.0.0.2") + "/a.csv"])
        assert "the setting url_hosts names (127.0.0.1)" in problem(elsewhere)["detail"]
        left = {path for path in uploads.iterdir() if path.name.startswith("file-")} - before
        assert len(left) == 6  # door.submit uploads one by itself each time, and nothing that was fetched
        body = {"inputs": [f"{url}/a.csv?x=1"], "tasks": ["sport"]}
        before = set(uploads.iterdir())
        with serving(running.settings.model_copy(update={"key_bytes": 30})) as small:
            one = bearer(add_key(running.settings.home, "one", Role.SUBMIT))
            try:
                assert small.post("/v1/jobs", json=body, headers=one).status_code == 202
                full = small.post("/v1/jobs", json=body, headers=one)
            finally:
                revoke_key(running.settings.home, "one")
            assert (full.status_code, problem(full)["errors"][0]["pointer"]) == (422, "#/inputs/0")
            assert "larger than the limit of 7 bytes" in problem(full)["detail"]
        assert len({path for path in uploads.iterdir() if path.name.startswith("file-")} - before) == 1

        def full_disk(*_: object, **__: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(Outbound, "fetch", full_disk)
            assert running.client.post("/v1/jobs", json=body).status_code == 507
        answered = running.client.post("/v1/jobs", json=body)
        assert answered.status_code == 202
        assert until_ended(running, answered.headers["location"])["counts"]["completed"] == 1


def test_what_was_fetched_stays_where_the_job_may_be_stored(idle: Door) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "7")
        handler.end_headers()
        handler.wfile.write(b"text\nx\n")

    def fetched() -> set[Path]:
        return set((idle.settings.home / "uploads").glob("file-*"))

    broker = idle.store.client
    impatient = idle.settings.model_copy(update={"durable_seconds": 0.05})
    with server(answer) as url, serving(impatient) as client:
        body = {"inputs": [f"{url}/a.csv"], "tasks": ["sport"]}

        def refused(words: str, client: httpx.Client = client) -> None:
            answered = client.post("/v1/jobs", json=body)
            assert answered.status_code == 503
            assert words in problem(answered)["detail"]

        before = broker.config_get("append*")
        try:
            broker.config_set("appendfsync", "no")  # a disk that never confirms
            refused("did not confirm")
            ((job,), (kept,)) = (client.get("/v1/jobs").json()["items"], fetched())
            assert job["inputs"] == [str(kept / "a.csv")]
            # Refused for sure: there is no job, and nothing stays.
            broker.config_set("appendonly", "no")
            refused("keeps no append-only file")
        finally:
            for name in ("appendonly", "appendfsync"):
                broker.config_set(name, before[name])
        away = idle.settings.model_copy(update={"redis_url": "redis://127.0.0.1:9/1"})
        with serving(away) as client_of_none:
            refused("does not answer", client_of_none)
        assert fetched() == {kept}


def test_old_jobs_and_files_go(idle: Door) -> None:
    kept, gone = idle.submit().json(), idle.submit().json()
    idle.client.post(f"{gone['links']['self']}/cancel")
    folder = idle.settings.home / "jobs" / gone["id"]
    folder.mkdir(parents=True)
    unused = Path(idle.upload("b.csv", b"text\nx\n"))
    fresh = Path(idle.upload("c.csv", b"text\nx\n"))
    for path in (*(Path(job["inputs"][0]) for job in (kept, gone)), unused):
        os.utime(path.parent, (0, 0))
    idle.store.client.hset(f"pingti:job:{gone['id']}", "at:cancelled", 1)
    soon = idle.settings.model_copy(update={"retention_days": 1e-9})
    time.sleep(0.01)
    assert expire(idle.settings, idle.store) == 2  # the files that only ended jobs or none need
    assert idle.client.get(gone["links"]["self"]).status_code == 200  # submitted just now
    os.utime(fresh.parent, (time.time() + 60, time.time() + 60))
    left = folder.parent / "job-0660d0b5d5c8954336e7"  # by a server that was killed while it deleted the job
    left.mkdir()
    os.utime(left, (0, 0))
    assert expire(soon, idle.store) == 2
    assert not left.exists()
    assert fresh.exists()
    assert idle.client.get(gone["links"]["self"]).status_code == 404
    assert not folder.exists()
    assert idle.client.get(kept["links"]["self"]).status_code == 200
    assert Path(kept["inputs"][0]).exists()


def test_a_job_that_comes_while_its_file_is_being_deleted_keeps_it(
    idle: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = retention.inputs_in_use
    files = [Path(idle.upload(f"{name}.csv", b"text\nx\n")) for name in ("expired", "deleted", "gone")]
    for path in files:
        os.utime(path.parent, (0, 0))
    meanwhile: list[Callable[[], object]] = []

    def looked(store: JobStore) -> set[str]:
        seen_uploads = look(store)
        while meanwhile:
            meanwhile.pop()()
        return seen_uploads

    monkeypatch.setattr(retention, "inputs_in_use", looked)
    monkeypatch.setattr(files_routes, "inputs_in_use", looked)

    def submit(path: Path) -> Callable[[], object]:
        body = {"inputs": [path.parent.name], "tasks": ["sport"]}
        return lambda: idle.client.post("/v1/jobs", json=body).raise_for_status()

    meanwhile += [submit(files[0]), lambda: shutil.rmtree(files[2].parent)]  # another deletes the last
    assert expire(idle.settings, idle.store) == 1  # deleted.csv
    assert [path.exists() for path in files] == [True, False, False]
    again = Path(idle.upload("deleted.csv", b"text\nx\n"))
    meanwhile.append(submit(again))
    assert idle.client.delete(f"/v1/files/{again.parent.name}").status_code == 409
    assert again.exists()
    # What a crash left aside is still the file of its job.
    left = files[0].parent.rename(files[0].parent.with_name(f".{files[0].parent.name}.removed"))
    assert expire(idle.settings, idle.store) == 0
    assert (left.exists(), files[0].exists()) == (False, True)


def test_a_job_of_a_small_workspace(workspace: Workspace) -> None:
    """Without a broker a submission says so, and what was fetched for it is not kept."""
    with serving(Settings(home=workspace.root)) as client:
        path = client.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")}).json()["id"]
        answer = client.post("/v1/jobs", json={"inputs": [path], "tasks": ["sport"]})
        assert answer.status_code == 503
        problem(answer)


def test_results_of_a_job_whose_files_are_gone_are_no_empty_answer(running: Door) -> None:
    path = running.upload("gone.csv", texts(20) + b"one field only\n")
    job = running.client.post("/v1/jobs", json={"inputs": [path], "tasks": ["sport"]}).json()
    assert until_ended(running, job["links"]["self"])["status"] == "completed"
    assert running.client.get(job["links"]["results"]).status_code == 200
    shutil.rmtree(job_folder(running.settings, job["id"]))
    for form in ("parquet", "jsonl", "csv"):
        for headers in ({}, {"Range": "bytes=0-"}):
            answer = running.client.get(job["links"]["results"], params={"format": form}, headers=headers)
            assert answer.status_code == 500, answer.text
            assert problem(answer)["type"] == "/problems#damaged-artifact"
            assert "another workspace" in problem(answer)["detail"]
    assert running.client.head(job["links"]["results"]).status_code == 500
    assert running.client.get(job["links"]["errors"]).status_code == 500


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "gb18030"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_an_upload_of_another_encoding_is_read_by_a_job_that_says_so(
    running: Door, encoding: str, suffix: str
) -> None:
    data = "text,key\n比赛赢了,一\n比赛输了,二\n第三场,三\n".encode(encoding)
    path = running.upload(f"a{suffix}", gzip.compress(data) if suffix.endswith(".gz") else data)
    body = {"inputs": [path], "tasks": ["sport"], "id": "key"}
    refused = running.client.post("/v1/jobs", json=body)
    assert (refused.status_code, f'encoding = "{encoding}"' in problem(refused)["detail"]) == (422, True)
    accepted = running.client.post("/v1/jobs", json={**body, "encoding": encoding}).json()
    job = until_ended(running, accepted["links"]["self"])
    assert (job["status"], job["counts"]["completed"]) == ("completed", 3)
    rows = running.client.get(job["links"]["results"], params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["一", "二", "三"]
