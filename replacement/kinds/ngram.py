"""The bag of n-grams: the student without a network, trained on all rows that the rounds asked about."""

from typing import TYPE_CHECKING, Final

from textcnn import Student

if TYPE_CHECKING:
    from replacement.training.outcome.trained import Trained
    from replacement.training.rounds.state import Asked, Setup

_BUCKETS: Final = 1 << 17
"""Of the table, where the definition's TextCNN has no wide part."""


def train_ngrams(setup: "Setup", asked: "Asked", trained: "Trained") -> Student:
    """Train a bag of n-grams; a trainer, as of ``replacement.kinds.training``.

    Args:
        setup: has texts and seed; ``student.wide`` of its definition is the number of buckets.
        asked: all rows asked about.
        trained: not looked at.
    """
    from textcnn.ngrams import fit_ngrams
    from textcnn.train import class_weights  # loads torch

    definition, training = setup.definition, asked.training
    learned = training.learned(definition.teacher)
    encoded = setup.dataset.encoded.take(training.rows[learned])
    targets = training.answers.probabilities[learned]
    weights = None
    if not definition.binary:  # as of the rounds' students
        weights = class_weights(targets.argmax(axis=1), len(definition.classes))
    table, bias = fit_ngrams(
        encoded,
        targets,
        buckets=definition.student.wide or _BUCKETS,
        weights=weights,
        rng=setup.rng("ngram"),
    )
    return Student.of_ngrams(table, bias, setup.dataset.vocabulary, definition.classes)
