"""The loop with a real teacher, a tiny one that is fine-tuned on made-up words."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from pingti.annotation import labels
from pingti.errors import InputError
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.evaluation.metrics import Measure
from replacement.results import Round, StopReason
from replacement.training.acquisition import KINDS
from replacement.training.loop import replace
from replacement.training.teacher_labels import TeacherLabels
from tests.support.teachers import (
    DEFINITION,
    corpus_file,
    folder_bytes,
    make_teacher,
    sport,
    write_bert,
)
from tests.support.texts import WORDS, made_texts
from textcnn import Student, train


def test_one_seed_gives_one_student_and_a_kill_changes_nothing(topic_teacher: Path, tmp_path: Path) -> None:
    whole = sport(tmp_path / "whole", topic_teacher)
    expected = replace(whole, seed=3)

    class Killed(BaseException):
        pass

    def stop(result: Round) -> None:
        if result.round == 1:
            raise Killed

    killed = sport(tmp_path / "killed", topic_teacher)
    with pytest.raises(Killed):
        replace(killed, seed=3, announce=stop)
    assert killed.versions() == []
    outcome = replace(killed, seed=3)
    assert outcome.rounds == expected.rounds
    assert folder_bytes(outcome, killed) == folder_bytes(expected, whole)
    assert (killed.folder / "review.jsonl").read_bytes() == (whole.folder / "review.jsonl").read_bytes()
    # The answers paid for before the kill were not paid for again.
    computed = outcome.report["teacher"]["rows_computed"]
    assert 0 < computed < expected.report["teacher"]["rows_computed"]

    other = replace(whole, seed=4)
    assert other.version == 2
    assert other.rounds != expected.rounds
    assert other.report["teacher"]["rows_computed"] > 0


@pytest.mark.parametrize("budget", [100, 127, 300, 5000])
def test_the_teacher_is_never_asked_about_more_rows_than_the_budget(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    entry = sport(tmp_path, topic_teacher, budget=budget)
    monkeypatch.setattr(Measure, "passes", lambda self, gate: False)  # go on as long as rows are left
    outcome = replace(entry)
    assert all(result.asked <= budget for result in outcome.rounds)
    assert outcome.report["teacher"]["rows_computed"] <= outcome.rounds[-1].asked
    for result in outcome.rounds[1:]:
        assert result.rows + result.boundary <= budget
    if budget == 5000:
        assert outcome.stopped == StopReason.POOL_USED_UP
        assert outcome.report["stopped"] == "the pool is used up"


@pytest.mark.parametrize(("rounds", "labelled", "chosen"), [(3, 100, 100), (1, 150, 0)])
def test_labelled_rows_leave_the_rounds_half_of_what_measuring_left(
    topic_teacher: Path, tmp_path: Path, rounds: int, labelled: int, chosen: int
) -> None:
    entry = sport(tmp_path, topic_teacher, budget=300, rounds=rounds)
    texts, topics = made_texts(150, seed=5)
    rows = [
        {"text": f"{text} {number}", "label": "yes" if topic == "sport" else "no"}
        for number, (text, topic) in enumerate(zip(texts, topics, strict=True))
    ]
    (tmp_path / "seed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    keys = '[teacher]\nlabels = "../seed.jsonl"\nfine_tune = false'
    entry.path.write_text(entry.path.read_text().replace("[teacher]", keys, 1))
    outcome = replace(Workspace(tmp_path).task("sport"))
    assert outcome.rounds[0].added == {"labelled": labelled}
    assert sum(sum(result.added.values()) for result in outcome.rounds[1:]) == chosen
    assert outcome.rounds[-1].asked == 100 + labelled + chosen  # 100 measure


def test_the_holdout_is_never_learned_from_nor_validated_on(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, list[str]] = {}
    real = TeacherLabels.ask

    def ask(self: TeacherLabels, texts: list[str], what: str) -> Any:
        asked.setdefault(what, []).extend(texts)
        return real(self, texts, what)

    monkeypatch.setattr(TeacherLabels, "ask", ask)
    outcome = replace(sport(tmp_path, topic_teacher))
    holdout, validation, learned = (
        asked[f"teacher: {what}"] for what in ("holdout", "validation", "rows to learn from")
    )
    assert (len(holdout), len(validation)) == (60, 40)
    assert len(learned) == len(set(learned)) == outcome.rounds[-1].asked - 100
    assert not set(holdout) & set(learned)
    assert not set(holdout) & set(validation)
    assert not set(validation) & set(learned)
    newest = set(made_texts(600, seed=2)[0][480:])
    assert set(holdout) <= newest
    assert not newest & (set(learned) | set(validation))


def unsure(root: Path, *, learning_rate: float = 1e-3, rows: int = 45, **changes: Any) -> TaskEntry:
    """The sport task of a teacher that is unsure of many texts, which students are trained without."""
    entry = sport(root, make_teacher(root, learning_rate=learning_rate, rows=rows), **changes)
    entry.path.write_text(entry.path.read_text().replace("[teacher]", '[teacher]\nboundary = "leave"', 1))
    return Workspace(root).task("sport")


def test_boundary_rows_are_written_for_a_person_and_learned_from(tmp_path: Path) -> None:
    entry = sport(tmp_path, make_teacher(tmp_path, learning_rate=1e-3, rows=45), margin=0.4)
    with mock.patch("textcnn.train.train", wraps=train.train) as called:
        outcome = replace(entry)
    last = outcome.rounds[-1]
    lines = [json.loads(line) for line in (entry.folder / "review.jsonl").read_text().splitlines()]
    assert 0 < len(lines) == outcome.report["boundary_rows"]
    assert (last.boundary, last.rows) == (0, sum(sum(result.added.values()) for result in outcome.rounds))
    rows = [len(call.args[0]) for call in called.call_args_list]
    assert last.rows in rows
    # They are learned as the teacher sees them, unsure.
    targets = called.call_args_list[len(outcome.rounds) - 1].args[1]
    yes = targets[:, 2]
    assert (np.abs(2 * yes - 1) < 0.4).sum() == len(lines)


def test_boundary_rows_may_be_left_out(tmp_path: Path) -> None:
    entry = unsure(tmp_path, margin=0.4)
    outcome = replace(entry)
    last = outcome.rounds[-1]
    lines = [json.loads(line) for line in (entry.folder / "review.jsonl").read_text().splitlines()]
    assert 0 < last.boundary == len(lines) == outcome.report["boundary_rows"]
    assert last.rows + last.boundary == sum(sum(result.added.values()) for result in outcome.rounds)
    margins = [abs(line["teacher"]["yes"] - line["teacher"]["no"]) for line in lines]
    assert all(margin < 0.4001 for margin in margins)
    assert margins == sorted(margins)
    texts = made_texts(600, seed=2)[0]
    assert all(texts[int(line["id"][1:])] == line["text"] for line in lines)
    assert all("below 0.4" in line["reason"] for line in lines)
    # Nobody learned them, so none of them was learned badly.
    learned = {row["text"] for row in outcome.report["losses"]}
    assert learned
    assert learned.isdisjoint(line["text"] for line in lines)


def test_a_margin_that_leaves_nothing_is_said(tmp_path: Path) -> None:
    entry = unsure(tmp_path, learning_rate=1e-8, rows=21, margin=0.49, rounds=20)
    with pytest.raises(InputError, match=r"sport\.toml: teacher\.margin: .* nothing is left to learn from"):
        replace(entry)


def test_the_student_learns_the_teachers_labels_within_the_classes(
    topic_teacher: Path, tmp_path: Path
) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1)
    outcome = replace(entry)
    student = Student.load(entry.student_folder(outcome.version))
    assert outcome.report["subclasses"] == {"no": [["tech"], ["other"]], "yes": [["sport"]]}
    # Two of its network's columns are a no.
    assert (student.classes, student.readout.class_of) == (("no", "yes"), (0, 0, 1))
    apart = entry.path.read_text().replace("[student]", "[student]\nsubclasses = 0")
    entry.path.write_text(apart)
    outcome = replace(entry.workspace.task("sport"))
    assert outcome.report["subclasses"] == {"no": [["tech", "other"]], "yes": [["sport"]]}
    assert Student.load(entry.student_folder(outcome.version)).readout.class_of == (0, 1)


def test_it_stops_at_the_gate_and_keeps_what_reached_it(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01)
    outcome = replace(entry)
    assert (outcome.passed, outcome.stopped, len(outcome.rounds)) == (True, StopReason.GATE_REACHED, 1)
    assert outcome.report["stopped"] == "the gate is reached"
    assert entry.current() is None  # a run makes a version; promotion is another's decision
    assert entry.versions() == [1]


def test_a_small_holdout_is_told_before_the_budget_is_spent(topic_teacher: Path, tmp_path: Path) -> None:
    done: list[str] = []
    outcome = replace(sport(tmp_path, topic_teacher, gate=0.01), progress=lambda what, *_: done.append(what))
    (note,) = (what for what in done if what.startswith("the holdout has only"))
    assert done.index(note) < done.index("teacher: rows to learn from")
    assert note in outcome.report["notes"]


def test_a_candidate_is_held_against_the_promoted_version(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01)
    first = replace(entry, seed=2)
    assert first.report["gate"]["incumbent"] is None
    promotion.promote(entry, 1, who="tests", why="passed")
    second = replace(entry, seed=2)
    incumbent = second.report["gate"]["incumbent"]
    assert incumbent["version"] == 1
    assert incumbent["holdout"] == first.report["holdout"]
    # It has the rows of its predecessor and some more: there is little between them.
    low, high = incumbent["interval"]
    assert low <= 0.0 <= high
    assert second.passed


def test_it_stops_at_the_limit_keeps_the_best_and_is_refused(topic_teacher: Path, tmp_path: Path) -> None:
    outcome = replace(sport(tmp_path, topic_teacher, rounds=2))
    assert (outcome.passed, outcome.stopped) == (False, StopReason.ROUND_LIMIT)
    assert outcome.report["stopped"] == "the limit of 2 rounds is reached"
    reached = [result.validation.f1 for result in outcome.rounds]
    alike = [number for number, f1 in enumerate(reached, 1) if f1 >= max(reached) - 0.02]
    assert outcome.best.round == alike[-1]


def test_the_kept_student_measures_as_its_report_says(topic_teacher: Path, tmp_path: Path) -> None:
    from teacher.bert import Teacher

    entry = sport(tmp_path, topic_teacher, budget=600)
    outcome = replace(entry)
    student = Student.load(entry.student_folder(1))
    texts = made_texts(600, seed=2)[0]
    newest = sorted(set(range(480, 600)) - {i for i in range(480) if texts[i] in texts[480:]})
    labelled = (
        Teacher.load(str(topic_teacher)).score([texts[i] for i in newest]).probabilities.argmax(axis=1) == 0
    )
    called = (
        student.score([texts[i] for i in newest])[:, 1] >= outcome.report["scenes"]["default"]["threshold"]
    )
    # The report measured half of these rows.
    assert abs((labelled == called).mean() - outcome.report["holdout"]["accuracy"]) < 0.1
    assert outcome.report["holdout"]["rows"] == 60
    assert json.loads((entry.student_folder(1) / "report.json").read_text()) == json.loads(
        json.dumps(outcome.report)
    )


def test_rows_are_added_for_the_reasons_that_the_errors_give(topic_teacher: Path, tmp_path: Path) -> None:
    outcome = replace(sport(tmp_path, topic_teacher))
    assert outcome.rounds[0].added.keys() == {"random"}
    for result in outcome.rounds[1:]:
        assert set(result.added) == set(KINDS)
        assert sum(result.added.values()) > 0
        assert {kind: of_kind.rows for kind, of_kind in result.yields.items()} == {
            kind: rows for kind, rows in result.added.items() if rows
        }
        assert all(
            of_kind.errors <= of_kind.rows and of_kind.positives <= of_kind.rows
            for of_kind in result.yields.values()
        )
    assert outcome.rounds[-1].rows > outcome.rounds[0].rows


def test_rounds_that_bring_nothing_end_the_loop(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Measure, "passes", lambda self, gate: False)
    outcome = replace(sport(tmp_path, topic_teacher, rounds=12, budget=600))
    f1s = [result.validation.f1 for result in outcome.rounds]
    assert outcome.stopped == StopReason.NO_PROGRESS
    assert outcome.report["stopped"] == "3 rounds in a row brought nothing"
    assert max(f1s[-3:]) <= max(f1s[:-3])
    assert len(f1s) < 12
    assert outcome.best.validation.f1 >= max(f1s) - 0.02


def test_more_than_two_classes(topic_teacher: Path, tmp_path: Path) -> None:
    corpus_file(tmp_path)
    text = DEFINITION.format(
        classes='["other", "sport", "tech"]',
        model=json.dumps(str(topic_teacher)),
        budget=300,
        margin=0.1,
        gate=0.01,
        rounds=2,
    )
    with mock.patch("textcnn.train.train", wraps=train.train) as called:
        outcome = replace(Workspace(tmp_path).add_task("topic", text))
    assert outcome.passed
    assert outcome.best.threshold is None
    assert outcome.report["scenes"]["default"]["says"] == "the likeliest class"
    assert outcome.report["scenes"]["default"]["intervals"].keys() == {"precision", "recall", "f1"}
    assert [curve["class"] for curve in outcome.report["curves"]] == ["other", "sport", "tech"]
    # Every class counts as much as any other: the rows of each weigh a third.
    for call in called.call_args_list:
        (_, targets), weights = call.args, call.kwargs["weights"]
        counted = np.bincount(targets.argmax(axis=1), weights=weights, minlength=3)
        assert counted == pytest.approx(np.full(3, len(targets) / 3), rel=1e-5)


def test_of_two_classes_every_row_counts_the_same(topic_teacher: Path, tmp_path: Path) -> None:
    with mock.patch("textcnn.train.train", wraps=train.train) as called:
        replace(sport(tmp_path, topic_teacher, rounds=1))
    assert [call.kwargs["weights"] for call in called.call_args_list] == [None]


def test_a_dependent_task_learns_only_where_its_parent_holds(
    topic_teacher: Path, workspace: Workspace
) -> None:
    corpus_file(workspace.root)
    text = DEFINITION.format(
        classes='["no", "yes"]',
        model=json.dumps(str(topic_teacher)),
        budget=150,
        margin=0.0,
        gate=1.0,
        rounds=1,
    )
    text = text.replace("\n[corpus]", 'depends_on = ["topic=sport"]\n\n[corpus]', 1)
    text = text.replace("[student]", '[teacher.map]\nsport = "yes"\n"*" = "no"\n\n[student]')
    text = text.replace("[student]", '[rules]\ndrop = ["^spam"]\n\n[student]', 1)
    seed, person = (
        ("true yes goal match team", "true yes code chip"),
        ("goal team coach", "server robot laptop"),
    )
    lines = [json.dumps({"text": text, "label": "yes"}) for text in (*seed, "spam goal match team", seed[0])]
    (workspace.tasks / "seed.jsonl").write_text("\n".join(lines))
    text = text.replace("[teacher]", '[teacher]\nlabels = "seed.jsonl"\nfine_tune = false', 1)
    entry = workspace.add_task("match", text)
    (workspace.root / "labelled.jsonl").write_text(
        "\n".join(json.dumps({"text": text, "label": "yes"}) for text in person)
    )
    labels.add(entry, workspace.root / "labelled.jsonl")
    outcome = replace(entry)
    # Of the two texts of the seed and the two of a person, the parent holds for one each.
    assert outcome.rounds[0].added == {"labelled": 1, "reviewed": 1}
    counts = outcome.report["corpus"]
    _, topics = made_texts(600, seed=2)
    assert counts["pool"] + counts["holdout"] == pytest.approx(topics.count("sport"), abs=15)
    assert counts["not_asked"] > 300


def test_what_a_person_labels_is_learned_from_at_once_and_not_asked_again(tmp_path: Path) -> None:
    entry = sport(tmp_path, make_teacher(tmp_path, learning_rate=1e-3, rows=45), margin=0.4)
    first = replace(entry)
    lines = [json.loads(line) for line in (entry.folder / "review.jsonl").read_text().splitlines()]
    unclear = [line["text"] for line in lines]
    texts, topics = made_texts(600, seed=2)
    true = {text: "yes" if topic == "sport" else "no" for text, topic in zip(texts, topics, strict=True)}
    newest = texts[-1]  # of the holdout
    labelled = tmp_path / "labelled.jsonl"
    rows = [{"text": text, "label": true[text]} for text in [*unclear[:12], newest]]
    labelled.write_text("\n".join(map(json.dumps, rows)))
    assert labels.add(entry, labelled).added == 13

    second = replace(entry)
    assert first.rounds[0].added.keys() == {"random"}
    assert second.rounds[0].added["reviewed"] == 12
    again = {
        json.loads(line)["text"] for line in (entry.folder / "review.jsonl").read_text().split("\n") if line
    }
    assert not again & set(unclear[:12])
    assert again & set(unclear[12:])
    last = second.rounds[-1]
    assert last.rows + last.boundary == sum(sum(result.added.values()) for result in second.rounds)
    assert last.asked <= 300


def test_a_person_s_label_of_a_text_outside_the_corpus_is_learned_from(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1)
    text = entry.path.read_text().replace("[teacher]", '[rules]\ndrop = ["^dropped"]\n\n[teacher]', 1)
    entry.path.write_text(text.replace("[gate]", '[gate]\nlabels = "true.jsonl"', 1))
    entry = Workspace(tmp_path).task("sport")
    texts, topics = made_texts(600, seed=2)
    true = [
        json.dumps({"text": text, "label": "yes" if topic == "sport" else "no"})
        for text, topic in zip(texts[540:], topics[540:], strict=True)
    ]
    (entry.path.parent / "true.jsonl").write_text("\n".join(true))
    newest = texts[-1]  # of the holdout, but for the case: the same text
    given = ["a text of somebody's own", "and another", newest.upper(), "dropped by a rule"]
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("".join(json.dumps({"text": text, "label": "yes"}) + "\n" for text in given))
    assert labels.add(entry, labelled).added == 4
    asked: dict[str, list[str]] = {}
    ask = TeacherLabels.ask

    def record(self: TeacherLabels, texts: list[str], what: str) -> Any:
        asked.setdefault(what, []).extend(texts)
        return ask(self, texts, what)

    monkeypatch.setattr(TeacherLabels, "ask", record)
    outcome = replace(entry)
    assert outcome.rounds[0].added["reviewed"] == 2
    assert outcome.rounds[0].added["random"] > 50
    learned = asked.pop("teacher: rows to learn from")
    assert set(given) & set(learned) == set(given[:2])
    assert not any(set(given) & set(others) for others in asked.values())
    # True labels measure where they are known: about half of the holdout was given.
    by_true_labels = outcome.report["truth"]
    assert by_true_labels["teacher"]["rows"] == by_true_labels["student"]["rows"]
    assert 10 < by_true_labels["teacher"]["rows"] < 50
    assert by_true_labels["teacher"]["accuracy"] > 0.8
    assert outcome.report["speed"]["student"] > 0
    assert outcome.report["losses"]


def test_runs_killed_at_any_moment_end_in_the_same_student(topic_teacher: Path, tmp_path: Path) -> None:
    """SIGKILL five times, wherever it strikes; the teacher is fine-tuned within the run, too."""
    base = tmp_path / "base"
    write_bert(base, [word for words in WORDS.values() for word in words])
    texts, topics = made_texts(60, seed=5)
    seed = [json.dumps({"text": text, "label": "yes" if topic == "sport" else "no"}) for text, topic in
            zip(texts, topics, strict=True)]  # fmt: skip
    entries = []
    for name in ("whole", "killed"):
        root = tmp_path / name
        entry = sport(root, base, margin=0.0)
        (root / "seed.jsonl").write_text("\n".join(seed) + "\n")
        text = entry.path.read_text().replace('[teacher.map]\nsport = "yes"\n"*" = "no"\n', "")
        text = text.replace(
            "budget = ", 'labels = "../seed.jsonl"\nlearning_rate = 3e-3\nepochs = 20\nbudget = '
        )
        entry.path.write_text(text)
        entries.append(Workspace(root).task("sport"))

    def start(entry: TaskEntry) -> subprocess.Popen[bytes]:
        home = str(entry.workspace.root)
        command = [sys.executable, "-m", "api.cli.main", "replace", "sport", "--home", home]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    whole, killed = entries
    begun = time.monotonic()
    with start(whole) as run:
        _, errors = run.communicate()
        assert run.returncode == 5, errors  # the gate of 1.0 is out of reach
    lasted = time.monotonic() - begun
    rng = np.random.default_rng(0)
    kills = 0
    for moment in np.sort(rng.uniform(0.1, 1.0, 5)):  # the first before another run could have ended
        with start(killed) as run:
            try:
                run.communicate(timeout=moment * lasted)
            except subprocess.TimeoutExpired:
                run.kill()
                kills += 1
        if killed.versions():
            break  # the answers found in the cache make it quicker than the first
    assert kills >= 1
    if not killed.versions():
        with start(killed) as run:
            assert run.wait() == 5
    for file in ("student.safetensors", "student.json"):
        assert (killed.student_folder(1) / file).read_bytes() == (whole.student_folder(1) / file).read_bytes()
    reports = [entry.report(1) for entry in entries]
    for report in reports:
        del report["made"], report["speed"], report["teacher"]["rows_computed"], report["teacher"]["model"]
        for rung in report["ladder"]:
            del rung["texts_per_second"]
    assert reports[0] == reports[1]
