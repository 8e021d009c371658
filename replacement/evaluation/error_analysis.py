"""Where a student fails on the held-out rows: the clusters of texts at fault, and the classes it mixes up.

Clusters are those of the teacher's [CLS] vectors. Two kinds are told apart, as precision and recall are:
``missed``, among the texts that the teacher puts into a class, and ``false``, among those that the student
does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLUSTERS = 16
_MEMBERS = 8  # a cluster of fewer tells little
_PAIRS = 10
_EXAMPLES = 3

Classes = NDArray[np.int64]


def describe(
    texts: list[str],
    vectors: NDArray[np.float32],
    gold: Classes,
    decided: Classes,
    before: Classes,
    classes: tuple[str, ...],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The report's part on n held-out rows: ``clusters``, ``false_clusters``, ``pairs`` and ``by_class``.

    ``vectors`` (n, hidden), ``gold`` and ``decided`` (n,) class numbers, ``before`` (n,) those that the
    first round's student gave; ``rng`` starts the clusters. For two classes the clusters are of the second
    class. For more every class has clusters of its own, however rare it is, and each cluster names its
    ``class``: in ``clusters`` the teacher's, in ``false_clusters`` the student's; ``pairs`` are the classes
    that are taken for one another.
    """
    several = len(classes) > 2

    def clusters(named: Classes, key: str) -> list[dict[str, Any]]:
        found = []
        for number in range(0 if several else 1, len(classes)):
            rows = np.flatnonzero(named == number)
            k = max(1, round(_CLUSTERS * len(rows) / len(named))) if several and len(rows) else _CLUSTERS
            own = _clusters(texts, vectors, rows, decided != gold, before != gold, k, rng, key)
            found += [{"class": classes[number], **each} for each in own] if several else own
        return sorted(found, key=lambda each: (-each[key], each["covered"]))

    return {
        "clusters": clusters(gold, "missed"),
        "false_clusters": clusters(decided, "false"),
        "pairs": _pairs(texts, gold, decided, classes) if several else [],
        "by_class": _by_class(gold, decided, classes) if several else [],
    }


def _clusters(
    texts: list[str],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    wrong: NDArray[np.bool_],
    wrong_before: NDArray[np.bool_],
    most: int,
    rng: np.random.Generator,
    key: str,
) -> list[dict[str, Any]]:
    """At most ``most`` clusters of ``rows``; examples are of the wrong, where there are."""
    import sampling  # FAISS only where clusters are made: a refusal is told without it, too
    from sampling.clusters import unit

    k = min(most, len(rows) // _MEMBERS)
    if k < 1:
        # Too few to be told apart: together, if any is wrong.
        k = int(wrong[rows].any())
    if k < 1:
        return []
    clusters = sampling.cluster(vectors[rows], k, rng=rng)
    directions = unit(vectors[rows])
    found = []
    for number in range(len(clusters)):
        members = np.flatnonzero(clusters.assigned == number)
        if len(members) == 0:
            continue
        at_fault = members[wrong[rows[members]]]
        shown = at_fault if len(at_fault) else members
        nearness = directions[shown] @ clusters.centroids[number]
        shown = shown[np.argsort(-nearness, kind="stable")[:_EXAMPLES]]
        found.append(
            {
                "rows": len(members),
                "covered": round(1.0 - len(at_fault) / len(members), 4),
                "covered_before": round(1.0 - float(wrong_before[rows[members]].mean()), 4),
                key: len(at_fault),
                "examples": [texts[row] for row in rows[shown].tolist()],
            }
        )
    return found


def _pairs(
    texts: list[str], gold: Classes, decided: Classes, classes: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Classes of the teacher that the student takes for others, the most frequent pairs first."""
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (gold, decided), 1)
    of = confusion.sum(axis=1)
    np.fill_diagonal(confusion, 0)
    order = np.argsort(-confusion, axis=None, kind="stable")[:_PAIRS]
    found = []
    for mine, theirs in zip(*np.unravel_index(order, confusion.shape), strict=True):
        if confusion[mine, theirs] == 0:
            break
        rows = np.flatnonzero((gold == mine) & (decided == theirs))[:_EXAMPLES]
        found.append(
            {
                "teacher": classes[mine],
                "student": classes[theirs],
                "rows": int(confusion[mine, theirs]),
                "of": int(of[mine]),
                "share": round(float(confusion[mine, theirs] / of[mine]), 4),
                "examples": [texts[row] for row in rows.tolist()],
            }
        )
    return found


def _by_class(gold: Classes, decided: Classes, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class."""
    hits = np.bincount(gold[gold == decided], minlength=len(classes))
    there = np.bincount(gold, minlength=len(classes))
    called = np.bincount(decided, minlength=len(classes))
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
