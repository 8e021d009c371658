"""The compiled scoring kernel of students that are bags of n-grams: no convolution, one table of logits.

What is left of a text's work is its encoding, a hash for each token and each pair of neighbours, and an
addition for each of both. Students of one vocabulary have their columns side by side, so that a row of all
their logits is read at once.
"""

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from textcnn.kernel import (
    FLOATS,
    IDS,
    MATRIX,
    NO_TOKEN,
    OFFSETS,
    SCORES,
    add_wide,
    bucket_of,
    encode_turn,
    extend_ngram,
    id_buffer,
    ngrams_of,
    write_binary,
    write_groups,
)
from textcnn.tokenizer import CODES, COSTS, KEYS, TEXT_BYTES, TEXT_OFFSETS, VALUES

_TURN: Final = 1024  # texts whose ids and logits lie in the cache
_BUFFER: Final = 32_768  # ids that are encoded before they are scored
_STUDENT = (FLOATS, OFFSETS, MATRIX)


@numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _one_logit(ids: Any, start: Any, end: Any, column: Any) -> Any:
    """As ``add_wide`` where there is one column: two sums, so that neither waits for the other."""
    if start == end:
        return np.float32(0.0)
    before = extend_ngram(NO_TOKEN, ids[np.uint64(start)])
    singles, pairs = column[np.uint64(bucket_of(before, len(column)))], np.float32(0.0)
    for t in range(start + 1, end):
        token = ids[np.uint64(t)]
        pairs += column[np.uint64(bucket_of(extend_ngram(before, token), len(column)))]
        before = extend_ngram(NO_TOKEN, token)
        singles += column[np.uint64(bucket_of(before, len(column)))]
    return (singles + pairs) / np.float32(np.sqrt(np.float32(ngrams_of(end - start))))


@numba.njit(
    numba.void(IDS, OFFSETS, numba.int64, *_STUDENT, SCORES),
    nogil=True,
    cache=True,
    fastmath={"reassoc", "contract", "nsz"},
)
def score_bags(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    first: Any,
    bias: NDArray[np.float32],
    groups: NDArray[np.int64],
    table: NDArray[np.float32],
    probabilities: NDArray[np.float32],
) -> None:
    """Write the probabilities of n texts into ``probabilities`` from row ``first`` on.

    Args:
        ids: of all texts.
        offsets: int64 (n + 1,): text i has the ids ``ids[offsets[i]:offsets[i + 1]]``.
        first: row of the first text.
        bias: float32 (rows,), of all students side by side, as ``head_bias`` of ``textcnn.fold.Folded``.
        groups: as of ``textcnn.kernel.score_ids``.
        table: float32 (buckets, rows), as ``wide`` of ``Folded``.
        probabilities: float32 (rows, columns) to write to.
    """
    count, rows, columns = len(offsets) - 1, len(bias), probabilities.shape[1]
    logits = np.empty((min(count, _TURN), rows), np.float32)
    flat_logits, flat, column = logits.reshape(-1), probabilities.reshape(-1), table.reshape(-1)
    for turn in range(0, count, _TURN):
        end = min(count, turn + _TURN)
        for text in range(turn, end):
            if rows == 1:
                logit = _one_logit(ids, offsets[text], offsets[text + 1], column)
                flat_logits[text - turn] = bias[0] + logit
            else:
                logits[text - turn] = bias
                add_wide(ids, offsets[text], offsets[text + 1], table, logits[text - turn])
        if 2 * rows == columns:  # every task has two classes: one loop over all logits, as vectors
            written = flat[(first + turn) * columns : (first + end) * columns]
            write_binary(flat_logits[: (end - turn) * rows], written)
        else:
            for text in range(turn, end):
                write_groups(logits[text - turn], groups, probabilities[first + text])


@numba.njit(
    numba.void(
        TEXT_BYTES, TEXT_OFFSETS, numba.boolean[::1], CODES, KEYS, VALUES, numba.int64, numba.int64,
        numba.int64, COSTS, numba.int64, *_STUDENT, SCORES, numba.boolean[::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def score_bag_texts(
    data: NDArray[np.uint8],
    text_offsets: NDArray[np.int64],
    mask: NDArray[np.bool_],
    codes: NDArray[np.int32],
    keys: NDArray[np.uint64],
    values: NDArray[np.int32],
    known: Any,
    buckets: Any,
    max_tokens: Any,
    costs: NDArray[np.int32],
    affordable: Any,
    bias: NDArray[np.float32],
    groups: NDArray[np.int64],
    table: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> None:
    """Encode and score n texts in one pass.

    Arguments as of ``textcnn.tokenizer.encode_texts`` and ``score_bags``; ``valid``, bool (n,), says
    afterwards which texts have probabilities.
    """
    ids = id_buffer(text_offsets, mask, max_tokens, _BUFFER)
    offsets = np.zeros(_TURN + 1, np.int64)
    first: Any = np.int64(0)
    while first < len(mask):
        count = encode_turn(
            data, text_offsets, mask, codes, keys, values, known, buckets, max_tokens, costs, affordable,
            first, ids, offsets, valid,
        )  # fmt: skip
        score_bags(ids, offsets[: count + 1], first, bias, groups, table, probabilities)
        first += count
