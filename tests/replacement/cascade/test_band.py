from itertools import pairwise

import numpy as np
import pytest

from replacement.cascade.band import Band, choose, measured, points_of, predicted, upper_bound
from replacement.evaluation.operating_points import Scored


def scored(rng: np.random.Generator, rows: int, *, classes: int = 2) -> Scored:
    """Rows of a student whose scores are honest: it errs as often as they say."""
    if classes == 2:
        positive = rng.beta(0.25, 0.6, rows)
        reference = (rng.random(rows) < positive).astype(np.int64)
        return Scored(reference=reference, scores=np.stack([1 - positive, positive], 1).astype(np.float32))
    logits = rng.normal(0, 5, (rows, classes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    reference = (shares.cumsum(1) < rng.random((rows, 1))).sum(1)
    return Scored(reference=reference, scores=shares.astype(np.float32))


@pytest.mark.parametrize(("classes", "threshold"), [(2, 0.5), (4, None)])
def test_the_agreement_that_was_wanted_holds_on_other_rows(classes: int, threshold: float | None) -> None:
    held, shares = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        validation, others = scored(rng, 1500, classes=classes), scored(rng, 10_000, classes=classes)
        points = points_of(validation, threshold, np.arange(1500), confidence=0.95)
        figures, share = measured(others, threshold, choose(points, 0.97).band)
        held.append(figures.accuracy >= 0.97)
        shares.append(share)
    assert sum(held) == 8
    alone = scored(np.random.default_rng(0), 20_000, classes=classes).measure(threshold).accuracy
    assert alone < 0.95
    # Far less than all rows: what is asked about is where the student errs.
    assert np.median(shares) < 0.6


def test_bands_lie_within_each_other_from_all_rows_to_none() -> None:
    rows = scored(np.random.default_rng(1), 800)
    points = points_of(rows, 0.3, np.arange(800), confidence=0.95)
    assert (points[0].teacher_share, points[0].agreement) == (1.0, 1.0)
    assert points[-1].agreement == pytest.approx(rows.measure(0.3).accuracy, abs=0.02)
    for wider, narrower in pairwise(points):
        assert wider.teacher_share > narrower.teacher_share
        assert wider.agreement >= narrower.agreement
        assert (wider.band.low, -wider.band.high) <= (narrower.band.low, -narrower.band.high)
        assert narrower.at_least <= narrower.agreement


def test_a_second_that_errs_counts_with_its_errors() -> None:
    rng = np.random.default_rng(3)
    rows, others = scored(rng, 1500), scored(rng, 10_000)

    def second(of: Scored) -> np.ndarray:
        wrong = rng.random(len(of.reference)) < 0.05
        return np.where(wrong, 1 - of.reference, of.reference)

    decided, held = second(rows), second(others)
    points = points_of(rows, 0.5, np.arange(1500), confidence=0.95, second=decided)
    assert points[0].teacher_share == 1.0
    assert points[0].agreement == pytest.approx((decided == rows.reference).mean())
    assert all(point.at_least < point.agreement for point in points)
    half = next(point for point in points if point.teacher_share <= 0.5)
    figures, share = measured(others, 0.5, half.band, held)
    assert figures.accuracy >= half.at_least
    asked = half.band.holds(others.scores)
    alone = np.where(asked, held, others.scores.argmax(axis=1)) == others.reference
    assert (figures.accuracy, share) == (pytest.approx(alone.mean()), pytest.approx(asked.mean()))


def test_a_higher_agreement_asks_about_more_rows_and_so_does_a_higher_confidence() -> None:
    rows = scored(np.random.default_rng(2), 1000)

    def share(agreement: float, confidence: float = 0.95) -> float:
        points = points_of(rows, 0.5, np.arange(1000), confidence=confidence)
        return choose(points, agreement).teacher_share

    assert share(0.95) < share(0.97) < share(0.99)
    assert share(0.97, 0.6) < share(0.97, 0.99)


def test_of_few_rows_all_are_asked_about() -> None:
    rows = scored(np.random.default_rng(3), 40)
    assert choose(points_of(rows, 0.5, np.arange(40), confidence=0.95), 0.97).teacher_share == 1.0


def test_one_bad_stretch_of_days_widens_the_band() -> None:
    rng = np.random.default_rng(4)
    rows, time = scored(rng, 1500), np.arange(1500)
    wrong = rows.scores[:, 1] < 0.05
    late = rows.reference.copy()
    late[(time >= 1250) & wrong & (rng.random(1500) < 0.15)] = 1  # sure, and wrong, on the newest days
    drifting = Scored(reference=late, scores=rows.scores)
    mixed = points_of(drifting, 0.5, rng.permutation(1500), confidence=0.95)
    in_order = points_of(drifting, 0.5, time, confidence=0.95)
    assert choose(in_order, 0.97).teacher_share > choose(mixed, 0.97).teacher_share


def test_the_bound_is_that_of_clopper_and_pearson_for_rows_of_one_weight() -> None:
    failed = np.zeros(300, np.bool_)
    assert upper_bound(failed, np.ones(300), 0.95) == pytest.approx(1 - 0.05 ** (1 / 300), abs=1e-4)
    failed[:5] = True  # scipy.stats.beta.ppf(0.95, 6, 295)
    assert upper_bound(failed, np.ones(300), 0.95) == pytest.approx(0.03470, abs=2e-4)
    heavy = np.where(failed, 10.0, 1.0)
    light = np.where(failed, 0.1, 1.0)
    assert upper_bound(failed, heavy, 0.95) > upper_bound(failed, light, 0.95)
    assert upper_bound(failed[:1], np.ones(1), 0.95) == 1.0


def test_a_part_more_is_predicted_by_students_t() -> None:
    failed = np.array([1, 0, 0, 0, 1, 1, 0, 0], np.bool_)
    parts = [np.arange(0, 4), np.arange(4, 8)]
    # One degree of freedom, 95 %: 6.314; the shares are .25 and .5.
    expected = 0.375 + 6.314 * np.std([0.25, 0.5], ddof=1) * np.sqrt(1.5)
    assert predicted(failed, np.ones(8), parts, 0.95) == pytest.approx(expected, rel=0.02)
    assert predicted(failed, np.ones(8), parts[:1], 0.95) == 0.0


def test_a_band_compares_scores_in_their_own_type() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], np.float32)
    assert Band(low=0.2, high=0.3).holds(scores).tolist() == [False, True, False]
    margins = np.array([[0.5, 0.4, 0.1], [0.2, 0.7, 0.1]], np.float32)
    assert Band(low=0.0, high=0.3).holds(margins).tolist() == [True, False]
