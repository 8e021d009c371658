"""The wide part: a linear model of n-grams that is fitted apart and folded into the student."""

import itertools

import numpy as np
import pytest

from textcnn import Architecture, Encoded, Student, Vocabulary
from textcnn.kernel import ngram_buckets
from textcnn.train import Recipe, train
from textcnn.wide import fit_wide

BUCKETS = 1 << 10


def encoded(texts: list[list[int]]) -> Encoded:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    ids = np.array([token for text in texts for token in text], np.int32)
    return Encoded(ids, offsets, np.ones(len(texts), np.bool_))


def fit(texts: Encoded, targets: np.ndarray, tasks: list[int], **more) -> tuple[np.ndarray, np.ndarray]:
    arguments = {"weights": np.ones(len(texts), np.float32), "strength": 1.0, **more}
    return fit_wide(texts, targets, tasks, buckets=BUCKETS, rng=np.random.default_rng(0), **arguments)


def logits(texts: Encoded, table: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """What scoring adds up."""
    grams, ends = ngram_buckets(texts.ids, texts.offsets, BUCKETS)
    return np.array(
        [
            table[grams[start:end]].sum(axis=0) / np.sqrt(max(1, end - start)) + bias
            for start, end in itertools.pairwise(ends.tolist())
        ]
    )


def rows(n: int, seed: int) -> tuple[Encoded, np.ndarray]:
    """Three classes by what a text holds: the pair "1 2", else the token 3, else neither."""
    rng = np.random.default_rng(seed)
    texts, classes = [], []
    for _ in range(n):
        text = rng.integers(4, 30, rng.integers(1, 6)).tolist()
        kind = int(rng.integers(3))
        at = int(rng.integers(len(text) + 1))
        text[at:at] = [[2, 1], [1, 2], [3]][kind]  # the pair the other way round is no sign
        texts.append(text)
        classes.append(kind)
    return encoded([*texts, []]), np.eye(3, dtype=np.float32)[[*classes, 0]]


def test_unseen_texts_are_decided_by_tokens_and_pairs() -> None:
    texts, targets = rows(600, 1)
    unseen, wanted = rows(200, 2)
    table, bias = fit(texts, targets, [3])
    assert (table.shape, bias.shape) == ((BUCKETS, 3), (3,))
    decided = logits(unseen, table, bias).argmax(axis=1)
    assert (decided == wanted.argmax(axis=1))[:-1].mean() > 0.97


def test_margins_are_those_of_the_reference_solver() -> None:
    # The same problem for scikit-learn's solver (liblinear), on explicit vectors.
    svm = pytest.importorskip("sklearn.svm")
    texts, targets = rows(300, 3)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(texts)).astype(np.float32)
    two = np.stack([1 - targets[:, 1], targets[:, 1]], axis=1)
    table, bias = fit(texts, two, [2], weights=weights)
    grams, ends = ngram_buckets(texts.ids, texts.offsets, BUCKETS)
    vectors = np.zeros((len(texts), BUCKETS))
    np.add.at(vectors, (np.repeat(np.arange(len(texts)), np.diff(ends)), grams), 1.0)
    vectors *= np.log((1 + len(texts)) / (1 + (vectors > 0).sum(axis=0))) + 1
    vectors /= np.sqrt(np.maximum(1, np.diff(ends)))[:, None]
    vectors *= np.sqrt(len(texts) / (vectors**2).sum())
    model = svm.LinearSVC(C=1.0, tol=1e-6, max_iter=100_000, random_state=0)
    model.fit(vectors, two.argmax(axis=1), sample_weight=weights)
    wanted = model.decision_function(vectors)
    margins = logits(texts, table, bias)
    np.testing.assert_allclose(margins[:, 1], wanted, atol=0.08)
    np.testing.assert_allclose(margins[:, 0], -margins[:, 1], atol=1e-5)


def test_a_task_learns_from_the_rows_that_its_teacher_was_asked_about() -> None:
    texts, targets = rows(300, 4)
    two = np.stack([1 - targets[:, 2], targets[:, 2]], axis=1)
    both = np.concatenate([targets, two], axis=1)
    both[100:, 3:] = np.nan
    table, bias = fit(texts, both, [3, 2])
    alone = fit(texts, targets, [3])
    np.testing.assert_array_equal(table[:, :3], alone[0])
    # Rows of weight 0 and rows not asked about are the same to it.
    weights = (np.arange(len(texts)) < 100).astype(np.float32)
    fewer = fit(texts, two, [2], weights=weights)
    np.testing.assert_array_equal(table[:, 3:], fewer[0])
    np.testing.assert_array_equal(bias[3:], fewer[1])


def test_one_class_alone_and_texts_without_tokens_are_no_trouble() -> None:
    texts = encoded([[1, 2], [], [3]])
    table, bias = fit(texts, np.tile(np.array([[0.9, 0.1]], np.float32), (3, 1)), [2])
    assert np.isfinite(table).all()
    assert (logits(texts, table, bias)[:, 0] > 0).all()
    table, _ = fit(encoded([[], []]), np.eye(2, dtype=np.float32), [2])
    assert not table.any()


def test_the_student_scores_as_the_network_with_its_wide_part_does() -> None:
    vocabulary = Vocabulary([chr(ord("a") + index) for index in range(26)], buckets=4)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefghijklmnop"), rng.integers(1, 9))) for _ in range(200)] + [""]
    targets = np.eye(2, dtype=np.float32)[[int("a b" in text) for text in texts]]
    shape = Architecture(embedding=8, filters=8, widths=(1, 2), wide=BUCKETS)
    ids = vocabulary.encode(texts)

    def trained(strength: float) -> tuple[Student, np.ndarray]:
        network = train(
            ids,
            targets,
            size=vocabulary.size,
            architecture=shape,
            rng=np.random.default_rng(0),
            recipe=Recipe(epochs=2, wide_strength=strength),
        )
        probabilities = network(ids.ids, ids.offsets).softmax(dim=1).detach().numpy()
        return Student.from_network(network, vocabulary, ["no", "yes"]), probabilities

    student, wanted = trained(1.0)
    np.testing.assert_allclose(student.score(texts), wanted, atol=2e-4)
    again, _ = trained(1.0)
    assert again.score(texts).tobytes() == student.score(texts).tobytes()
    without, _ = trained(0.0)
    assert not without.folded.wide.any()
    # The network itself is trained as if there were no wide part.
    np.testing.assert_array_equal(without.folded.table, student.folded.table)
    error = [np.abs(each.score(texts) - targets).mean() for each in (without, student)]
    assert error[1] < error[0]
