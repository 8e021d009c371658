"""A key's limit on rows, where no input tells its rows before it is read. On a real server."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queue_worker.classifying import planning, shards
from queue_worker.classifying.row_limits import RowLimit, row_limit
from queue_worker.jobs import submission
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.statistics import OwnerLoad
from queue_worker.jobs.submission import JobRequest
from tests.support.service import Service, assert_every_row_once, keys, run_out, serving

pytestmark = pytest.mark.broker

NAMES = ("a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.tsv")


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(_workspace_template, tmp_path_factory.mktemp("limits") / "workspace") as service:
        yield service


@pytest.fixture(autouse=True)
def empty(service: Service) -> None:
    """No test finds what another one left."""
    service.client.flushdb()


def write(service: Service, name: str, texts: list[str], *, bad: int = 0) -> str:
    """A file of rows with ids a-0, a-1, ..., and bad ones at its end."""
    mark = "\t" if ".tsv" in name else ","
    lines = [f"key{mark}text", *(f"a-{number}{mark}{text}" for number, text in enumerate(texts))]
    if ".jsonl" in name:
        lines = [json.dumps({"key": f"a-{number}", "text": text}) for number, text in enumerate(texts)]
    lines += ["alone"] * bad
    content = "\n".join(lines).encode()
    path = service.settings.home / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return name


def submit(service: Service, *inputs: str, limit: int | None, whole: bool = False, **changes: Any) -> Job:
    request = JobRequest.model_validate({"inputs": inputs, "tasks": ["sport"], "id": "key", **changes})
    settings = service.settings if whole else service.settings.model_copy(update={"small_bytes": 0})
    return submission.submit(request, settings, service.store, owner="nightly", row_limit=limit)


def ended(service: Service, job: Job, *, whole: bool = False, **changes: Any) -> Job:
    run_out(service, **({} if whole else {"small_bytes": 0}), **changes)
    return service.store.get(job.id)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "planned"])
@pytest.mark.parametrize("name", NAMES)
def test_a_job_above_the_limit_fails_before_a_row_is_classified(
    service: Service, texts: list[str], name: str, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a shard was worked on")

    monkeypatch.setattr(shards, "classify_shard", never)
    monkeypatch.setattr(shards, "classify_whole", never)
    rows, limit = (20, 19) if whole else (110, 100)  # more than some shards of 25
    job = submit(service, write(service, name, texts[:rows]), limit=limit, whole=whole)
    job = ended(service, job, whole=whole)
    assert job.status is JobStatus.FAILED
    assert job.error == (
        f"the key 'nightly' may have {limit} rows in unfinished jobs, and 0 are in others: this job has more "
        f"than the {limit} that are left; submit fewer rows, or wait until other jobs have ended"
    )
    assert job.shards_ready == 0
    assert shards.results(service.settings, job) == []
    assert list(service.folder(job).rglob("*.arrow")) == []
    assert service.store.statistics.load_of("nightly") == OwnerLoad(jobs=0, rows=0)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "planned"])
@pytest.mark.parametrize("name", NAMES)
def test_a_job_at_the_limit_is_completed(service: Service, texts: list[str], name: str, whole: bool) -> None:
    count = 20 if whole else 110
    job = submit(service, write(service, name, texts[:count]), limit=count, whole=whole)
    job = ended(service, job, whole=whole)
    assert_every_row_once(service, job, keys("a", count))


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "planned"])
def test_bad_rows_count_and_a_job_without_a_limit_has_none(
    service: Service, texts: list[str], whole: bool
) -> None:
    name = write(service, "a.csv", texts[:15], bad=5)
    over = submit(service, name, limit=19, whole=whole)
    assert ended(service, over, whole=whole).status is JobStatus.FAILED
    for limit in (20, None):
        job = ended(service, submit(service, name, limit=limit, whole=whole), whole=whole)
        assert job.counts.model_dump() == {"total": 20, "completed": 15, "failed": 5}


def test_rows_of_other_unfinished_jobs_count_and_parquet_beside_text(
    service: Service, texts: list[str]
) -> None:
    waiting = submit(service, service.write("waiting.parquet", texts[:60]), limit=100)
    name = write(service, "a.csv", texts[:41])
    job = submit(service, name, limit=100)
    both = submit(
        service, service.write("beside.parquet", texts[:30]), write(service, "b.csv", texts[:11]), limit=100
    )
    # The one that waits is not begun before the others have been looked at.
    service.client.zrem("pingti:out", f"{waiting.id}/plan")
    run_out(service, small_bytes=0)
    for refused in (job, both):
        refused = service.store.get(refused.id)
        assert refused.status is JobStatus.FAILED
        assert "and 60 are in others: this job has more than the 40 that are left" in str(refused.error)
    assert service.store.statistics.load_of("nightly") == OwnerLoad(jobs=1, rows=60)
    service.store.cancel(waiting.id)
    job = ended(service, submit(service, name, limit=100))
    assert_every_row_once(service, job, keys("a", 41))


def test_rows_that_were_counted_at_the_submission_are_not_counted_again(
    service: Service, texts: list[str]
) -> None:
    job = submit(service, service.write("a.parquet", texts[:60]), limit=60)
    assert_every_row_once(service, ended(service, job), keys("a", 60))


def test_a_job_of_which_shards_are_worked_on_is_not_looked_at_again(
    service: Service, texts: list[str]
) -> None:
    job = submit(service, write(service, "a.csv", texts[:60]), limit=60)
    assert row_limit(service.store, job) == RowLimit(owner="nightly", most=60, others=0)
    assert row_limit(service.store, job.model_copy(update={"shards_ready": 1})) is None


def test_of_two_jobs_that_are_counted_at_once_one_fails(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write(service, "a.csv", texts[:60])
    first = submit(service, name, limit=60)
    cut, counted = planning.cut_inputs, []

    def meanwhile(*arguments: Any) -> planning.Cut:
        """Another job of 60 rows is counted between the first's look at its owner and its own end."""
        result = cut(*arguments)
        if not counted:
            counted.append(submit(service, service.write("other.parquet", texts[:60]), limit=None))
        return result

    monkeypatch.setattr(planning, "cut_inputs", meanwhile)
    assert ended(service, first).status is JobStatus.FAILED
    assert service.store.get(counted[0].id).status is not JobStatus.FAILED


def test_what_cannot_be_above_the_limit_is_worked_on_while_it_is_cut(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines bound the rows of a packed file, whose size bounds nothing; blank ones are no rows."""
    limits: list[object] = []
    cut = planning.cut_inputs

    def seen(*arguments: Any) -> planning.Cut:
        limits.append(arguments[4])
        return cut(*arguments)

    monkeypatch.setattr(planning, "cut_inputs", seen)
    name = write(service, "a.csv.gz", texts[:60])
    assert ended(service, submit(service, name, limit=61)).counts.completed == 60  # and a header
    path = service.settings.home / name
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"\n", b"\n\n")))
    assert ended(service, submit(service, name, limit=61)).counts.completed == 60
    in_doubt = limits.pop()
    assert limits == [None]
    assert in_doubt is not None
