"""A transformer student of a task: trained on the rounds' rows, beside the teacher it imitates."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pingti.errors import UnavailableError
from pingti.students import load_student
from pingti.workspace.chinese import translated
from pingti.workspace.registry import TaskEntry
from replacement.kinds.transformer import epochs_of, missing, train
from replacement.training.dataset import prepare_dataset
from replacement.training.loop import ask_first_rows, ask_measuring_rows, replace
from replacement.training.people_labels import read_people_labels
from replacement.training.rounds.state import Asked, Setup
from replacement.training.teacher_labels import load_teacher
from tests.support.teachers import sport
from tests.support.transformers import needs_runtime


def prepared(entry: TaskEntry, **more: Any) -> Setup:
    people = read_people_labels(entry)
    return Setup(
        entry=entry,
        seed=0,
        progress=lambda what, done, total: None,
        dataset=prepare_dataset(entry, people),
        teacher=load_teacher(entry, people, seed=0),
        embedding=None,
        **more,
    )


def asked_of(setup: Setup) -> Asked:
    return ask_first_rows(setup, ask_measuring_rows(setup, {}), {})


def with_section(entry: TaskEntry, section: str) -> TaskEntry:
    text = entry.path.read_text().replace("[gate]", f"[student.transformer]\n{section}\n\n[gate]")
    entry.path.write_text(text)
    return entry.workspace.task(entry.name)


def test_it_decides_as_the_teacher_and_one_seed_gives_one_student(
    topic_teacher: Path, tmp_path: Path
) -> None:
    needs_runtime()
    entry = with_section(sport(tmp_path / "home", topic_teacher), "layers = 1\nepochs = 8")
    setup = prepared(entry)
    asked = asked_of(setup)
    student = train(setup, asked, None)  # type: ignore[arg-type]
    assert (student.kind, student.classes, student.max_length) == ("transformer", ("no", "yes"), 64)
    assert student.shape.layers == 1
    held = setup.dataset.texts.take(pa.array(asked.holdout.rows))
    agreed = student.score(held).argmax(axis=1) == asked.holdout.answers.decided
    assert agreed.mean() > 0.9
    assert student.metadata["transformer"]["decisions_equal_to_float32"] > 0.9
    again = train(setup, asked, None)  # type: ignore[arg-type]
    assert again.model == student.model


def test_a_run_keeps_it_beside_the_rounds_student(topic_teacher: Path, tmp_path: Path) -> None:
    needs_runtime()
    entry = with_section(sport(tmp_path / "home", topic_teacher, rounds=1), "layers = 1\nepochs = 8")
    entry.path.write_text(entry.path.read_text().replace("[student]", '[student]\nkind = "transformer"'))
    outcome = replace(entry.workspace.task("sport"))
    first, second = outcome.report["ladder"]
    assert (first["kind"], first["kept"], first["note"]) == ("textcnn", False, "")
    assert (second["kind"], second["kept"]) == ("transformer", True)
    assert "it decides as the same in float32 on" in second["note"]
    assert re.findall("[A-Za-z]{3,}", translated(second["note"])) == ["int", "float"]
    assert second["f1"] > 0.9
    student = load_student(entry.student_folder(outcome.version))
    assert (student.kind, student.metadata["version"]) == ("transformer", outcome.version)


def test_a_checkpoint_takes_the_teachers_place_at_the_start(
    topic_teacher: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    needs_runtime()
    section = f'checkpoint = "{tiny_bert}"\nepochs = 1\nmax_length = 16'
    setup = prepared(with_section(sport(tmp_path / "home", topic_teacher), section))
    student = train(setup, asked_of(setup), None)  # type: ignore[arg-type]
    assert student.metadata["transformer"]["cut_from"] == tiny_bert.name
    assert student.max_length == 16
    assert np.isfinite(student.score(["a goal"])).all()


def test_what_is_missing_is_told_before_anything_is_trained(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_runtime()
    entry = with_section(sport(tmp_path / "home", topic_teacher), "layers = 48")
    setup = prepared(entry)
    assert missing(setup).startswith("student.transformer.layers is 48, and the model")
    with pytest.raises(UnavailableError, match=r"a transformer student: student\.transformer\.layers is 48"):
        train(setup, asked_of(setup), None)  # type: ignore[arg-type]
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else find(name, *more)
    )
    assert missing(setup).startswith("it needs the package onnx: install Pingti with its extra 'transformer'")


def test_a_checkpoint_that_is_not_there_is_named(topic_teacher: Path, tmp_path: Path) -> None:
    needs_runtime()
    entry = with_section(sport(tmp_path / "home", topic_teacher), 'checkpoint = "../nowhere"')
    assert "nowhere: there is no such folder" in missing(prepared(entry))


def test_few_rows_are_passed_over_oftener() -> None:
    assert epochs_of(13_000, 32) == 6
    assert epochs_of(3_750, 32) == 13
    assert epochs_of(100, 32) == 40
