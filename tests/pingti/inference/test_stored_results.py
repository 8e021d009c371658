"""``pingti classify`` from and to an object store."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from pingti.corpus.reader import Columns
from pingti.errors import ConflictError, InputError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.inference.stored_results import classify_to_store
from pingti.workspace.registry import Workspace
from pingti.workspace.storage import Storage
from tests.support.command_line import Run
from tests.support.object_store import BUCKET, Server

_OUT = f"s3://{BUCKET}/out/today"


@pytest.fixture
def classifier(workspace: Workspace) -> Classifier:
    return Classifier.load(workspace, pin(workspace, [Choice(task="sport")]))


def put(store: Storage, name: str, texts: list[str | None], **columns: list[Any]) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": texts, **columns}), sink)
    store.put_bytes(name, sink.getvalue())


def test_a_folder_of_values_into_a_table_of_parts(
    bucket: Storage, classifier: Classifier, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingti.inference.stored_results._PART_ROWS", 50)
    monkeypatch.setattr("pingti.inference.files._ROWS", 25)
    for day in ("b", "a"):
        put(bucket, f"in/day={day}/x.parquet", [*texts[:60], None])
    bucket.put_bytes("in/_SUCCESS", b"")
    counts = classify_to_store([bucket.at("in")], Columns(id="day"), classifier, _OUT)
    assert (counts.total, counts.completed, counts.failed) == (122, 120, 2)
    table = Storage(_OUT)
    names = list(table.entries(""))
    parts = [name for name in names if not name.startswith("_")]
    assert {"_SUCCESS", "_errors.jsonl", "_manifest.json"} < set(names)
    assert len(parts) > 1
    tables = [pq.read_table(io.BytesIO(table.read(name))) for name in parts]
    assert pa.concat_tables(tables).column("id").to_pylist() == ["a"] * 60 + ["b"] * 60
    manifest = json.loads(table.read("_manifest.json"))
    assert [(part["name"], part["rows"]) for part in manifest["parts"]] == [
        (name, rows.num_rows) for name, rows in zip(parts, tables, strict=True)
    ]
    with pytest.raises(ConflictError, match="is there already; name another folder or remove it"):
        classify_to_store([bucket.at("in")], Columns(), classifier, _OUT)


@pytest.mark.parametrize("pattern", ["in", "in/day=*", "in/**/*.parquet"])
def test_values_of_folders_go_along(
    bucket: Storage, classifier: Classifier, texts: list[str], pattern: str
) -> None:
    for day in ("2025-11-04", "2025-11-03"):
        put(bucket, f"in/day={day}/region=a%2Fb/x.parquet", [*texts[:2]], size=[7, 8])
    columns = Columns(keep=("region", "size", "day"))
    counts = classify_to_store([bucket.at(pattern)], columns, classifier, _OUT)
    assert (counts.completed, counts.failed) == (4, 0)
    part = pq.read_table(io.BytesIO(Storage(_OUT).read("part-00000.parquet")))
    assert part.select(["region", "size", "day"]).to_pylist() == [
        {"region": "a/b", "size": size, "day": day} for day in ("2025-11-03", "2025-11-04") for size in (7, 8)
    ]


def test_nothing_is_left_after_an_error(
    s3: Server, bucket: Storage, classifier: Classifier, texts: list[str]
) -> None:
    put(bucket, "in/a.parquet", texts[:10])
    s3.fail("PUT .*part-00000", "forbidden", times=1000)
    with pytest.raises(InputError, match="the credentials lack a permission"):
        classify_to_store([bucket.at("in/a.parquet")], Columns(), classifier, _OUT)
    assert Storage(_OUT).entries("") == {}
    with pytest.raises(InputError, match=r"nothing\.parquet: no such file"):
        classify_to_store([bucket.at("in/nothing.parquet")], Columns(), classifier, _OUT)


def test_on_the_command_line(bucket: Storage, workspace: Workspace, texts: list[str], pingti: Run) -> None:
    bucket.put_bytes("a.csv", b"text\n" + "\n".join(texts[:20]).encode() + b"\n")
    options = ("-t", "sport", "--home", workspace.root)
    ended = pingti("classify", bucket.at("a.csv"), "-o", _OUT, *options)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"20 rows classified: {_OUT}" in ended.stdout
    for address, code, words in (
        ("s3://key:hunter2@bucket/x", 2, "holds credentials"),
        ("s3://nobodys/x", 2, "s3://nobodys/x: no such bucket"),
        ("nosuch://bucket/x", 2, "is no address of a store"),
    ):
        ended = pingti("classify", bucket.at("a.csv"), "-o", address, *options)
        assert ended.returncode == code
        assert words in ended.stderr
        assert "hunter2" not in ended.stderr
        assert "Traceback" not in ended.stderr


def test_an_address_of_nothing_is_said(bucket: Storage, workspace: Workspace, pingti: Run) -> None:
    bucket.put_bytes("empty/_SUCCESS", b"")
    no_rows = "no such file, nor a folder or a pattern of files with rows; correct the address"
    for address, words in (
        (bucket.at("nothing/*.parquet"), no_rows),
        (bucket.at("empty"), no_rows),
        ("s3://", "s3://: names no bucket; needed is s3://bucket/key"),
    ):
        ended = pingti("classify", address, "-o", _OUT, "-t", "sport", "--home", workspace.root)
        assert ended.returncode == 2
        assert words in ended.stderr
        assert "looked from" not in ended.stderr
    assert Storage(_OUT).entries("") == {}
