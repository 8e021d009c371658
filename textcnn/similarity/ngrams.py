"""Vectors of hashed n-grams, added up for each text."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def add_ngrams(
    buckets: NDArray[np.int64],
    ends: NDArray[np.int64],
    table: NDArray[np.float32],
    vectors: NDArray[np.float32],
) -> None:
    """Add to the vector of each text those of its n-grams, divided by the root of their number.

    Args:
        buckets: of n texts, as of ``textcnn.kernel.ngram_buckets``, like ``ends``.
        ends: int64 (n + 1,).
        table: float32 (B, d), a vector for each bucket.
        vectors: float32 (n, d), added to in place.
    """
    total = np.empty(table.shape[1], np.float32)
    for text in range(len(ends) - 1):
        total[:] = np.float32(0.0)
        for gram in range(ends[text], ends[text + 1]):
            row = table[buckets[gram]]
            for d in range(len(total)):
                total[d] += row[d]
        scale = np.float32(1.0 / np.sqrt(max(1, ends[text + 1] - ends[text])))
        for d in range(len(total)):
            vectors[text, d] += scale * total[d]
