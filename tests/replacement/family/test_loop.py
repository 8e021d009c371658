"""The loop of a family with real, tiny teachers."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from pingti.annotation import labels
from pingti.errors import InputError
from pingti.inference.classifier import Classifier
from pingti.workspace import promotion
from pingti.workspace.families import members_of
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.family.loop import replace_family
from replacement.results import Outcome, Round
from replacement.training.loop import replace
from replacement.training.teacher_labels import TeacherLabels
from tests.support.families import add_task, topics
from tests.support.teachers import write_bert, write_kinds
from tests.support.texts import WORDS, made_texts
from textcnn import Student, train
from textcnn.plain.artifact import LAYOUT


def students(entries: list[TaskEntry], outcomes: dict[str, Outcome]) -> dict[str, Student]:
    return {entry.name: Student.load(entry.student_folder(outcomes[entry.name].version)) for entry in entries}


def test_all_tasks_read_one_network_and_decide_as_their_teacher(topic_teacher: Path, tmp_path: Path) -> None:
    entries = topics(tmp_path, topic_teacher, gate=0.4)  # three classes from 200 short texts
    seen: list[dict[str, Round]] = []
    outcomes = replace_family(entries, announce=seen.append)
    assert [outcomes[entry.name].passed for entry in entries] == [True, True, True]
    assert set(seen[-1]) == {"sport", "tech", "topic"}
    read = students(entries, outcomes)
    assert len({student.network for student in read.values()}) == 1
    files = {(entry.student_folder(1) / LAYOUT.tensors).stat().st_ino for entry in entries}
    assert len(files) == 1
    texts, _ = made_texts(40, seed=9)
    of_topic = read["topic"].score(texts)
    np.testing.assert_allclose(read["sport"].score(texts)[:, 1], of_topic[:, 0], atol=1e-6)
    assert read["topic"].classes == ("sport", "tech", "other")
    report = outcomes["sport"].report
    assert report["subclasses"] == {"no": [["tech"], ["other"]], "yes": [["sport"]]}


def test_each_task_has_the_kind_of_student_that_it_asks_for(topic_teacher: Path, tmp_path: Path) -> None:
    sport, tech, topic = topics(tmp_path, topic_teacher, rounds=1)
    tech.path.write_text(tech.path.read_text().replace("[student]", '[student]\nkind = "ngram"'))
    outcomes = replace_family([Workspace(tmp_path).task(entry.name) for entry in (sport, tech, topic)])
    read = students([sport, tech, topic], outcomes)
    assert {name: student.kind for name, student in read.items()} == {
        "sport": "textcnn",
        "tech": "ngram",
        "topic": "textcnn",
    }
    assert read["sport"].network == read["topic"].network != read["tech"].network
    kept = [rung["kind"] for rung in outcomes["tech"].report["ladder"] if rung["kept"]]
    assert kept == ["ngram"]


def test_one_budget_serves_all_tasks(topic_teacher: Path, tmp_path: Path) -> None:
    entries = topics(tmp_path, topic_teacher, budget=250)
    outcomes = replace_family(entries)
    asked = {outcome.report["teacher"]["rows_asked"] for outcome in outcomes.values()}
    assert max(asked) <= 250
    # All tasks together cost the teacher no more than that.
    assert sum(outcome.report["teacher"]["rows_computed"] for outcome in outcomes.values()) <= 3 * 250
    computed = {outcome.report["teacher"]["rows_computed"] for outcome in outcomes.values()}
    assert max(computed) <= 250


def test_one_seed_gives_one_network(topic_teacher: Path, tmp_path: Path) -> None:
    folders = []
    for name in ("one", "other"):
        entries = topics(tmp_path / name, topic_teacher)
        outcomes = replace_family(entries, seed=3)
        folders.append([entry.student_folder(outcomes[entry.name].version) for entry in entries])
    for one, other in zip(*folders, strict=True):
        assert (one / LAYOUT.tensors).read_bytes() == (other / LAYOUT.tensors).read_bytes()


def test_the_holdout_is_never_learned_from_nor_validated_on(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, list[str]] = {}
    real = TeacherLabels.score

    def score(self: TeacherLabels, texts: list[str], what: str) -> Any:
        asked.setdefault(what, []).extend(texts)
        return real(self, texts, what)

    monkeypatch.setattr(TeacherLabels, "score", score)
    replace_family(topics(tmp_path, topic_teacher))
    holdout, validation, learned = (
        set(asked[f"teacher: {what}"]) for what in ("holdout", "validation", "rows to learn from")
    )
    assert holdout
    assert validation
    assert learned
    assert not (holdout & learned) | (holdout & validation) | (validation & learned)
    assert len(asked["teacher: rows to learn from"]) == len(learned)  # asked for once, not for each task
    assert holdout <= set(made_texts(600, seed=2)[0][480:])


def test_each_task_keeps_its_rules_and_peoples_labels(topic_teacher: Path, tmp_path: Path) -> None:
    entries = topics(tmp_path, topic_teacher)
    sport = entries[0]
    sport.path.write_text(
        sport.path.read_text().replace("[teacher]", '[rules]\nnegative = ["tennis"]\n\n[teacher]', 1)
    )
    text = next(text for text in made_texts(600, seed=2)[0][:400] if "goal" in text and "tennis" not in text)
    # Of a sports text a person says that it is tech.
    labels.add_records(entries[1], [("record 1", {"text": text, "label": "yes"})])
    learned: list[Any] = []
    real = train.train

    def recorded(encoded: Any, targets: Any, **more: Any) -> Any:
        learned.append((encoded, targets))
        return real(encoded, targets, **more)

    with mock.patch("textcnn.train.train", recorded):
        outcomes = replace_family(members_of(Workspace(tmp_path), "topics"))
    corpora = {name: outcome.report["corpus"] for name, outcome in outcomes.items()}
    assert corpora["sport"]["pool"] < corpora["tech"]["pool"]
    student = Student.load(entries[1].student_folder(1))
    ids = student.vocabulary.encode([text]).ids.tolist()
    encoded, targets = learned[-1]
    rows = [
        row
        for row in range(len(encoded))
        if encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]].tolist() == ids
    ]
    assert rows
    assert targets[rows[0]].argmax() == 1  # the column of tech


def test_true_labels_outside_the_corpus_measure_the_task_that_has_them(
    topic_teacher: Path, tmp_path: Path
) -> None:
    entries = topics(tmp_path, topic_teacher, budget=400)
    corpus = set(made_texts(600, seed=2)[0])
    outside = [text for text in dict.fromkeys(made_texts(25, seed=77)[0]) if text not in corpus]
    for entry, words in zip(entries[:2], (WORDS["sport"], WORDS["tech"]), strict=True):
        rows = [
            {"text": text, "label": "yes" if set(text.split()) & set(words) else "no"} for text in outside
        ]
        own = rows if entry.name == "sport" else rows[:10]
        (tmp_path / f"{entry.name}.jsonl").write_text("\n".join(map(json.dumps, own)))
        named = f'[gate]\nlabels = "../{entry.name}.jsonl"'
        entry.path.write_text(entry.path.read_text().replace("[gate]", named, 1))
    outcomes = replace_family(members_of(Workspace(tmp_path), "topics"))
    apart = {name: outcome.report["truth_apart"] for name, outcome in outcomes.items()}
    assert apart["topic"] is None
    sizes = {name: apart[name]["teacher"]["rows"] for name in ("sport", "tech")}
    assert sizes == {"sport": len(outside), "tech": 10}
    assert apart["sport"]["teacher"]["accuracy"] > 0.8
    assert not [n for o in outcomes.values() for n in o.report["notes"] if "are not used" in n]
    assert max(outcome.report["teacher"]["rows_computed"] for outcome in outcomes.values()) <= 400


def depending_on(entry: TaskEntry, *parents: str) -> None:
    entry.path.write_text(f"depends_on = {json.dumps(parents)}\n{entry.path.read_text()}")


def test_a_task_is_measured_where_the_runs_own_student_of_its_parent_decides(
    topic_teacher: Path, tmp_path: Path
) -> None:
    sport, tech, _ = topics(tmp_path, topic_teacher, gate=0.4)
    depending_on(tech, "sport=no")
    seen: list[dict[str, Round]] = []
    entries = members_of(Workspace(tmp_path), "topics")
    outcomes = replace_family(entries, announce=seen.append)
    # No promoted student, and yet as a job decides once both are promoted.
    for entry in (sport, tech):
        promotion.promote(entry, outcomes[entry.name].version, why="a test")
    texts = made_texts(600, seed=2)[0]
    decided = Classifier.of(Workspace(tmp_path), ["sport", "tech"]).classify(texts)
    asked = decided.column("tech").is_valid().to_pylist()
    assert asked == [label == "no" for label in decided.column("sport").to_pylist()]
    corpora = {name: outcome.report["corpus"] for name, outcome in outcomes.items()}
    assert corpora["tech"]["holdout"] == sum(asked[480:]) < corpora["sport"]["holdout"] == 120
    assert corpora["tech"]["not_asked"] == corpora["sport"]["pool"] + 120 - sum(
        corpora["tech"][part] for part in ("pool", "holdout")
    )
    figures = {name: outcome.report["holdout"]["rows"] for name, outcome in outcomes.items()}
    assert 0 < figures["tech"] < figures["sport"]
    assert all(rounds["tech"].holdout.rows < rounds["sport"].holdout.rows for rounds in seen)


def test_a_task_that_its_parents_new_student_leaves_nothing_is_refused_with_a_sentence(
    topic_teacher: Path, tmp_path: Path
) -> None:
    sport, tech, _ = topics(tmp_path, topic_teacher, gate=0.4, rounds=2)
    sport.path.write_text(
        sport.path.read_text().replace("[teacher]", '[rules]\nnegative = ["[aeiou]"]\n\n[teacher]', 1)
    )
    depending_on(tech, "sport=yes")
    with pytest.raises(InputError, match=r"rules and depends_on leave too few"):
        replace_family(members_of(Workspace(tmp_path), "topics"))
    sport.path.write_text(sport.path.read_text().replace("[aeiou]", "nothing like it"))
    none = mock.patch("replacement.family.parents.decided_by", return_value=np.zeros(600, np.int64))
    with none, pytest.raises(InputError, match=r"tech\.toml: depends_on: this run's students .* on 0 rows"):
        replace_family(members_of(Workspace(tmp_path), "topics"))
    assert [entry.versions() for entry in (sport, tech)] == [[], []]


def test_teachers_that_were_not_asked_teach_nothing(topic_teacher: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    write_bert(base, [word for words in WORDS.values() for word in words])
    kinds = write_kinds(tmp_path / "kinds", base)
    entries = [
        *topics(tmp_path, topic_teacher)[:1],
        add_task(tmp_path, "taste", kinds["multi_label"], asks='label = "taste"\n'),
        add_task(tmp_path, "price", kinds["multi_label"], asks='label = "price"\n'),
    ]
    with mock.patch("textcnn.train.train", wraps=train.train) as called:
        outcomes = replace_family(entries)
    targets = called.call_args.args[1]
    assert called.call_args.kwargs["tasks"] == [3, 2, 2]
    nan = np.isnan(targets)
    assert nan[:, 0].any()
    assert nan[:, 3].any()
    assert not nan.all(axis=1).any()
    np.testing.assert_array_equal(nan[:, 3], nan[:, 5])  # one teacher answers both
    read = students(entries, outcomes)
    assert [read[name].readout.group for name in ("sport", "taste", "price")] == [0, 1, 2]


def test_a_new_task_of_the_same_teacher_needs_no_training(topic_teacher: Path, tmp_path: Path) -> None:
    entries = topics(tmp_path, topic_teacher, gate=0.6)[:2]
    outcomes = replace_family(entries)
    for entry in entries:
        promotion.promote(entry, outcomes[entry.name].version, why="a test")
    third = add_task(
        tmp_path, "other", topic_teacher, asks='[teacher.map]\nother = "yes"\n"*" = "no"\n', gate=0.6
    )
    with mock.patch("textcnn.train.train") as never, mock.patch("textcnn.train.train_head") as nor:
        outcome = replace(third)
    assert outcome.passed
    assert not never.called
    assert not nor.called
    student = Student.load(third.student_folder(outcome.version))
    sibling = Student.load(entries[0].student_folder(1))
    assert student.trunk == sibling.trunk
    assert any("pingti replace --family topics" in note for note in outcome.report["notes"])


def test_a_task_of_a_new_teacher_gets_a_head_on_the_trunk(topic_teacher: Path, tmp_path: Path) -> None:
    entries = topics(tmp_path, topic_teacher, gate=0.6)[:2]
    outcomes = replace_family(entries)
    promotion.promote(entries[0], outcomes["sport"].version, why="a test")
    base = tmp_path / "base"
    write_bert(base, [word for words in WORDS.values() for word in words])
    kinds = write_kinds(tmp_path / "kinds", base)
    taste = add_task(tmp_path, "taste", kinds["multi_label"], asks='label = "taste"\n')
    with mock.patch("textcnn.train.train") as never:
        outcome = replace(taste)
    assert not never.called
    student = Student.load(taste.student_folder(outcome.version))
    sibling = Student.load(entries[0].student_folder(1))
    assert student.trunk == sibling.trunk
    assert student.network != sibling.network

    own = taste.path.read_text().replace("[student]", '[student]\ntrunk = "own"')
    taste.path.write_text(own)
    alone = replace(Workspace(tmp_path).task("taste"))
    assert Student.load(taste.student_folder(alone.version)).trunk != sibling.trunk


def test_the_task_whose_teacher_others_use_takes_their_trunk(topic_teacher: Path, tmp_path: Path) -> None:
    entries = topics(tmp_path, topic_teacher, gate=0.4)
    for entry in entries:
        text = entry.path.read_text().replace('family = "topics"\n', "")
        if entry.name != "topic":
            text = text.replace(f'model = "{topic_teacher}"', 'model = "task:topic"')
        entry.path.write_text(text)
    entries = members_of(Workspace(tmp_path), "topic")
    outcomes = replace_family(entries)
    promotion.promote(entries[0], outcomes["sport"].version, why="a test")
    (tmp_path / "tasks" / "broken.toml").write_text("another task's fault is none of this one's")
    with mock.patch("textcnn.train.train") as never:
        outcome = replace(Workspace(tmp_path).task("topic"))
    assert not never.called
    assert any("pingti replace --family topic " in note for note in outcome.report["notes"])
