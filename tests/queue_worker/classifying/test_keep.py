"""What goes along into a job's results, whichever way its rows take."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.errors import InputError
from pingti.inference.classifier import Classifier
from pingti.workspace.registry import Workspace
from queue_worker.classifying.bad_rows import BadRows
from queue_worker.classifying.isolation import classify_isolated
from queue_worker.classifying.planning import cut_inputs, read_whole, shard_batches
from queue_worker.classifying.shards import classify_shard, classify_whole, job_folder, part_name
from queue_worker.jobs.models import Job
from queue_worker.jobs.submission import JobRequest, validate
from queue_worker.settings import Settings

KEYS = [7, None, 2**60, 3]
DAYS = [date(2025, 1, day) for day in (1, 2, 3, 4)]


def fine() -> None:
    """The lease is held."""


@pytest.fixture
def home(workspace: Workspace) -> Path:
    pq.write_table(
        pa.table({"key": KEYS, "day": DAYS, "text": ["goal match", "bread", "goal", None]}),
        workspace.root / "a.parquet",
    )
    return workspace.root


def accepted(home: Path, **request: object) -> Job:
    checked = validate(
        JobRequest.model_validate({"inputs": ["a.parquet"], "tasks": ["sport"], "id": "key", **request}),
        Settings(home=home),
    )
    job = Job(id="job-1", inputs=checked.inputs, columns=checked.columns, pins=checked.pins)
    job = Job.model_validate_json(job.model_dump_json())  # as it comes from the store
    return job.model_copy(update={"shard_rows": 100, "shard_bytes": 1 << 20})


def whole(settings: Settings, job: Job, classifier: Classifier) -> None:
    batches, bad = read_whole(settings, job, fine) or pytest.fail("too large")
    classify_whole(settings, job, batches, bad, classifier)


def by_row_groups(settings: Settings, job: Job, classifier: Classifier) -> None:
    sources: list[str] = []
    cut_inputs(settings, job, lambda _, more: sources.extend(more), fine)
    assert all(sources)
    one_shard(settings, job, classifier, sources[0])


def cut(settings: Settings, job: Job, classifier: Classifier) -> None:
    job = job.model_copy(update={"shard_bytes": 1})  # no row group is small enough
    sources: list[str] = []
    cut_inputs(settings, job, lambda _, more: sources.extend(more), fine)
    assert sources == ["", ""]
    for shard in (0, 1):
        one_shard(settings, job, classifier, None, shard)


def one_shard(
    settings: Settings, job: Job, classifier: Classifier, source: str | None, shard: int = 0
) -> None:
    def rows(on_bad_row: BadRows) -> object:
        return shard_batches(settings, job, shard, source, on_bad_row, fine)

    classify_shard(settings, job, shard, rows, classifier, fine)  # type: ignore[arg-type]


def isolated(settings: Settings, job: Job, _: Classifier) -> None:
    classify_isolated(settings, job, 0, "[[0, 0, 1]]", fine)


@pytest.mark.parametrize("way", [whole, by_row_groups, cut, isolated])
def test_ids_and_kept_columns_come_in_their_types(
    home: Path, way: Callable[[Settings, Job, Classifier], None]
) -> None:
    settings, job = Settings(home=home), accepted(home, keep=["day"])
    way(settings, job, Classifier.load(Workspace(home), job.pins))
    parts = sorted(job_folder(settings, job.id).glob("0*.parquet"))
    results = pa.concat_tables(map(pq.read_table, parts))
    assert results.column_names == ["id", "sport", "sport_score", "day"]
    assert (results.schema.field("id").type, results.schema.field("day").type) == (pa.int64(), pa.date32())
    assert results.select(["id", "day"]).to_pylist() == [
        {"id": 7, "day": DAYS[0]},
        {"id": 2**60, "day": DAYS[2]},
    ]
    assert json.loads(results.schema.metadata[b"pingti.tasks"])[0]["task"] == "sport"


def test_a_job_of_before_has_its_ids_as_text(home: Path) -> None:
    settings, job = Settings(home=home), accepted(home)
    document = json.loads(job.model_dump_json())
    del document["columns"]["carried"], document["columns"]["keep"]
    old = Job.model_validate(document)
    whole(settings, old, Classifier.load(Workspace(home), old.pins))
    results = pq.read_table(job_folder(settings, job.id) / part_name(0))
    assert results["id"].to_pylist() == ["7", str(2**60)]


@pytest.mark.parametrize(
    ("keep", "pointer", "says"),
    [
        (["sport"], "/keep", "the results have a column 'sport' of their own"),
        (["dya"], "/inputs/0", "no column 'dya'; there are 'key', 'day', 'text'"),
        (["day"], "/keep", "b.csv: column 'day' is of type string, but of date32[day] in"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_the_submission(
    home: Path, keep: list[str], pointer: str, says: str
) -> None:
    (home / "b.csv").write_text("key,day,text\n1,2025-01-01,goal\n")
    with pytest.raises(InputError) as refused:
        accepted(home, keep=keep, inputs=["a.parquet", "b.csv"])
    assert says in str(refused.value)
    assert refused.value.faults[0].pointer == pointer
