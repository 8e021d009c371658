"""Heads of all kinds, from a task to a student; and versions that were made by the rule of their day."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pingti.checks.task import check_task
from pingti.corpus.normalize import keys_of
from pingti.files import write_json
from pingti.workspace.registry import TaskEntry, Workspace
from replacement import tasks_of_model
from replacement.training.loop import replace
from replacement.training.people_labels import read_people_labels
from replacement.training.teacher_labels import load_teacher, load_teacher_of_version
from tests.support.teachers import DEFINITION, corpus_file, write_bert, write_kinds
from tests.support.texts import WORDS, made_texts


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    write_bert(root / "base", [word for words in WORDS.values() for word in words])
    return write_kinds(root, root / "base")


def task(root: Path, model: Path, teacher: str = "", **changes: Any) -> TaskEntry:
    corpus_file(root)
    values = {"budget": 300, "margin": 0.0, "gate": 0.1, "rounds": 2, **changes}
    text = DEFINITION.format(classes='["no", "yes"]', model=json.dumps(str(model)), **values)
    entry = Workspace(root).add_task("asked", text.replace("[student]", f"{teacher}\n\n[student]"))
    check_task("asked", entry.definition, entry.workspace, entry.path)
    return entry


def pipeline_of(model: Path) -> Any:
    from transformers import pipeline

    return pipeline("text-classification", model=str(model), device="cpu")


@pytest.mark.parametrize(
    ("kind", "teacher", "notes"),
    [
        ("multi_label", 'label = "taste"', []),
        ("one_logit", "", ["LABEL_0 has no name and was taken for the probability of 'yes'"]),
        ("unnamed", "", ["taken for the classes by their order: LABEL_0 = no, LABEL_1 = yes"]),
        ("many", 'map = { "topic 3" = "yes", "topic 5" = "yes", "topic 8" = "yes", "*" = "no" }', []),
    ],
)
def test_each_kind_becomes_a_student_and_every_guess_is_told(
    kinds: dict[str, Path], tmp_path: Path, kind: str, teacher: str, notes: list[str]
) -> None:
    entry, told = task(tmp_path, kinds[kind], teacher), []
    outcome = replace(entry, progress=lambda what, *_: told.append(what))
    for note in notes:
        assert any(note in line for line in outcome.report["notes"])
        assert any(note in line for line in told)
    labels = load_teacher_of_version(entry, outcome.version)
    texts = made_texts(60, seed=9)[0]
    scored = pipeline_of(kinds[kind])(texts, top_k=None)
    production = []
    for scores in scored:
        by_label = {line["label"]: line["score"] for line in scores}
        if kind == "multi_label":
            production.append(by_label["taste"] >= 0.5)
        elif kind == "one_logit":
            production.append(by_label["LABEL_0"] >= 0.5)
        else:
            likeliest = max(by_label, key=by_label.__getitem__)
            production.append(likeliest in ("LABEL_1", "topic 3", "topic 5", "topic 8"))
    assert labels.ask(texts, "again").decided.tolist() == [int(yes) for yes in production]
    assert 0 < sum(production) < 60


def test_a_version_keeps_the_rule_that_it_was_made_by(kinds: dict[str, Path], tmp_path: Path) -> None:
    mapping = 'map = { "topic 3" = "yes", "*" = "no" }'
    entry = task(tmp_path, kinds["many"], f"{mapping}\nthreshold = 0.3")
    outcome = replace(entry)
    recorded = outcome.report["teacher"]
    assert (recorded["decide"], recorded["threshold"], recorded["label"]) == ("label", 0.3, None)
    texts = made_texts(200, seed=9)[0]
    rule = load_teacher_of_version(entry, outcome.version).rule
    assert (rule.decide, rule.threshold) == ("label", 0.3)
    # A report from before the rule was told: the sum, whatever the definition says by now.
    path = entry.student_folder(outcome.version) / "report.json"
    report = json.loads(path.read_text())
    for key in ("decide", "threshold", "label"):
        del report["teacher"][key]
    write_json(path, report)
    before = load_teacher_of_version(entry, outcome.version)
    assert (before.rule.decide, before.rule.threshold) == ("sum", None)
    outputs = before.cache.score(texts).probabilities
    yes = outputs[:, before.labels.index("topic 3")]
    assert before.ask(texts, "again").decided.tolist() == (yes > 1 - yes).astype(int).tolist()


def test_a_person_outranks_an_output_of_its_own(kinds: dict[str, Path], tmp_path: Path) -> None:
    entry = task(tmp_path, kinds["multi_label"], 'label = "taste"')
    teacher = load_teacher(entry, read_people_labels(entry), seed=0)
    texts = made_texts(10, seed=9)[0]
    decided = teacher.ask(texts, "asking").decided
    teacher.reviewed[keys_of(texts)[0]] = int(1 - decided[0])  # type: ignore[index]
    answers = teacher.ask(texts, "asking")
    assert answers.decided.tolist() == [1 - decided[0], *decided[1:]]
    np.testing.assert_allclose(answers.labels.sum(axis=1), 1.0, rtol=1e-5)


def test_stored_scores_go_before_a_model_that_answers_each_label_by_itself(
    kinds: dict[str, Path], tmp_path: Path
) -> None:
    texts = made_texts(60, seed=9)[0]
    known = [f"{text},0.9,{0.8 - 0.6 * (row % 2)},0.9" for row, text in enumerate(texts[:30])]
    (tmp_path / "answers.csv").write_text("\n".join(["text,d,t,p", *known]))
    section = (
        'label = "taste"\nanswers = ["../answers.csv"]\n[teacher.answer_columns]\n'
        'scores = {delivery = "d", taste = "t", price = "p"}'
    )
    entry = task(tmp_path, kinds["multi_label"], section)
    teacher = load_teacher(entry, read_people_labels(entry), seed=0)
    decided = teacher.ask(texts, "asking").decided.tolist()
    assert decided[:30] == [1, 0] * 15
    production = pipeline_of(kinds["multi_label"])(texts[30:], top_k=None)
    scores = [next(line["score"] for line in lines if line["label"] == "taste") for lines in production]
    assert decided[30:] == [int(score >= 0.5) for score in scores]
    assert teacher.rows_scored == 30


def test_nine_outputs_become_nine_tasks_that_share_one_pass(kinds: dict[str, Path], tmp_path: Path) -> None:
    corpus_file(tmp_path)
    workspace, model = Workspace(tmp_path), kinds["nine"]
    labels, independent = tasks_of_model.read_labels(model)
    base = DEFINITION.format(
        classes='["no", "yes"]', model='"x"', budget=1000, margin=0.0, gate=0.1, rounds=1
    )
    definitions = tasks_of_model.definitions(model, labels, independent, base, Path("base.toml"))
    names = tasks_of_model.named_labels(model, labels, ["all"], prefix="about_", taken=())
    assert list(names.values()) == [f"about_aspect_{number}" for number in range(9)]
    computed = []
    for label, text in definitions.items():
        entry = workspace.add_task(names[label], text)
        check_task(entry.name, entry.definition, workspace, entry.path)
        report = replace(entry).report
        computed.append(report["teacher"]["rows_computed"])
        assert report["teacher"]["label"] == label
    assert computed[0] > 100
    assert sum(computed) <= 600  # rows of the corpus: none is computed twice
    assert sum(computed[2:]) < computed[0] / 2
