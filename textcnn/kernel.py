"""The compiled scoring kernel: from the bytes of texts, or from token ids, to class probabilities.

The time goes into one loop: for every window of a text, rows of the table are read, added, and compared
with the maximum so far (``textcnn.vectors``). The maxima of a block of filters stay in registers while a
text is read once: 128 int16 filters are four 512-bit registers, and a row's part is a load and an addition.

What that loop waits for is the cache. So a turn of many texts goes over one width's table before the next
width's, in an order in which texts with a rare token in common follow each other.
"""

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from textcnn.tokenizer import CODES, COSTS, KEYS, TEXT_BYTES, TEXT_OFFSETS, VALUES, encode_text
from textcnn.vectors import (
    BLOCK,
    HEADS,
    LANES,
    TEXTS,
    UNROLLED,
    many_heads,
    one_head_of,
    power_of_two,
    window_maxima_of,
)

_BUFFER: Final = 262_144  # ids that are encoded before they are scored
_TURN: Final = 32_768  # texts that one width's table goes over before the next width's, for one head
_SORTED: Final = 256  # texts from which on it pays to put them in order
NO_TOKEN: Final = np.uint64(0xCBF29CE484222325)
"""Hash of the n-gram of no token."""
_MANY: Final = 12  # heads from which on a lane is a head

_block_1, _block_2, _block_3, _block_4, _block_5 = (
    window_maxima_of(width, BLOCK) for width in range(1, UNROLLED + 1)
)
_block_any, _single_any = window_maxima_of(None, BLOCK), window_maxima_of(None, 1)
_one_head, _one_head_alone = one_head_of(TEXTS), one_head_of(1)


@numba.njit(inline="always")
def _block_maxima(
    table: Any, rows: Any, windows: Any, width: Any, column: Any, stride: Any, best: Any
) -> None:
    if width == 1:
        _block_1(table, rows, windows, width, column, stride, best)
    elif width == 2:
        _block_2(table, rows, windows, width, column, stride, best)
    elif width == 3:
        _block_3(table, rows, windows, width, column, stride, best)
    elif width == 4:
        _block_4(table, rows, windows, width, column, stride, best)
    elif width == 5:
        _block_5(table, rows, windows, width, column, stride, best)
    else:
        _block_any(table, rows, windows, width, column, stride, best)


FLOATS: Final = numba.types.Array(numba.float32, 1, "C", readonly=True)
MATRIX: Final = numba.types.Array(numba.float32, 2, "C", readonly=True)
IDS, OFFSETS, SCORES = numba.int32[::1], numba.int64[::1], numba.float32[:, ::1]
_TABLES = tuple(numba.types.Array(kind, 1, "C", readonly=True) for kind in (numba.int16, numba.int8))
_ORDER = numba.int64[::1]
_STUDENTS = [(table, OFFSETS, FLOATS, FLOATS, MATRIX, FLOATS, OFFSETS, MATRIX, OFFSETS) for table in _TABLES]


@numba.njit(inline="always")
def extend_ngram(state: Any, token: Any) -> Any:
    """64-bit hash of an n-gram from that of the n-gram without its last token (Knuth's multiplier)."""
    return (state ^ np.uint64(token)) * np.uint64(0x9E3779B97F4A7C15)


@numba.njit(inline="always")
def bucket_of(state: Any, buckets: Any) -> Any:
    """Bucket of an n-gram by its hash; their number is a power of two."""
    return np.int64((state >> np.uint64(32)) & np.uint64(buckets - 1))


@numba.njit(inline="always")
def ngrams_of(length: Any) -> Any:
    """How many tokens and pairs of neighbours so many tokens have."""
    return length + max(0, length - 1)


@numba.njit(numba.types.Tuple((OFFSETS, OFFSETS))(IDS, OFFSETS, numba.int64), nogil=True, cache=True)
def ngram_buckets(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], buckets: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hash every text's tokens and pairs of neighbours.

    Args:
        ids: of n texts, one behind the other.
        offsets: int64 (n + 1,): text i is ``ids[offsets[i]:offsets[i + 1]]``.
        buckets: a power of two.

    Returns:
        The buckets, int64, one text after another, and their offsets, int64 (n + 1,).
    """
    ends = np.zeros(len(offsets), np.int64)
    for text in range(len(offsets) - 1):
        ends[text + 1] = ends[text] + ngrams_of(offsets[text + 1] - offsets[text])
    hashed = np.empty(ends[-1], np.int64)
    written = 0
    for text in range(len(offsets) - 1):
        for t in range(offsets[text], offsets[text + 1]):
            state = NO_TOKEN
            for position in range(t, min(t + 2, offsets[text + 1])):
                state = extend_ngram(state, ids[position])
                hashed[written] = bucket_of(state, buckets)
                written += 1
    return hashed, ends


@numba.njit(nogil=True)
def _add_one_column(ids: Any, start: Any, end: Any, wide: Any, scale: Any, logits: Any) -> None:
    """As ``add_wide``, in the same order, with the sum in a register and each token hashed once."""
    logit, before = logits[0], np.uint64(0)
    for t in range(start, end):
        token = np.uint64(ids[np.uint64(t)])
        if t > start:
            logit += scale * wide[np.uint64(bucket_of(extend_ngram(before, token), len(wide))), 0]
        before = extend_ngram(NO_TOKEN, token)
        logit += scale * wide[np.uint64(bucket_of(before, len(wide))), 0]
    logits[0] = logit


@numba.njit(nogil=True)
def add_wide(ids: Any, start: Any, end: Any, wide: Any, logits: Any) -> None:
    """Add the sum of the n-grams' logits, divided by the root of their number."""
    scale = np.float32(1.0) / np.float32(np.sqrt(max(1, ngrams_of(end - start))))
    if len(logits) == 1:
        _add_one_column(ids, start, end, wide, scale, logits)
        return
    for t in range(start, end):
        state = NO_TOKEN
        for position in range(t, min(t + 2, end)):
            state = extend_ngram(state, ids[position])
            row = wide[bucket_of(state, len(wide))]
            for r in range(len(logits)):
                logits[r] += scale * row[r]


@numba.njit(inline="always")
def _exp(x: Any) -> Any:
    """The exponential of a float32 x not above 0, within 5e-6; written out, so that loops become vectors.

    2**n times Taylor's polynomial for 2**f, f in [-0.5, 0.5].
    """
    t = max(x * np.float32(1.4426950408889634), np.float32(-126.0))
    n = np.floor(t + np.float32(0.5))
    f = (t - n) * np.float32(0.6931471805599453)
    p = np.float32(1 / 720)
    p = p * f + np.float32(1 / 120)
    p = p * f + np.float32(1 / 24)
    p = p * f + np.float32(1 / 6)
    p = p * f + np.float32(0.5)
    p = p * f + np.float32(1.0)
    p = p * f + np.float32(1.0)
    return p * power_of_two(np.int32(n))


@numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def write_binary(logits: Any, probabilities: Any) -> None:
    """As ``write_groups`` where every task has two classes: one logit, that of the other being 0."""
    for r in range(len(logits)):
        # From the side on which the exponential cannot overflow.
        odds = _exp(-abs(logits[r]))
        larger = np.float32(1.0) / (np.float32(1.0) + odds)
        smaller = odds * larger
        positive = logits[r] > 0
        probabilities[2 * r] = smaller if positive else larger
        probabilities[2 * r + 1] = larger if positive else smaller


@numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def write_groups(logits: Any, groups: Any, probabilities: Any) -> None:
    """Softmax over each group of classes."""
    r = 0
    for g in range(len(groups) - 1):
        c, classes = groups[g], groups[g + 1] - groups[g]
        if classes == 2:
            write_binary(logits[r : r + 1], probabilities[c : c + 2])
            r += 1
            continue
        highest = logits[r]
        for k in range(1, classes):
            highest = max(highest, logits[r + k])
        total = np.float32(0.0)
        for k in range(classes):
            value = _exp(logits[r + k] - highest)
            probabilities[c + k] = value
            total += value
        for k in range(classes):
            probabilities[c + k] /= total
        r += classes


@numba.njit(inline="always")
def _add_heads(seen: Any, texts: Any, head: Any, across: Any, column: Any, logits: Any, first: Any) -> None:
    """Add to ``logits`` of ``texts`` texts what their features from ``column`` on give them.

    ``across`` is the head turned round and padded, where it has many rows; else it is empty.
    """
    filters = np.int64(seen.shape[1])
    seen_at, seen_stride = np.int64(seen.ctypes.data), filters * 4
    stride = np.int64(logits.shape[1] * 4)
    logits_at = np.int64(logits.ctypes.data) + first * stride
    if len(across):
        across_at = np.int64(across[column].ctypes.data)
        for r in range(0, logits.shape[1], HEADS):
            many_heads(seen_at, seen_stride, across_at + r * 4, stride, filters, logits_at + r * 4, stride)
        return
    for r in range(len(head)):
        head_at = np.int64(head[r].ctypes.data) + column * 4
        if texts == TEXTS:
            _one_head(seen_at, seen_stride, head_at, filters, logits_at + r * 4, stride)
        else:
            for text in range(texts):
                row_at, logit_at = seen_at + text * seen_stride, logits_at + text * stride + r * 4
                _one_head_alone(row_at, seen_stride, head_at, filters, logit_at, stride)


@numba.njit(numba.types.Tuple((_ORDER, IDS, OFFSETS))(IDS, OFFSETS), nogil=True, cache=True)
def order_texts(
    ids: NDArray[np.int32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Put texts in the order of their rarest token, that is of their highest id.

    Texts with a rare token in common then follow each other, and its rows are still in the cache: scoring
    takes a fifth less time, of which sorting takes a third (20-character titles).

    Args:
        ids: of n texts, one behind the other.
        offsets: int64 (n + 1,): text i is ``ids[offsets[i]:offsets[i + 1]]``.

    Returns:
        Which text is at each place, int64 (n,); and ids and offsets in that order.
    """
    count = len(offsets) - 1
    order = np.arange(count)
    if count < _SORTED:
        return order, ids.copy(), offsets.copy()
    highest = np.zeros(count, np.int32)
    for text in range(count):
        for t in range(offsets[text], offsets[text + 1]):
            highest[text] = max(highest[text], ids[t])
    places = np.zeros(highest.max() + 2, np.int64)
    for text in range(count):
        places[highest[text] + 1] += 1
    for key in range(1, len(places)):
        places[key] += places[key - 1]
    for text in range(count):
        order[places[highest[text]]] = text
        places[highest[text]] += 1
    sorted_ids, sorted_offsets = (
        np.empty(offsets[count] - offsets[0], np.int32),
        np.zeros(count + 1, np.int64),
    )
    written = np.int64(0)
    for place in range(count):
        for t in range(offsets[order[place]], offsets[order[place] + 1]):
            sorted_ids[np.uint64(written)] = ids[np.uint64(t)]
            written += 1
        sorted_offsets[place + 1] = written
    return order, sorted_ids, sorted_offsets


@numba.njit(
    [numba.void(_ORDER, IDS, OFFSETS, numba.int64, *student, SCORES, SCORES) for student in _STUDENTS],
    nogil=True,
    cache=True,
    fastmath={"reassoc", "contract", "nsz"},
)
def score_ids(
    order: NDArray[np.int64],
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    first: Any,
    table: NDArray[np.int16 | np.int8],
    widths: NDArray[np.int64],
    step: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    groups: NDArray[np.int64],
    wide: NDArray[np.float32],
    takes: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    features: NDArray[np.float32],
) -> None:
    """Write the probabilities of the texts of ``order_texts`` into ``probabilities`` from row ``first`` on.

    Args:
        order: int64 (n,): the text ``ids[offsets[i]:offsets[i + 1]]`` has the row ``first + order[i]``.
        ids: of the texts in that order.
        offsets: int64 (n + 1,).
        first: row of the first text.
        table: as of ``textcnn.fold.Folded``, like ``step``, ``bias``, ``head``, ``head_bias`` and ``wide``;
            of several students of one trunk, the rows of the heads follow each other.
        widths: window lengths, ascending.
        step: float32 (widths x filters,).
        bias: float32 (widths x filters,).
        head: float32 (rows, widths x filters).
        head_bias: float32 (rows,).
        groups: int64 (G + 1,): which columns belong to one task. A task of two columns has one row of
            ``head``, its logit for the second; any other has a row for each.
        wide: float32 (buckets, columns), of all students side by side.
        takes: which column of ``wide`` each row of ``head`` adds, -1: none; empty where that is its own.
        probabilities: float32 (rows, columns) to write to.
        features: float32 (rows, widths x filters), gets what the head sees; empty where nobody wants it.
    """
    count, heads = len(order), len(head)
    filters = len(step) // len(widths)
    tokens = len(table) // (widths.sum() * filters)
    longest = np.int64(0)
    for text in range(count):
        longest = max(longest, offsets[text + 1] - offsets[text])
    rows = np.empty(longest + widths[-1], np.int64)
    best = np.empty(filters, np.int16)
    of_classes = np.empty(wide.shape[1], np.float32)
    seen = np.zeros((TEXTS, filters), np.float32)
    padded, across = heads, np.empty((0, 0), np.float32)
    if heads >= _MANY:
        padded = -(-heads // HEADS) * HEADS
        across = np.zeros((len(step), padded), np.float32)
        across[:, :heads] = head.T
    most = max(4096, _TURN // padded)
    # Room for whole groups of texts: what comes behind the last text is never read.
    logits = np.empty((min(count, most) + TEXTS, padded), np.float32)
    rows_at, best_at = np.int64(rows.ctypes.data), np.int64(best.ctypes.data)
    size = np.int64(table.itemsize)
    stride = np.int64(filters) * size
    blocked = filters - filters % (BLOCK * LANES)
    for turn in range(0, count, most):
        end = min(count, turn + most)
        logits[: end - turn, :heads] = head_bias
        base = np.int64(table.ctypes.data)
        for number in range(len(widths)):
            width = widths[number]
            row_bytes, column = width * stride, number * filters
            steps, biases = step[column : column + filters], bias[column : column + filters]
            for text in range(turn, end):
                start = offsets[text]
                length = offsets[text + 1] - start
                for t in range(length):
                    rows[t] = base + ids[start + t] * row_bytes
                for t in range(length, length + width):
                    rows[t] = base  # the padding's row: zeros
                windows = max(np.int64(1), length - width + 1)
                for f in range(0, blocked, BLOCK * LANES):
                    _block_maxima(table, rows_at, windows, width, f * size, stride, best_at + f * 2)
                for f in range(blocked, filters, LANES):
                    _single_any(table, rows_at, windows, width, f * size, stride, best_at + f * 2)
                mine = seen[(text - turn) % TEXTS]
                for f in range(filters):
                    mine[f] = max(np.float32(best[f]) * steps[f] + biases[f], np.float32(0.0))
                if len(features):
                    features[first + order[text], column : column + filters] = mine
                behind = text - turn + 1
                if behind % TEXTS == 0 or text + 1 == end:
                    some = (behind - 1) % TEXTS + 1
                    _add_heads(seen, some, head, across, column, logits, behind - some)
            base += tokens * row_bytes
        for text in range(turn, end):
            mine, shares = logits[text - turn, :heads], probabilities[first + order[text]]
            if len(wide) and len(takes):
                of_classes[:] = np.float32(0.0)
                add_wide(ids, offsets[text], offsets[text + 1], wide, of_classes)
                for r in range(heads):
                    if takes[r] >= 0:
                        mine[r] += of_classes[takes[r]]
            elif len(wide):
                add_wide(ids, offsets[text], offsets[text + 1], wide, mine)
            if 2 * heads == groups[-1]:
                write_binary(mine, shares)
            else:
                write_groups(mine, groups, shares)


@numba.njit(nogil=True)
def id_buffer(text_offsets: Any, mask: Any, max_tokens: Any, least: Any) -> Any:
    """Room for the ids of the longest text, and for ``least`` ids at least."""
    longest = np.int64(least)
    for row in range(len(mask)):
        if not mask[row]:
            longest = max(longest, min(text_offsets[row + 1] - text_offsets[row], max_tokens))
    return np.empty(longest, np.int32)


@numba.njit(nogil=True)
def encode_turn(
    data: Any, text_offsets: Any, mask: Any, codes: Any, keys: Any, values: Any, known: Any, buckets: Any,
    max_tokens: Any, costs: Any, affordable: Any, first: Any, ids: Any, offsets: Any, valid: Any,
) -> Any:  # fmt: skip
    """Encode texts from ``first`` on, as many as ``ids`` and ``offsets`` have room for; their number."""
    written: Any = np.int64(0)
    count: Any = np.int64(0)
    while first + count < len(mask) and count < len(offsets) - 1:
        row = first + count
        good = False
        if not mask[row]:
            start, end = text_offsets[row], text_offsets[row + 1]
            if written + min(end - start, max_tokens) > len(ids):
                break
            added, good = encode_text(
                data, start, end, codes, keys, values, known, buckets, max_tokens, costs, affordable,
                ids, written,
            )  # fmt: skip
            written += added
        valid[row] = good
        count += 1
        offsets[count] = written
    return count


@numba.njit(
    [
        numba.void(
            TEXT_BYTES, TEXT_OFFSETS, numba.boolean[::1], CODES, KEYS, VALUES, numba.int64, numba.int64,
            numba.int64, COSTS, numba.int64, *student, SCORES, numba.boolean[::1],
        )
        for student in _STUDENTS
    ],
    nogil=True,
    cache=True,
)  # fmt: skip
def score_texts(
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
    table: NDArray[np.int16 | np.int8],
    widths: NDArray[np.int64],
    step: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    groups: NDArray[np.int64],
    wide: NDArray[np.float32],
    takes: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> None:
    """Encode and score n texts in one pass.

    Arguments as of ``textcnn.tokenizer.encode_texts`` and ``score_ids``; ``valid``, bool (n,), says
    afterwards which texts have probabilities.
    """
    ids = id_buffer(text_offsets, mask, max_tokens, _BUFFER)
    offsets = np.zeros(_TURN + 1, np.int64)
    no_features = np.empty((0, 0), np.float32)
    first: Any = np.int64(0)
    while first < len(mask):
        count = encode_turn(
            data, text_offsets, mask, codes, keys, values, known, buckets, max_tokens, costs, affordable,
            first, ids, offsets, valid,
        )  # fmt: skip
        order, sorted_ids, sorted_offsets = order_texts(ids, offsets[: count + 1])
        score_ids(
            order, sorted_ids, sorted_offsets, first, table, widths, step, bias, head, head_bias, groups,
            wide, takes, probabilities, no_features,
        )  # fmt: skip
        first += count
