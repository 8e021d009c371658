"""What people do about tasks over HTTP: versions, promotion, review rows, labels, retraining."""

import json
import shutil
from collections.abc import Iterator

import httpx
import pytest

from pingti.annotation import labels
from pingti.workspace.registry import Workspace
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import require_broker
from tests.support.rest import problem, serving


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    with serving(Settings(home=workspace.root)) as client:
        yield client


def second_version(workspace: Workspace, *, passed: bool) -> None:
    folder = workspace.task("sport").folder / "students"
    shutil.copytree(folder / "1", folder / "2")
    path = folder / "2" / "report.json"
    report = json.loads(path.read_text())
    report["made"] = "2026-11-21T02:00:00+00:00"
    report["scenes"] = {"default": {"threshold": 0.4}, "strict": {"threshold": 0.9}}
    report["gate"]["passed"] = passed
    report["holdout"]["recall"] = 1.0 if passed else 0.5
    path.write_text(json.dumps(report))


def test_versions_newest_first_and_a_damaged_one_stays_in_the_list(
    client: httpx.Client, workspace: Workspace
) -> None:
    second_version(workspace, passed=True)
    shutil.copytree(
        workspace.task("sport").folder / "students" / "1", workspace.task("sport").folder / "students" / "3"
    )
    (workspace.task("sport").folder / "students" / "3" / "report.json").write_text("{")
    damaged, newer, older = client.get("/v1/tasks/sport/versions").json()["items"]
    assert (damaged["version"], damaged["holdout"], damaged["rounds"]) == (3, None, [])
    assert damaged["verdict"] == {}
    assert newer["verdict"]["en"].startswith("It may replace its teacher: it decides 0.0 % of the 300")
    assert newer["verdict"]["zh"].startswith("可以取代教师模型：")
    assert (newer["version"], newer["promoted"], newer["made"]) == (2, False, "2026-11-21T02:00:00Z")
    assert newer["thresholds"] == {"default": 0.4, "strict": 0.9}
    assert (older["promoted"], older["made"], older["gate_passed"]) == (True, None, True)
    assert older["rounds"] == [{"round": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0}]


def test_promotion_and_the_way_back(client: httpx.Client, workspace: Workspace) -> None:
    second_version(workspace, passed=False)
    short = client.post("/v1/tasks/sport/promote", json={})
    assert short.status_code == 409
    assert problem(short)["type"] == "/problems#gate-not-reached"
    body = {"version": 2, "force": True, "why": "a trial 试"}
    assert client.get("/v1/tasks/sport/versions").json()["before"] is None
    assert client.post("/v1/tasks/sport/promote", json=body).json()["current"] == 2
    assert client.get("/v1/tasks/sport/versions").json()["before"] == 1
    assert client.post("/v1/tasks/sport/rollback", json={}).json()["current"] == 1
    nothing = client.post("/v1/tasks/sport/rollback", json={})
    assert nothing.status_code == 409
    problem(nothing)
    assert client.post("/v1/tasks/sport/rollback", json={"version": 2}).json()["current"] == 2
    events = client.get("/v1/tasks/sport/history").json()["items"]
    assert [(event["event"], event["version"], event["who"]) for event in events][:3] == [
        ("rolled back", 2, "local"),
        ("rolled back", 1, "local"),
        ("promoted", 2, "local"),
    ]
    assert events[2]["why"].startswith("a trial 试 (by force: ")
    assert (events[3]["event"], events[3]["version"]) == ("refused", 2)
    for path, body, status in [
        ("sport/promote", {"version": 9}, 404),
        ("sport/promote", {"version": 0}, 422),
        ("sport/promote", {"why": ""}, 422),
        ("spotr/promote", {}, 404),
        ("sport/rollback", {"forced": True}, 422),
    ]:
        answer = client.post(f"/v1/tasks/{path}", json=body)
        assert answer.status_code == status, path
        problem(answer)


def write_review(workspace: Workspace, count: int) -> None:
    lines = [
        {
            "id": f"k{n}",
            "text": f"an unclear row {n}",
            "task": "sport",
            "version": 1,
            "teacher": {"no": 0.52, "yes": 0.48},
            "reason": "the teacher's margin of 0.040 is below 0.1",
        }
        for n in range(count)
    ]
    path = workspace.task("sport").folder / "review.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_rows_out_and_labels_in(client: httpx.Client, workspace: Workspace) -> None:
    assert client.get("/v1/tasks/sport/review").json() == {"items": [], "next_cursor": None, "left": 0}
    write_review(workspace, 5)
    page = client.get("/v1/tasks/sport/review", params={"limit": 2}).json()
    assert ([row["id"] for row in page["items"]], page["next_cursor"], page["left"]) == (["k0", "k1"], 2, 5)
    assert page["items"][0]["teacher"] == {"no": 0.52, "yes": 0.48}
    last = client.get("/v1/tasks/sport/review", params={"limit": 2, "cursor": 4}).json()
    assert ([row["id"] for row in last["items"]], last["next_cursor"]) == (["k4"], None)

    (workspace.root / "corpus.jsonl").write_text('{"text": "a row", "id": "a1"}\n')
    given = [
        {"text": "an unclear row 0", "label": "yes"},
        {"id": "k1", "label": "no"},
        {"id": "nobody knows it", "label": "no"},
    ]
    answer = client.post("/v1/tasks/sport/labels", json={"labels": given})
    assert answer.status_code == 200, answer.text
    labelled = answer.json()
    assert (labelled["added"], labelled["unchanged"]) == (2, 0)
    assert "nobody knows it" in labelled["bad"][0]
    assert "/tmp" not in labelled["bad"][0]
    known = labels.read(workspace.task("sport"))
    assert {text: (label.label, label.who) for text, label in known.items()} == {
        "an unclear row 0": ("yes", "local"),
        "an unclear row 1": ("no", "local"),
    }
    assert client.get("/v1/tasks/sport/review").json()["left"] == 3
    whole = {"labels": [{"text": "An  UNCLEAR row 2", "label": "no"}]}
    assert client.post("/v1/tasks/sport/labels", json=whole).status_code == 200
    assert client.get("/v1/tasks/sport/review").json()["left"] == 2  # one text, whichever its form
    again = client.post("/v1/tasks/sport/labels", json={"labels": given[:1]}).json()
    assert (again["added"], again["unchanged"]) == (0, 1)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"labels": []}, "#/labels"),
        ({"labels": [{"text": "x", "label": "maybe"}]}, "#/labels/0"),
        ({"labels": [{"text": "x", "label": "no"}, {"label": "no"}]}, "#/labels/1"),
        ({"labels": [{"text": "", "label": "no"}]}, "#/labels/0/text"),
        ({"labels": [{"text": "x", "label": "no", "who": "somebody else"}]}, "#/labels/0/who"),
    ],
)
def test_labels_that_are_refused(
    client: httpx.Client, workspace: Workspace, body: object, pointer: str
) -> None:
    answer = client.post("/v1/tasks/sport/labels", json=body)
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["pointer"] == pointer
    assert labels.read(workspace.task("sport")) == {}


@pytest.mark.broker
def test_a_retraining_is_asked_for_once_and_seen(workspace: Workspace) -> None:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root))
        with serving(settings) as client:
            assert client.get("/v1/tasks/sport/runs").json() == {"items": []}
            answer = client.post("/v1/tasks/sport/retrain")
            assert answer.status_code == 202
            assert answer.headers["location"] == "/v1/tasks/sport/runs"
            run = answer.json()
            assert (run["task"], run["state"], run["who"], run["night"]) == ("sport", "queued", "local", None)
            assert client.post("/v1/tasks/sport/retrain").json()["id"] == run["id"]
            assert client.get("/v1/tasks/sport/runs").json() == {"items": [run]}
            for path in ("spotr/retrain", "spotr/runs"):
                answer = client.request("POST" if "retrain" in path else "GET", f"/v1/tasks/{path}")
                assert answer.status_code == 404
                problem(answer)
            cancel = f"/v1/tasks/{run['id'].replace('/', '/runs/')}/cancel"
            cancelled = client.post(cancel).json()
            assert (cancelled["id"], cancelled["state"]) == (run["id"], "cancelled")
            assert cancelled["ended"] is not None
            assert client.get("/v1/tasks/sport/runs").json() == {"items": [cancelled]}
            again = client.post(cancel)
            assert again.status_code == 409
            assert "only one under way can be cancelled" in problem(again)["detail"]
            for path in ("sport/runs/none", "spotr/runs/none", "sport/runs/a%2Fb"):
                answer = client.post(f"/v1/tasks/{path}/cancel")
                assert answer.status_code == 404
                problem(answer)
            assert client.post("/v1/tasks/sport/retrain").json()["id"] != run["id"]
