"""What goes along into results: kept columns and ids, each in the type of the inputs."""

import json
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus.reader import Columns
from pingti.errors import InputError
from pingti.inference.classifier import Classifier
from pingti.inference.files import classify_files
from pingti.workspace.registry import Workspace

TEXTS = ["the goal match team coach", "a bread garden", "goal", "bread"]


@pytest.fixture
def classifier(workspace: Workspace) -> Classifier:
    return Classifier.of(workspace, ["sport"])


def results_of(
    classifier: Classifier, folder: Path, inputs: list[Path], columns: Columns
) -> tuple[pa.Table, list[dict[str, Any]]]:
    out = folder / "out"
    classify_files([str(path) for path in inputs], columns, classifier, out)
    bad = [json.loads(line) for line in (out / "_errors.jsonl").read_text().splitlines()]
    return pq.read_table(out / "results.parquet"), [line for line in bad if "row" in line]


VALUES: dict[str, pa.Array] = {
    "int64": pa.array([7, None, 2**62, -1], pa.int64()),
    "uint8": pa.array([7, None, 255, 0], pa.uint8()),
    "decimal": pa.array([Decimal("1.50"), None, Decimal(10**30), Decimal(0)], pa.decimal128(38, 2)),
    "uuid": pa.array([uuid.UUID(int=n).bytes for n in (1, 2, 3, 4)], pa.uuid()),
    "float": pa.array([0.1, None, float("inf"), 2.0]),
    "bool": pa.array([True, None, False, True]),
    "date": pa.array([date(2025, 1, 2), None, date(1970, 1, 1), date(9999, 1, 1)]),
    "time": pa.array([datetime(2025, 1, 2, tzinfo=UTC)] * 4, pa.timestamp("ms", "Asia/Shanghai")),
    "text": pa.array(["北京", None, "", "b"]),
}


def test_kept_columns_of_parquet_keep_their_types_and_values(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({**{f"{name} of it": value for name, value in VALUES.items()}, "said": TEXTS})
    pq.write_table(table, path, row_group_size=3)
    names = tuple(f"{name} of it" for name in VALUES)
    results, bad = results_of(classifier, tmp_path, [path], Columns(text="said", keep=names))
    assert bad == []
    assert results.column_names == ["id", "sport", "sport_score", *names]
    assert results.select(names).equals(table.select(names))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (pa.array(["a", "b", None, "a"]).dictionary_encode(), pa.string()),
        (pa.array(["a", "b", None, "a"], pa.large_string()), pa.string()),
        (pa.array(["a", "b", None, "a"], pa.string_view()), pa.string()),
        (pa.array([3, 4, None, 3]).dictionary_encode(), pa.int64()),
        (pa.nulls(4), pa.null()),
    ],
)
def test_encodings_of_a_type_are_plain_in_the_results(
    classifier: Classifier, tmp_path: Path, written: pa.Array, kept: pa.DataType
) -> None:
    pq.write_table(pa.table({"text": TEXTS, "region": written}), tmp_path / "a.parquet")
    results, _ = results_of(classifier, tmp_path, [tmp_path / "a.parquet"], Columns(keep=("region",)))
    assert results["region"].type == kept
    assert results["region"].to_pylist() == written.to_pylist()


@pytest.mark.parametrize("name", ["int64", "uint8", "decimal", "uuid", "date", "time"])
def test_ids_keep_their_type_and_bad_rows_leave_no_gap_in_it(
    classifier: Classifier, tmp_path: Path, name: str
) -> None:
    ids = VALUES[name]
    texts = [TEXTS[0], TEXTS[1], None, TEXTS[3]]
    pq.write_table(pa.table({"key": ids, "text": texts}), tmp_path / "a.parquet")
    columns = Columns(id="key", keep=("key", "text"))
    results, bad = results_of(classifier, tmp_path, [tmp_path / "a.parquet"], columns)
    good = [row for row in range(4) if ids[row].is_valid and texts[row] is not None]
    assert results["id"].type == ids.type
    assert results["id"].to_pylist() == [ids[row].as_py() for row in good] == results["key"].to_pylist()
    assert results["text"].to_pylist() == [texts[row] for row in good]
    assert sorted(line["row"] for line in bad) == [row for row in range(4) if row not in good]


def test_ids_of_several_types_are_text(classifier: Classifier, tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": [1], "text": ["goal"]}), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("key,text\n02,goal\n")
    inputs = [tmp_path / "a.parquet", tmp_path / "b.csv"]
    results, _ = results_of(classifier, tmp_path, inputs, Columns(id="key"))
    assert results["id"].type == pa.string()
    assert results["id"].to_pylist() == ["1", "02"]


@pytest.mark.parametrize(
    ("name", "data", "region", "size"),
    [
        ("a.csv", 'size,text,region\n1,goal,"a, b"\n02,bread,\n', ["a, b", ""], ["1", "02"]),
        (
            "a.jsonl",
            '{"text": "goal", "region": "a", "size": 1}\n{"text": "bread", "size": 2}\n',
            ["a", None],
            ["1", "2"],
        ),
        (
            "a.jsonl",
            '{"text": "goal", "region": {"é": [1]}, "size": 1.50}\n'
            '{"text": "b", "region": true, "size": null}\n',
            ['{"é": [1]}', "true"],
            ["1.50", None],
        ),
    ],
)
def test_kept_columns_of_text_files_are_text(
    classifier: Classifier, tmp_path: Path, name: str, data: str, region: list[str], size: list[str]
) -> None:
    (tmp_path / name).write_text(data, encoding="utf-8")
    results, bad = results_of(classifier, tmp_path, [tmp_path / name], Columns(keep=("size", "region")))
    assert (bad, results.column_names[3:]) == ([], ["size", "region"])
    assert results["region"].to_pylist() == region
    assert results["size"].to_pylist() == size


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
def test_what_only_the_folders_of_a_table_tell_can_be_kept(
    classifier: Classifier, tmp_path: Path, name: str
) -> None:
    values = ["2025-11-03", "a b", "__HIVE_DEFAULT_PARTITION__"]
    for value in values:
        folder = tmp_path / "table" / f"day={value.replace(' ', '%20')}"
        folder.mkdir(parents=True)
        if name == "a.parquet":
            pq.write_table(pa.table({"text": ["goal"]}), folder / name)
        else:
            (folder / name).write_text('{"text": "goal"}\n' if name == "a.jsonl" else "text\ngoal\n")
    results, bad = results_of(classifier, tmp_path, [tmp_path / "table"], Columns(keep=("day",)))
    assert bad == []
    assert results["day"].to_pylist() == ["2025-11-03", None, "a b"]


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
def test_a_kept_text_that_is_not_utf8_makes_its_row_bad(
    classifier: Classifier, tmp_path: Path, name: str
) -> None:
    if name == "a.csv":
        (tmp_path / name).write_bytes(b"text,region\ngoal,a\ngoal,\xff\nbread,c\n")
    else:
        offsets = pa.py_buffer(np.array([0, 1, 2, 3], np.int32))
        broken = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a\xffc")])
        pq.write_table(pa.table({"text": ["goal", "goal", "bread"], "region": broken}), tmp_path / name)
    results, bad = results_of(classifier, tmp_path, [tmp_path / name], Columns(keep=("region",)))
    assert results["region"].to_pylist() == ["a", "c"]
    assert [(line["row"], line["reason"].startswith("field 'region' is not UTF-8")) for line in bad] == [
        (1, True)
    ]


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        (("regoin",), r"a\.parquet: no column 'regoin'; there are 'text', 'region', 'list', 'sport'$"),
        (("sport",), r"^keep: the results have a column 'sport' of their own; leave it out, or rename it"),
        (("id",), r"^keep: the results have a column 'id' of their own"),
        (("region", "region"), r"^keep: 'region' is there twice; name each column once$"),
        (("list",), r"a\.parquet: column 'list' is of type list<.*>; kept are text, numbers, .*leave it out"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_sentence(
    classifier: Classifier, tmp_path: Path, keep: tuple[str, ...], says: str
) -> None:
    table = pa.table({"text": ["goal"], "region": ["a"], "list": [[1]], "sport": ["x"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=says):
        results_of(classifier, tmp_path, [tmp_path / "a.parquet"], Columns(keep=keep))
    assert not (tmp_path / "out" / "results.parquet").exists()


def test_a_column_of_two_types_cannot_be_kept(classifier: Classifier, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["goal"], "region": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("text,region\ngoal,1\n")
    with pytest.raises(
        InputError, match=r"b\.csv: column 'region' is of type string, but of int64 in .*a\.parquet; a kept"
    ):
        results_of(
            classifier, tmp_path, [tmp_path / "a.parquet", tmp_path / "b.csv"], Columns(keep=("region",))
        )


@pytest.mark.parametrize("values", [[[1]] * 4, [{"a": 1}] * 4], ids=["list", "struct"])
def test_an_id_of_several_values_is_refused_before_the_first_row(
    classifier: Classifier, tmp_path: Path, values: list[Any]
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS, "n": values}), path)
    with pytest.raises(InputError, match=r"a\.parquet: column 'n' is of type .*, of which no id can be"):
        classify_files([str(path)], Columns(id="n"), classifier, tmp_path / "out")
    assert not (tmp_path / "out" / "results.parquet").exists()


@pytest.mark.parametrize("keep", [(), ("day",)])
def test_rows_of_a_folder_without_a_value_have_no_id(
    classifier: Classifier, tmp_path: Path, keep: tuple[str, ...]
) -> None:
    for value in ("2025-11-03", "__HIVE_DEFAULT_PARTITION__"):
        path = tmp_path / "table" / f"day={value}" / "a.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"text": ["goal"]}), path)
    results, bad = results_of(classifier, tmp_path, [tmp_path / "table"], Columns(id="day", keep=keep))
    assert results["id"].to_pylist() == ["2025-11-03"]
    assert [line["reason"] for line in bad] == ["field 'day' is missing or null"]


def test_a_kept_number_of_json_lines_has_the_digits_that_it_is_written_with(
    classifier: Classifier, tmp_path: Path
) -> None:
    numbers = ["1.10", "12345678901234567.89", "1e400", "NaN", "-0.0", "7"]
    lines = [f'{{"text": "goal", "price": {number}}}\n' for number in numbers]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    results, bad = results_of(classifier, tmp_path, [tmp_path / "a.jsonl"], Columns(keep=("price",)))
    assert (bad, results["price"].to_pylist()) == ([], numbers)
