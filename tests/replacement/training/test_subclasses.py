"""Subclasses: which of the teacher's labels the student tells apart."""

import numpy as np
import pytest

from replacement.training.subclasses import divide


def texts_of(labels: int, groups: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (400, labels) and vectors (400, 16); label i lies near the others of group i % groups."""
    centres = np.eye(16)[:groups] * 4
    own = rng.integers(0, labels, 400)
    vectors = centres[own % groups] + rng.normal(0, 0.2, (400, 16))
    probabilities = np.full((400, labels), 0.1 / labels) + 0.9 * np.eye(labels)[own]
    return probabilities.astype(np.float32), vectors.astype(np.float32)


def test_labels_that_are_few_are_a_subclass_each_in_the_order_of_classes() -> None:
    rng = np.random.default_rng(0)
    probabilities, vectors = texts_of(4, 4, rng)
    subclasses = divide([1, 0, 2, 1], probabilities, vectors, most=32, rng=rng)
    assert (subclasses.of_label, subclasses.counts) == ((1, 0, 3, 2), (1, 2, 1))
    np.testing.assert_allclose(subclasses.targets(probabilities), probabilities[:, [1, 0, 3, 2]])
    assert subclasses.named(["a", "b", "c"], ["w", "x", "y", "z"]) == {
        "a": [["x"]],
        "b": [["w"], ["z"]],
        "c": [["y"]],
    }


def test_labels_that_are_many_share_a_subclass_with_near_ones_of_their_class() -> None:
    rng = np.random.default_rng(1)
    probabilities, vectors = texts_of(24, 4, rng)
    class_of = [0] * 20 + [1] * 4  # each class has labels of all four groups
    subclasses = divide(class_of, probabilities, vectors, most=6, rng=rng)
    assert subclasses.counts == (4, 2)
    assert {subclasses.of_label[label] for label in range(20)} == set(range(4))
    for group in range(4):
        assert len({subclasses.of_label[label] for label in range(20) if label % 4 == group}) == 1
    targets = subclasses.targets(probabilities)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(targets[:, 4:].sum(axis=1), probabilities[:, 20:].sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_every_class_keeps_one(most: int) -> None:
    rng = np.random.default_rng(2)
    probabilities, vectors = texts_of(9, 3, rng)
    subclasses = divide([0, 1, 2] * 3, probabilities, vectors, most=most, rng=rng)
    assert (subclasses.of_label, subclasses.counts) == ((0, 1, 2) * 3, (1, 1, 1))


def test_one_seed_gives_one_division_and_labels_never_seen_are_no_trouble() -> None:
    probabilities, vectors = texts_of(40, 5, np.random.default_rng(3))
    probabilities[:, 30:] = 0.0
    divisions = [
        divide([0] * 35 + [1] * 5, probabilities, vectors, most=8, rng=np.random.default_rng(7)).of_label
        for _ in range(2)
    ]
    assert divisions[0] == divisions[1]
    assert set(divisions[0]) == set(range(max(divisions[0]) + 1))
