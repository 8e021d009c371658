"""Folders and patterns as a job's inputs, over HTTP: which files, in which order, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.rest import Door, problem, until_ended

pytestmark = pytest.mark.broker

HIVE = [
    "hive/day=2025-11-03/hour=8/part-1.parquet",
    "hive/day=2025-11-03/part-0.parquet",
    "hive/day=2025-11-04/part-0.parquet",
]
PLAIN = ["plain/10.csv", "plain/9.csv", "plain/deep/c.jsonl"]


def write(home: Path) -> None:
    for name in HIVE:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table({"key": [f"{name}-{row}" for row in range(2)], "text": ["the match"] * 2}), path
        )
    for name in PLAIN:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["key,text", f"{name}-0,the match", f"{name}-1,the chip"]
        if name.endswith(".jsonl"):
            lines = [json.dumps({"key": f"{name}-{row}", "text": "the match"}) for row in range(2)]
        path.write_text("\n".join(lines))
    for name in ("hive/_SUCCESS", "plain/notes.txt"):
        (home / name).touch()
    outside = home.parent / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("key,text\ns,t\n")
    (home / "links").mkdir()
    (home / "links" / "out").symlink_to(outside)


@pytest.fixture(scope="module")
def door(running: Door) -> Door:
    write(running.settings.home)
    return running


def relative(door: Door, paths: list[str]) -> list[str]:
    return [str(Path(path).relative_to(door.settings.home)) for path in paths]


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["hive"], HIVE),
        (["hive/day=*"], HIVE),
        (["hive/day=2025-11-0[34]/*.parquet"], HIVE[1:]),
        (["plain"], PLAIN),
        (["plain/*.csv", "hive/**/part-1.*"], [*PLAIN[:2], HIVE[0]]),
        (["hive/day=2025-11-04", "plain/9.csv", "plain/deep"], [HIVE[2], PLAIN[1], PLAIN[2]]),
    ],
)
def test_a_folder_and_a_pattern_are_classified_in_the_order_that_is_told(
    door: Door, inputs: list[str], names: list[str], absolute: bool
) -> None:
    given = [str(door.settings.home / name) for name in inputs] if absolute else inputs
    body = {"inputs": given, "tasks": ["sport"], "id": "key"}
    checked = door.client.post("/v1/jobs", params={"validate_only": True}, json=body).json()
    assert relative(door, checked["inputs"]) == names
    assert checked["bytes"] == sum((door.settings.home / name).stat().st_size for name in names)
    accepted = door.client.post("/v1/jobs", json=body)
    assert accepted.status_code == 202, accepted.text
    assert relative(door, accepted.json()["inputs"]) == names
    job = until_ended(door, accepted.headers["location"])
    assert (job["status"], job["counts"]["completed"]) == ("completed", 2 * len(names))
    lines = door.client.get(job["links"]["results"], params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [
        f"{name}-{row}" for name in names for row in range(2)
    ]


def test_what_a_partition_s_folder_tells_is_a_column(door: Door) -> None:
    body = {"inputs": ["hive"], "tasks": ["sport"], "id": "day"}
    job = until_ended(door, door.client.post("/v1/jobs", json=body).headers["location"])
    lines = door.client.get(job["links"]["results"], params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["2025-11-03"] * 4 + ["2025-11-04"] * 2


def refused(door: Door, *inputs: str, **changes: Any) -> dict[str, Any]:
    for params in ({}, {"validate_only": True}):
        body = {"inputs": inputs, "tasks": ["sport"], "id": "key", **changes}
        answer = door.client.post("/v1/jobs", params=params, json=body)
        assert answer.status_code == 422, answer.text
        document = problem(answer)
        (item,) = document["errors"]
    assert "\n" not in item["detail"]
    return item


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("plain/*.parquet", "'plain/*.parquet' matches no file below an allowed folder"),
        ("gone/*", "'gone/*' matches no file below an allowed folder"),
        ("logs-that-are-none", "is not a file below an allowed folder"),
        ("../outside/*.csv", "'../outside/*.csv' matches no file below an allowed folder"),
        ("*/../../outside/*.csv", "matches no file below an allowed folder"),
        ("/etc/*", "'/etc/*' matches no file below an allowed folder"),
        ("../outside", "is not a file below an allowed folder"),
        ("links/out", "is not a file below an allowed folder"),
        ("links/out/*.csv", "matches no file below an allowed folder"),
        ("links", "links/out is a link that leads nowhere, or out of the allowed folders"),
        ("links/*/*.csv", "links/out is a link that leads nowhere, or out of the allowed folders"),
        ("links/**/secret.csv", "links/out is a link that leads nowhere, or out of the allowed folders"),
        ("plain/*", "notes.txt: the name ends in none of the formats that are read"),
    ],
)
def test_what_is_refused(door: Door, given: str, says: str) -> None:
    before = len(door.client.get("/v1/jobs").json()["items"])
    item = refused(door, "plain/9.csv", given)
    assert item["pointer"] == "#/inputs/1"
    assert says in item["detail"]
    assert len(door.client.get("/v1/jobs").json()["items"]) == before


def test_a_file_of_a_folder_that_cannot_be_used_is_named(door: Door) -> None:
    item = refused(door, "plain", "hive", text="words")
    assert item["pointer"] == "#/inputs/0"
    assert "plain/10.csv: no column 'words'; there are 'key', 'text'" in item["detail"]


def test_files_of_all_inputs_are_counted_together(door: Door) -> None:
    many = door.settings.home / "many"
    many.mkdir()
    for number in range(999):
        (many / f"{number:03d}.csv").write_text("key,text\na,the match\n")
    body = {"inputs": ["plain/9.csv", "many"], "tasks": ["sport"], "id": "key"}
    whole = door.client.post("/v1/jobs", params={"validate_only": True}, json=body)
    assert len(whole.json()["inputs"]) == 1000
    item = refused(door, "plain/9.csv", "plain/10.csv", "many/*")
    assert item["pointer"] == "#/inputs/2"
    assert item["detail"].startswith("'many/*' names more than 998 files; a job may have 1,000")
    item = refused(door, "many", "plain/9.csv", "plain/10.csv")
    assert item["pointer"] == "#/inputs/0"  # one behind it has no room
    assert item["detail"].startswith("'many' names more than 998 files")
