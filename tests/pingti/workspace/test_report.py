import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pingti.errors import ArtifactError
from pingti.workspace.report import Report, shortfall
from pingti.workspace.report_parts import (
    ClassFigures,
    Comparison,
    Day,
    FalseCluster,
    Figures,
    Gate,
    MissedCluster,
    OperatingPoint,
    Round,
    Stored,
    Stretch,
    Yield,
)

FIGURES = {"precision": 0.95, "recall": 0.5, "f1": 0.65, "accuracy": 0.9, "rows": 500, "positives": 60}
LEAST = {"gate": {"precision": 0.9, "recall": 0.9, "passed": False}, "holdout": FIGURES}

# On disk, in this order: programs of other people read them.
KEYS: dict[type[Stored], str] = {
    Report: "format task version run made seed classes subclasses teacher corpus gate holdout rounds "
    "kept_round stopped scenes boundary_rows speed kind ladder cascade holdout_intervals curve curves "
    "calibration days worst_day truth clusters false_clusters pairs by_class hardest asked_by_day losses "
    "truth_apart notes",
    Gate: "precision recall shortfall incumbent usable passed unread says absent absent_allowed by sure "
    "advice",
    Comparison: "version holdout f1_difference interval",
    Figures: "precision recall f1 accuracy rows positives",
    Round: "round rows asked added brought boundary competing threshold calibration holdout coverage",
    Yield: "rows positives errors lead",
    OperatingPoint: "threshold says calibration holdout intervals days worst",
    Stretch: "first last measure threshold",
    Day: "day precision recall f1 accuracy rows positives",
    MissedCluster: "class rows covered covered_before missed examples",
    FalseCluster: "class rows covered covered_before false examples",
    ClassFigures: "class precision recall f1 rows",
}


@pytest.mark.parametrize("part", KEYS)
def test_the_keys_on_disk_are_these_in_this_order(part: type[Stored]) -> None:
    keys = [field.serialization_alias or name for name, field in part.model_fields.items()]
    assert keys == KEYS[part].split()


def whole() -> dict[str, Any]:
    """What a file may hold, with keys that have other names here, and keys that nobody knows yet."""
    point = {
        "threshold": 0.4,
        "says": "F1 0.650, the best being 0.650",
        "calibration": FIGURES,
        "holdout": None,
    }
    turn = {
        "round": 1,
        "competing": 3,
        "brought": {"new": {"rows": 2, "positives": 1, "errors": 0, "lead": 0.5}},
    }
    return {
        "format": 1,
        "task": "sport",
        "version": 4,
        "made": "2025-12-01T02:00:00+00:00",
        "gate": {**LEAST["gate"], "incumbent": None, "of tomorrow": 1},
        "holdout": {**FIGURES, "of tomorrow": [1, 2]},
        "rounds": [{**turn, "calibration": FIGURES, "holdout": FIGURES, "of tomorrow": None}],
        "scenes": {"default": point, "of tomorrow": {**point, "key": {"a": "b"}}},
        "calibration": [{"rows": 9, "score": 0.5, "share": 0.4}],
        "truth": {"student": {**FIGURES, "intervals": {"f1": [0.6, 0.7]}}},
        "clusters": [{"class": "yes", "rows": 9, "covered": 0.8, "missed": 2, "examples": ["a", "b"]}],
        "false_clusters": [{"rows": 9, "covered": 0.8, "false": 2, "examples": ["a", "b"]}],
        "of tomorrow": {"deep": [{"er": 1}]},
    }


def test_what_is_read_is_written_again_with_unknown_keys_and_without_absent_ones(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(whole()), encoding="utf-8")
    assert Report.load(path).stored() == whole()


def test_names_are_the_fields_words_whatever_the_keys() -> None:
    report = Report.model_validate(whole())
    (turn,) = report.rounds
    assert (report.created, turn.hard_negatives, turn.yields["new"].margin) == (whole()["made"], 3, 0.5)
    assert turn.validation == Figures.model_validate(FIGURES)
    assert report.operating_points["default"].threshold == 0.4
    assert report.true_labels is not None
    assert report.true_labels["student"].intervals == {"f1": (0.6, 0.7)}
    assert (report.clusters[0].class_name, report.clusters[0].errors) == ("yes", 2)
    assert (report.false_clusters[0].class_name, report.false_clusters[0].errors) == (None, 2)
    # Code gives them under these names.
    point = OperatingPoint(threshold=0.5, says="", validation=Figures.model_validate(FIGURES))
    assert point.stored() == {"threshold": 0.5, "says": "", "calibration": FIGURES}


def test_an_old_report_of_few_keys_is_read() -> None:
    report = Report.model_validate(LEAST)
    assert (report.rounds, report.operating_points, report.true_labels, report.speed) == ((), {}, None, None)
    assert report.gate.usable
    assert report.stored() == LEAST
    assert shortfall(report) == shortfall(LEAST) == "recall 0.500 is below 0.900"


@pytest.mark.parametrize(
    ("content", "sentence", "pointer"),
    [
        (json.dumps({**LEAST, "format": 2}), "its format is 2 and this Pingti reads 1", "/format"),
        (json.dumps({"format": 3, "all": "else"}), "its format is 3 and this Pingti reads 1", "/format"),
        (
            json.dumps({**LEAST, "gate": {}}),
            "no report of a version: gate.precision: Field required",
            "/gate/precision",
        ),
        (json.dumps({"format": 1}), "no report of a version: gate: Field required", "/gate"),
        ("[]", "no report of a version: Input should be a valid dictionary or instance of Report", ""),
        ("{", "not readable as JSON: Expecting property name enclosed in double quotes", None),
        ('{"gate": NaN}', "no report of a version: gate: Input should be a valid dictionary", "/gate"),
    ],
)
def test_a_report_that_cannot_be_read_says_why_in_one_sentence(
    tmp_path: Path, content: str, sentence: str, pointer: str | None
) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(ArtifactError) as error:
        Report.load(path)
    assert str(error.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(error.value)
    (fault,) = error.value.faults
    assert (fault.file, fault.pointer) == (str(path), pointer)
    assert str(error.value) == f"{path}: {fault.detail}"


def test_a_report_that_is_not_there_is_the_callers_to_tell(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Report.load(tmp_path / "report.json")


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Report.model_validate({**LEAST, "holdout": {**FIGURES, "f1": float("nan")}})


def test_a_report_is_read_without_the_rooms_that_make_one() -> None:
    others = {"faiss", "torch", "transformers", "numba", "replacement", "teacher", "sampling", "textcnn"}
    code = f"import sys, pingti.workspace.report; sys.exit(bool({others} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
