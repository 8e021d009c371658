"""A job's work on disk, without a server: cutting, one shard, and putting the results together."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingti.corpus.reader import BadRow, Columns
from pingti.errors import ArtifactError, ConflictError, InputError, PingtiError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace
from queue_worker.classifying import bad_rows
from queue_worker.classifying.bad_rows import Check
from queue_worker.classifying.planning import (
    Cut,
    cut_inputs,
    cut_path,
    measured_seconds,
    read_whole,
    shard_batches,
    shard_rows,
)
from queue_worker.classifying.shards import (
    classify_shard,
    classify_whole,
    error_lines,
    finalize,
    job_folder,
    part_name,
    results,
    tidy,
)
from queue_worker.jobs.models import Counts, Done, Job, JobStatus
from queue_worker.settings import FileStamp, Settings


def fine() -> None:
    """The lease is held."""


def write_csv(path: Path, texts: list[str]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "text"])
        writer.writerows([f"{path.stem}-{number}", text] for number, text in enumerate(texts))
    return str(path)


def make_job(inputs: list[str], **changes: Any) -> Job:
    given_ = {"id": "job-1", "inputs": inputs, "columns": Columns(id="key"), "pins": ()}
    return Job(**{**given_, "shard_rows": 100, "shard_bytes": 10_000, **changes})


def cut_all(given_settings: Settings, job: Job, check: Check = fine) -> tuple[Cut, list[str]]:
    """All shards, and where the rows of each are."""
    sources: list[str] = []

    def ready(first: int, more: Any) -> None:
        assert first == len(sources)
        sources.extend(more)

    return cut_inputs(given_settings, job, ready, check), sources


def table_of(given_settings: Settings, job: Job, shard: int, source: str = "") -> pa.Table:
    batches = shard_batches(given_settings, job, shard, source or None, lambda _: None, fine)
    return pa.Table.from_batches(batches)


def classify(given_settings: Settings, job: Job, shard: int, classifier: Classifier, check: Check) -> Done:
    def rows(on_bad_row: Any) -> Any:
        return shard_batches(given_settings, job, shard, None, on_bad_row, check)

    return classify_shard(given_settings, job, shard, rows, classifier, check)


def write_bad(path: Path, rows: int) -> str:
    path.write_text("key,text\n" + "x\n" * rows)
    return str(path)


@pytest.mark.parametrize(("most", "most_bytes"), [(5, 1 << 20), (100, 900)])
def test_a_list_of_bad_rows_is_bounded_and_all_are_counted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, most: int, most_bytes: int
) -> None:
    monkeypatch.setattr(bad_rows, "MOST_LISTED", most)
    monkeypatch.setattr(bad_rows, "MOST_BYTES", most_bytes)
    given_settings = Settings(home=workspace.root)
    job = make_job([write_bad(workspace.root / f"{name * 60}.csv", 20) for name in "ab"])
    cut = cut_all(given_settings, job)[0]
    assert (cut.total, cut.failed) == (40, 40)
    counts = Counts(total=40, failed=40)
    under_way = b"".join(error_lines(given_settings, job))
    finalize(given_settings, job.model_copy(update={"status": "finalizing", "counts": counts}), set(), fine)
    listed = b"".join(error_lines(given_settings, job))
    assert listed == under_way
    assert len(listed) <= most_bytes
    rows = [json.loads(line) for line in listed.splitlines()]
    assert [row["row"] for row in rows] == list(range(len(rows)))
    assert {*rows[0]} == {"file", "row", "id", "reason"}
    assert 1 <= len(rows) <= most


def test_several_lists_of_bad_rows_make_one_that_is_bounded(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_rows, "MOST_LISTED", 5)
    given_settings = Settings(home=workspace.root)
    job = make_job([str(workspace.root / "a.csv")])
    folder = job_folder(given_settings, job.id)
    folder.mkdir(parents=True)
    for shard in range(2):
        of_shard = bad_rows.BadRows(fine)
        for row in range(4 + 4 * shard):
            of_shard(BadRow(file="a", row=row, id="i" * 9000, reason="r" * 9000))
        of_shard.write(folder / f"{shard:05d}.jsonl", tail=True)
        pq.write_table(pa.table({"id": pa.array([], pa.string())}), folder / part_name(shard))
    for failed in (13, 12):
        ended = job.model_copy(update={"status": "finalizing", "counts": Counts(total=failed, failed=failed)})
        if failed == 13:
            with pytest.raises(PingtiError, match="would have 12 of 13 bad rows"):
                finalize(given_settings, ended, {0, 1}, fine)
        else:
            finalize(given_settings, ended, {0, 1}, fine)
    lines = (folder / "errors.jsonl").read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["row"] for line in lines] == [0, 1, 2, 3, 0]
    assert all(len(line) < 1200 for line in lines)


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
    given_settings = Settings(home=home)
    job = make_job(inputs, shard_rows=rows, shard_bytes=size)
    cut, _ = cut_all(given_settings, job)
    shards = [table_of(given_settings, job, number) for number in range(cut.shards)]
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


@pytest.mark.parametrize("name", ["blank.jsonl", "blank.csv", "long.csv"])
def test_an_attempt_can_be_stopped_however_few_good_rows_come(tmp_path: Path, name: str) -> None:
    """The caller is asked every few megabytes or lines, long before the file's end."""
    path = tmp_path / name
    start = b'{"key": "a", "text": "a"}\n' if name == "blank.jsonl" else b"key,text\n"
    row, rows = (b"k," + b"a" * 65_533 + b"\n", 1600) if name == "long.csv" else (b"\n", 2 << 20)
    path.write_bytes(start + row * rows)
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 4:
            raise ConflictError("stopped")

    job = make_job([str(path)], shard_rows=1_000_000, shard_bytes=1 << 30)
    with pytest.raises(ConflictError, match="stopped"):
        cut_all(Settings(home=tmp_path), job, check)
    assert not list(job_folder(Settings(home=tmp_path), job.id).rglob("*.arrow"))


def test_a_new_attempt_makes_the_same_shards(tmp_path: Path) -> None:
    given_settings = Settings(home=tmp_path)
    job = make_job([write_csv(tmp_path / "a.csv", ["x"] * 5)], shard_rows=2)
    whole = cut_all(given_settings, job)[0]
    files = [cut_path(given_settings, job, shard) for shard in range(3)]
    before = [path.read_bytes() for path in files]
    files[1].unlink()

    def dies() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_all(given_settings, job, dies)
    (files[0].parent / ".00001.arrow.abc").write_text("of an attempt that died")
    assert cut_all(given_settings, job)[0] == whole == Cut(shards=3, total=5, failed=0)
    assert [path.read_bytes() for path in files] == before
    assert sorted(files[0].parent.iterdir()) == files


@pytest.mark.parametrize("fault", ["gone", "empty", "short"])
def test_a_cut_file_that_a_power_loss_took_is_made_again(tmp_path: Path, fault: str) -> None:
    given_settings = Settings(home=tmp_path)
    job = make_job([write_csv(tmp_path / "a.csv", ["x"] * 5)], shard_rows=2)
    cut_all(given_settings, job)
    path = cut_path(given_settings, job, 1)
    before = path.read_bytes()
    path.write_bytes({"gone": b"", "empty": b"", "short": before[:100]}[fault])
    if fault == "gone":
        path.unlink()
    assert table_of(given_settings, job, 1)["id"].to_pylist() == ["a-2", "a-3"]
    assert path.read_bytes() == before


def write_parquet(path: Path, rows: int, group: int) -> str:
    keys = [f"{path.stem}-{number}" for number in range(rows)]
    pq.write_table(pa.table({"key": keys, "text": ["x"] * rows}), path, row_group_size=group)
    return str(path)


def test_small_row_groups_are_not_cut(tmp_path: Path) -> None:
    inputs = [
        write_parquet(tmp_path / "a.parquet", 100, 20),
        write_parquet(tmp_path / "b.parquet", 90, 90),  # one group, too big for a shard
        write_parquet(tmp_path / "c.parquet", 10, 3),
        write_parquet(tmp_path / "d.parquet", 0, 3),
        write_parquet(tmp_path / "e.parquet", 45, 45),
    ]
    job = make_job(inputs, shard_rows=45)
    cut, sources = cut_all(Settings(home=tmp_path), job)
    assert [json.loads(source) if source else source for source in sources] == [
        [[0, 0, 2]],
        [[0, 2, 4]],
        [[0, 4, 5]],
        "",
        "",
        [[2, 0, 4]],
        [[4, 0, 1]],
    ]
    assert (cut.shards, cut.total) == (7, 245)
    tables = [table_of(Settings(home=tmp_path), job, n, source) for n, source in enumerate(sources)]
    names = "a" * 100 + "b" * 90 + "c" * 10 + "e" * 45
    ids = [id for table in tables for id in table["id"].to_pylist()]
    assert [id[0] for id in ids] == list(names)
    assert len(set(ids)) == 245
    numbers = [row for table in tables for row in table["row"].to_pylist()]
    assert numbers == [int(id.split("-")[1]) for id in ids]


def test_the_size_of_a_shard_follows_the_time_it_takes(tmp_path: Path) -> None:
    def rows(name: str, row_seconds: float | None, **changes: Any) -> int:
        job = make_job([str(tmp_path / name)])
        return shard_rows(
            Settings(home=tmp_path, concurrency=3, shard_seconds=2, **changes), job, row_seconds
        )

    write_csv(tmp_path / "a.csv", ["x"] * 5)
    assert rows("a.csv", 2**-16) == 131_072
    assert rows("a.csv", 1e-5, shard_rows=7) == 7
    assert rows("a.csv", 1.0) == 1000  # no worker is so slow
    assert rows("a.csv", None) == 20_000
    write_parquet(tmp_path / "b.parquet", 7000, 7000)
    assert rows("b.parquet", 1.0) == 778  # seven shards of 1,000 are made nine, for three threads
    assert rows("b.parquet", 1e-9) == 7000
    write_parquet(tmp_path / "c.parquet", 150_000, 150_000)
    assert rows("c.parquet", 1e-6) == 50_000  # a thread each, though one could do it in time
    write_parquet(tmp_path / "d.parquet", 60_000, 60_000)
    assert rows("d.parquet", 1e-3) == 2000


def test_the_time_is_measured_on_the_first_rows(workspace: Workspace, texts: list[str]) -> None:
    settings_ = Settings(home=workspace.root)
    pins = pin(workspace, [Choice.parse("sport")])
    classifier = Classifier.load(workspace, pins)
    job = make_job([write_csv(workspace.root / "a.csv", texts)], pins=pins)
    seconds = measured_seconds(settings_, job, classifier, fine)
    assert seconds is not None
    assert 1e-7 < seconds < 1
    empty = make_job([write_csv(workspace.root / "b.csv", [])], pins=pins)
    assert measured_seconds(settings_, empty, classifier, fine) is None


def stamped(inputs: list[str], **changes: Any) -> Job:
    return make_job(inputs, stamps=[FileStamp.of(path) for path in inputs], **changes)


@pytest.mark.parametrize("how", ["replaced", "appended", "truncated", "touched", "rewritten"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_input_that_changed_since_acceptance_is_named(tmp_path: Path, how: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_csv(path, ["x"] * 9) if suffix == "csv" else write_parquet(path, 9, 3)
    job = stamped([str(path)], shard_rows=3)
    settings_ = Settings(home=tmp_path)
    _, sources = cut_all(settings_, job)
    content = path.read_bytes()
    if how == "replaced":
        (tmp_path / "other").write_bytes(content)
        os.utime(tmp_path / "other", ns=(0, job.stamps[0].mtime_ns))
        (tmp_path / "other").replace(path)
    elif how == "rewritten":  # in place, with its time set back
        with path.open("r+b") as file:
            file.write(content[::-1])
        os.utime(path, ns=(0, job.stamps[0].mtime_ns))
        assert path.stat().st_mtime_ns == job.stamps[0].mtime_ns
    elif how == "touched":
        os.utime(path, ns=(0, job.stamps[0].mtime_ns + 1))
    else:
        path.write_bytes(content + b"x" if how == "appended" else content[: len(content) // 2])
    sentence = rf"a\.{suffix}: was changed or replaced after the job was accepted"
    with pytest.raises(InputError, match=sentence):
        cut_all(settings_, job)
    if suffix == "parquet":
        with pytest.raises(InputError, match=sentence):
            table_of(settings_, job, 1, sources[1])


def test_an_input_that_is_truncated_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, ["some text"] * 100_000)
    job = stamped([str(path)], shard_rows=30_000)
    shards: list[int] = []

    def truncates() -> None:
        shards.append(1)
        if len(shards) == 2:
            os.truncate(path, path.stat().st_size // 2 + 3)

    with pytest.raises(InputError, match=r"a\.csv: was changed or replaced after the job was accepted"):
        cut_all(Settings(home=tmp_path), job, truncates)
    assert len(shards) == 2  # before a shard that could hold half a row was made


def test_an_input_that_became_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    job = make_job([write_csv(home / "a.csv", ["x"])])
    (home / "a.csv").rename(tmp_path / "secret.csv")
    (home / "a.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(InputError, match="not a file below an allowed folder"):
        cut_all(Settings(home=home), job)


@pytest.fixture
def cut_job(workspace: Workspace, texts: list[str]) -> tuple[Settings, Job, Classifier]:
    given_settings = Settings(home=workspace.root)
    pins = pin(workspace, [Choice.parse("sport@strict"), Choice.parse("topic")])
    job = make_job([write_csv(workspace.root / "a.csv", texts)], pins=pins)
    cut, _ = cut_all(given_settings, job)
    job = job.model_copy(update={"shards_total": cut.shards})
    return given_settings, job, Classifier.load(workspace, pins)


def at_the_end(job: Job, **changes: Any) -> Job:
    given_ = {"status": JobStatus.FINALIZING, "counts": Counts(total=400, completed=400), **changes}
    return job.model_copy(update=given_)


def test_a_shard_done_twice_leaves_one_equal_part(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    part = job_folder(given_settings, job.id) / part_name(1)
    assert classify(given_settings, job, 1, classifier, fine).rows == 100
    first = part.read_bytes()
    assert classify(given_settings, job, 1, classifier, fine).rows == 100
    assert part.read_bytes() == first
    assert len(list(part.parent.glob("*.parquet*"))) == len(list(part.parent.glob(".*"))) + 1 == 1


def test_an_attempt_that_lost_its_lease_leaves_no_part(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job

    def lost() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        classify(given_settings, job, 1, classifier, lost)
    assert [path.name for path in job_folder(given_settings, job.id).iterdir()] == ["input"]


def test_the_parts_say_what_made_them(cut_job: tuple[Settings, Job, Classifier], texts: list[str]) -> None:
    given_settings, job, classifier = cut_job
    classify(given_settings, job, 3, classifier, fine)
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
        classify(given_settings, job, shard, classifier, fine)
    folder = job_folder(given_settings, job.id)
    (folder / ".00002.parquet.abc").write_text("of an attempt that died")
    ended = at_the_end(job)
    with pytest.raises(ConflictError, match="its results are there when it has ended"):
        results(given_settings, ended)
    finalize(given_settings, ended, {0, 1, 2, 3}, fine)
    finalize(given_settings, ended, {0, 1, 2, 3}, fine)  # again, as after a crash: the same
    tidy(given_settings, job.id)
    completed = ended.model_copy(update={"status": JobStatus.COMPLETED})
    assert results(given_settings, completed) == [folder / part_name(shard) for shard in range(4)]
    assert sorted(path.name for path in folder.iterdir()) == [
        *(part_name(shard) for shard in range(4)),
        "manifest.json",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["outcome"] == "completed"
    assert manifest["counts"] == {"total": 400, "completed": 400, "failed": 0}
    assert [part["rows"] for part in manifest["parts"]] == [100] * 4


def test_a_cancelled_job_keeps_the_parts_that_count(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    for shard in (0, 2):
        classify(given_settings, job, shard, classifier, fine)
    counts = Counts(total=400, completed=100)
    ending = at_the_end(job, status=JobStatus.CANCELLING, counts=counts)
    finalize(given_settings, ending, {2}, fine)  # the worker of shard 0 died before it was marked
    cancelled = ending.model_copy(update={"status": JobStatus.CANCELLED})
    assert [path.name for path in results(given_settings, cancelled)] == ["00002.parquet"]
    assert not (job_folder(given_settings, job.id) / part_name(0)).exists()


def test_a_job_with_rows_missing_is_never_called_complete(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    for shard in range(4):
        classify(given_settings, job, shard, classifier, fine)
    with pytest.raises(PingtiError, match="the parts hold 300 rows, but 400 were counted"):
        finalize(given_settings, at_the_end(job), {0, 1, 2}, fine)
    counts = Counts(total=401, completed=400)
    with pytest.raises(PingtiError, match="of 401 rows, 400 are in parts and 0 in errors"):
        finalize(given_settings, at_the_end(job, counts=counts), {0, 1, 2, 3}, fine)
    assert not (job_folder(given_settings, job.id) / "manifest.json").exists()


def test_bad_rows_of_shards_come_after_those_of_the_cut(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    folder = job_folder(given_settings, job.id)
    for shard in range(4):
        classify(given_settings, job, shard, classifier, fine)
    (folder / "input" / "errors.jsonl").write_text("cut\n")
    (folder / "00003.jsonl").write_text("three\n")
    (folder / "00001.jsonl").write_text("one\n")
    under_way = b"".join(error_lines(given_settings, job))
    counts = Counts(total=403, completed=400, failed=3)
    ended = at_the_end(job, counts=counts)
    finalize(given_settings, ended, {0, 1, 2, 3}, fine)
    finalize(given_settings, ended, {0, 1, 2, 3}, fine)  # as after a crash
    assert b"".join(error_lines(given_settings, job)) == under_way == b"cut\none\nthree\n"
    (folder / "00001.jsonl").unlink()  # another attempt has ended the job and tidies
    with pytest.raises(PingtiError, match="2 of 3 bad rows"):
        finalize(given_settings, ended, {0, 1, 2, 3}, fine)
    assert b"".join(error_lines(given_settings, job)) == under_way
    tidy(given_settings, job.id)
    finalize(given_settings, ended, {0, 1, 2, 3}, fine)
    assert b"".join(error_lines(given_settings, job)) == under_way
    assert not list(folder.glob("0*.jsonl"))
    assert not (folder / "input").exists()


def test_rows_that_a_later_attempt_delivers_are_not_bad(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, classifier = cut_job
    (job_folder(given_settings, job.id) / "00001.jsonl").write_text("given up\n")
    assert classify(given_settings, job, 1, classifier, fine).failed == 0
    assert b"".join(error_lines(given_settings, job)) == b""


def test_a_manifest_of_an_attempt_without_a_lease_counts_for_nothing(
    cut_job: tuple[Settings, Job, Classifier],
) -> None:
    given_settings, job, classifier = cut_job
    for shard in range(4):
        classify(given_settings, job, shard, classifier, fine)
    finalize(given_settings, at_the_end(job), {0, 1, 2, 3}, fine)
    failed = job.model_copy(update={"status": JobStatus.FAILED})
    assert results(given_settings, failed) == []


def damage_manifest(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "another workspace"),
        (lambda folder: (folder / "manifest.json").unlink(), "there is no jobs/.*manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "cannot be read"),
        (lambda folder: damage_manifest(folder, outcome="cancelled"), "a job that was cancelled"),
        (lambda folder: damage_manifest(folder, parts=[]), "0 rows, but 400 were counted"),
        (lambda folder: (folder / "00002.parquet").unlink(), "00002.parquet is gone"),
        (lambda folder: (folder / "00002.parquet").write_bytes(b"PAR1"), "00002.parquet cannot be read"),
        (
            lambda folder: pq.write_table(
                pq.read_table(folder / "00002.parquet")[:99], folder / "00002.parquet"
            ),
            "00002.parquet holds 99 rows, but 100 were written",
        ),
    ],
)
def test_results_that_lack_rows_are_never_empty_but_an_error(
    cut_job: tuple[Settings, Job, Classifier], damage: Callable[[Path], Any], words: str
) -> None:
    given_settings, job, classifier = cut_job
    for shard in range(4):
        classify(given_settings, job, shard, classifier, fine)
    finalize(given_settings, at_the_end(job), {0, 1, 2, 3}, fine)
    ended = at_the_end(job, status=JobStatus.COMPLETED)
    assert len(results(given_settings, ended)) == 4
    damage(job_folder(given_settings, job.id))
    with pytest.raises(ArtifactError, match=words):
        results(given_settings, ended)


@pytest.mark.parametrize("status", [JobStatus.CANCELLED, JobStatus.FAILED])
def test_a_job_that_ended_before_any_part_has_none(
    cut_job: tuple[Settings, Job, Classifier], status: JobStatus
) -> None:
    given_settings, job, _ = cut_job
    assert results(given_settings, at_the_end(job, status=status, counts=Counts(total=400))) == []
    with pytest.raises(ArtifactError, match="there is no jobs/"):
        results(given_settings, at_the_end(job, status=status, counts=Counts(total=400, completed=100)))


def test_bad_rows_that_are_gone_are_an_error(cut_job: tuple[Settings, Job, Classifier]) -> None:
    given_settings, job, _ = cut_job
    counts = Counts(total=400, completed=397, failed=3)
    with pytest.raises(ArtifactError, match=r"errors\.jsonl is gone, with 3 rows"):
        error_lines(given_settings, at_the_end(job, status=JobStatus.COMPLETED, counts=counts))


def test_a_small_job_in_one_go(workspace: Workspace, texts: list[str]) -> None:
    settings_ = Settings(home=workspace.root)
    pins = pin(workspace, [Choice.parse("sport")])
    path = workspace.root / "a.csv"
    write_csv(path, texts[:20])
    path.write_text(path.read_text() + "a-20\n")  # a field is missing
    job = stamped([str(path)], pins=pins)
    read = read_whole(settings_, job, fine)
    assert read is not None
    done = classify_whole(settings_, job, *read, Classifier.load(workspace, pins))
    assert (done.rows, done.failed, done.tasks) == (20, 1, {"sport": 20})
    counts = Counts(total=21, completed=20, failed=1)
    completed = job.model_copy(update={"status": JobStatus.COMPLETED, "counts": counts})
    (part,) = results(settings_, completed)
    assert pq.read_table(part)["id"].to_pylist() == [f"a-{n}" for n in range(20)]
    manifest = json.loads((part.parent / "manifest.json").read_text())
    assert manifest["counts"] == {"total": 21, "completed": 20, "failed": 1}
    (line,) = b"".join(error_lines(settings_, completed)).splitlines()
    assert json.loads(line)["row"] == 20
    assert sorted(each.name for each in part.parent.iterdir()) == [
        "00000.parquet",
        "errors.jsonl",
        "manifest.json",
    ]
    assert read_whole(Settings(home=workspace.root, shard_rows=19), job, fine) is None
    assert read_whole(Settings(home=workspace.root, shard_bytes=50), job, fine) is None
