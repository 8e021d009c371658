import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pingti.workspace.report import Report, shortfall, where_it_fails
from replacement.evaluation.error_analysis import describe

Rows = tuple[list[str], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


def rows_of_three_kinds(n: int = 600) -> Rows:
    """Rows of three kinds, every second one positive. Kind 1 is missed, of kind 2 everything is called."""
    rng = np.random.default_rng(0)
    kind = np.arange(n) // 2 % 3
    vectors = np.eye(3, dtype=np.float32)[kind] * 5 + rng.normal(0, 0.2, (n, 3)).astype(np.float32)
    teacher = np.arange(n) % 2
    decided = np.where(kind == 1, 0, np.where(kind == 2, 1, teacher))
    return [f"kind {k} row {i}" for i, k in enumerate(kind.tolist())], vectors, teacher, decided


def report(analysis: dict[str, Any], precision: float, recall: float) -> Report:
    gate = {"precision": 0.9, "recall": 0.9, "passed": False}
    holdout = {
        "precision": precision,
        "recall": recall,
        "f1": 0.5,
        "accuracy": 0.5,
        "rows": 9,
        "positives": 3,
    }
    return Report.model_validate({"gate": gate, "holdout": holdout, **analysis})


def test_false_positives_and_misses_have_clusters_of_their_own() -> None:
    texts, vectors, teacher, decided = rows_of_three_kinds()
    analysis = describe(texts, vectors, teacher, decided, decided, ("no", "yes"), np.random.default_rng(0))
    false, missed = analysis["false_clusters"], analysis["clusters"]
    assert sum(cluster["false"] for cluster in false) == int(((decided == 1) & (teacher == 0)).sum())
    assert sum(cluster["missed"] for cluster in missed) == int(((decided == 0) & (teacher == 1)).sum())
    assert sum(cluster["rows"] for cluster in false) == int(decided.sum())
    for clusters, key, kind in ((false, "false", "kind 2 "), (missed, "missed", "kind 1 ")):
        counts = [cluster[key] for cluster in clusters]
        assert counts == sorted(counts, reverse=True)
        wrong = [cluster for cluster in clusters if cluster[key]]
        assert all(text.startswith(kind) for cluster in wrong for text in cluster["examples"])
    # The examples of a cluster with errors are errors.
    rows = [int(text.split()[-1]) for cluster in false if cluster["false"] for text in cluster["examples"]]
    assert (teacher[rows] == 0).all()
    assert all(abs(cluster["covered"] - (1 - cluster["false"] / cluster["rows"])) < 1e-4 for cluster in false)
    assert (analysis["pairs"], analysis["by_class"]) == ([], [])


@pytest.mark.parametrize(
    ("precision", "recall", "named", "not_named"),
    [
        (0.5, 0.95, ["called wrongly"], ["missed"]),
        (0.95, 0.5, ["missed"], ["called wrongly"]),
        (0.5, 0.5, ["called wrongly", "missed"], []),
        (0.95, 0.95, [], ["missed", "called wrongly"]),
    ],
)
def test_a_refusal_names_the_clusters_of_what_lacks(
    precision: float, recall: float, named: list[str], not_named: list[str]
) -> None:
    analysis = describe(
        *rows_of_three_kinds(), rows_of_three_kinds()[3], ("no", "yes"), np.random.default_rng(0)
    )
    sentence = shortfall(report(analysis, precision, recall))
    assert all(f" {word})" in sentence for word in named)
    assert not any(word in sentence for word in not_named)
    assert ('"kind 2 row' in sentence) == ("called wrongly" in named)
    assert ('"kind 1 row' in sentence) == ("missed" in named)
    assert ("precision 0.500 is below 0.900" in sentence) == (precision == 0.5)


def test_few_wrong_rows_still_make_a_cluster() -> None:
    texts, vectors, teacher, _ = rows_of_three_kinds(9)
    decided = teacher.copy()
    decided[4] = 1 - decided[4]
    analysis = describe(texts, vectors, teacher, decided, decided, ("no", "yes"), np.random.default_rng(0))
    (only,) = analysis["false_clusters"]
    assert (only["false"], only["examples"][0]) == (1, texts[4])
    assert analysis["clusters"] == []  # nothing is missed


def test_several_classes_have_pairs_and_a_line_each() -> None:
    texts, vectors, _, _ = rows_of_three_kinds()
    teacher = np.arange(600) // 2 % 3
    decided = teacher.copy()
    decided[np.flatnonzero(teacher == 1)[:50]] = 2
    decided[np.flatnonzero(teacher == 0)[:20]] = 1
    classes = ("news", "sport", "tech")
    analysis = describe(texts, vectors, teacher, decided, decided, classes, np.random.default_rng(0))
    assert [(pair["teacher"], pair["student"], pair["rows"], pair["of"]) for pair in analysis["pairs"]] == [
        ("sport", "tech", 50, 200),
        ("news", "sport", 20, 200),
    ]
    assert all(text.startswith("kind 1 ") for text in analysis["pairs"][0]["examples"])
    lines = {line["class"]: line for line in analysis["by_class"]}
    assert (lines["sport"]["recall"], lines["tech"]["precision"], lines["tech"]["rows"]) == (0.75, 0.8, 200)
    for cluster in analysis["clusters"]:
        assert all(
            text.startswith(f"kind {classes.index(cluster['class'])} ") for text in cluster["examples"]
        )
    assert sum(cluster["missed"] for cluster in analysis["clusters"]) == 70
    assert [pair["share"] for pair in analysis["pairs"]] == [0.25, 0.1]
    # Called wrongly: by the student's class. Every row called is in a cluster, the examples are of the wrong.
    false = analysis["false_clusters"]
    wrong = [cluster for cluster in false if cluster["false"]]
    assert sum(cluster["false"] for cluster in wrong if cluster["class"] == "sport") == 20
    assert sum(cluster["false"] for cluster in wrong if cluster["class"] == "tech") == 50
    assert sum(cluster["rows"] for cluster in false) == 600
    sentence = where_it_fails(report(analysis, 0.85, 0.95))
    assert sentence.startswith('; most often it mistakes sport for tech (50 of 200, like "kind 1 row')
    assert "news for sport (20 of 200" in sentence
    assert "called wrongly as tech)" in sentence
    assert "missed as sport)" in where_it_fails(report(analysis, 0.95, 0.85))
    assert where_it_fails(report(analysis, 0.95, 0.95)) == ""


def test_a_rare_class_has_clusters_of_its_own() -> None:
    texts, vectors, _, _ = rows_of_three_kinds()
    teacher = np.arange(600) // 2 % 2
    rare = np.arange(0, 600, 60)  # ten rows, and they lie among the others
    teacher[rare] = 2
    decided = teacher.copy()
    decided[rare[:6]] = 0
    analysis = describe(texts, vectors, teacher, decided, teacher, ("a", "b", "c"), np.random.default_rng(0))
    (own,) = (cluster for cluster in analysis["clusters"] if cluster["class"] == "c")
    assert (own["rows"], own["missed"], own["covered_before"]) == (10, 6, 1.0)
    assert analysis["clusters"][0] == own
    assert sum(cluster["rows"] for cluster in analysis["clusters"]) == 600


def test_a_refusal_is_told_without_the_extra_for_teachers() -> None:
    """Promotion runs where neither FAISS nor torch is installed."""
    heavy = {"faiss", "torch", "transformers"}
    code = f"import sys, replacement.evaluation.gate; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_student_without_errors_has_nothing_to_name() -> None:
    texts, vectors, teacher, _ = rows_of_three_kinds()
    analysis = describe(texts, vectors, teacher, teacher, teacher, ("no", "yes"), np.random.default_rng(0))
    assert where_it_fails(report(analysis, 0.0, 0.0)) == ""
    none = describe(
        [],
        np.zeros((0, 3), np.float32),
        teacher[:0],
        teacher[:0],
        teacher[:0],
        ("no", "yes"),
        np.random.default_rng(0),
    )
    assert (none["clusters"], none["false_clusters"]) == ([], [])
