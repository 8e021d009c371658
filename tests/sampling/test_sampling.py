import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 80), st.integers(0, 9))
def test_every_strategy_gives_distinct_rows_within_the_budget(n: int, budget: int, seed: int) -> None:
    scores = np.random.default_rng(seed).dirichlet(np.ones(3), n).reshape(n, 3)
    other = np.random.default_rng(seed + 1).dirichlet(np.ones(3), n).reshape(n, 3)
    for strategy in (
        lambda rng: sampling.random_rows(n, budget=budget, rng=rng),
        lambda rng: sampling.least_confidence(scores, budget=budget, rng=rng),
        lambda rng: sampling.breaking_ties(scores, budget=budget, rng=rng),
        lambda rng: sampling.near_threshold(scores[:, 1], 0.4, budget=budget, rng=rng),
        lambda rng: sampling.likely_false(scores[:, 1], 0.4, budget=budget, rng=rng),
        lambda rng: sampling.competing(scores[:, 1], other[:, 1], 0.5, 0.4, budget=budget, rng=rng),
        lambda rng: sampling.competing_classes(scores, other, budget=budget, rng=rng),
        lambda rng: sampling.by_need(
            scores.argmax(axis=1), np.array([1.0, 0.0, 2.0]), budget=budget, rng=rng
        ),
    ):
        rows = strategy(np.random.default_rng(seed))
        assert len(set(rows.tolist())) == len(rows) <= budget
        assert all(0 <= row < n for row in rows)
        assert rows.tolist() == strategy(np.random.default_rng(seed)).tolist()


def test_near_a_threshold_is_measured_in_odds() -> None:
    # Odds 19 at the threshold; at the scores 99, 9, 4 and without end.
    scores = np.array([0.99, 0.9, 0.8, 1.0], np.float32)
    found = sampling.near_threshold(scores, 0.95, budget=4, rng=np.random.default_rng(0))
    assert found.tolist() == [1, 2, 0, 3]
    low = sampling.near_threshold(1 - scores, 0.05, budget=3, rng=np.random.default_rng(0))
    assert low.tolist() == [1, 2, 0]


def test_a_committee_takes_rows_that_its_members_see_apart_before_equal_leads() -> None:
    # Leads of the first class 2, 2, 1 and 8; one member says 1, 12, 0.5 and -4 of them, the other the rest.
    lead, own = np.array([2.0, 2.0, -1.0, 8.0]), np.array([1.0, 12.0, -0.5, -4.0])
    for classes in (2, 3):
        logits = np.full((4, classes), -50.0)  # a third class is never among the likeliest two
        logits[:, 0], logits[:, 1] = lead + 3, 3  # up to a constant of the row
        member = np.zeros((4, classes))
        member[:, 0] = own
        found = sampling.committee(logits, member, budget=4, rng=np.random.default_rng(0))
        # 2 / sqrt(16 + 22^2), 1 / 4, 8 / sqrt(16 + 16^2), 2 / 4
        assert found.tolist() == [1, 2, 3, 0]
    agreed = sampling.committee(logits, logits / 2, budget=3, rng=np.random.default_rng(0))
    assert agreed.tolist() == [2, 0, 1] or agreed.tolist() == [2, 1, 0]


def test_competing_rows_are_the_clear_disagreements_widest_first() -> None:
    teacher = np.array([0.9, 0.1, 0.2, 0.55, 0.9])
    student = np.array([0.9, 0.6, 0.9, 0.10, 0.1])
    rng = np.random.default_rng(0)
    found = sampling.competing(teacher, student, 0.5, 0.5, margin=0.16, budget=9, rng=rng)
    assert found.tolist() == [4, 2, 1]


@pytest.mark.parametrize("threshold", [0.01, 0.15, 0.5, 0.85, 0.999])
def test_misses_and_false_calls_compete_at_every_threshold(threshold: float) -> None:
    teacher = np.array([0.99, 0.01, 0.99, 0.01])
    room = np.array([-0.99, 0.99, -0.3, 0.3])  # clearly below, clearly above, and not clearly
    student = threshold + room * np.where(room > 0, 1 - threshold, threshold)
    rng = np.random.default_rng(0)
    found = sampling.competing(teacher, student, 0.5, threshold, margin=0.4, budget=9, rng=rng)
    assert sorted(found.tolist()) == [0, 1]


def test_need_decides_the_shares_and_a_small_cluster_gives_all_it_has() -> None:
    assigned = np.array([0] * 50 + [1] * 50 + [2] * 3)
    need = np.array([3.0, 1.0, 100.0])
    rows = sampling.by_need(assigned, need, budget=23, rng=np.random.default_rng(0))
    counts = np.bincount(assigned[rows], minlength=3)
    assert counts[2] == 3
    assert counts.sum() == 23
    assert counts[0] > counts[1]


def test_clusters_find_two_blobs_and_neighbours_lie_in_the_same() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal([5, 0, 0], 0.1, (30, 3)), rng.normal([0, 5, 0], 0.1, (30, 3))])
    found = sampling.cluster(vectors, 2, rng=rng)
    assert len(set(found.assigned[:30].tolist())) == len(set(found.assigned[30:].tolist())) == 1
    assert found.assigned[0] != found.assigned[-1]
    near = sampling.neighbours(vectors[:1], vectors, budget=10)
    assert near[0] == 0
    assert (near < 30).all()
    hit = np.arange(60) < 15
    shares = sampling.coverage(found.assigned, hit, 2)
    assert shares[found.assigned[0]] == 0.5
    assert shares[found.assigned[-1]] == 0.0
