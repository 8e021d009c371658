"""Which rows to take next, from where they lie among the clusters of [CLS] vectors.

Clusters are found by spherical k-means (Dhillon and Modha 2001) with FAISS: vectors are scaled to length
one and compared by inner product.
"""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from sampling.strategies import Rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """k-means clusters of n vectors."""

    centroids: NDArray[np.float32]
    """(k, d), each of length one."""
    assigned: NDArray[np.int64]
    """(n,): the cluster of every vector."""

    def __len__(self) -> int:
        return len(self.centroids)

    def nearest(self, vectors: NDArray[np.floating]) -> NDArray[np.int64]:
        """Find the cluster, int64 (m,), nearest to each of ``vectors``, float (m, d)."""
        return _search(self.centroids, vectors, 1)[:, 0]


def cluster(
    vectors: NDArray[np.floating], k: int, *, rng: np.random.Generator, iterations: int = 20
) -> Clusters:
    """Put vectors into clusters.

    Args:
        vectors: float (n, d).
        k: how many clusters; n where there are fewer vectors.
        rng: decides where they start.
        iterations: of k-means.

    Raises:
        ValueError: no vectors, or k below 1.
    """
    if len(vectors) == 0 or k < 1:
        raise ValueError(f"{len(vectors)} vectors into {k} clusters; needed is at least one of each")
    scaled = unit(vectors)
    k = min(k, len(scaled))
    kmeans = faiss.Kmeans(
        scaled.shape[1], k, niter=iterations, spherical=True, seed=int(rng.integers(2**31)),
        min_points_per_centroid=1, max_points_per_centroid=1024,
    )  # fmt: skip
    kmeans.train(scaled)
    centroids = np.ascontiguousarray(kmeans.centroids, np.float32)
    return Clusters(centroids=centroids, assigned=_search(centroids, scaled, 1)[:, 0])


def neighbours(queries: NDArray[np.floating], vectors: NDArray[np.floating], *, budget: int) -> Rows:
    """Take the rows nearest to any of the queries: each query's nearest, then its second, ...

    Nothing is left to chance here, so there is no generator.

    Args:
        queries: float (q, d).
        vectors: float (n, d), of the candidate rows.
        budget: rows at most.
    """
    if len(queries) == 0 or len(vectors) == 0 or budget < 1:
        return np.zeros(0, np.int64)
    depth = min(len(vectors), -(-budget // len(queries)) + 4)
    near = _search(unit(vectors), queries, depth).T.ravel()
    _, first = np.unique(near, return_index=True)
    return near[np.sort(first)][:budget]


def coverage(assigned: NDArray[np.int64], hit: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """Measure the share of each cluster's members that are hits.

    Args:
        assigned: int64 (n,), the cluster of each row.
        hit: bool (n,).
        k: how many clusters there are.

    Returns:
        float64 (k,); 1 for a cluster without members.
    """
    members = np.bincount(assigned, minlength=k)
    hits = np.bincount(assigned, weights=hit, minlength=k)
    return np.where(members == 0, 1.0, hits / np.maximum(members, 1))


def by_need(
    assigned: NDArray[np.int64], need: NDArray[np.floating], *, budget: int, rng: np.random.Generator
) -> Rows:
    """Draw rows from clusters in proportion to the clusters' need.

    A cluster that has fewer rows than its share gives all it has, and the others share the rest.

    Args:
        assigned: int64 (n,), the cluster of each candidate row.
        need: float (k,), not negative; how much each cluster wants rows. A cluster of need 0 gives none.
        budget: rows at most.
        rng: decides which rows of a cluster are taken.
    """
    shuffled = rng.permutation(len(assigned))
    members = {c: shuffled[assigned[shuffled] == c] for c in np.flatnonzero(need > 0)}
    taken = dict.fromkeys(members, 0)
    left = min(max(0, budget), sum(len(rows) for rows in members.values()))
    while left > 0:
        open_clusters = [c for c in members if taken[c] < len(members[c])]
        total = sum(float(need[c]) for c in open_clusters)
        before = left
        for c in sorted(open_clusters, key=lambda c: (-need[c], c)):
            share = max(1, round(before * float(need[c]) / total))
            share = min(share, len(members[c]) - taken[c], left)
            taken[c] += share
            left -= share
    chosen = [members[c][: taken[c]] for c in members]
    return np.concatenate([np.zeros(0, np.int64), *chosen]).astype(np.int64)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale ``vectors``, float (n, d), to length one; a vector of zeros stays as it is."""
    scaled = np.array(vectors, np.float32, order="C")
    scaled /= np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
    return scaled


def _search(base: NDArray[np.float32], queries: NDArray[np.floating], depth: int) -> NDArray[np.int64]:
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base)
    _, rows = index.search(unit(queries), depth)
    return np.asarray(rows, np.int64)
