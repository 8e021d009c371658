"""What a family's tasks have in common, and what is each one's own, before the first round."""

from pathlib import Path

import numpy as np
import pytest

from pingti.errors import ConflictError, DefinitionError, InputError
from pingti.workspace.families import members_of
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.family.loop import replace_family
from replacement.family.prepare import Member, prepare_members
from replacement.progress import quiet
from tests.support.families import topics


def answered(texts: list[str]) -> np.ndarray:
    """Of each text: the first label .9, the second .1."""
    return np.tile(np.float32([0.9, 0.1]), (len(texts), 1))


def of_function(root: Path) -> list[TaskEntry]:
    """Sport and tech, for which a function answers."""
    entries = topics(root, Path("python:mine"))
    entries[2].path.unlink()
    for entry in entries[:2]:
        text = entry.path.read_text()
        mapped = text[text.index("[teacher.map]") : text.index("[student]")]
        entry.path.write_text(text.replace(mapped, ""))
    return entries[:2]


def prepared(root: Path) -> list[Member]:
    entries = members_of(Workspace(root), "topics")
    return prepare_members(entries, "topics", seed=0, progress=quiet, device=None, function=answered)


def test_outputs_in_the_order_of_other_classes_are_anothers(tmp_path: Path) -> None:
    sport, tech = of_function(tmp_path)
    tech.path.write_text(tech.path.read_text().replace('["no", "yes"]', '["yes", "no"]'))
    members = prepared(tmp_path)
    labels = [member.setup.teacher.labels for member in members]
    assert labels == [("no", "yes"), ("yes", "no")]
    # Each alone says its own first class.
    for member in members:
        assert member.setup.teacher.ask(["goal"], "a test").decided.tolist() == [0]
    assert sport.definition.classes != Workspace(tmp_path).task("tech").definition.classes


def test_the_task_that_its_rules_leave_nothing_is_named(tmp_path: Path) -> None:
    _, tech = of_function(tmp_path)
    rules = '[rules]\nnegative = ["."]\n\n'
    tech.path.write_text(tech.path.read_text().replace("[teacher]", f"{rules}[teacher]"))
    with pytest.raises(InputError, match=r"tech\.toml: rules and depends_on leave too few .* 0 rows"):
        prepared(tmp_path)


def test_a_budget_that_a_larger_one_outdoes_is_told(tmp_path: Path) -> None:
    _, tech = of_function(tmp_path)
    tech.path.write_text(tech.path.read_text().replace("budget = 300", "budget = 100"))
    notes = [member.setup.notes for member in prepared(tmp_path)]
    assert not any("teacher.budget" in note for note in notes[0])
    assert [note for note in notes[1] if note.startswith("teacher.budget: 100, but ")]
    assert any("300 rows, as sport.toml says" in note for note in notes[1])


def test_a_table_of_its_own_is_not_to_be_had(tmp_path: Path) -> None:
    _, tech = of_function(tmp_path)
    tech.path.write_text(tech.path.read_text().replace("[student]", '[student]\ntable = "int8"'))
    notes = [member.setup.notes for member in prepared(tmp_path)]
    assert not any("student.table" in note for note in notes[0])
    assert any('student.table: "int8" is not to be had' in note for note in notes[1])


def test_a_member_without_a_student_is_awaited_by_the_task_that_depends_on_it(tmp_path: Path) -> None:
    _, tech = of_function(tmp_path)
    tech.path.write_text(f'depends_on = ["sport=no"]\n{tech.path.read_text()}')
    members = prepared(tmp_path)
    assert [member.awaited for member in members] == [(), ("sport=no",)]
    assert any(
        note.startswith("depends_on: no student is promoted that decides sport=no, so this run's own")
        for note in members[1].setup.notes
    )
    assert not any("depends_on" in note for note in members[0].setup.notes)


def test_a_parent_without_a_student_that_is_no_member_is_told_of_the_task_that_needs_it(
    tmp_path: Path,
) -> None:
    sport, tech = of_function(tmp_path)
    Workspace(tmp_path).add_task("news", sport.path.read_text().replace('family = "topics"\n', ""))
    tech.path.write_text(f'depends_on = ["news=no"]\n{tech.path.read_text()}')
    with pytest.raises(ConflictError, match=r"tech\.toml: depends_on: task 'news': no student is promoted"):
        prepared(tmp_path)


def test_members_that_depend_on_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    for entry, parent in zip(of_function(tmp_path), ("tech", "sport"), strict=True):
        entry.path.write_text(f'depends_on = ["{parent}=no"]\n{entry.path.read_text()}')
    entries = members_of(Workspace(tmp_path), "topics")
    asked: list[str] = []

    def recorded(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return answered(texts)

    with pytest.raises(DefinitionError, match=r"depends_on: a circle: sport -> tech -> sport;"):
        replace_family(entries, function=recorded)
    assert not asked
