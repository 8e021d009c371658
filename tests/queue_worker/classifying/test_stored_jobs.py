"""Jobs whose inputs, students, parts and results are in a store: workers share no folder."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.errors import ArtifactError, ConflictError, InputError
from pingti.workspace.storage import Storage
from queue_worker.classifying import results
from queue_worker.classifying.runner import AttemptError, Runner
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.processes.workplace import require_workspace
from queue_worker.settings import Settings
from tests.support.object_store import BUCKET, Server
from tests.support.service import Service, keys, run_out, serving

pytestmark = pytest.mark.broker
_INPUTS, _OUTPUTS, _STORE = (f"s3://{BUCKET}/{name}" for name in ("in", "out", "pingti"))


@pytest.fixture
def service(s3: Server, _workspace_template: Path, tmp_path: Path) -> Iterator[Service]:
    addresses = {"store": _STORE, "input_urls": (_INPUTS,), "output_urls": (_OUTPUTS,)}
    with serving(_workspace_template, tmp_path / "home", reap_seconds=3600.0, **addresses) as made:
        yield made


def put(name: str, ids: list[str], texts: list[str], **columns: Any) -> str:
    sink = io.BytesIO()
    table = pa.table({"key": ids, "text": texts, **columns})
    if name.endswith(".parquet"):
        pq.write_table(table, sink)
        data = sink.getvalue()
    else:
        data = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
    Storage(_INPUTS).put_bytes(name, data)
    return f"{_INPUTS}/{name}"


def work(service: Service, home: Path, **changes: Any) -> None:
    """Work as a worker with a folder of its own."""
    run_out(service, home=home, **changes)


def rows_of(service: Service, job: Job) -> list[dict[str, Any]]:
    job = service.store.get(job.id)
    assert job.status is JobStatus.COMPLETED, job
    return [row for path in results.results(service.settings, job) for row in pq.read_table(path).to_pylist()]


def read_output(address: str) -> list[dict[str, Any]]:
    table = Storage(address)
    parts = [key for key in table.entries("") if not key.startswith("_")]
    assert table.read("_SUCCESS") == b""
    manifest = json.loads(table.read("_manifest.json"))
    assert [part["name"] for part in manifest["parts"]] == parts
    return [row for part in parts for row in pq.read_table(io.BytesIO(table.read(part))).to_pylist()]


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_every_row_once_by_a_worker_that_shares_no_folder(
    service: Service, texts: list[str], tmp_path: Path, ending: str
) -> None:
    for number in range(4):
        put(f"t/day={number}/a.{ending}", keys(f"d{number}", 30), texts[:30])
    job = service.submit(f"{_INPUTS}/t", output=f"{_OUTPUTS}/one")
    assert len(job.inputs) == 4
    work(service, tmp_path / "elsewhere")
    expected = [key for number in range(4) for key in keys(f"d{number}", 30)]
    assert [row["id"] for row in rows_of(service, job)] == expected
    assert read_output(f"{_OUTPUTS}/one") == rows_of(service, job)
    # The worker had nothing but the server and the store, and keeps nothing of the job.
    assert (tmp_path / "elsewhere" / "tasks" / "sport" / "students" / "1" / "student.json").exists()
    assert not (tmp_path / "elsewhere" / "jobs" / job.id).exists()
    assert not (service.settings.home / "jobs" / job.id).exists()


def test_values_of_folders_are_columns(service: Service, texts: list[str], tmp_path: Path) -> None:
    put("t/key2=a%20b/a.parquet", keys("a", 3), texts[:3])
    put("t/key2=c/a.parquet", keys("a", 3), texts[:3])
    job = service.submit(f"{_INPUTS}/t/key2=*", id="key2")
    work(service, tmp_path / "elsewhere")
    assert [row["id"] for row in rows_of(service, job)] == ["a b"] * 3 + ["c"] * 3


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
@pytest.mark.parametrize("cache_bytes", [1, 1 << 30], ids=["read where they are", "copied"])
def test_values_of_folders_go_along(
    service: Service, texts: list[str], tmp_path: Path, ending: str, cache_bytes: int
) -> None:
    days = ["2025-11-03", "__HIVE_DEFAULT_PARTITION__", "a%20b"]  # in order of their names
    for number, day in enumerate(days):
        put(f"t/day={day}/hour=08/a.{ending}", keys(f"d{number}", 3), texts[:3], size=[7, 8, 9])
    job = service.submit(f"{_INPUTS}/t", keep=("size", "day", "hour"), output=f"{_OUTPUTS}/along")
    work(service, tmp_path / "elsewhere", cache_bytes=cache_bytes)
    rows = read_output(f"{_OUTPUTS}/along")
    assert [row["id"] for row in rows] == [key for number in range(3) for key in keys(f"d{number}", 3)]
    assert [row["day"] for row in rows] == ["2025-11-03"] * 3 + [None] * 3 + ["a b"] * 3
    assert {row["hour"] for row in rows} == {"08"}
    assert [row["size"] for row in rows] == ([7, 8, 9] if ending == "parquet" else ["7", "8", "9"]) * 3
    assert rows == rows_of(service, job)


@pytest.mark.parametrize(("last", "outcome"), [("31", [31]), ("x", None)])
def test_a_folder_tells_what_other_objects_have_as_a_number(
    service: Service, texts: list[str], tmp_path: Path, last: str, outcome: list[int] | None
) -> None:
    """Of the first 32 objects alone the types are known when the job is submitted."""
    for number in range(33):
        put(f"t/{number:02d}.parquet", keys("a", 1), texts[:1], day=[number])
    address = put(f"t/day={last}/z.parquet", keys("z", 1), texts[:1])
    job = service.submit(f"{_INPUTS}/t", keep=("day",))
    work(service, tmp_path / "elsewhere")
    ended = service.store.get(job.id)
    if outcome is None:
        assert (ended.status, ended.error is not None) == (JobStatus.FAILED, True)
        assert f"{address}: column 'day' is of type string, but of int64 in other inputs" in str(ended.error)
    else:
        assert [row["day"] for row in rows_of(service, job)][-1:] == outcome


def test_bad_rows_name_the_object_and_not_its_copy(
    service: Service, texts: list[str], tmp_path: Path
) -> None:
    put("a.parquet", keys("a", 60), [*texts[:59], None])  # type: ignore[list-item]
    put("b.jsonl", keys("b", 30), [None, *texts[:29]])  # type: ignore[list-item]
    job = service.submit(f"{_INPUTS}/*", output=f"{_OUTPUTS}/bad")
    work(service, tmp_path / "elsewhere")
    ended = service.store.get(job.id)
    assert (ended.status, ended.counts.total, ended.counts.failed) == (JobStatus.COMPLETED, 90, 2)
    lines = b"".join(results.error_lines(service.settings, ended)).splitlines()
    bad = sorted((row["file"], row["row"]) for row in map(json.loads, lines))
    assert bad == [(f"{_INPUTS}/a.parquet", 59), (f"{_INPUTS}/b.jsonl", 0)]
    assert len(read_output(f"{_OUTPUTS}/bad")) == 88
    assert Storage(f"{_OUTPUTS}/bad").read("_errors.jsonl") == b"".join(line + b"\n" for line in lines)


def test_an_attempt_that_has_lost_its_lease_adds_nothing(
    service: Service, texts: list[str], tmp_path: Path
) -> None:
    """It writes its part all the same, under a name of its own; the claim's end says which one counts."""
    put("a.parquet", keys("a", 20), texts[:20])
    job = service.submit(f"{_INPUTS}/a.parquet", output=f"{_OUTPUTS}/late")
    settings = service.settings.model_copy(update={"home": tmp_path / "late"})
    store = JobStore(service.client, lambda due: None)
    runner = Runner(settings, store)
    assert runner.run(job.id, "plan", worker="late")
    (late,) = store.claim(job.id, "0", worker="late", lease_seconds=0.01)
    while not store.reap(max_attempts=20):
        pass
    work(service, tmp_path / "elsewhere")
    with runner._heartbeat.holding([late]) as (lease,):
        done = runner._classify(late.snapshot, late, lease, asks_teacher=False)
    assert not store.finish(late, done)
    parts = [key for key in Storage(_STORE).entries(f"jobs/{job.id}/parts") if key.endswith(".parquet")]
    assert len(parts) == 2
    assert [row["id"] for row in rows_of(service, job)] == keys("a", 20)
    assert [row["id"] for row in read_output(f"{_OUTPUTS}/late")] == keys("a", 20)
    results.delete_job(settings, store, job.id)
    assert Storage(_STORE).entries(f"jobs/{job.id}") == {}


def test_an_input_that_was_replaced_fails_the_job(service: Service, texts: list[str], tmp_path: Path) -> None:
    address = put("a.parquet", keys("a", 20), texts[:20])
    job = service.submit(address)
    put("a.parquet", keys("b", 20), texts[:20])
    work(service, tmp_path / "elsewhere")
    ended = service.store.get(job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error == f"{address}: was changed or replaced after the job was accepted; submit it again"


def test_a_damaged_input_is_told_by_its_address(service: Service, texts: list[str], tmp_path: Path) -> None:
    for number in range(40):
        put(f"many/{number:02d}.parquet", keys("a", 2), texts[:2])
    Storage(_INPUTS).put_bytes("many/39.parquet", b"PAR1 nothing")
    job = service.submit(f"{_INPUTS}/many")  # it is behind those that are looked into
    work(service, tmp_path / "elsewhere")
    ended = service.store.get(job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error is not None
    assert ended.error.startswith(f"{_INPUTS}/many/39.parquet: not a readable Parquet file")
    with pytest.raises(InputError, match=rf"{_INPUTS}/many/39\.parquet: not a readable Parquet file"):
        service.submit(f"{_INPUTS}/many/39.parquet")


@pytest.mark.parametrize("kind", ["slow down", "cut", "reset"])
def test_faults_of_the_store_cost_no_row(
    service: Service, s3: Server, texts: list[str], tmp_path: Path, kind: str
) -> None:
    for number in range(6):
        put(f"f/{number}.parquet", keys(f"f{number}", 20), texts[:20])
    service.submit(f"{_INPUTS}/f", output=f"{_OUTPUTS}/faults")
    for pattern in ("GET .*/in/f/3", "GET .*student.safetensors", "GET .*/in/f/4"):
        s3.fail(pattern, kind, times=2)
    if kind != "cut":
        for pattern in ("PUT .*parts/", "PUT .*manifest.json", "PUT .*part-00001", "PUT .*_SUCCESS"):
            s3.fail(pattern, kind, times=2)
    work(service, tmp_path / "elsewhere")
    assert [row["id"] for row in read_output(f"{_OUTPUTS}/faults")] == [
        key for number in range(6) for key in keys(f"f{number}", 20)
    ]
    assert not [fault for fault in s3.faults if fault.times]


def test_a_store_that_is_away_is_tried_again_later(
    service: Service, s3: Server, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingti.remote._ATTEMPTS", 1)
    job = service.submit(put("a.parquet", keys("a", 20), texts[:20]))
    fault = s3.fail("PUT .*parts/", "slow down", times=1000)
    settings = service.settings.model_copy(update={"home": tmp_path / "elsewhere", "retry_seconds": 60})
    store = JobStore(service.client, lambda due: None)
    runner = Runner(settings, store)
    runner.run(job.id, "plan")
    with pytest.raises(AttemptError, match="the store asks for fewer requests"):
        runner.run(job.id, "0")
    assert service.store.get(job.id).status is JobStatus.RUNNING
    assert service.client.hget(f"pingti:job:{job.id}:out", "0").endswith(" 0")  # put off
    fault.times = 0
    service.client.zadd("pingti:out", {f"{job.id}/0": 0})
    work(service, tmp_path / "elsewhere")
    assert [row["id"] for row in rows_of(service, job)] == keys("a", 20)


def test_a_missing_permission_is_told_at_once(
    service: Service, s3: Server, texts: list[str], tmp_path: Path
) -> None:
    job = service.submit(put("a.parquet", keys("a", 20), texts[:20]))
    s3.fail("PUT .*parts/", "forbidden", times=1000)
    work(service, tmp_path / "elsewhere")
    ended = service.store.get(job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error is not None
    assert "the store refuses it: the credentials lack a permission" in ended.error


def test_an_output_that_is_taken_is_refused(service: Service, texts: list[str], tmp_path: Path) -> None:
    address = put("a.parquet", keys("a", 20), texts[:20])
    Storage(_OUTPUTS).put_bytes("taken/old.parquet", b"x")
    with pytest.raises(InputError, match=r"output: .*old\.parquet is there already") as raised:
        service.submit(address, output=f"{_OUTPUTS}/taken")
    assert raised.value.faults[0].pointer == "/output"
    with pytest.raises(InputError, match=r"output: .* is not below an allowed address"):
        service.submit(address, output=f"{_INPUTS}/taken")
    first, second = (service.submit(address, output=f"{_OUTPUTS}/race") for _ in range(2))
    work(service, tmp_path / "elsewhere", max_attempts=1)
    statuses = [service.store.get(job.id).status for job in (first, second)]
    assert sorted(statuses) == [JobStatus.COMPLETED, JobStatus.FAILED]
    assert [row["id"] for row in read_output(f"{_OUTPUTS}/race")] == keys("a", 20)


def test_results_that_are_gone_are_no_empty_result(
    service: Service, texts: list[str], tmp_path: Path
) -> None:
    job = service.submit(put("a.parquet", keys("a", 20), texts[:20]))
    work(service, tmp_path / "elsewhere")
    ended, store = service.store.get(job.id), Storage(_STORE)
    (part,) = store.entries(f"jobs/{job.id}/parts")
    kept = store.read(part)
    store.put_bytes(part, kept[:-1] + b"x")
    with pytest.raises(ArtifactError, match="damaged"):
        results.results(service.settings, ended)
    store.delete(part)
    with pytest.raises(ArtifactError, match="is gone"):
        results.results(service.settings, ended)
    store.delete(f"jobs/{job.id}/manifest.json")
    with pytest.raises(ArtifactError, match=r"no jobs/.*/manifest\.json"):
        results.results(service.settings, ended)


def test_a_local_job_has_an_output_in_a_store(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "settings", service.settings.model_copy(update={"store": None}))
    job = service.submit(service.write("a.parquet", texts[:60]), output=f"{_OUTPUTS}/local")
    run_out(service)
    assert [row["id"] for row in read_output(f"{_OUTPUTS}/local")] == keys("a", 60)
    assert service.rows(service.store.get(job.id)) == read_output(f"{_OUTPUTS}/local")


def test_folders_of_one_store_are_one_workspace(service: Service, tmp_path: Path) -> None:
    storage = service.settings.storage
    assert storage is not None
    storage.delete("workspace.id")
    with pytest.raises(ConflictError, match=r"is no workspace's yet, and .* is empty: start the API"):
        require_workspace(service.client, tmp_path / "worker", storage)
    require_workspace(service.client, service.settings.home, storage)
    require_workspace(service.client, tmp_path / "worker", storage)
    ids = {(home / "workspace.id").read_text() for home in (service.settings.home, tmp_path / "worker")}
    assert ids == {Storage(_STORE).read("workspace.id").decode()}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "workspace.id").write_text("0" * 32 + "\n")
    with pytest.raises(ConflictError, match="is another one than that of the store s3://"):
        require_workspace(service.client, tmp_path / "other", storage)


def test_settings_travel_to_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Settings(home=tmp_path, store=_STORE, input_urls=(_INPUTS, _OUTPUTS), cache=tmp_path / "c")
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.of_environment() == given
