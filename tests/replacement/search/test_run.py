"""The search of a real task: rows that are there, shapes that are trained, and a second call that goes on."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from pingti.errors import ConflictError, NotFoundError
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.search import halving, trials
from replacement.search.material import read_material
from replacement.search.run import price, search
from replacement.training.loop import replace
from replacement.training.rounds import students
from tests.support.teachers import sport
from textcnn import Student


@pytest.fixture(scope="module")
def replaced(topic_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> TaskEntry:
    """A task with one version, that is not promoted."""
    entry = sport(tmp_path_factory.mktemp("searched") / "workspace", topic_teacher, budget=600, rounds=2)
    replace(entry)
    return entry


@pytest.fixture
def entry(replaced: TaskEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskEntry:
    """The same in a workspace of its own, with few trainings, and a teacher that may not be asked."""
    from teacher.cache import CachedTeacher

    def refuse(*_: Any) -> None:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(CachedTeacher, "_compute", refuse)
    few = tuple(dataclasses.replace(rung, most=4 - number) for number, rung in enumerate(halving.RUNGS))
    monkeypatch.setattr(halving, "RUNGS", few)
    # Of trainings this short the first takes longest, whatever its shape.
    monkeypatch.setattr(halving, "MOST_BY_THE_CLOCK", math.inf)
    root = tmp_path / "workspace"
    shutil.copytree(replaced.workspace.root, root)
    return Workspace(root).task("sport")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_search_measures_shapes_and_asks_the_teacher_nothing(entry: TaskEntry) -> None:
    searched = search(entry, compute=9.0)
    assert (searched.task, searched.version) == ("sport", 1)
    assert searched.trained == (4, 3, 2)
    assert 1.5 < searched.compute <= 9.0
    default, *others = searched.points
    assert default.cost == 1.0
    assert default.error == 0.0
    assert others
    assert default.shape.filters == entry.definition.student.filters
    assert all(0 < point.cost <= 4 and 0 <= point.f1 <= 1 for point in searched.points)
    assert all(point.texts_per_second > 0 and point.bytes > 0 for point in searched.points)
    assert any(point.on_front for point in searched.points)
    assert Path(searched.picture).read_text().startswith("<svg")
    # The version's own rows, those that it learned from and those that chose, and no holdout.
    rows = json.loads((entry.student_folder(1) / "rows.json").read_text())
    assert searched.rows == len(rows["keys"])
    assert searched.validation_rows == len(rows["validation"]["keys"])


def test_a_seed_gives_one_search_and_a_second_call_trains_nothing(
    entry: TaskEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(searched: Any) -> list[Any]:
        return [(point.shape, point.f1, point.error, point.cost) for point in searched.points]

    first = search(entry, seed=5)
    journal = entry.folder / "search" / "1-5.jsonl"
    measured = lines_of(journal)
    journal.unlink()
    again = search(entry, seed=5)
    assert kept(again) == kept(first)
    alike = [{**line, "seconds": 0} for line in measured]
    assert [{**line, "seconds": 0} for line in lines_of(journal)] == alike

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(trials, "train_on", refuse)
    third = search(entry, seed=5)
    assert dataclasses.replace(third, points=()) == dataclasses.replace(again, points=())
    assert kept(third) == kept(first)


def test_an_interrupted_search_goes_on(entry: TaskEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = search(entry)
    journal = entry.folder / "search" / "1-0.jsonl"
    every = lines_of(journal)
    # As a kill leaves it: some trials, and a line that broke off; and lines that are no trials.
    some = [*journal.read_text().splitlines()[:4], "[1]", '{"a": 1}']
    journal.write_text("\n".join(some) + '\n{"shape": {"embed')
    trained: list[int] = []
    original = students.train_on

    def counted(*positional: Any, **named: Any) -> Student:
        trained.append(1)
        return original(*positional, **named)

    monkeypatch.setattr(trials, "train_on", counted)
    resumed = search(entry)
    assert len(trained) == len(every) - 4
    assert [point.f1 for point in resumed.points] == [point.f1 for point in whole.points]


def test_other_rows_begin_a_search_anew(entry: TaskEntry) -> None:
    search(entry)
    journal = entry.folder / "search" / "1-0.jsonl"
    head = lines_of(journal)[0]
    path = entry.student_folder(1) / "rows.json"
    rows = json.loads(path.read_text())
    rows["keys"] = rows["keys"][:-20]
    path.write_text(json.dumps(rows))
    searched = search(entry)
    lines = lines_of(journal)
    assert lines[0] != head
    assert len(lines) == 1 + sum(searched.trained)


def test_the_count_of_operations_is_that_of_the_students(entry: TaskEntry) -> None:
    material = read_material(entry, seed=0)
    prices = price(material)
    assert prices.training[0] == 1.0
    assert (prices.operations <= 4.001 * prices.operations[0]).all()
    for place in (0, len(prices.shapes) // 2, len(prices.shapes) - 1):
        shape = prices.shapes[place]
        setup, subclasses = material.setup_of(shape), material.subclasses(shape.subclasses)
        training = material.asked.training
        student = students.train_on(
            setup,
            training.rows[:40],
            subclasses.targets(training.answers.labels[:40]),
            subclasses,
            "test",
            shape.section(entry.definition.student),
        )
        tokens = material.tokens(shape.vocabulary)
        counted = student.cost(tokens).operations
        # Filters are stored in whole vectors, which the count of the search has in it.
        assert counted <= prices.operations[place] * (1 + 1e-9)
        assert len(student.folded.step) == len(shape.widths) * shape.folded.filters


def test_a_task_without_a_version_is_refused(entry: TaskEntry) -> None:
    shutil.rmtree(entry.folder / "students")
    with pytest.raises(NotFoundError, match="no version yet; pingti replace sport makes one"):
        search(entry)


def test_a_version_whose_rows_are_gone_is_refused(entry: TaskEntry) -> None:
    (entry.student_folder(1) / "rows.json").unlink()
    with pytest.raises(ConflictError, match="of version 1 0 rows to learn from and 0 validation rows"):
        search(entry)


def test_a_version_of_other_classes_is_refused(entry: TaskEntry) -> None:
    text = entry.path.read_text().replace('classes = ["no", "yes"]', 'classes = ["nay", "yes"]')
    changed = entry.workspace.add_task("sport", text.replace('"*" = "no"', '"*" = "nay"'))
    with pytest.raises(ConflictError, match="version 1 has the classes no, yes, and the definition others"):
        search(changed)


@pytest.mark.parametrize("kind", ["ngram", "transformer"])
def test_a_student_that_is_no_network_is_refused(entry: TaskEntry, kind: str) -> None:
    assert "[student]\n" in entry.path.read_text()
    text = entry.path.read_text().replace("[student]\n", f'[student]\nkind = "{kind}"\n')
    changed = entry.workspace.add_task("sport", text)
    with pytest.raises(ConflictError, match=f'student.kind is "{kind}", and what is searched is the shape'):
        search(changed)
