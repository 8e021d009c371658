import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pingti.workspace.report import shortfall, where_it_fails
from replacement.evaluation.error_analysis import describe

Made = tuple[list[str], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


def made(n: int = 600) -> Made:
    """Rows of three kinds, every second one positive. Kind 1 is missed, of kind 2 everything is called."""
    rng = np.random.default_rng(0)
    kind = np.arange(n) // 2 % 3
    vectors = np.eye(3, dtype=np.float32)[kind] * 5 + rng.normal(0, 0.2, (n, 3)).astype(np.float32)
    gold = np.arange(n) % 2
    decided = np.where(kind == 1, 0, np.where(kind == 2, 1, gold))
    return [f"kind {k} row {i}" for i, k in enumerate(kind.tolist())], vectors, gold, decided


def report(found: dict[str, Any], precision: float, recall: float) -> dict[str, Any]:
    gate = {"precision": 0.9, "recall": 0.9}
    return {"gate": gate, "holdout": {"precision": precision, "recall": recall}, **found}


def test_false_positives_and_misses_have_clusters_of_their_own() -> None:
    texts, vectors, gold, decided = made()
    found = describe(texts, vectors, gold, decided, decided, ("no", "yes"), np.random.default_rng(0))
    false, missed = found["false_clusters"], found["clusters"]
    assert sum(each["false"] for each in false) == int(((decided == 1) & (gold == 0)).sum())
    assert sum(each["missed"] for each in missed) == int(((decided == 0) & (gold == 1)).sum())
    assert sum(each["rows"] for each in false) == int(decided.sum())
    for clusters, key, kind in ((false, "false", "kind 2 "), (missed, "missed", "kind 1 ")):
        counts = [each[key] for each in clusters]
        assert counts == sorted(counts, reverse=True)
        at_fault = [each for each in clusters if each[key]]
        assert all(text.startswith(kind) for each in at_fault for text in each["examples"])
    # The examples of a cluster at fault are those that it is at fault for.
    rows = [int(text.split()[-1]) for each in false if each["false"] for text in each["examples"]]
    assert (gold[rows] == 0).all()
    assert all(abs(each["covered"] - (1 - each["false"] / each["rows"])) < 1e-4 for each in false)
    assert (found["pairs"], found["by_class"]) == ([], [])


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
    found = describe(*made(), made()[3], ("no", "yes"), np.random.default_rng(0))
    said = shortfall(report(found, precision, recall))
    assert all(f" {word})" in said for word in named)
    assert not any(word in said for word in not_named)
    assert ('"kind 2 row' in said) == ("called wrongly" in named)
    assert ('"kind 1 row' in said) == ("missed" in named)
    assert ("precision 0.500 is below 0.900" in said) == (precision == 0.5)


def test_few_wrong_rows_still_make_a_cluster() -> None:
    texts, vectors, gold, _ = made(9)
    decided = gold.copy()
    decided[4] = 1 - decided[4]
    found = describe(texts, vectors, gold, decided, decided, ("no", "yes"), np.random.default_rng(0))
    (only,) = found["false_clusters"]
    assert (only["false"], only["examples"][0]) == (1, texts[4])
    assert found["clusters"] == []  # nothing is missed


def test_several_classes_have_pairs_and_a_line_each() -> None:
    texts, vectors, _, _ = made()
    gold = np.arange(600) // 2 % 3
    decided = gold.copy()
    decided[np.flatnonzero(gold == 1)[:50]] = 2
    decided[np.flatnonzero(gold == 0)[:20]] = 1
    classes = ("news", "sport", "tech")
    found = describe(texts, vectors, gold, decided, decided, classes, np.random.default_rng(0))
    assert [(each["teacher"], each["student"], each["rows"], each["of"]) for each in found["pairs"]] == [
        ("sport", "tech", 50, 200),
        ("news", "sport", 20, 200),
    ]
    assert all(text.startswith("kind 1 ") for text in found["pairs"][0]["examples"])
    lines = {each["class"]: each for each in found["by_class"]}
    assert (lines["sport"]["recall"], lines["tech"]["precision"], lines["tech"]["rows"]) == (0.75, 0.8, 200)
    for each in found["clusters"]:
        assert all(text.startswith(f"kind {classes.index(each['class'])} ") for text in each["examples"])
    assert sum(each["missed"] for each in found["clusters"]) == 70
    assert [each["share"] for each in found["pairs"]] == [0.25, 0.1]
    # Called wrongly: by the student's class. Every row called is in a cluster, the examples are of the wrong.
    false = found["false_clusters"]
    wrong = [each for each in false if each["false"]]
    assert sum(each["false"] for each in wrong if each["class"] == "sport") == 20
    assert sum(each["false"] for each in wrong if each["class"] == "tech") == 50
    assert sum(each["rows"] for each in false) == 600
    said = where_it_fails(report(found, 0.85, 0.95))
    assert said.startswith('; most often it mistakes sport for tech (50 of 200, like "kind 1 row')
    assert "news for sport (20 of 200" in said
    assert "called wrongly as tech)" in said
    assert "missed as sport)" in where_it_fails(report(found, 0.95, 0.85))
    assert where_it_fails(report(found, 0.95, 0.95)) == ""


def test_a_rare_class_has_clusters_of_its_own() -> None:
    texts, vectors, _, _ = made()
    gold = np.arange(600) // 2 % 2
    rare = np.arange(0, 600, 60)  # ten rows, and they lie among the others
    gold[rare] = 2
    decided = gold.copy()
    decided[rare[:6]] = 0
    found = describe(texts, vectors, gold, decided, gold, ("a", "b", "c"), np.random.default_rng(0))
    (own,) = (each for each in found["clusters"] if each["class"] == "c")
    assert (own["rows"], own["missed"], own["covered_before"]) == (10, 6, 1.0)
    assert found["clusters"][0] == own
    assert sum(each["rows"] for each in found["clusters"]) == 600


def test_a_refusal_is_told_without_the_extra_for_teachers() -> None:
    """Promotion runs where neither FAISS nor torch is installed."""
    heavy = {"faiss", "torch", "transformers"}
    code = f"import sys, replacement.evaluation.gate; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_student_without_faults_has_nothing_to_name() -> None:
    texts, vectors, gold, _ = made()
    found = describe(texts, vectors, gold, gold, gold, ("no", "yes"), np.random.default_rng(0))
    assert where_it_fails(report(found, 0.0, 0.0)) == ""
    none = describe(
        [],
        np.zeros((0, 3), np.float32),
        gold[:0],
        gold[:0],
        gold[:0],
        ("no", "yes"),
        np.random.default_rng(0),
    )
    assert (none["clusters"], none["false_clusters"]) == ([], [])
