import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pingti.corpus.rules import matches
from pingti.errors import ConflictError, InputError, NotFoundError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace
from textcnn import Student


def rows(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch(
        {"id": [f"r{i}" for i in range(len(texts))], "text": pa.array(texts, pa.large_string())}
    )


def choices(*names: str) -> list[Choice]:
    return [Choice.parse(name) for name in names]


def remake(workspace: Workspace, task: str, **metadata: object) -> None:
    """Give the promoted student of a task other metadata."""
    folder = workspace.task(task).student_folder(1)
    student = Student.load(folder)
    student.metadata.update(metadata)
    student.save(folder)


def test_every_task_gets_a_decision_and_a_score(workspace: Workspace, texts: list[str]) -> None:
    classifier = Classifier.load(workspace, pin(workspace, choices("sport", "topic")))
    result = classifier.classify(rows(texts))
    assert result.schema.names == ["id", "sport", "sport_score", "topic", "topic_score"]
    assert result.num_rows == len(texts)
    assert result["id"].to_pylist() == [f"r{i}" for i in range(len(texts))]
    sport = [label == "yes" for label in result["sport"].to_pylist()]
    assert sport == [label == "sport" for label in result["topic"].to_pylist()]
    assert 0.2 < sum(sport) / len(sport) < 0.5
    scores = result["sport_score"].to_pylist()
    assert sport == [score >= 0.5 for score in scores]


def test_the_operating_point_moves_the_threshold(workspace: Workspace, texts: list[str]) -> None:
    remake(workspace, "sport", thresholds={"default": 0.5, "never": 1.1})
    result = Classifier.load(workspace, pin(workspace, choices("sport@never"))).classify(rows(texts))
    assert set(result["sport"].to_pylist()) == {"no"}


def test_several_operating_points_of_a_task_have_columns_of_their_own(
    workspace: Workspace, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remake(workspace, "sport", thresholds={"default": 0.5, "never": 1.1, "ever": 0.0})
    loads: list[Path] = []
    real = Student.load.__func__
    monkeypatch.setattr(
        Student, "load", classmethod(lambda cls, folder: loads.append(folder) or real(cls, folder))
    )
    asked = ("sport@never", "topic", "sport", "sport@ever")
    pins = pin(workspace, choices(*asked))
    assert [own.name for own in pins] == ["sport@never", "sport", "sport@ever", "topic"]
    result = Classifier.load(workspace, pins).classify(rows(texts))
    assert len(loads) == 2  # a student is loaded once
    assert result.schema.names[1:3] == ["sport@never", "sport@never_score"]
    assert set(result["sport@never"].to_pylist()) == {"no"}
    assert set(result["sport@ever"].to_pylist()) == {"yes"}
    alone = Classifier.of(workspace, ["sport"]).classify(rows(texts))
    assert result["sport"].equals(alone["sport"])
    for name in ("sport", "sport@never", "sport@ever"):
        assert result[f"{name}_score"].equals(alone["sport_score"])
    # One point alone is named as the task, as ever.
    assert Classifier.of(workspace, ["sport@never"]).schema.names == ["id", "sport", "sport_score"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (["tech", "sport@never", "sport"], "yes"),
        (["sport@never", "tech", "sport"], "yes"),
        (["tech", "sport@never"], None),
        (["sport@never", "sport@ever", "tech"], None),
        (["sport@ever", "sport@never", "tech"], "yes"),
    ],
)
def test_the_default_point_or_the_first_one_decides_for_dependent_tasks(
    workspace: Workspace, asked: list[str], wanted: str | None
) -> None:
    remake(workspace, "sport", thresholds={"default": 0.0, "never": 1.1, "ever": 0.0})
    remake(workspace, "tech", depends_on=["sport=yes"])
    result = Classifier.of(workspace, asked).classify(rows(["software chip browser server"]))
    assert result["tech"].to_pylist() == [wanted]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("a", Choice(task="a")),
        ("a@live", Choice(task="a", scene="live")),
        ("a#12", Choice(task="a", version=12)),
        ("a@live#3", Choice(task="a", scene="live", version=3)),
    ],
)
def test_how_a_task_is_named(text: str, choice: Choice) -> None:
    assert Choice.parse(text) == choice


@pytest.mark.parametrize("text", ["", "@a", "a@", "a#", "a#0", "a#x", "a#-1", "#1", "a@#1", "a#1#2", "a#1@b"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match='needed is "task" or "task@scene"'):
        Choice.parse(text)


def test_rules_decide_before_the_student(workspace: Workspace) -> None:
    remake(workspace, "sport", rules={"drop": [r"^\s*$"], "negative": [r"^(\[[^\]]+\])+$"]})
    batch = rows(["goal match team coach", "  ", "[goal][match]", "[goal] match team league"])
    result = Classifier.load(workspace, pin(workspace, choices("sport"))).classify(batch)
    assert result["sport"].to_pylist() == ["yes", None, "no", "yes"]
    assert result["sport_score"].to_pylist()[1:3] == [None, 0.0]


def test_a_dependent_task_is_asked_only_where_its_parent_holds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    remake(workspace, "tech", depends_on=["topic=tech"])
    pins = pin(workspace, choices("tech"))
    assert [(pinned.task, pinned.hidden) for pinned in pins] == [("topic", True), ("tech", False)]
    batch = rows(["software chip browser server", "goal match team coach"])
    scored: list[str] = []
    real = Student.score

    def score(student: Student, texts: pa.Array) -> object:
        scored.extend(texts.to_pylist())
        return real(student, texts)

    monkeypatch.setattr(Student, "score", score)
    result = Classifier.load(workspace, pins).classify(batch)
    assert scored == ["software chip browser server"]
    assert result.schema.names == ["id", "tech", "tech_score"]
    assert result["tech"].to_pylist() == ["yes", None]
    assert result["tech_score"].to_pylist()[1] is None


def test_dependencies_in_a_circle_are_refused(workspace: Workspace) -> None:
    remake(workspace, "tech", depends_on=["sport=yes"])
    remake(workspace, "sport", depends_on=["tech=yes"])
    with pytest.raises(ConflictError, match="circle: sport -> tech -> sport"):
        pin(workspace, choices("sport"))


def test_a_dependency_on_a_class_that_is_not_there_is_refused(workspace: Workspace) -> None:
    remake(workspace, "tech", depends_on=["topic=weather"])
    with pytest.raises(ConflictError, match="classes of 'topic' are sport, tech, other"):
        pin(workspace, choices("tech"))


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["nosuch"], NotFoundError, "there are: id, sport, sport_score, tech, topic"),
        (["../sport"], NotFoundError, "not in this workspace"),
        (["sport", "sport"], InputError, "'sport' is there twice"),
        ([], InputError, "at least one"),
        (["sport@strict", "sport@strict"], InputError, "'sport@strict' is there twice"),
        (["sport#1", "topic", "sport@default"], InputError, "'sport' is there twice"),
        (["sport@live"], ConflictError, "it has: default, strict"),
        (["sport@"], InputError, "task@scene"),
        (["sport", "sport_score"], InputError, "two columns of the results would be named 'sport_score'"),
        (["id"], InputError, "two columns of the results would be named 'id'"),
    ],
)
def test_what_cannot_be_pinned_is_said(
    workspace: Workspace, names: list[str], error: type[Exception], message: str
) -> None:
    for name in ("id", "sport_score"):
        shutil.copytree(workspace.task("sport").folder, workspace.tasks / name)
        shutil.copy(workspace.task("sport").path, workspace.tasks / f"{name}.toml")
    with pytest.raises(error, match=message):
        pin(workspace, choices(*names))


def test_a_version_that_is_not_there_and_a_task_without_one(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="no version 7; there are: 1"):
        pin(workspace, [Choice(task="sport", version=7)])
    (workspace.task("sport").folder / "current").unlink()
    with pytest.raises(ConflictError, match="no student is promoted yet: version 1 is there but"):
        pin(workspace, choices("sport"))
    shutil.rmtree(workspace.task("sport").folder)
    with pytest.raises(ConflictError, match="promoted yet; pingti replace sport makes one"):
        pin(workspace, choices("sport"))


def test_no_rows_give_no_rows(workspace: Workspace) -> None:
    classifier = Classifier.load(workspace, pin(workspace, choices("sport")))
    result = classifier.classify(rows([]))
    assert result.num_rows == 0
    assert result.schema == classifier.schema


def test_patterns_are_searched_anywhere_and_a_null_matches_nothing() -> None:
    matched = matches(pa.array(["abc", None, "xbx", "y"]), ["b", "^y$"])
    assert matched.tolist() == [True, False, True, True]


def test_a_scene_that_was_refused_says_why(workspace: Workspace) -> None:
    entry = workspace.task("sport")
    student = Student.load(entry.student_folder(1))
    why = "no threshold reaches precision 0.999; the nearest is 0.950, with recall 0.100 at 0.9100"
    student.metadata.update(version=2, refused={"dream": why})
    student.save(entry.folder / "students" / "2")
    with pytest.raises(
        ConflictError, match=r"version 2 has no operating point 'dream' \(no threshold reaches .*; it has"
    ):
        pin(workspace, [Choice(task="sport", scene="dream", version=2)])
    with pytest.raises(
        ConflictError, match=r"version 1 has no operating point 'dream'; it has: default, strict"
    ):
        pin(workspace, [Choice(task="sport", scene="dream", version=1)])
