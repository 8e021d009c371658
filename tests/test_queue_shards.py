"""A job's work on disk, without a server: cutting, one shard, and putting the results together."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingti.errors import ConflictError, InputError, PingtiError
from queue_worker.jobs import Counts, Job, JobStatus
from queue_worker.settings import Settings
from queue_worker.shards import classify_shard, cut_inputs, finalize, job_folder, part_name, results
from replacement.classify import Choice, Classifier, pin
from replacement.corpus import Columns
from replacement.registry import Workspace


def fine() -> None:
    """The lease is held."""


def write_csv(path: Path, texts: list[str]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text"])
        writer.writerows([f"{path.stem}-{number}", text] for number, text in enumerate(texts))
    return str(path)


def make_job(inputs: list[str], **changes: Any) -> Job:
    return Job(**{"id": "job-1", "inputs": inputs, "columns": Columns(id="key"), "pins": (), **changes})


@settings(max_examples=40, deadline=None)
@given(
    files=st.lists(st.lists(st.integers(1, 40), max_size=25), min_size=1, max_size=3),
    rows=st.integers(1, 12),
    size=st.integers(1, 120),
)
def test_every_row_is_in_one_shard_and_no_shard_is_too_big(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[int]], rows: int, size: int
) -> None:
    home = tmp_path_factory.mktemp("cut")
    inputs = [
        write_csv(home / f"f{n}.csv", ["x" * length for length in file]) for n, file in enumerate(files)
    ]
    given_settings = Settings(home=home, shard_rows=rows, shard_bytes=size)
    cut = cut_inputs(given_settings, make_job(inputs), "t", fine)
    folder = job_folder(given_settings, "job-1") / cut.folder
    shards = [pq.read_table(folder / part_name(number)) for number in range(cut.shards)]
    ids = [id for shard in shards for id in shard["id"].to_pylist()]
    assert ids == [f"f{n}-{row}" for n, file in enumerate(files) for row in range(len(file))]
    assert (cut.total, cut.failed) == (len(ids), 0)
    for shard in shards:
        assert 1 <= shard.num_rows <= rows
        assert shard.num_rows == 1 or sum(map(len, shard["text"].to_pylist())) <= size
    if ids:
        sources = pa.concat_tables(shards)
        assert sources["file"].to_pylist() == [n for n, file in enumerate(files) for _ in file]
        assert sources["row"].to_pylist() == [row for file in files for row in range(len(file))]


def test_a_new_attempt_clears_what_a_dead_one_left(tmp_path: Path) -> None:
    given_settings = Settings(home=tmp_path, shard_rows=2)
    job = make_job([write_csv(tmp_path / "a.csv", ["x"] * 5)])

    def dies() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_inputs(given_settings, job, "first", dies)
    cut = cut_inputs(given_settings, job, "second", fine)
    assert (cut.shards, cut.total) == (3, 5)
    assert [path.name for path in job_folder(given_settings, "job-1").iterdir()] == ["input-second"]


def test_an_input_that_became_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    job = make_job([write_csv(home / "a.csv", ["x"])])
    (home / "a.csv").rename(tmp_path / "secret.csv")
    (home / "a.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(InputError, match="not a file below an allowed folder"):
        cut_inputs(Settings(home=home), job, "t", fine)


@pytest.fixture
def cut_job(workspace: Workspace, texts: list[str]) -> tuple[Settings, Job, Classifier]:
    given_settings = Settings(home=workspace.root, shard_rows=100)
    pins = pin(workspace, [Choice.parse("sport@strict"), Choice.parse("topic")])
    job = make_job([write_csv(workspace.root / "a.csv", texts)], pins=pins)
    cut = cut_inputs(given_settings, job, "t", fine)
    job = job.model_copy(update={"cut_input": cut.folder, "shards_total": cut.shards})
    return given_settings, job, Classifier(workspace, pins)


def at_the_end(job: Job, **changes: Any) -> Job:
    given_ = {"status": JobStatus.FINALIZING, "counts": Counts(total=400, completed=400), **changes}
    return job.model_copy(update=given_)


def test_a_shard_done_twice_leaves_one_equal_part(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    part = job_folder(given_settings, job.id) / part_name(1)
    assert classify_shard(given_settings, job, 1, classifier, fine) == 100
    first = part.read_bytes()
    assert classify_shard(given_settings, job, 1, classifier, fine) == 100
    assert part.read_bytes() == first
    assert len(list(part.parent.glob("*.parquet*"))) == len(list(part.parent.glob(".*"))) + 1 == 1


def test_an_attempt_that_lost_its_lease_leaves_no_part(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job

    def lost() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        classify_shard(given_settings, job, 1, classifier, lost)
    assert [path.name for path in job_folder(given_settings, job.id).iterdir()] == ["input-t"]


def test_the_parts_say_what_made_them(cut_job: tuple[Settings, Job, Classifier], texts: list[str]) -> None:
    given_settings, job, classifier = cut_job
    classify_shard(given_settings, job, 3, classifier, fine)
    table = pq.read_table(job_folder(given_settings, job.id) / part_name(3))
    assert table["id"].to_pylist() == [f"a-{number}" for number in range(300, 400)]
    assert table.column_names == ["id", "sport", "sport_score", "topic", "topic_score"]
    assert table.schema.metadata[b"job"] == b"job-1"
    pins = json.loads(table.schema.metadata[b"pingti.tasks"])
    assert [(each["task"], each["scene"], each["version"]) for each in pins] == [
        ("sport", "strict", 1),
        ("topic", "default", 1),
    ]
    batch = pa.record_batch({"id": ["one"], "text": [texts[300]]})
    assert classifier.classify(batch).to_pylist()[0]["topic"] == table["topic"][0].as_py()


def test_the_end_of_a_job(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    for shard in range(4):
        classify_shard(given_settings, job, shard, classifier, fine)
    folder = job_folder(given_settings, job.id)
    (folder / ".00002.parquet.abc").write_text("of an attempt that died")
    ended = at_the_end(job)
    with pytest.raises(ConflictError, match="its results are there when it has ended"):
        results(given_settings, ended)
    finalize(given_settings, ended, {0, 1, 2, 3}, fine)
    finalize(given_settings, ended, {0, 1, 2, 3}, fine)  # again, as after a crash: the same
    completed = ended.model_copy(update={"status": JobStatus.COMPLETED})
    assert results(given_settings, completed) == [folder / part_name(shard) for shard in range(4)]
    assert sorted(path.name for path in folder.iterdir()) == [
        *(part_name(shard) for shard in range(4)),
        "errors.jsonl",
        "manifest.json",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["outcome"] == "completed"
    assert manifest["counts"] == {"total": 400, "completed": 400, "failed": 0}
    assert [part["rows"] for part in manifest["parts"]] == [100] * 4


def test_a_cancelled_job_keeps_the_parts_that_count(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    for shard in (0, 2):
        classify_shard(given_settings, job, shard, classifier, fine)
    counts = Counts(total=400, completed=100)
    ending = at_the_end(job, status=JobStatus.CANCELLING, counts=counts)
    finalize(given_settings, ending, {2}, fine)  # the worker of shard 0 died before it was marked
    cancelled = ending.model_copy(update={"status": JobStatus.CANCELLED})
    assert [path.name for path in results(given_settings, cancelled)] == ["00002.parquet"]
    assert not (job_folder(given_settings, job.id) / part_name(0)).exists()


def test_a_job_with_rows_missing_is_never_called_complete(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    for shard in range(4):
        classify_shard(given_settings, job, shard, classifier, fine)
    with pytest.raises(PingtiError, match="the parts hold 300 rows, but 400 were counted"):
        finalize(given_settings, at_the_end(job), {0, 1, 2}, fine)
    counts = Counts(total=401, completed=400)
    with pytest.raises(PingtiError, match="of 401 rows, 400 are in parts and 0 in errors"):
        finalize(given_settings, at_the_end(job, counts=counts), {0, 1, 2, 3}, fine)
    assert not (job_folder(given_settings, job.id) / "manifest.json").exists()
