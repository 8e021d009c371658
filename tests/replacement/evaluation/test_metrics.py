import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pingti.workspace.definition import GateSection
from pingti.workspace.definition import OperatingPointSection as Demand
from replacement.evaluation.metrics import Measure, decide, measure
from replacement.evaluation.operating_points import choose, curve

# Ten documents, the relevant ones at ranks 1, 3, 4, 7 and 10.
SCORES = np.array([0.95, 0.90, 0.80, 0.70, 0.60, 0.50, 0.40, 0.30, 0.20, 0.10], np.float32)
RELEVANT = np.array([1, 0, 1, 1, 0, 0, 1, 0, 0, 1], np.bool_)


def at(threshold: float | None, reference: NDArray[np.bool_] = RELEVANT, scores: object = SCORES) -> Measure:
    """Measured as a classifier does: by comparing scores (n, 2) with the threshold."""
    second = np.asarray(scores)
    assert threshold is not None
    decided = decide(np.stack([1 - second, second], axis=1), threshold)
    return measure(reference.astype(np.int64), decided, 2)


def test_two_classes_by_hand() -> None:
    reference = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    decided = np.array([1, 1, 1, 0, 1, 0, 0, 0, 0, 0])
    measured = measure(reference, decided, 2)
    assert (measured.precision, measured.recall, measured.f1) == pytest.approx((3 / 4, 3 / 4, 3 / 4))
    assert (measured.accuracy, measured.rows, measured.positives) == (0.8, 10, 4)
    other = measure(decided, np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0]), 2)
    assert (other.precision, other.recall, other.f1) == pytest.approx((1.0, 1 / 2, 2 / 3))


def test_three_classes_by_hand_and_a_class_that_is_never_named_does_not_count() -> None:
    reference = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    decided = np.array([0, 0, 0, 1, 1, 2, 2, 2, 0, 3])
    measured = measure(reference, decided, 4)  # confusion rows: 3 1 0 0 | 0 1 1 0 | 1 0 2 1 | none
    assert measured.precision == pytest.approx((3 / 4 + 1 / 2 + 2 / 3) / 3)
    assert measured.recall == pytest.approx((3 / 4 + 1 / 2 + 2 / 4) / 3)
    assert measured.f1 == pytest.approx(
        (3 / 4 + 1 / 2 + 4 / 7) / 3
    )  # macro: the mean of F1, not F1 of the means
    assert (measured.accuracy, measured.positives) == (0.6, 6)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30))
def test_measure_is_what_counting_one_by_one_gives(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs, np.int64).reshape(-1, 2)
    measured = measure(table[:, 0], table[:, 1], 3)
    ratios = []
    for label in sorted({reference for reference, _ in pairs}):
        hits = sum(pair == (label, label) for pair in pairs)
        called, there = sum(d == label for _, d in pairs), sum(g == label for g, _ in pairs)
        ratios.append((hits / called if called else 0.0, hits / there, 2 * hits / (called + there)))
    means = np.mean(ratios, axis=0) if ratios else np.zeros(3)
    assert (measured.precision, measured.recall, measured.f1) == pytest.approx(tuple(means))
    assert measured.accuracy == pytest.approx(sum(g == d for g, d in pairs) / max(1, len(pairs)))


def test_nothing_called_and_nothing_there_have_no_precision_and_no_recall() -> None:
    none, some = np.zeros(5, np.int64), np.array([0, 1, 0, 0, 0])
    for reference, decided in ((some, none), (none, some), (none, none)):
        measured = measure(reference, decided, 2)
        assert (measured.precision, measured.recall, measured.f1) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("needed", "passes"), [((0.75, 0.75), True), ((0.76, 0.7), False), ((0.7, 0.8), False)]
)
def test_the_gate_needs_both_and_the_shortfall_says_what_lacks(
    needed: tuple[float, float], passes: bool
) -> None:
    measured = Measure(precision=0.75, recall=0.75, f1=0.75, accuracy=0.9, rows=9, positives=4)
    gate = GateSection(precision=needed[0], recall=needed[1])
    assert measured.passes(gate) is passes
    assert measured.shortfall(gate) == pytest.approx([max(0.0, least - 0.75) for least in needed])


def test_the_curve_of_a_ranked_list() -> None:
    points = curve(RELEVANT, SCORES)
    assert points.precisions[::-1] == pytest.approx(
        [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5, 3 / 6, 4 / 7, 4 / 8, 4 / 9, 5 / 10]
    )
    assert points.recalls[::-1] == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6, 0.6, 0.8, 0.8, 0.8, 1.0])
    assert points.thresholds == pytest.approx([0.1, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.925])


# Few values, so that scores tie; neighbours in float32, and numbers between which there is no other.
VALUES = [0.0, 1e-45, 0.25, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.75]
VALUES += [float(np.nextafter(np.float32(1), np.float32(0))), 1.0]
ROWS = st.integers(1, 25).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.bool_, n),
        st.one_of(
            hnp.arrays(np.float32, n, elements=st.sampled_from([float(v) for v in VALUES])),
            hnp.arrays(np.float32, n, elements=st.floats(0, 1, width=32)),
            hnp.arrays(np.float64, n, elements=st.floats(0, 1)),
        ),
    )
)


@given(ROWS)
def test_every_threshold_of_the_curve_gives_what_it_says(
    rows: tuple[NDArray[np.bool_], NDArray[np.floating]],
) -> None:
    reference, scores = rows
    points = curve(reference, scores)
    assert len(points.thresholds) == len(np.unique(scores))
    assert (np.diff(points.thresholds) > 0).all()
    assert ((points.expected >= 0.0) & (points.expected <= 1.0)).all()
    for index, threshold in enumerate(points.thresholds.tolist()):
        measured = at(threshold, reference, scores)
        assert (measured.precision, measured.recall, measured.f1) == pytest.approx(
            (points.precisions[index], points.recalls[index], points.f1s[index])
        )


@given(ROWS, st.floats(0.05, 1.0), st.sampled_from(["precision", "recall", "f1"]))
def test_no_threshold_is_better_than_the_chosen(
    rows: tuple[NDArray[np.bool_], NDArray[np.floating]], least: float, kind: str
) -> None:
    reference, scores = rows
    demand = Demand() if kind == "f1" else Demand.model_validate({kind: least})
    points = curve(reference, scores)
    threshold, says = choose(points, demand)
    every = [at(float(score), reference, scores) for score in np.unique(scores)]
    if kind == "f1":
        # No worse than chance explains, whatever the model of the scores expects.
        chance = 0.5 / np.sqrt(max(1, reference.sum()))
        assert at(threshold, reference, scores).f1 >= max(measured.f1 for measured in every) - chance - 1e-9
        return
    other = "recall" if kind == "precision" else "precision"
    enough = [measured for measured in every if getattr(measured, kind) >= least]
    if not enough:
        nearest = max(getattr(measured, kind) for measured in every)
        assert threshold is None
        assert says.startswith(
            f"no threshold reaches {kind} {least:.3f}; the nearest is {nearest:.3f}, with "
        )
        return
    got = at(threshold, reference, scores)
    assert getattr(got, kind) >= least
    assert getattr(got, other) == pytest.approx(max(getattr(measured, other) for measured in enough))
    assert says == f"{other} {getattr(got, other):.3f} at {kind} {getattr(got, kind):.3f}"


def test_a_threshold_of_few_rows_is_not_a_lucky_one() -> None:
    # Rows of which a known share is positive at every score, and that score too high: the best threshold is
    # known, and what one loses to it that 400 rows choose.
    rng = np.random.default_rng(0)
    odds = rng.normal(-4.0, 2.5, 200_000)
    reference = rng.random(len(odds)) < 1 / (1 + np.exp(-0.8 * odds + 1.0))
    scores = (1 / (1 + np.exp(-odds))).astype(np.float32)
    best = float(curve(reference, scores).f1s.max())
    lost: dict[str, list[float]] = {"chosen": [], "highest": []}
    for _ in range(60):
        some = rng.integers(0, len(odds), 400)
        points = curve(reference[some], scores[some])
        for name, threshold in (
            ("chosen", choose(points, Demand())[0]),
            ("highest", float(points.thresholds[points.f1s.argmax()])),
        ):
            assert threshold is not None
            lost[name].append(best - at(threshold, reference, scores).f1)
    assert np.mean(lost["chosen"]) < 0.5 * np.mean(lost["highest"])


def test_what_a_curve_expects_is_what_comes_true() -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(-2.0, 2.0, 20_000)
    reference = rng.random(len(odds)) < 1 / (1 + np.exp(-0.7 * odds + 0.5))
    points = curve(reference, 1 / (1 + np.exp(-odds)))
    assert points.expected[:-50] == pytest.approx(points.f1s[:-50], abs=0.03)


@pytest.mark.parametrize(
    ("demand", "threshold", "says"),
    [
        (Demand(precision=0.7), 0.65, "recall 0.600 at precision 0.750"),
        (Demand(precision=1.0), 0.925, "recall 0.200 at precision 1.000"),
        (Demand(recall=0.7), 0.35, "precision 0.571 at recall 0.800"),
        (Demand(recall=1.0), 0.1, "precision 0.500 at recall 1.000"),
    ],
)
def test_demands_on_a_ranked_list(demand: Demand, threshold: float, says: str) -> None:
    chosen, sentence = choose(curve(RELEVANT, SCORES), demand)
    assert chosen == pytest.approx(threshold, abs=0.051)  # half-way to the next score
    assert sentence == says


def test_float32_neighbours_stay_apart() -> None:
    below, one = np.nextafter(np.float32(1), np.float32(0)), np.float32(1)
    scores = np.array([below, below, one, one], np.float32)
    reference = np.array([False, False, True, True])
    threshold, _ = choose(curve(reference, scores), Demand(precision=1.0))
    assert at(threshold, reference, scores).precision == 1.0


@pytest.mark.parametrize("scores", [[], [0.1, 0.5, 0.9]])
def test_without_a_positive_row_there_is_nothing_to_choose_by(scores: list[float]) -> None:
    points = curve(np.zeros(len(scores), np.bool_), np.array(scores, np.float32))
    assert choose(points, Demand()) == (0.5, "0.500, for want of a positive row to choose by")
    assert choose(points, Demand(recall=0.5))[0] is None
    assert choose(points, Demand(precision=0.5))[0] is None


def test_without_a_threshold_the_likeliest_class_is_taken() -> None:
    scores = np.array([[0.2, 0.3, 0.5], [0.4, 0.3, 0.3], [0.4, 0.4, 0.2]], np.float32)
    assert decide(scores, None).tolist() == [2, 0, 0]
    assert decide(scores[:, :2], 0.3).tolist() == [1, 1, 1]
    assert decide(scores[:, :2], 0.35).tolist() == [0, 0, 1]


@given(ROWS, st.data())
def test_a_row_of_weight_three_counts_as_three_rows(
    rows: tuple[NDArray[np.bool_], NDArray[np.floating]], data: st.DataObject
) -> None:
    reference, scores = rows
    weights = np.array(
        data.draw(st.lists(st.integers(1, 3), min_size=len(reference), max_size=len(reference)))
    )
    weighted = curve(reference, scores, weights.astype(np.float64))
    repeated = curve(np.repeat(reference, weights), np.repeat(scores, weights))
    for name in ("thresholds", "precisions", "recalls", "f1s"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name))
    np.testing.assert_allclose(weighted.expected, repeated.expected, atol=1e-4)
    decided = (scores >= 0.5).astype(np.int64)
    measured = measure(reference.astype(np.int64), decided, 2, weights.astype(np.float64))
    whole = measure(np.repeat(reference, weights).astype(np.int64), np.repeat(decided, weights), 2)
    assert (measured.precision, measured.recall, measured.f1) == pytest.approx(
        (whole.precision, whole.recall, whole.f1)
    )
    assert measured.accuracy == pytest.approx(whole.accuracy)
    assert (measured.rows, measured.positives) == (len(reference), int(reference.sum()))
