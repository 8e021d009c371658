import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from replacement.evaluation.disagreement import hard_negatives
from replacement.evaluation.metrics import Measure, measure
from replacement.results import Coverage
from replacement.training.acquisition import KINDS, Candidates, Known, choose, shares

SHORT = st.floats(0.0, 1.0)
CORNERS = np.eye(4, dtype=np.float32)
"""Four directions, as far from each other as can be: places of clusters."""


@settings(deadline=None)
@given(SHORT, SHORT)
def test_shares_sum_to_one_and_a_part_follows_the_errors(precision: float, recall: float) -> None:
    parts = shares((precision, recall))
    assert tuple(parts) == KINDS
    assert sum(parts.values()) == pytest.approx(1.0)
    assert min(parts.values()) >= 0.0
    assert (parts["random"], parts["new"], parts["uncertain"]) == (0.02, 0.02, 0.9)
    if precision != recall:
        missed = parts["diverse"] + parts["neighbours"]
        assert (parts["competing"] > missed) == (precision > recall)


@pytest.mark.parametrize(
    ("shortfall", "hard_negatives"),
    [((0.0, 0.0), 0.5), ((0.1, 0.0), 1.0), ((0.0, 0.1), 0.0), ((0.1, 0.1), 0.5), ((0.3, 0.1), 0.75)],
)
def test_what_lacks_more_gets_more(shortfall: tuple[float, float], hard_negatives: float) -> None:
    parts = shares(shortfall)
    wanted = (0.06 * hard_negatives, 0.03 * (1.0 - hard_negatives), 0.03 * (1.0 - hard_negatives))
    assert (parts["competing"], parts["diverse"], parts["neighbours"]) == pytest.approx(wanted)


def places(where: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vectors close to the given corners."""
    return (CORNERS[where] + rng.normal(0.0, 0.03, (len(where), 4))).astype(np.float32)


def known(
    labels: NDArray[np.int64], decided: NDArray[np.int64], where: NDArray[np.int64], rng: np.random.Generator
) -> Known:
    """Rows whose [CLS] vectors and features lie at the same corner; the features have another scale."""
    return Known(labels=labels, decided=decided, vectors=places(where, rng), features=5 * places(where, rng))


def measured(rows: Known, classes: int) -> Measure:
    return measure(rows.labels, rows.decided, classes)


def random_case(
    seed: int, n: int, classes: int, positives: bool = True
) -> tuple[Candidates, Known, Known, Measure]:
    rng = np.random.default_rng(seed)

    def some(count: int) -> Known:
        labels = rng.integers(0, classes, count) * int(positives)
        return known(labels, rng.integers(0, classes, count), rng.integers(0, 4, count), rng)

    rows, validation = some(80), some(40)
    candidates = Candidates(
        probabilities=rng.dirichlet(np.ones(classes), n).astype(np.float32).reshape(n, classes),
        features=places(rng.integers(0, 4, n), rng),
        network=rng.normal(0.0, 3.0, (n, classes)).astype(np.float32),
        threshold=0.6 if classes == 2 else None,
    )
    return candidates, rows, validation, measured(validation, classes)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 99),
    st.integers(0, 120),
    st.integers(0, 150),
    st.integers(2, 3),
    st.booleans(),
    SHORT,
    SHORT,
)
def test_rows_are_distinct_and_as_many_as_asked_for(
    seed: int, n: int, budget: int, classes: int, positives: bool, precision: float, recall: float
) -> None:
    case = random_case(seed, n, classes, positives)
    results = [
        choose(*case, (precision, recall), budget=budget, rng=np.random.default_rng(s))
        for s in (seed, seed, seed + 1)
    ]
    for chosen, coverage in results:
        rows = np.concatenate(list(chosen.values()))
        assert tuple(chosen) == KINDS
        assert len(set(rows.tolist())) == len(rows) == min(n, budget)
        assert ((rows >= 0) & (rows < n)).all()
        assert all(0.0 <= cluster.covered <= 1.0 for cluster in coverage)
        assert sum(cluster.members for cluster in coverage) in (0, 80, int((case[1].labels > 0).sum()))
    first, second, other = ({kind: rows.tolist() for kind, rows in chosen.items()} for chosen, _ in results)
    assert first == second
    assert results[0][1] == results[1][1]
    if 20 <= budget < n // 2:
        assert first != other


def spread(seed: int) -> tuple[Known, Known, Candidates, NDArray[np.int64]]:
    """Positives of two kinds, at corners 0 and 1; the student finds the first and misses the second.

    The candidates lie evenly at all four corners. Corner 2 is one of plain negatives, 3 is unknown.
    """
    rng = np.random.default_rng(seed)
    where = np.repeat([0, 1, 2], 40)
    labels = (where < 2).astype(np.int64)
    rows = known(labels, labels, where, rng)  # it knows by heart what it was trained on
    where = np.repeat([0, 1, 2], 400)
    validation = known((where < 2).astype(np.int64), (where == 0).astype(np.int64), where, rng)
    there = np.tile([0, 1, 2, 3], 200)
    scores = rng.uniform(0.0, 0.4, 800).astype(np.float32)
    probabilities = np.stack([1 - scores, scores], axis=1)
    candidates = Candidates(
        probabilities=probabilities,
        features=places(there, rng),
        network=np.log(probabilities) / 2,  # the other half is the wide part's
        threshold=0.5,
    )
    return rows, validation, candidates, there


def chosen_of_spread(
    seed: int,
) -> tuple[dict[str, NDArray[np.int64]], list[Coverage], NDArray[np.int64]]:
    """400 rows of ``spread``, recall being short; and where each candidate lies."""
    rows, validation, candidates, there = spread(seed)
    chosen, coverage = choose(
        candidates,
        rows,
        validation,
        measured(validation, 2),
        (0.0, 0.4),
        budget=400,
        rng=np.random.default_rng(seed),
    )
    return chosen, coverage, there


@pytest.mark.parametrize("seed", range(4))
def test_rows_go_to_the_cluster_that_the_student_covers_worst(seed: int) -> None:
    chosen, coverage, there = chosen_of_spread(seed)
    assert sum(cluster.measured for cluster in coverage) == 800
    # A cluster is of one kind: found always or never, and drawn to the recall of one half by four rows.
    for cluster in coverage:
        hits = cluster.measured * (cluster.covered > 0.5)
        assert cluster.covered == pytest.approx((hits + 4 * 0.5) / (cluster.measured + 4), abs=1e-4)
    assert {cluster.covered > 0.5 for cluster in coverage} == {True, False}
    assert (len(chosen["competing"]), len(chosen["diverse"])) == (0, 12)
    at = np.bincount(there[chosen["diverse"]], minlength=4)
    assert at[1] > 3 * at[0]
    assert at[2] + at[3] == 0


@pytest.mark.parametrize("seed", range(4))
def test_rows_go_next_to_what_is_missed_and_where_nobody_looked(seed: int) -> None:
    chosen, _, there = chosen_of_spread(seed)
    assert (len(chosen["neighbours"]), len(chosen["new"])) == (12, 8)
    assert (there[chosen["neighbours"]] == 1).all()  # the positives that it misses lie there
    assert (there[chosen["new"]] == 3).mean() >= 0.75  # no row that was asked about does


def test_rows_of_too_few_for_every_kind_are_those_that_it_is_unsure_of() -> None:
    rows, validation, candidates, _ = spread(0)
    measure_of = measured(validation, 2)
    for budget, wanted in ((1, {"uncertain": 1}), (12, {"uncertain": 11, "competing": 1})):
        chosen, _ = choose(
            candidates, rows, validation, measure_of, (0.4, 0.4), budget=budget, rng=np.random.default_rng(0)
        )
        assert sum(len(some) for some in chosen.values()) == budget
        assert len(chosen["uncertain"]) == wanted["uncertain"]


def test_without_positives_to_cluster_random_rows_take_the_place() -> None:
    rows, validation, candidates, _ = spread(0)
    rng, zeros = np.random.default_rng(0), np.zeros(67, np.int64)
    few = known(np.repeat([1, 0], [7, 60]), zeros, zeros, rng)  # eight make a cluster
    for trained, seen, missed in ((few, validation, 3), (rows, known(zeros, zeros, zeros, rng), 0)):
        chosen, coverage = choose(
            candidates, trained, seen, measured(seen, 2), (0.0, 0.4), budget=80, rng=np.random.default_rng(0)
        )
        assert coverage == []
        assert {kind: len(picked) for kind, picked in chosen.items()} == {
            "random": 6 - missed, "uncertain": 72, "competing": 0, "diverse": 0,
            "neighbours": missed, "new": 2,
        }  # fmt: skip


def test_each_kind_takes_what_its_name_says() -> None:
    rows, validation, candidates, _ = spread(1)
    probabilities = candidates.probabilities.copy()
    probabilities[1::20, 1] = 0.9  # 40 called positive, all where a badly covered cluster is
    probabilities[2:281:2, 1] = 0.49  # more than 96 close to a tie
    probabilities[:, 0] = 1 - probabilities[:, 1]
    network = np.log(probabilities) / 2
    network[3, 1] += 300.0  # the wide part says as much against it
    candidates = Candidates(
        probabilities=probabilities, features=candidates.features, network=network, threshold=0.5
    )

    def asked(some: Candidates) -> dict[str, np.ndarray]:
        seen, rng = measured(validation, 2), np.random.default_rng(0)
        return choose(some, rows, validation, seen, (0.2, 0.2), budget=100, rng=rng)[0]

    chosen = asked(candidates)
    scores = {kind: probabilities[picked, 1] for kind, picked in chosen.items()}
    counts = {kind: len(picked) for kind, picked in chosen.items()}
    assert counts == {
        "random": 1, "uncertain": 90, "competing": 3, "diverse": 2, "neighbours": 2, "new": 2
    }  # fmt: skip
    assert scores["competing"].min() > 0.5
    assert scores["diverse"].max() < 0.5
    assert 3 in chosen["uncertain"]
    assert (probabilities[np.setdiff1d(chosen["uncertain"], [3]), 1] > 0.4).all()
    # Where classes are divided, ties alone count.
    chosen = asked(dataclasses.replace(candidates, network=None))
    assert 3 not in chosen["uncertain"]
    assert (probabilities[chosen["uncertain"], 1] > 0.4).all()


def test_with_three_classes_wrong_decisions_and_badly_covered_clusters_get_the_rows() -> None:
    rng = np.random.default_rng(0)
    where = np.repeat([0, 1, 2], 60)
    rows = known(where, where, where, rng)
    # What the student calls class 2 is of class 1 in the validation rows.
    validation = known(where, np.array([0, 2, 2])[where], where, rng)
    there = np.tile([0, 1, 2], 200)
    candidates = Candidates(
        probabilities=(0.05 + 0.85 * np.eye(3, dtype=np.float32))[there],
        features=places(there, rng),
        network=np.eye(3, dtype=np.float32)[there],
        threshold=None,
    )
    chosen, coverage = choose(
        candidates, rows, validation, measured(validation, 3), (0.2, 0.2), budget=400, rng=rng
    )
    assert sum(cluster.measured for cluster in coverage) == 180
    assert (there[chosen["competing"]] == 2).all()
    at = np.bincount(there[chosen["diverse"]], minlength=3)
    assert at[1] > at[0] + at[2]


def test_hard_negatives_are_what_the_student_is_sure_of_and_the_teacher_denies() -> None:
    rng = np.random.default_rng(0)
    teacher = np.array([0.1, 0.45, 0.9, 0.1, 0.9], np.float32)
    student = np.array([0.95, 0.95, 0.95, 0.65, 0.1], np.float32)
    pairs = np.stack([1 - teacher, teacher], axis=1), np.stack([1 - student, student], axis=1)
    # The second: the teacher is not sure. The fourth: the student is not, its threshold being 0.6.
    assert hard_negatives(*pairs, 0.6, rng=rng).tolist() == [True, False, False, False, True]
    sure = np.array([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.1, 0.8, 0.1]], np.float32)
    called = np.array([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]], np.float32)
    assert hard_negatives(sure, called, None, rng=rng).tolist() == [True, False, False]
