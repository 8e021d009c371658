"""The bench of the formula of a student's time: what it fits and what it compares."""

from dataclasses import astuple

import numpy as np
import pytest

from benchmarks.cost import fitted, made_student, ranked_alike, shapes
from textcnn import Vocabulary
from textcnn.cost import Terms, counts_of, nanoseconds_of

MACHINE = Terms(text=60, byte=4, token=2, load=1.2, feature=0.1, product=0.05, ngram=2, logit=1.5)


def test_numbers_that_made_the_times_are_found_again() -> None:
    counts = [
        counts_of(architecture, columns=classes, tokens=tokens, text_bytes=3 * tokens + 5)
        for architecture, classes in shapes().values()
        for tokens in (8.0, 18.0)
    ]
    took = np.array([nanoseconds_of(own, MACHINE) for own in counts])
    machine = fitted(np.array([astuple(own) for own in counts]), took)
    predicted = [nanoseconds_of(own, machine) for own in counts]
    assert predicted == pytest.approx(took, rel=0.02)
    assert min(astuple(machine)) >= 0


def test_only_pairs_that_are_apart_are_compared() -> None:
    measured, predicted = [1.0, 1.1, 2.0, 4.0], [3.0, 1.0, 2.0, 5.0]
    assert ranked_alike(measured, predicted, 1.5) == (4, 5)  # 1.0 and 2.0 are the wrong way round
    assert ranked_alike(measured, predicted, 3.0) == (2, 2)


def test_every_shape_scores() -> None:
    vocabulary, rng = Vocabulary(["goal", "team"], buckets=5), np.random.default_rng(0)
    for architecture, classes in shapes().values():
        student = made_student(architecture, classes, vocabulary, rng)
        scores = student.score(["goal team", ""])
        assert scores.shape == (2, classes)
        assert scores.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
