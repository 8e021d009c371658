"""A bag of n-grams, fitted to a teacher's soft scores."""

import numpy as np
import pytest

from pingti.errors import InputError
from textcnn import Student, Vocabulary
from textcnn.ngrams import fit_ngrams

VOCABULARY = Vocabulary([f"w{n}" for n in range(40)], buckets=9)
BUCKETS = 1 << 10


def rows(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts of three classes by what they hold: the pair "w2 w1", else the pair "w1 w2", else w3."""
    rng = np.random.default_rng(seed)
    texts, classes = [], rng.integers(0, 3, count)
    for kind in classes.tolist():
        words = [f"w{n}" for n in rng.integers(4, 40, rng.integers(1, 6))]
        at = int(rng.integers(len(words) + 1))
        words[at:at] = [["w2", "w1"], ["w1", "w2"], ["w3"]][kind]
        texts.append(" ".join(words))
    return texts, classes


def student_of(texts: list[str], targets: np.ndarray, weights: np.ndarray | None = None) -> Student:
    table, bias = fit_ngrams(
        VOCABULARY.encode(texts), targets, buckets=BUCKETS, weights=weights, rng=np.random.default_rng(0)
    )
    return Student.of_ngrams(table, bias, VOCABULARY, [f"class {n}" for n in range(targets.shape[1])])


def of_margin(margin: np.ndarray | float) -> np.ndarray | float:
    """Of two classes the probability of the second, as ``fit_ngrams`` makes it of a margin."""
    return 1 / (1 + np.exp(-np.log(0.97 / 0.03) * margin))


def test_unseen_texts_are_decided_by_tokens_and_pairs() -> None:
    texts, classes = rows(900, 1)
    student = student_of(texts, np.eye(3, dtype=np.float32)[classes])
    unseen, wanted = rows(300, 2)
    assert (student.score(unseen).argmax(axis=1) == wanted).mean() > 0.95


def test_scores_tell_the_teachers_probabilities_not_its_decisions() -> None:
    # The teacher is never sure: 0.7 where w1 is, 0.2 where it is not.
    rng = np.random.default_rng(3)
    texts = [
        " ".join([*(["w1"] if yes else ["w2"]), *(f"w{n}" for n in rng.integers(4, 40, 3))])
        for yes in rng.random(900) < 0.5
    ]
    positive = np.array([0.7 if "w1 " in text else 0.2 for text in texts], np.float32)
    scores = student_of(texts, np.stack([1 - positive, positive], axis=1)).score(texts)[:, 1]
    assert np.abs(scores - of_margin(2 * positive - 1)).mean() < 0.06


def test_weights_say_how_much_a_row_counts() -> None:
    texts, targets = ["w1"] * 40, np.eye(2, dtype=np.float32)[[0, 1] * 20]
    heavy = np.where(targets[:, 1] == 1, 3.0, 1.0).astype(np.float32)
    assert student_of(texts, targets).score(["w1"])[0, 1] == pytest.approx(of_margin(0.0), abs=0.1)
    assert student_of(texts, targets, heavy).score(["w1"])[0, 1] == pytest.approx(of_margin(0.5), abs=0.1)


def test_one_seed_gives_one_table() -> None:
    texts, classes = rows(60, 1)
    targets = np.eye(3, dtype=np.float32)[classes]
    first, second = student_of(texts, targets), student_of(texts, targets)
    np.testing.assert_array_equal(first.folded.wide, second.folded.wide)


@pytest.mark.parametrize("count", [0, 3])
def test_arrays_that_do_not_fit_are_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"{count} texts, targets of shape"):
        student_of(["w1"] * count, np.zeros((count and 2, 2), np.float32))
