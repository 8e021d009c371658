"""A retraining: from the incumbent's rows, once per name, and decided by the gate alone."""

import datetime
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pingti.errors import ArtifactError
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace
from pingti.workspace.report import Refusal
from replacement.evaluation.metrics import Measure
from replacement.retrain import made_by, retrain
from replacement.training import warm_start
from replacement.training.loop import replace
from replacement.training.teacher_labels import TeacherLabels
from tests.support.families import topics
from tests.support.teachers import sport, topic_teacher
from tests.support.texts import made_texts

__all__ = ["topic_teacher"]


def silent(event: dict[str, Any]) -> None:
    pass


def grown(entry: TaskEntry) -> tuple[TaskEntry, list[str]]:
    """The task after a night in which its corpus grew by 200 rows, and all texts in order of time."""
    texts = made_texts(600, seed=2)[0] + made_texts(200, seed=3)[0]
    lines = [json.dumps({"id": f"r{index}", "text": text}) for index, text in enumerate(texts)]
    (entry.workspace.root / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    return Workspace(entry.workspace.root).task(entry.name), texts


def test_it_goes_on_from_the_incumbents_rows(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, budget=300)
    first = replace(entry)
    promotion.promote(entry, 1, who="tests", why="passed")
    asked: list[str] = []
    real = TeacherLabels.ask

    def ask(self: TeacherLabels, texts: list[str], what: str) -> Any:
        if what == "teacher: rows to learn from":
            asked.extend(texts)
        return real(self, texts, what)

    monkeypatch.setattr(TeacherLabels, "ask", ask)
    entry, texts = grown(entry)
    second = replace(entry)
    kept = first.rounds[0].added["random"]
    # A few of them may be among the validation rows now.
    assert kept * 0.8 <= second.rounds[0].added["known"] <= kept
    assert second.rounds[0].added["new"] > 0
    assert second.rounds[0].rows > first.rounds[0].rows
    # Known rows cost nothing: neither the budget nor the teacher.
    assert second.rounds[0].asked == 60 + 40 + second.rounds[0].added["new"]
    known, new = (second.rounds[0].added[kind] for kind in ("known", "new"))
    place = {text: index for index, text in enumerate(texts)}
    assert min(place[text] for text in asked[known : known + new]) > max(
        place[text] for text in asked[:known]
    )
    assert second.report["teacher"]["rows_computed"] <= second.rounds[0].asked


def test_another_teachers_rows_are_not_taken(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01)
    outcome = replace(entry)
    assert warm_start.read(entry, outcome.report["teacher"]["fingerprint"]) == {}  # nothing is promoted
    promotion.promote(entry, 1, who="tests", why="passed")
    known = warm_start.read(entry, outcome.report["teacher"]["fingerprint"])
    assert len(known) == sum(sum(result.added.values()) for result in outcome.rounds)
    assert warm_start.read(entry, "another") == {}
    path = entry.student_folder(1) / warm_start.FILE
    path.write_text('{"format": 1}')
    with pytest.raises(ArtifactError, match=r"rows\.json: not readable"):
        warm_start.read(entry, outcome.report["teacher"]["fingerprint"])
    path.unlink()  # a version of before rows were kept
    assert warm_start.read(entry, outcome.report["teacher"]["fingerprint"]) == {}


def test_hard_negatives_stay_marked(tmp_path: Path) -> None:
    warm_start.write(tmp_path, ["a", "b", "c"], np.array([False, True, False]))
    document = json.loads((tmp_path / warm_start.FILE).read_text())
    known = {key: index in document["competing"] for index, key in enumerate(document["keys"])}
    places, hard_negatives = warm_start.find(["x", "c", "b"], known)
    assert (places.tolist(), hard_negatives.tolist()) == ([1, 2], [False, True])


def events(entry: TaskEntry) -> list[tuple[str, int]]:
    return [(line["event"], line["version"]) for line in entry.history()]


def test_a_run_of_one_name_happens_once(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01)
    ended = retrain(entry, "sport/2025-12-01", who="tests", tell=silent)
    assert (ended["outcome"], ended["version"], entry.current()) == ("promoted", 1, 1)
    assert retrain(entry, "sport/2025-12-01", who="tests", tell=silent) == ended
    assert (entry.versions(), events(entry)) == ([1], [("promoted", 1)])
    assert (made_by(entry, "sport/2025-12-01"), made_by(entry, "sport/2025-12-02")) == (1, None)

    # A kill between the student and the decision, then one between the line and the pointer.
    (entry.folder / "history.jsonl").unlink()
    (entry.folder / "current").unlink()
    retrain(entry, "sport/2025-12-01", who="tests", tell=silent)
    assert (entry.current(), events(entry)) == (1, [("promoted", 1)])
    (entry.folder / "current").unlink()
    retrain(entry, "sport/2025-12-01", who="tests", tell=silent)
    assert (entry.current(), entry.versions()) == (1, [1])

    # Somebody has promoted another one since: that stays.
    second = retrain(grown(entry)[0], "sport/2025-12-02", who="tests", tell=silent)
    assert second["version"] == 2
    promotion.roll_back(entry, who="tests", why="worse")
    retrain(entry, "sport/2025-12-02", who="tests", tell=silent)
    assert entry.current() == 1


def test_an_old_report_that_is_damaged_does_not_hide_what_a_run_made(workspace: Workspace) -> None:
    entry = workspace.task("sport")
    students = entry.folder / "students"
    shutil.copytree(students / "1", students / "2")
    report = json.loads((students / "1" / "report.json").read_text())
    (students / "1" / "report.json").write_text(json.dumps({**report, "run": "sport/2025-12-01"}))
    (students / "2" / "report.json").write_text("{")
    assert made_by(entry, "sport/2025-12-01") == 1
    assert made_by(entry, "sport/2025-12-02") is None


def test_a_refusal_is_recorded_once_with_its_reason(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The made-up words are easy: no gate is too high for them.
    monkeypatch.setattr(Measure, "passes", lambda self, gate: False)
    lacks = Refusal(headline="recall 0.900 is below 1.000", points=("most are missed among ...",))
    monkeypatch.setattr("replacement.retrain.refusal", lambda report: lacks)
    entry = sport(tmp_path, topic_teacher, rounds=1)
    for _ in range(2):
        ended = retrain(entry, "night", who="scheduler", tell=silent)
        assert ended["outcome"] == "refused"
    (line,) = entry.history()
    assert (line["event"], line["version"], line["who"]) == ("refused", 1, "scheduler")
    assert line["why"] == "recall 0.900 is below 1.000"
    assert entry.current() is None


def test_the_process_tells_its_rounds_and_its_end(topic_teacher: Path, tmp_path: Path) -> None:
    sport(tmp_path, topic_teacher, gate=0.01)
    command = [sys.executable, "-m", "replacement.retrain", "--home", str(tmp_path), "--run", "r"]
    done = subprocess.run([*command, "--task", "sport"], capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["outcome"] == "promoted"
    assert [event["round"] for event in events if "round" in event] == [1]
    assert {"teacher: holdout", "round 1: training"} <= {event.get("what") for event in events}
    done = subprocess.run([*command, "--task", "nobody"], capture_output=True, text=True, check=True)
    assert "'nobody': not in this workspace" in json.loads(done.stdout)["reason"]


def test_a_familys_night_makes_and_decides_every_task_once(topic_teacher: Path, tmp_path: Path) -> None:
    today = f"{datetime.datetime.now():%A}".lower()
    entries = topics(tmp_path, topic_teacher, gate=0.01)
    lead = entries[0]
    lead.path.write_text(lead.path.read_text() + f'\n[retrain]\nat = 03:00:00\njoint = "{today}"\n')
    lead = Workspace(tmp_path).task(lead.name)
    for _ in range(2):  # a second attempt of the same run changes nothing
        event = retrain(lead, "night", who="tests", tell=silent)
        assert (event["outcome"], event["version"]) == ("promoted", 1)
        assert [entry.current() for entry in entries] == [1, 1, 1]
        assert [len(entry.history()) for entry in entries] == [1, 1, 1]
    other = Workspace(tmp_path).task(entries[1].name)
    event = retrain(other, "its own night", who="tests", tell=silent)
    assert event["version"] == 2
    assert entries[0].versions() == [1]


def test_a_familys_night_promotes_parents_first(topic_teacher: Path, tmp_path: Path) -> None:
    today = f"{datetime.datetime.now():%A}".lower()
    topics(tmp_path, topic_teacher, gate=0.01)
    lead = Workspace(tmp_path).task("tech")
    lead.path.write_text(lead.path.read_text() + f'\n[retrain]\nat = 03:00:00\njoint = "{today}"\n')
    sport, tech = (Workspace(tmp_path).task(name) for name in ("sport", "tech"))
    sport.path.write_text(f'depends_on = ["tech=no"]\n{sport.path.read_text()}')
    retrain(Workspace(tmp_path).task("tech"), "night", who="tests", tell=silent)
    assert (sport.current(), tech.current()) == (1, 1)
