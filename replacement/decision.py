"""How a teacher's outputs are read as a decision: the one rule that every part of the product goes by.

The reference is what the user's model answers in production. There, ``pipeline("text-classification")`` names
the likeliest *label* of a text, so where ``teacher.map`` folds labels into classes the class of that label is
the decision, and not the class whose labels have the largest sum. A threshold in use today
(``teacher.threshold``) is compared with the score that ``pipeline(..., top_k=None)`` gives a label of the
second class: the largest of them, or their sum where ``teacher.decide`` is "sum".

What a rule makes of a teacher's outputs are probabilities of classes whose likeliest class *is* the decision:
margin, boundary rows, soft targets, validation, measuring and drift all read the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.checks.decision_rule import rule_faults
from pingti.checks.label_names import class_numbers, position_note, unnamed
from pingti.errors import DefinitionError
from pingti.validation import sentence
from pingti.workspace.definition import Decide, TeacherSection

_NUDGE = 1e-6  # what sets two probabilities apart that are equal to the last bit


@dataclass(frozen=True, kw_only=True)
class DecisionRule:
    """What a teacher's outputs say of a text."""

    labels: tuple[str, ...]
    """The model's labels; of one picked output, that it does not hold and that it does."""
    class_of: tuple[int, ...]
    """The class number of each label."""
    classes: int
    """How many classes the task has."""
    decide: Decide = "label"
    """Whether the likeliest label of a class speaks for it, or the sum of its labels."""
    threshold: float | None = None
    """Of two classes: from which score of the second on it is decided; None: the likelier one is."""
    output: int | None = None
    """The output that is read, of a model whose outputs each answer a question of their own."""

    def read(self, outputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read a teacher's outputs.

        Args:
            outputs: float32 (n, outputs of the model), probabilities.

        Returns:
            Probabilities of the labels, float32 (n, labels), and of the classes, float32 (n, classes). Each
            row sums to 1, the labels of a class to the class, and the likeliest class is the decision.
        """
        labels = outputs
        if self.output is not None:
            holds = outputs[:, self.output]
            labels = np.stack([1 - holds, holds], axis=1)
        sums = self._by_class(labels, np.add)
        scores = sums
        if self.decide == "label" and len(self.labels) > self.classes:
            scores = self._by_class(labels, np.maximum)
        # A sigmoid's .5 is a yes, as in production.
        threshold = 0.5 if self.threshold is None and self.output is not None else self.threshold
        if threshold is not None:
            probabilities = _at_half(scores[:, 1], threshold)
        elif scores is sums:
            probabilities = sums
        else:
            # Between the labels of two classes that are equal to the last bit the first label decides.
            decided = np.asarray(self.class_of)[labels.argmax(axis=1)]
            probabilities = _led_by(decided, scores / scores.sum(axis=1, keepdims=True))
        if probabilities is sums:
            return labels, probabilities
        # A label keeps its part of the class.
        share = (probabilities / np.maximum(sums, np.finfo(np.float32).tiny)).astype(np.float32)
        return labels * share[:, self.class_of], probabilities

    def _by_class(self, labels: NDArray[np.float32], join: np.ufunc) -> NDArray[np.float32]:
        """Join the scores of each class's labels: float32 (n, classes)."""
        scores = np.zeros((len(labels), self.classes), np.float32)
        for column, number in enumerate(self.class_of):
            scores[:, number] = join(scores[:, number], labels[:, column])
        return scores

    def described(self, classes: Sequence[str]) -> dict[str, Any]:
        """What a report tells of the rule, so that a version keeps its own.

        Args:
            classes: names of the task's classes.
        """
        named = {label: classes[c] for label, c in zip(self.labels, self.class_of, strict=True)}
        if self.output is not None:
            named.pop(self.labels[0])  # no label of the model
        return {
            "map": named,
            "label": None if self.output is None else self.labels[1],
            "decide": self.decide,
            "threshold": self.threshold,
        }


def _at_half(scores: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Probabilities of two classes (n, 2), even where ``scores`` (n,) of the second are at a threshold.

    Log odds are moved by those of the threshold: a score of 0 stays 0, and one of 1 stays 1.
    """
    score = scores.astype(np.float64)
    yes, no = score * (1 - threshold), (1 - score) * threshold
    probabilities = np.stack([no, yes], axis=1) / (yes + no)[:, None]
    # At the threshold is yes, in the numbers that the model gave.
    decided = (scores >= np.float32(threshold)).astype(np.int64)
    return _led_by(decided, probabilities.astype(np.float32))


def _led_by(decided: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same probabilities (n, classes), the decided class (n,) ahead where it was only level."""
    (rows,) = np.nonzero(probabilities.argmax(axis=1) != decided)
    if len(rows):
        probabilities = probabilities.copy()
        probabilities[rows, decided[rows]] = probabilities[rows].max(axis=1) + np.float32(_NUDGE)
        probabilities[rows] /= probabilities[rows].sum(axis=1, keepdims=True)
    return probabilities


def make_rule(
    labels: Sequence[str],
    independent: bool,
    classes: Sequence[str],
    section: TeacherSection,
    source: Path,
) -> DecisionRule:
    """The rule by which a task reads a teacher.

    Args:
        labels: the model's, an output each.
        independent: whether each output answers a question of its own (a sigmoid each).
        classes: names of the task's classes.
        section: what the definition says of the teacher, or a version's report instead.
        source: the definition's file, for errors.

    Raises:
        DefinitionError: what the definition says does not fit the model.
    """
    faults = rule_faults(labels, independent, classes, section)
    if faults:
        placed = [replace(fault, file=str(source)) for fault in faults]
        raise DefinitionError(f"{source}: {sentence(faults)}", faults=placed)
    reading: dict[str, Any] = {
        "classes": len(classes), "decide": section.decide, "threshold": section.threshold,
    }  # fmt: skip
    if not independent:
        class_of = class_numbers(labels, classes, section.map)
        return DecisionRule(labels=tuple(labels), class_of=class_of, **reading)
    label = section.label or labels[0]
    positive = _class_of_output(label, classes, section)
    return DecisionRule(
        labels=(f"not {label}", label),
        class_of=(1 - positive, positive),
        output=list(labels).index(label),
        **reading,
    )


def _class_of_output(label: str, classes: Sequence[str], section: TeacherSection) -> int:
    """The number of the class that the output stands for: the second, if nothing else is said."""
    if section.map:
        return list(classes).index(section.map[label])
    return list(classes).index(label) if label in classes else 1


def guesses(
    labels: Sequence[str], independent: bool, classes: Sequence[str], section: TeacherSection
) -> tuple[str, ...]:
    """What was taken for granted of a teacher without anybody having said so, a sentence each.

    Args:
        labels: the model's, an output each.
        independent: whether each output answers a question of its own.
        classes: names of the task's classes.
        section: what the definition says of the teacher.
    """
    if not independent:
        note = position_note(labels, classes, section.map)
        return (note,) if note else ()
    label = section.label or labels[0]
    if section.map or label in classes or not unnamed([label]):
        return ()
    return (
        f"the teacher's output {label} has no name and was taken for the probability of {classes[1]!r}, the "
        f'second class; teacher.map = {{ "{label}" = "{classes[0]}" }} says it otherwise',
    )
