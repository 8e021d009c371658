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
        lambda rng: sampling.breaking_ties(scores, budget=budget, rng=rng),
        lambda rng: sampling.open_questions([scores, other[:, :2]], budget=budget, rng=rng),
        lambda rng: sampling.likely_false(scores[:, 1], 0.4, budget=budget, rng=rng),
        lambda rng: sampling.committee(scores, other, budget=budget, rng=rng),
        lambda rng: sampling.hard_negatives(scores[:, 1], other[:, 1], 0.5, 0.4, budget=budget, rng=rng),
        lambda rng: sampling.hard_negatives_by_class(scores, other, budget=budget, rng=rng),
        lambda rng: sampling.neighbours(other[:3], scores, budget=budget),
        lambda rng: sampling.by_need(
            scores.argmax(axis=1), np.array([1.0, 0.0, 2.0]), budget=budget, rng=rng
        ),
    ):
        rows = strategy(np.random.default_rng(seed))
        assert len(set(rows.tolist())) == len(rows) <= budget
        assert all(0 <= row < n for row in rows)
        assert rows.tolist() == strategy(np.random.default_rng(seed)).tolist()


def test_a_row_is_open_where_any_question_is() -> None:
    one = np.array([[0.9, 0.1], [0.55, 0.45], [1.0, 0.0], [0.2, 0.8]])
    other = np.array([[0.1, 0.45, 0.45], [0.8, 0.1, 0.1], [0.7, 0.3, 0.0], [0.0, 1.0, 0.0]])
    rng = np.random.default_rng(0)
    # Margins 0.8 and 0; 0.1 and 0.7; 1 and 0.4; 0.6 and 1.
    assert sampling.open_questions([one, other], budget=4, rng=rng).tolist() == [0, 1, 2, 3]
    assert sampling.open_questions([one], budget=2, rng=rng).tolist() == [1, 3]
    with pytest.raises(ValueError, match="one question or more"):
        sampling.open_questions([], budget=2, rng=rng)


def test_a_committee_takes_rows_that_its_members_see_apart_before_equal_margins() -> None:
    # The first class is ahead by 2, 2, -1 and 8; one member says 1, 12, -0.5, -4, the other the rest.
    ahead, own = np.array([2.0, 2.0, -1.0, 8.0]), np.array([1.0, 12.0, -0.5, -4.0])
    for classes in (2, 3):
        logits = np.full((4, classes), -50.0)  # a third class is never among the likeliest two
        logits[:, 0], logits[:, 1] = ahead + 3, 3  # up to a constant of the row
        member = np.zeros((4, classes))
        member[:, 0] = own
        rows = sampling.committee(logits, member, budget=4, rng=np.random.default_rng(0))
        # 2 / sqrt(16 + 22^2), 1 / 4, 8 / sqrt(16 + 16^2), 2 / 4
        assert rows.tolist() == [1, 2, 3, 0]
    agreed = sampling.committee(logits, logits / 2, budget=3, rng=np.random.default_rng(0))
    assert agreed.tolist() == [2, 0, 1] or agreed.tolist() == [2, 1, 0]


def test_hard_negatives_are_the_clear_disagreements_widest_first() -> None:
    teacher = np.array([0.9, 0.1, 0.2, 0.55, 0.9])
    student = np.array([0.9, 0.6, 0.9, 0.10, 0.1])
    rng = np.random.default_rng(0)
    rows = sampling.hard_negatives(teacher, student, 0.5, 0.5, margin=0.16, budget=9, rng=rng)
    assert rows.tolist() == [4, 2, 1]
    both = [np.stack([1 - scores, scores], axis=1) for scores in (teacher, student)]
    by_class = sampling.hard_negatives_by_class(*both, margin=0.16, budget=9, rng=rng)
    assert by_class.tolist() == [4, 2, 1]


@pytest.mark.parametrize("threshold", [0.01, 0.15, 0.5, 0.85, 0.999])
def test_misses_and_false_calls_are_hard_negatives_at_every_threshold(threshold: float) -> None:
    teacher = np.array([0.99, 0.01, 0.99, 0.01])
    room = np.array([-0.99, 0.99, -0.3, 0.3])  # clearly below, clearly above, and not clearly
    student = threshold + room * np.where(room > 0, 1 - threshold, threshold)
    rng = np.random.default_rng(0)
    rows = sampling.hard_negatives(teacher, student, 0.5, threshold, margin=0.4, budget=9, rng=rng)
    assert sorted(rows.tolist()) == [0, 1]


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
    clusters = sampling.cluster(vectors, 2, rng=rng)
    assert len(set(clusters.assigned[:30].tolist())) == len(set(clusters.assigned[30:].tolist())) == 1
    assert clusters.assigned[0] != clusters.assigned[-1]
    near = sampling.neighbours(vectors[:1], vectors, budget=10)
    assert near[0] == 0
    assert (near < 30).all()
    hit = np.arange(60) < 15
    shares = sampling.coverage(clusters.assigned, hit, 2)
    assert shares[clusters.assigned[0]] == 0.5
    assert shares[clusters.assigned[-1]] == 0.0
