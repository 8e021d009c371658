"""Which rows say nearly the same: a corpus with few of them teaches more for the same money."""

import faiss
import numpy as np
from numpy.typing import NDArray

from sampling.clusters import unit

_QUERIES = 4096  # rows that are compared with all others at a time


def near_duplicates(
    vectors: NDArray[np.floating], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the pairs of rows whose cosine is at least ``threshold``.

    Every row is compared with every other; so the time grows with the square of their number.

    Args:
        vectors: float (n, d), of any length.
        threshold: in (0, 1].

    Returns:
        Pairs, int64 (m, 2), the smaller number first, in ascending order; and their cosines, float32 (m,).
    """
    base = unit(vectors)
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base)
    pairs: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    cosines: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    for start in range(0, len(base), _QUERIES):
        # A product of unit vectors may end a rounding below their cosine.
        ends, values, rows = index.range_search(base[start : start + _QUERIES], threshold - 1e-6)
        limits = np.asarray(ends, np.int64)
        counts = limits[1:] - limits[:-1]
        first = start + np.repeat(np.arange(len(counts)), counts)
        later = rows > first
        order = np.lexsort((rows[later], first[later]))
        pairs.append(np.column_stack([first[later], rows[later]])[order].astype(np.int64))
        cosines.append(np.minimum(values[later][order], 1.0))
    return np.concatenate(pairs), np.concatenate(cosines)
