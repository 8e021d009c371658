"""Label tasks over HTTP."""

import json
from collections.abc import Iterator

import httpx
import pytest

from pingti.workspace.registry import Workspace
from queue_worker.settings import Settings
from tests.support.rest import problem, serving


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with serving(Settings(home=workspace.root)) as client:
        yield client


def test_tasks_are_listed_with_their_students(client: httpx.Client, workspace: Workspace) -> None:
    items = client.get("/v1/tasks").json()["items"]
    assert [task["name"] for task in items] == ["sport", "tech", "topic"]
    for task in items:
        entry = workspace.task(task["name"])
        assert client.get(f"/v1/tasks/{task['name']}").json() == task
        assert task["classes"] == list(entry.definition.classes)
        assert task["priority"] == entry.definition.priority
        assert task["current"] == 1
        assert task["versions"] == [1]
        assert task["scenes"] == list(entry.definition.operating_points)
        assert task["gate"]["precision"] == entry.definition.gate.precision
        report = entry.report(1)
        assert task["holdout"] == {
            name: report["holdout"][name] for name in ("precision", "recall", "f1", "rows")
        }
        assert task["gate_passed"] == report["gate"]["passed"]
        assert task["fault"] is None


def test_a_report_as_json_and_as_a_page(client: httpx.Client, workspace: Workspace) -> None:
    folder = workspace.task("sport").student_folder(1)
    report = client.get("/v1/tasks/sport/versions/1/report")
    assert report.json() == json.loads((folder / "report.json").read_text())

    (folder / "report.html").unlink(missing_ok=True)
    assert client.get("/v1/tasks/sport").json()["report_page"] is False
    missing = client.get("/v1/tasks/sport/versions/1/report.html")
    assert missing.status_code == 404
    problem(missing)
    (folder / "report.html").write_text("<!doctype html><title>sport</title>")
    assert client.get("/v1/tasks/sport").json()["report_page"] is True
    page = client.get("/v1/tasks/sport/versions/1/report.html")
    assert "<title>sport</title>" in page.text
    assert "sandbox" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "status"), [("sport/versions/2/report", 404), ("sport/versions/0/report", 422), ("spotr", 404)]
)
def test_what_is_not_there(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(f"/v1/tasks/{path}")
    assert answer.status_code == status
    problem(answer)


def test_a_damaged_task_does_not_hide_the_others(client: httpx.Client, workspace: Workspace) -> None:
    entry = workspace.task("tech")
    entry.path.write_text("classes = 7\n")
    (workspace.task("topic").student_folder(1) / "report.json").write_text("{")
    (workspace.task("sport").student_folder(1) / "report.json").write_text("{}")
    tasks = {task["name"]: task for task in client.get("/v1/tasks").json()["items"]}
    assert "classes" in tasks["tech"]["fault"]
    assert tasks["tech"]["gate"] is None
    assert "report.json" in tasks["topic"]["fault"]
    assert tasks["topic"]["holdout"] is None
    assert "no holdout" in tasks["sport"]["fault"]
    assert tasks["sport"]["current"] == 1
    damaged = client.get("/v1/tasks/topic/versions/1/report")
    assert damaged.status_code == 500
    assert problem(damaged)["type"] == "/problems#damaged-artifact"


def test_the_page_comes_in_the_language_asked_for(client: httpx.Client, workspace: Workspace) -> None:
    folder = workspace.task("sport").student_folder(1)
    (folder / "report.html").write_text("<title>sport</title>")
    path = "/v1/tasks/sport/versions/1/report.html"
    before = client.get(path, params={"language": "zh"})  # a student of before has one language
    assert (before.text, before.headers["content-language"]) == ("<title>sport</title>", "en")
    (folder / "report.zh.html").write_text("<title>体育</title>", encoding="utf-8")
    chinese = client.get(path, params={"language": "zh"})
    assert (chinese.text, chinese.headers["content-language"]) == ("<title>体育</title>", "zh")
    assert "sandbox" in chinese.headers["content-security-policy"]
    assert client.get(path).text == "<title>sport</title>"
    assert problem(client.get(path, params={"language": "de"}))["status"] == 422
