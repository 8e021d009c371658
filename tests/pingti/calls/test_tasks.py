"""The client's calls that are about label tasks."""

import asyncio
import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pingti import AsyncClient, Client
from pingti.annotation import labels, review_queue
from pingti.calls.labels import in_requests, label_records
from pingti.errors import ConflictError, GateError, InputError, NotFoundError
from pingti.workspace.registry import Workspace
from queue_worker.settings import Settings
from tests.support.model_folders import write_model
from tests.support.rest import serving

CLASSES = ("no", "yes")


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Client]:
    with (
        serving(Settings(home=workspace.root)) as server,
        Client(str(server.base_url)) as client,
    ):
        yield client


def second_version(workspace: Workspace, *, passed: bool) -> None:
    folder = workspace.task("sport").folder / "students"
    shutil.copytree(folder / "1", folder / "2")
    path = folder / "2" / "report.json"
    report = json.loads(path.read_text())
    report["gate"]["passed"], report["version"] = passed, 2
    report["holdout"]["recall"] = 1.0 if passed else 0.5
    path.write_text(json.dumps(report))


def test_versions_are_promoted_and_taken_back(client: Client, workspace: Workspace) -> None:
    second_version(workspace, passed=False)
    assert [(version.version, version.promoted) for version in client.versions("sport")] == [
        (2, False),
        (1, True),
    ]
    assert (client.report("sport")["version"], client.report("sport", 2)["version"]) == (1, 2)
    with pytest.raises(GateError, match="recall"):
        client.promote("sport")
    assert client.promote("sport", 2, why="a trial 试", force=True).current == 2
    assert client.roll_back("sport").current == 1
    with pytest.raises(ConflictError):
        client.roll_back("sport")
    assert client.history("sport")[1].why.startswith("a trial 试")
    with pytest.raises(NotFoundError):
        client.versions("none")
    with pytest.raises(NotFoundError):
        client.report("sport", 7)


def test_a_task_is_made_changed_and_checked(client: Client, workspace: Workspace, tmp_path: Path) -> None:
    (workspace.root / "posts.csv").write_text("post\na text\n")
    write_model(workspace.root / "bert", {"id2label": {"0": "no", "1": "yes"}})
    text = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["../posts.csv"]\ntext = "post"\n'
    text += '[teacher]\nmodel = "../bert"\n'
    client.check_definition("praise", text)
    assert "praise" not in workspace.task_names()
    assert client.define("praise", text).name == "praise"
    path = tmp_path / "praise.toml"
    path.write_text(text + '[retrain]\nat = "02:00"\n')
    assert client.define("praise", path).retrain_at == "02:00"
    assert client.definition("praise").toml == path.read_text()
    document = tomllib.loads(text + "[retrain]\nat = 03:00:00\n")
    assert client.define("praise", document).retrain_at == "03:00"
    assert client.definition("praise").definition["corpus"]["text"] == "post"
    wrong: dict[str, Any] = {
        **document,
        "corpus": {"files": ["../gone.csv"], "text": "post"},
        "classes": ["a", "b"],
    }
    with pytest.raises(InputError) as failed:
        client.check_definition("praise", wrong)
    assert [fault.pointer for fault in failed.value.faults] == ["/corpus/files/0", "/classes"]
    with pytest.raises(InputError, match="not readable"):
        client.define("praise", tmp_path / "none.toml")


def test_people_label_what_is_to_be_reviewed(client: Client, workspace: Workspace) -> None:
    entry = workspace.task("sport")
    rows = [
        {"id": f"r{number}", "text": f"text {number}", "task": "sport", "version": 1} for number in range(150)
    ]
    unsure = {"reason": "unsure", "margin": 0.01, "teacher": {"no": 0.49, "yes": 0.51}}
    lines = "".join(json.dumps(row | unsure) + "\n" for row in rows)
    (entry.folder / review_queue.FILE).write_text(lines)
    assert [row.id for row in client.review("sport")] == [row["id"] for row in rows]
    frame = pa.table({"post": ["text 0", "text 1"], "said": ["yes", "no"]})
    assert client.label("sport", frame, text="post", label="said").added == 2
    assert client.label("sport", [{"text": "text 1", "label": "no"}]).unchanged == 1
    assert len(labels.read(entry)) == 2
    assert [row.id for row in client.review("sport")][:2] == ["r2", "r3"]
    with pytest.raises(InputError, match="row 1: 'maybe' is no class; allowed are no, yes"):
        client.label("sport", {"text": ["text 2", "text 3"], "label": ["yes", "maybe"]})
    assert len(labels.read(entry)) == 2  # not even the first was sent

    async def first_row() -> str | None:
        async with AsyncClient(client.url) as twin:
            async for row in twin.review("sport"):
                return row.id
        return None

    assert asyncio.run(first_row()) == "r2"


def test_a_frame_may_name_rows_by_their_ids() -> None:
    frame = {"key": ["a", "b"], "label": ["no", "yes"]}
    assert label_records(frame, CLASSES, text="text", id="key", label="label") == [
        {"id": "a", "label": "no"},
        {"id": "b", "label": "yes"},
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([("a text", "yes")], "row 0 is tuple"),
        (7, "row 0 is int"),
        ([{"text": "a", "label": "yes"}, {"label": "yes"}], "row 1: needed is a text or an id"),
        ([{"text": "a"}], "row 0: there is no label"),
        ([{"text": "a", "label": True}], "row 0: label is bool"),
        ({"text": ["a", None], "label": ["yes", "yes"]}, "row 1: needed is a text or an id"),
    ],
)
def test_a_label_that_cannot_be_sent_is_told_with_its_row(given: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        label_records(given, CLASSES, text="text", id=None, label="label")


def test_many_labels_are_sent_in_requests_of_a_bounded_size() -> None:
    short = [{"text": f"t{number}", "label": "yes"} for number in range(2500)]
    assert [len(part) for part in in_requests(short)] == [1000, 1000, 500]
    long = [{"text": "文" * 50_000, "label": "yes"} for _ in range(5)]
    parts = list(in_requests(long))
    assert [record for part in parts for record in part] == long
    assert all(len(json.dumps(part)) < 1 << 20 for part in parts)
    assert len(parts) > 1
