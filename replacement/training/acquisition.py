"""What the teacher is asked next: the errors of a round decide how its successor's rows are chosen."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import sampling
from replacement.evaluation.metrics import Measure, decide
from replacement.results import Coverage, Yield
from sampling.clusters import unit

_RANDOM, _NEW, _UNCERTAIN = 0.02, 0.02, 0.9
_CLUSTERS = 32
_REGIONS, _REGION_ROWS = 64, 256
_MEMBERS = 8
"""Fewer [CLS] vectors than this for a cluster are too few to tell whether it is covered."""

KINDS = ("random", "uncertain", "competing", "diverse", "neighbours", "new")
"""Why a row was chosen: to keep the distribution; because the student is unsure; because it is likely to be
a hard negative; because it lies in a cluster of teacher positives that the student covers badly; because it
lies next to one positive that the student misses; because few of its surroundings were asked about. Reports
hold these names, hence "competing", as the article calls hard negatives."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Rows whose answers are known: m rows with the student's view of them."""

    labels: NDArray[np.int64]
    """(m,): the teacher's class."""
    decided: NDArray[np.int64]
    """(m,): the student's class."""
    vectors: NDArray[np.float32]
    """(m, hidden): [CLS] vectors."""
    features: NDArray[np.float32]
    """(m, k): the student's features."""

    def missed(self, *, binary: bool) -> NDArray[np.bool_]:
        """Which rows the student puts into another class than the teacher does.

        Args:
            binary: of two classes those alone count that the teacher puts into the second.

        Returns:
            bool (m,).
        """
        missed: NDArray[np.bool_] = self.labels != self.decided
        return missed & (self.labels > 0) if binary else missed


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Rows that the teacher was not asked about: n rows as the student sees them."""

    probabilities: NDArray[np.float32]
    """(n, classes)"""
    features: NDArray[np.float32]
    """(n, k)"""
    network: NDArray[np.float32] | None
    """(n, classes): logits of the student's network without its wide part; None where classes are divided."""
    threshold: float | None
    """The student's, for two classes."""

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def decided(self) -> NDArray[np.int64]:
        """(n,): the student's class."""
        return decide(self.probabilities, self.threshold)


def yields(
    kinds: NDArray[np.str_],
    labels: NDArray[np.int64],
    decided: NDArray[np.int64],
    margin: NDArray[np.float32],
) -> dict[str, Yield]:
    """What the chosen rows of each kind turned out to be.

    Args:
        kinds: str (n,), why each row was chosen.
        labels: int64 (n,), the teacher's classes.
        decided: int64 (n,), the student's.
        margin: float32 (n,), the teacher's.
    """
    by_kind = {}
    for kind in KINDS:
        inside = kinds == kind
        if inside.any():
            by_kind[kind] = Yield(
                rows=int(inside.sum()),
                positives=int((labels[inside] > 0).sum()),
                errors=int((labels[inside] != decided[inside]).sum()),
                margin=round(float(margin[inside].mean()), 4),
            )
    return by_kind


def shares(shortfall: tuple[float, float]) -> dict[str, float]:
    """Which part of a round's rows each kind gets.

    A few rows keep the distribution and look where nobody looked; most are those that the student is unsure
    of, which taught it most in trials. The others go after the errors: to hard negatives as far as precision
    is short, to what is missed as far as recall is, in proportion; evenly where neither is.

    Args:
        shortfall: how much precision and recall lack to the gate.

    Returns:
        The shares in the order of ``KINDS``, of sum 1.
    """
    precision, recall = shortfall
    total = precision + recall
    hard_negatives = 0.5 if total == 0.0 else precision / total
    errors = 1.0 - _RANDOM - _NEW - _UNCERTAIN
    return {
        "random": _RANDOM,
        "uncertain": _UNCERTAIN,
        "competing": errors * hard_negatives,
        "diverse": errors * (1.0 - hard_negatives) / 2,
        "neighbours": errors * (1.0 - hard_negatives) / 2,
        "new": _NEW,
    }


def choose(
    candidates: Candidates,
    known: Known,
    validation: Known,
    measured: Measure,
    shortfall: tuple[float, float],
    *,
    budget: int,
    rng: np.random.Generator,
) -> tuple[dict[str, NDArray[np.int64]], list[Coverage]]:
    """Choose the rows that the teacher is asked about next.

    What a kind cannot use, random rows take.

    Args:
        candidates: rows that the teacher was not asked about.
        known: the rows trained on.
        validation: rows that were not trained on.
        measured: the student's measure on those.
        shortfall: how much precision and recall lack to the gate.
        budget: rows to choose; all candidates where there are fewer.
        rng: every random choice comes from it.

    Returns:
        Numbers of candidate rows by kind, in the order of ``KINDS``, no row twice; and how the student covers
        the clusters of ``known``.
    """
    parts = shares(shortfall)
    left = np.ones(len(candidates), np.bool_)
    unsure = round(budget * parts["uncertain"])
    chosen: dict[str, NDArray[np.int64]] = {}

    def take(kind: str, find: Callable[[NDArray[np.int64], int], NDArray[np.int64]]) -> None:
        """Those of the rows left that ``find`` gives for their numbers and how many are wanted."""
        rows, most = np.flatnonzero(left), budget - int((~left).sum())
        if kind not in ("uncertain", "random"):
            most -= unsure
        wanted = {"random": budget, "uncertain": unsure}.get(kind, math.ceil(round(budget * parts[kind], 6)))
        chosen[kind] = rows[find(rows, min(wanted, most, len(rows)))]
        left[chosen[kind]] = False

    take(
        "competing", lambda rows, count: _hard_negatives(candidates, rows, validation, budget=count, rng=rng)
    )
    clusters, coverage = _cover(known, validation, measured, binary=candidates.threshold is not None, rng=rng)
    take(
        "diverse",
        lambda rows, count: _diverse(candidates, rows, known, clusters, coverage, budget=count, rng=rng),
    )
    take(
        "neighbours",
        lambda rows, count: _neighbours(candidates, rows, [known, validation], budget=count, rng=rng),
    )
    take("new", lambda rows, count: _new(candidates, rows, known, budget=count, rng=rng))
    take("uncertain", lambda rows, count: _uncertain(candidates, rows, budget=count, rng=rng))
    take("random", lambda rows, count: sampling.random_rows(len(rows), budget=count, rng=rng))
    return {kind: chosen[kind] for kind in KINDS}, coverage


def _uncertain(
    candidates: Candidates, rows: NDArray[np.int64], *, budget: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Places in ``rows`` of which the student is unsure, or that its network and its wide part see apart."""
    # A student of few positives calls nearly everything negative; its parts disagree where they may be. With
    # 15 % of a pool asked that taught it more than ties of the probabilities: 0.019 F1 on weibo, 0.001 on
    # CLINC150. Rows near the threshold that F1 wants taught it less than those. One that learns the teacher's
    # labels knows better where positives may be: with 10 % and 25 %, ties taught it as much or more.
    if candidates.network is None:
        return sampling.breaking_ties(candidates.probabilities[rows], budget=budget, rng=rng)
    logits = np.log(np.clip(candidates.probabilities[rows].astype(np.float64), 1e-7, 1.0))
    return sampling.committee(logits, candidates.network[rows], budget=budget, rng=rng)


def _hard_negatives(
    candidates: Candidates,
    rows: NDArray[np.int64],
    validation: Known,
    *,
    budget: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Places in ``rows`` whose decision is likely to be a false positive of its class."""
    if candidates.threshold is not None:
        scores = candidates.probabilities[rows, 1]
        return sampling.likely_false(scores, candidates.threshold, budget=budget, rng=rng)
    # A class needs rows as far as its decisions were wrong.
    classes = candidates.probabilities.shape[1]
    right = validation.labels == validation.decided
    need = 1.0 - sampling.coverage(validation.decided, right, classes)
    return sampling.by_need(candidates.decided[rows], need, budget=budget, rng=rng)


def _cover(
    known: Known, validation: Known, measured: Measure, *, binary: bool, rng: np.random.Generator
) -> tuple[sampling.Clusters | None, list[Coverage]]:
    """Cluster the [CLS] vectors of the rows trained on, and see how the student does on unseen rows there.

    For two classes the clusters are those of the teacher's positives, and a hit is a positive that the
    student finds; else they are those of all rows, and a hit is a decision like the teacher's.
    """
    inside = known.labels > 0 if binary else np.ones(len(known.labels), np.bool_)
    seen = validation.labels > 0 if binary else np.ones(len(validation.labels), np.bool_)
    k = min(_CLUSTERS, int(inside.sum()) // _MEMBERS)
    if k < 1 or not seen.any():
        return None, []
    clusters = sampling.cluster(known.vectors[inside], k, rng=rng)
    where = clusters.nearest(validation.vectors[seen])
    hit = validation.labels[seen] == validation.decided[seen]
    members = np.bincount(clusters.assigned, minlength=k)
    counted = np.bincount(where, minlength=k)
    hits = np.bincount(where, weights=hit, minlength=k)
    # Few rows tell little: four rows of the overall share are added to each cluster.
    overall = measured.recall if binary else measured.accuracy
    covered = (hits + 4.0 * overall) / (counted + 4.0)
    return clusters, [
        Coverage(
            cluster=c, members=int(members[c]), measured=int(counted[c]), covered=round(float(covered[c]), 4)
        )
        for c in range(k)
    ]


# A candidate has no [CLS] vector: the teacher was not asked. The student's features tell what is near what;
# the rows that were asked about have them, too.


def _diverse(
    candidates: Candidates,
    rows: NDArray[np.int64],
    known: Known,
    clusters: sampling.Clusters | None,
    coverage: list[Coverage],
    *,
    budget: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Places in ``rows`` near the clusters covered worst; a cluster's centre is the mean of its members."""
    if clusters is None or budget < 1:
        return np.zeros(0, np.int64)
    inside = known.labels > 0 if candidates.threshold is not None else np.ones(len(known.labels), np.bool_)
    features = unit(known.features[inside])
    centres = np.zeros((len(clusters), features.shape[1]), np.float32)
    np.add.at(centres, clusters.assigned, features)
    places = np.arange(len(rows))
    if candidates.threshold is not None:
        places = np.flatnonzero(candidates.decided[rows] == 0)  # what it calls positive is "competing"
    if len(places) == 0:
        return places
    # Far from every centre lie the plain negatives: of the others, four times the budget are kept.
    nearness = unit(candidates.features[rows[places]]) @ unit(centres).T
    near = np.argsort(-nearness.max(axis=1), kind="stable")[: 4 * budget]
    need = 1.0 - np.array([cluster.covered for cluster in coverage])
    return places[near[sampling.by_need(nearness[near].argmax(axis=1), need, budget=budget, rng=rng)]]


def _neighbours(
    candidates: Candidates,
    rows: NDArray[np.int64],
    seen: list[Known],
    *,
    budget: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Places in ``rows`` next to what the student misses, a few for each row that it misses."""
    binary = candidates.threshold is not None
    queries = np.concatenate([known.features[known.missed(binary=binary)] for known in seen])
    some = sampling.random_rows(len(queries), budget=budget, rng=rng)
    return sampling.neighbours(queries[some], candidates.features[rows], budget=budget)


def _new(
    candidates: Candidates, rows: NDArray[np.int64], known: Known, *, budget: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Places in ``rows`` of clusters of the pool of which fewer rows were asked about than of others."""
    if len(rows) == 0 or budget < 1:
        return np.zeros(0, np.int64)
    features = candidates.features[rows]
    some = sampling.random_rows(len(rows), budget=_REGIONS * _REGION_ROWS, rng=rng)
    regions = sampling.cluster(features[some], max(1, min(_REGIONS, len(known.labels) // _MEMBERS)), rng=rng)
    where = regions.nearest(features)
    members = np.bincount(where, minlength=len(regions))
    asked = np.bincount(regions.nearest(known.features), minlength=len(regions))
    share = len(known.features) / (len(rows) + len(known.features))
    need = np.maximum(0.0, 1.0 - (1.0 + asked) / (1.0 + share * (members + asked)))
    return sampling.by_need(where, need, budget=budget, rng=rng)
