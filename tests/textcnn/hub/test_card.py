"""A model card tells what metadata and report tell, a dash for what they do not, and no text."""

import json
from pathlib import Path
from typing import Any

import pytest

import pingti
from pingti.files import write_json
from pingti.workspace.registry import Workspace
from textcnn.hub.card import model_card

yaml = pytest.importorskip("yaml", reason="transformers brings PyYAML along")

METADATA = {
    "task": "sport",
    "version": 3,
    "thresholds": {"default": 0.41, "strict": 0.9},
    "rules": {"drop": ["spam"], "negative": []},
    "depends_on": ["topic=sport"],
}
REPORT: dict[str, Any] = {
    "made": "2026-11-02T10:00:00+00:00",
    "classes": ["no", "yes"],
    "teacher": {
        "model": "/home/someone/models/bert-base-chinese",
        "max_length": 64,
        "precision": "float32",
        "rows_asked": 15000,
        "quality": {"rows": 300, "teacher": 0.951, "ngram": 0.9, "measured_on": "held-out rows"},
    },
    "corpus": {"read": 120000, "bad": 2},
    "gate": {"precision": 0.9, "recall": 0.85, "passed": True, "says": "SECRET sentence"},
    "holdout": {
        "precision": 0.934, "recall": 0.911, "f1": 0.9223, "accuracy": None, "rows": 5000, "positives": 812,
    },
    "holdout_intervals": {"f1": [0.905, 0.938]},
    "truth": {
        "student": {"precision": 0.8, "recall": 0.7, "f1": 0.75, "accuracy": 0.9, "rows": 90, "positives": 30}
    },
    "rounds": [{"round": 1, "rows": 8000}, {"round": 2, "rows": 14000}],
    "kept_round": 2,
    "speed": {"student": 412345.6, "teacher": 98.7},
    "days": [{"day": "2026-10-25"}, {"day": "2026-10-31"}],
    "asked_by_day": [
        {"first": "2026-09-01", "last": "2026-09-20", "rounds": [9000]},
        {"first": "2026-09-21", "last": "2026-10-24", "rounds": [6000]},
    ],
    "clusters": [{"rows": 3, "covered": 0.5, "missed": 1, "examples": ["SECRET text"]}],
    "hardest": [{"text": "SECRET text", "teacher": "yes", "student": "no", "difference": 0.9}],
    "notes": ["SECRET note"],
}  # fmt: skip


def test_figures_gate_teacher_and_dates_are_the_reports() -> None:
    card = model_card("team/sport", ("no", "yes"), METADATA, REPORT)
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "pingti",
        "pipeline_tag": "text-classification",
        "tags": ["textcnn", "distillation", "safetensors"],
    }
    for line in (
        "# sport",
        'student = pingti.Student.from_pretrained("team/sport")',
        "| default | 0.410 |",
        "| strict | 0.900 |",
        "- rules: 1 patterns that decide before the student is asked",
        "- it is asked only where other tasks say 'topic=sport'",
        "| student, against its teacher | 0.934 | 0.911 | 0.922 (0.905 to 0.938) | – | 5,000 | 812 |",
        "| student, against people's labels (held-out texts) | 0.800 | 0.700 | 0.750 | 0.900 | 90 | 30 |",
        "Texts a second on one core, where it was made: student 412,346, teacher 99.",
        "Asked against the teacher: precision 0.900, recall 0.850. It was: reached.",
        "| model | bert-base-chinese |",
        "| rows that it was asked about | 15,000 |",
        "| right, by people's labels | 0.951 |",
        "| made | 2026-11-02T10:00:00+00:00 |",
        "| rows that it was trained on | 14,000 |",
        "| they are of | 2026-09-01 to 2026-10-24 |",
        "| held-out rows are of | 2026-10-25 to 2026-10-31 |",
    ):
        assert f"\n{line}\n" in f"\n{body}"
    assert "SECRET" not in card
    assert "/home" not in card


def test_a_report_that_tells_nothing_leaves_dashes() -> None:
    report = {
        "gate": {"passed": False},
        "holdout": {"precision": None, "recall": None},
        "teacher": {"model": ""},
    }
    card = model_card("sport", ("a", "b", "c"), {"thresholds": {"default": None}}, report)
    for line in (
        "| default | – |",
        "| student, against its teacher | – | – | – | – | – | – |",
        "Asked against the teacher: precision –, recall –. It was: not reached.",
        "| model | – |",
        "| they are of | – |",
    ):
        assert f"\n{line}\n" in card
    assert "None" not in card
    assert "no report" not in card


def test_without_a_report_the_card_says_so() -> None:
    card = model_card("sport", ("no", "yes"), {}, None)
    assert card.endswith("There was no report of this student when the card was written.\n")
    assert "It was: –." in card


def test_a_gate_that_a_cascade_reached_is_not_told_of_the_student_alone() -> None:
    report = {"gate": {"passed": True, "by": "cascade"}, "cascade": {"second": "transformer"}}
    card = model_card("sport", ("no", "yes"), {}, report)
    assert "It was: reached by the student together with its transformer, which answers" in card
    assert "not by the student alone" in card


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("bert-base-chinese", "bert-base-chinese"),
        ("team/bert", "team/bert"),
        ("../models/mine", "mine"),
        ("a/b/c", "c"),
        ("C:\\models\\mine", "mine"),
    ],
)
def test_of_a_path_only_the_last_part_is_told(model: str, shown: str) -> None:
    card = model_card("sport", ("no", "yes"), {}, {"teacher": {"model": model}})
    assert f"\n| model | {shown} |\n" in card


def test_a_tasks_student_is_saved_with_its_versions_report(workspace: Workspace, tmp_path: Path) -> None:
    sport = pingti.load("sport", workspace)
    sport.save_pretrained(tmp_path / "one", name="team/sport")
    card = (tmp_path / "one" / "README.md").read_text(encoding="utf-8")
    assert "| student, against its teacher | 1.000 | 1.000 | 1.000 | 1.000 | 300 | 100 |" in card
    report = workspace.task("sport").student_folder(1) / "report.json"
    write_json(report, {**json.loads(report.read_text(encoding="utf-8")), "holdout": {"f1": None}})
    sport.save_pretrained(tmp_path / "two")
    assert "| student, against its teacher | – |" in (tmp_path / "two" / "README.md").read_text(
        encoding="utf-8"
    )
    report.unlink()
    sport.save_pretrained(tmp_path / "three")
    assert "There was no report" in (tmp_path / "three" / "README.md").read_text(encoding="utf-8")
