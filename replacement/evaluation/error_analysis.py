"""Where a student fails on the held-out rows: clusters of its errors, and the classes that it mixes up.

Clusters are those of the teacher's [CLS] vectors. Two kinds are told apart, as precision and recall are:
``missed``, among the texts that the teacher puts into a class, and ``false``, among those that the student
does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLUSTERS = 16
_MEMBERS = 8  # a cluster of fewer tells little
_PAIRS = 10
_EXAMPLES = 3

Classes = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """n held-out rows, and which of them are decided otherwise than the teacher does."""

    texts: list[str]
    vectors: NDArray[np.float32]
    """(n, hidden)"""
    wrong: NDArray[np.bool_]
    """(n,): by the student."""
    wrong_before: NDArray[np.bool_]
    """(n,): by the first round's student."""


def describe(
    texts: list[str],
    vectors: NDArray[np.float32],
    teacher: Classes,
    student: Classes,
    before: Classes,
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Describe where the student fails on n held-out rows.

    For two classes the clusters are of the second class. For more every class has clusters of its own,
    however rare it is, and each cluster names its ``class``: in ``clusters`` the teacher's, in
    ``false_clusters`` the student's; ``pairs`` are the classes that are taken for one another.

    Args:
        texts: n texts.
        vectors: (n, hidden), the teacher's [CLS] vectors.
        teacher: (n,), class numbers.
        student: (n,), class numbers.
        before: (n,), class numbers that the first round's student gave.
        classes: their names.
        rng: starts the clusters.

    Returns:
        The report's keys ``clusters``, ``false_clusters``, ``pairs`` and ``by_class``.
    """
    rows = _Rows(texts=texts, vectors=vectors, wrong=student != teacher, wrong_before=before != teacher)
    several = len(classes) > 2
    return {
        "clusters": _clusters(rows, teacher, "missed", classes, rng),
        "false_clusters": _clusters(rows, student, "false", classes, rng),
        "pairs": _pairs(texts, teacher, student, classes) if several else [],
        "by_class": _by_class(teacher, student, classes) if several else [],
    }


def _clusters(
    rows: _Rows, named: Classes, key: str, classes: tuple[str, ...], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Clusters of each class of the rows ``named`` (n,), those of the most errors (``key``) first."""
    if len(classes) == 2:
        clusters = _clusters_of(rows, np.flatnonzero(named == 1), _CLUSTERS, key, rng)
    else:
        clusters = []
        for number, name in enumerate(classes):
            own = np.flatnonzero(named == number)
            most = max(1, round(_CLUSTERS * len(own) / len(named))) if len(own) else 0
            clusters += [{"class": name, **cluster} for cluster in _clusters_of(rows, own, most, key, rng)]
    return sorted(clusters, key=lambda cluster: (-cluster[key], cluster["covered"]))


def _clusters_of(
    rows: _Rows, own: NDArray[np.int64], most: int, key: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """At most ``most`` clusters of the rows numbered ``own``; examples are of the wrong, where there are."""
    import sampling  # FAISS only where clusters are made: a refusal is told without it, too
    from sampling.clusters import unit

    k = min(most, len(own) // _MEMBERS)
    if k < 1:
        # Too few to be told apart: together, if any is wrong.
        k = int(rows.wrong[own].any())
    if k < 1:
        return []
    clusters = sampling.cluster(rows.vectors[own], k, rng=rng)
    directions = unit(rows.vectors[own])
    described = []
    for number in range(len(clusters)):
        members = np.flatnonzero(clusters.assigned == number)
        if len(members) == 0:
            continue
        errors = members[rows.wrong[own[members]]]
        shown = errors if len(errors) else members
        nearness = directions[shown] @ clusters.centroids[number]
        shown = shown[np.argsort(-nearness, kind="stable")[:_EXAMPLES]]
        described.append(
            {
                "rows": len(members),
                "covered": round(1.0 - len(errors) / len(members), 4),
                "covered_before": round(1.0 - float(rows.wrong_before[own[members]].mean()), 4),
                key: len(errors),
                "examples": [rows.texts[row] for row in own[shown].tolist()],
            }
        )
    return described


def _pairs(
    texts: list[str], teacher: Classes, student: Classes, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Classes of the teacher that the student takes for others, the most frequent pairs first."""
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (teacher, student), 1)
    of = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    order = np.argsort(-confusion, axis=None, kind="stable")[:_PAIRS]
    pairs = []
    for mine, theirs in zip(*np.unravel_index(order, confusion.shape), strict=True):
        if confusion[mine, theirs] == 0:
            break
        rows = np.flatnonzero((teacher == mine) & (student == theirs))[:_EXAMPLES]
        pairs.append(
            {
                "teacher": classes[mine],
                "student": classes[theirs],
                "rows": int(confusion[mine, theirs]),
                "of": int(of[mine]),
                "share": round(float(confusion[mine, theirs] / of[mine]), 4),
                "examples": [texts[row] for row in rows.tolist()],
            }
        )
    return pairs


def _by_class(teacher: Classes, student: Classes, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class."""
    hits = np.bincount(teacher[teacher == student], minlength=len(classes))
    there = np.bincount(teacher, minlength=len(classes))
    called = np.bincount(student, minlength=len(classes))
    return [
        {
            "class": name,
            "precision": round(float(hits[c] / max(1, called[c])), 4),
            "recall": round(float(hits[c] / max(1, there[c])), 4),
            "f1": round(float(2 * hits[c] / max(1, called[c] + there[c])), 4),
            "rows": int(there[c]),
        }
        for c, name in enumerate(classes)
    ]
