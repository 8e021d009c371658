import dataclasses
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from replacement.answers import Answers
from replacement.evaluation.baseline import Baseline
from replacement.evaluation.holdout import Held, Learned, describe, of_learned
from textcnn import Student


def held(n: int = 600, *, classes: int = 2, threshold: float | None = 0.5) -> Held:
    """A student that misses one kind of positives: those around the second axis."""
    rng = np.random.default_rng(0)
    teacher = (np.arange(n) % 3 != 0).astype(np.int64) if classes == 2 else np.arange(n) % classes
    kind = rng.integers(0, 2, n)
    vectors = np.where(kind[:, None] == 0, [5.0, 0, 0], [0, 5.0, 0]) + rng.normal(0, 0.2, (n, 3))
    probabilities = np.full((n, classes), 0.05 / (classes - 1), np.float32)
    probabilities[np.arange(n), teacher] = 0.95
    scores = probabilities.copy()
    wrong = (kind == 1) & (teacher == 1)
    scores[wrong] = 0.1 / (classes - 1)
    scores[wrong, 0] = 0.9
    return Held(
        texts=[f"kind {k} row {i}" for i, k in enumerate(kind.tolist())],
        answers=Answers(
            probabilities=probabilities, labels=probabilities, vectors=vectors.astype(np.float32)
        ),
        vectors=vectors.astype(np.float32),
        scores=scores,
        threshold=threshold,
        days=19_000 + np.arange(n) // 200,
        before=np.zeros(n, np.int64),
        incumbent=None,
        true_labels={},
    )


def test_the_clusters_of_errors_come_first_with_texts_of_theirs() -> None:
    clusters = describe(held(), ("no", "yes"), np.random.default_rng(0))["clusters"]
    positives = sum(cluster["rows"] for cluster in clusters)
    assert positives == 400
    missed = [cluster for cluster in clusters if cluster["missed"]]
    assert clusters[: len(missed)] == missed
    assert all(cluster["covered"] == 0.0 for cluster in missed)
    assert all(text.startswith("kind 1 ") for cluster in missed for text in cluster["examples"])
    assert sum(cluster["missed"] for cluster in missed) == int(
        (held().decided != held().answers.decided).sum()
    )


def test_days_are_measured_one_by_one() -> None:
    days = describe(held(), ("no", "yes"), np.random.default_rng(0))["days"]
    assert [day["day"] for day in days] == ["2022-01-08", "2022-01-09", "2022-01-10"]
    assert sum(day["rows"] for day in days) == 600
    assert all(day["precision"] == 1.0 and 0.3 < day["recall"] < 0.7 for day in days)


def test_a_day_without_positive_rows_is_not_the_worst() -> None:
    rows = held()
    quiet = np.arange(600) < 200
    rows.answers.probabilities[quiet] = rows.scores[quiet] = [0.95, 0.05]
    evidence = describe(rows, ("no", "yes"), np.random.default_rng(0))
    assert (evidence["days"][0]["f1"], evidence["days"][0]["accuracy"]) == (None, 1.0)
    worst = min(evidence["days"][1:], key=lambda day: float(day["f1"]))
    assert evidence["worst_day"] == worst["day"]
    none = describe(
        dataclasses.replace(rows, days=np.full(600, 19_000)), ("no", "yes"), np.random.default_rng(0)
    )
    assert none["worst_day"] == "2022-01-08"
    rows.answers.probabilities[:] = [0.95, 0.05]
    assert describe(rows, ("no", "yes"), np.random.default_rng(0))["worst_day"] is None


def test_a_point_of_the_curve_is_what_its_threshold_gives() -> None:
    rows = held()
    points = describe(rows, ("no", "yes"), np.random.default_rng(0))["curve"]
    assert points
    positive = rows.answers.decided > 0
    for point in points:
        called = rows.scores[:, 1] >= point["threshold"] - 1e-5
        assert (called & positive).sum() / positive.sum() == pytest.approx(point["recall"], abs=1e-3)
        assert (called & positive).sum() / called.sum() == pytest.approx(point["precision"], abs=1e-3)
    assert points[-1]["recall"] >= points[0]["recall"] or points[0]["recall"] == 1.0


def test_calibration_counts_every_row_once() -> None:
    bins = describe(held(), ("no", "yes"), np.random.default_rng(0))["calibration"]
    assert sum(one["rows"] for one in bins) == 600
    assert bins[-1]["share"] == 1.0  # what it scores 0.95 the teacher confirms
    assert bins[0]["score"] == pytest.approx(0.05, abs=0.06)


def test_more_classes_have_a_curve_each_and_clusters_of_all_rows() -> None:
    rows = held(classes=3, threshold=None)
    evidence = describe(rows, ("a", "b", "c"), np.random.default_rng(0))
    assert evidence["curve"] == []
    assert [own["class"] for own in evidence["curves"]] == ["a", "b", "c"]
    for number, own in enumerate(evidence["curves"]):
        positive = rows.answers.decided == number
        for point in own["points"]:
            called = rows.scores[:, number] >= point["threshold"] - 1e-5
            assert (called & positive).sum() / positive.sum() == pytest.approx(point["recall"], abs=1e-3)
            assert (called & positive).sum() / called.sum() == pytest.approx(point["precision"], abs=1e-3)
    assert sum(cluster["rows"] for cluster in evidence["clusters"]) == 600
    assert {row["teacher"] for row in evidence["hardest"]} == {"b"}
    assert all(row["teacher"] != row["student"] for row in evidence["hardest"])
    low, high = evidence["holdout_intervals"]["f1"]
    assert low < high


def test_clusters_tell_how_the_first_round_did() -> None:
    clusters = describe(held(), ("no", "yes"), np.random.default_rng(0))["clusters"]
    # The first round's student called nothing positive.
    assert {cluster["covered_before"] for cluster in clusters} == {0.0}
    assert {cluster["covered"] for cluster in clusters} == {0.0, 1.0}


def test_true_labels_measure_student_and_teacher_where_they_are_known() -> None:
    rows = held()
    assert describe(rows, ("no", "yes"), np.random.default_rng(0))["truth"] is None
    wrong = 1 - rows.answers.decided  # the teacher is wrong about all of them
    true_labels = {rows.texts[row]: int(wrong[row]) for row in range(0, 100, 2)}
    known = dataclasses.replace(rows, true_labels={**true_labels, "not held out": 1})
    measured = describe(known, ("no", "yes"), np.random.default_rng(0))["truth"]
    assert (measured["teacher"]["accuracy"], measured["teacher"]["rows"]) == (0.0, 50)
    disagree = (rows.decided != rows.answers.decided)[:100:2]
    assert measured["student"]["accuracy"] == pytest.approx(disagree.mean())
    assert measured.keys() == {"student", "teacher"}
    right = {text: int(rows.answers.decided[row]) for row, text in enumerate(rows.texts[:100])}
    agreed = dataclasses.replace(rows, true_labels=right)
    measured = describe(agreed, ("no", "yes"), np.random.default_rng(0))["truth"]
    assert measured["teacher"]["intervals"] == {name: [1.0, 1.0] for name in ("precision", "recall", "f1")}
    low, high = measured["student"]["intervals"]["recall"]
    assert low < measured["student"]["recall"] < high
    assert 0.1 < high - low < 0.4


def test_the_incumbent_is_held_against_true_labels_too() -> None:
    rows = held()

    class Incumbent:
        """Calls texts of the first kind positive, at its own threshold."""

        def __init__(self) -> None:
            self.metadata = {"thresholds": {"default": 0.7}}

        def score(self, texts: list[str]) -> NDArray[np.float32]:
            high = np.array([0.8 if text.startswith("kind 0") else 0.6 for text in texts], np.float32)
            return np.stack([1 - high, high], axis=1)

    true_labels = {text: int(text.startswith("kind 0")) for text in rows.texts[:100]}
    known = dataclasses.replace(rows, true_labels=true_labels, incumbent=cast("Student", Incumbent()))
    measured = describe(known, ("no", "yes"), np.random.default_rng(0))["truth"]
    assert (measured["incumbent"]["f1"], measured["incumbent"]["rows"]) == (1.0, 100)
    assert measured["incumbent"]["intervals"]["f1"] == [1.0, 1.0]


def test_the_baseline_is_held_against_true_labels_too() -> None:
    rows = held()
    true_labels = {text: int(text.startswith("kind 0")) for text in rows.texts[:100]}
    baseline = Baseline(texts=[], answers=np.zeros(0, np.int64), classes=2)
    known = dataclasses.replace(rows, true_labels=true_labels, baseline=baseline)
    measured = describe(known, ("no", "yes"), np.random.default_rng(0))["truth"]
    assert list(measured) == ["student", "teacher", "baseline"]
    assert (measured["baseline"]["rows"], measured["baseline"]["accuracy"]) == (100, 1.0)
    few = dataclasses.replace(known, true_labels=dict(list(true_labels.items())[:39]))
    assert "baseline" not in describe(few, ("no", "yes"), np.random.default_rng(0))["truth"]


def learned() -> Learned:
    """Ten rows of twenty days and two labelled texts behind the corpus; the first round asked about five."""
    targets = np.full((12, 2), 0.5, np.float32)
    targets[:] = [0.9, 0.1]
    scores = targets.copy()
    scores[3], scores[7] = [0.01, 0.99], [0.2, 0.8]
    return Learned(
        rows=np.array([100, 101, *range(0, 20, 2)]),
        rounds=[5, 7],
        days=np.repeat(np.arange(19_000, 19_020), 5)[:100],
        targets=targets,
        trained=np.ones(12, np.bool_),
        scores=scores,
        texts=lambda rows: [f"row {row}" for row in rows.tolist()],
    )


def test_rows_asked_about_are_counted_by_day_and_round() -> None:
    stretches = of_learned(learned(), ("no", "yes"))["asked_by_day"]
    # Labelled texts have no day: three of the first round's rows have one, and all seven of the second's.
    assert [sum(stretch["rounds"][number] for stretch in stretches) for number in (0, 1)] == [3, 7]
    assert stretches[0]["first"] == "2022-01-08"
    assert stretches[0]["rounds"] == [3, 0]
    assert stretches[-1]["last"] == "2022-01-11"
    without = dataclasses.replace(learned(), days=None)
    assert of_learned(without, ("no", "yes"))["asked_by_day"] == []


def test_the_highest_losses_come_first() -> None:
    losses = of_learned(learned(), ("no", "yes"))["losses"]
    assert [row["text"] for row in losses[:2]] == ["row 2", "row 10"]
    assert (losses[0]["teacher"], losses[0]["student"]) == ("no", "yes")
    assert len(losses) == 12
    later = dataclasses.replace(learned(), trained=np.arange(12) % 8 != 3)  # not trained on: rows 3 and 11
    fitted = of_learned(later, ("no", "yes"))["losses"]
    assert [row["text"] for row in fitted] == [
        row["text"] for row in losses if row["text"] not in ("row 2", "row 18")
    ]
    assert losses[0]["loss"] == pytest.approx(-0.9 * np.log(0.01) - 0.1 * np.log(0.99), abs=1e-3)
    assert [row["loss"] for row in losses] == sorted((row["loss"] for row in losses), reverse=True)
