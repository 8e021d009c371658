"""Texts that are classified at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from queue_worker.settings import Settings
from tests.support.rest import problem, serving
from tests.support.transformers import needs_runtime, random_student, with_transformer_second
from tests.support.workspaces import with_cascade


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with serving(Settings(home=workspace.root)) as client:
        yield client


@pytest.fixture(scope="module")
def shared(_workspace_template: Path) -> Iterator[httpx.Client]:
    """Of the template itself: nothing is changed there."""
    with serving(Settings(home=_workspace_template)) as client:
        yield client


TASKS = ["sport@strict", "tech", "topic#1"]


@pytest.mark.parametrize("count", [1, 10, 400])  # in the event loop, and in a thread
def test_the_same_decisions_as_of_a_batch(
    client: httpx.Client, workspace: Workspace, texts: list[str], count: int
) -> None:
    for _ in range(2):  # loading, and loaded
        answer = client.post("/v1/classify", json={"texts": texts[:count], "tasks": TASKS})
        assert answer.status_code == 200
        document = answer.json()
    pins = pin(workspace, [Choice.parse(task) for task in TASKS])
    column = pa.array(texts[:count])
    batch = Classifier.load(workspace, pins).classify(pa.record_batch({"id": column, "text": column}))
    for name in ("sport", "tech", "topic"):
        assert [row[name]["label"] for row in document["results"]] == batch.column(name).to_pylist()
        scores = [row[name]["score"] for row in document["results"]]
        assert scores == pytest.approx(batch.column(f"{name}_score").to_pylist(), abs=1e-6)
    assert [(task["task"], task["scene"], task["version"]) for task in document["tasks"]] == [
        ("sport", "strict", 1),
        ("tech", "default", 1),
        ("topic", "default", 1),
    ]


def test_two_operating_points_of_a_task_have_an_answer_each(client: httpx.Client, texts: list[str]) -> None:
    asked = ["sport@strict", "sport"]
    document = client.post("/v1/classify", json={"texts": texts[:50], "tasks": asked}).json()
    assert [(task["task"], task["scene"], task["column"]) for task in document["tasks"]] == [
        ("sport", "strict", "sport@strict"),
        ("sport", "default", "sport"),
    ]
    for row in document["results"]:
        score = row["sport"]["score"]
        assert row["sport@strict"]["score"] == score
        assert (row["sport"]["label"], row["sport@strict"]["label"]) == (
            "yes" if score >= 0.5 else "no",
            "yes" if score >= 0.9 else "no",
        )
    alone = client.post("/v1/classify", json={"texts": texts[:1], "tasks": ["sport@strict"]}).json()
    assert list(alone["results"][0]) == ["sport"]


def test_a_promotion_shows_at_once(client: httpx.Client, workspace: Workspace) -> None:
    import shutil

    body = {"texts": ["the match"], "tasks": ["sport"]}
    assert client.post("/v1/classify", json=body).json()["tasks"][0]["version"] == 1
    entry = workspace.task("sport")
    shutil.copytree(entry.folder / "students" / "1", entry.folder / "students" / "2")
    assert client.post("/v1/classify", json=body).json()["tasks"][0]["version"] == 1
    promotion.promote(entry, 2, why="newer")
    assert client.post("/v1/classify", json=body).json()["tasks"][0]["version"] == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"texts": [], "tasks": ["sport"]}, "#/texts"),
        ({"texts": ["x"] * 1001, "tasks": ["sport"]}, "#/texts"),
        ({"texts": ["x", 5], "tasks": ["sport"]}, "#/texts/1"),
        ({"texts": ["x"], "tasks": ["sport", "spotr"]}, "#/tasks/1"),
        ({"texts": ["x"], "tasks": ["sport", "sport"]}, "#/tasks/1"),
        ({"texts": ["x"], "tasks": ["sport#9"]}, "#/tasks/0"),
        ({"texts": ["x"], "tasks": ["sport"], "scene": "live"}, "#/scene"),
    ],
)
def test_what_is_wrong_is_pointed_at(shared: httpx.Client, body: object, pointer: str) -> None:
    answer = shared.post("/v1/classify", json=body)
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["pointer"] == pointer


def test_what_is_no_text_has_null_for_an_answer(client: httpx.Client, workspace: Workspace) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    tasks = ["sport", "sport@strict", "topic"]
    document = client.post("/v1/classify", json={"texts": [None, "goal", None], "tasks": tasks}).json()
    nothing, decided, again = document["results"]
    assert nothing == again
    assert nothing["sport"] == {"label": None, "score": None, "sure": None}
    assert nothing["sport@strict"] == nothing["topic"] == {"label": None, "score": None}
    assert all(answer["label"] for answer in decided.values())
    alone = client.post("/v1/classify", json={"texts": [None], "tasks": ["topic"]})
    assert alone.json()["results"] == [{"topic": {"label": None, "score": None}}]


def test_odd_texts(client: httpx.Client) -> None:
    odd = ["", " ", "\u2028", "a\u0000b", "🙂" * 1000, "題" * 5000]
    answer = client.post("/v1/classify", json={"texts": odd, "tasks": ["sport", "topic"]})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == len(odd)
    half = client.post(
        "/v1/classify",
        content=b'{"texts": ["\\ud800"], "tasks": ["sport"]}',
        headers={"Content-Type": "application/json"},
    )
    assert half.status_code == 422
    assert "surrogate" in problem(half)["detail"]


def test_many_at_a_time(client: httpx.Client, texts: list[str]) -> None:
    def ask(number: int) -> list[dict[str, object]]:
        body = {"texts": texts[number : number + 3], "tasks": TASKS}
        results: list[dict[str, object]] = client.post("/v1/classify", json=body).json()["results"]
        return results

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, range(40)))
    assert together == [ask(number) for number in range(40)]


def test_where_a_job_would_ask_the_teacher_it_says_that_the_student_is_not_sure(
    client: httpx.Client, workspace: Workspace, texts: list[str]
) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    document = client.post("/v1/classify", json={"texts": texts, "tasks": ["sport", "tech"]}).json()
    sure = [not 0.2 <= row["sport"]["score"] < 0.8 for row in document["results"]]
    assert not all(sure)
    assert [row["sport"]["sure"] for row in document["results"]] == sure
    assert all("sure" not in row["tech"] for row in document["results"])
    assert [task["second"] for task in document["tasks"]] == ["teacher", None]


def test_where_a_transformer_of_the_version_answers_it_is_sure(
    client: httpx.Client, workspace: Workspace, texts: list[str], tmp_path: Path
) -> None:
    needs_runtime()
    with_transformer_second(workspace, random_student(tmp_path / "model"), 0.0, 0.9)
    document = client.post("/v1/classify", json={"texts": texts[:40], "tasks": ["topic"]}).json()
    expected = Classifier.of(workspace, ["topic"]).classify(texts[:40])
    assert "transformer" in expected.column("topic_by").to_pylist()
    assert [row["topic"]["label"] for row in document["results"]] == expected.column("topic").to_pylist()
    assert all(row["topic"]["sure"] for row in document["results"])
    assert [task["second"] for task in document["tasks"]] == ["transformer"]
