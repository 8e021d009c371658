"""The compiled scoring kernel: from the bytes of texts, or from token ids, to class probabilities.

The time goes into one loop: for every window of a text, rows of the table are read, added, and compared
with the maximum so far. It is written as explicit vectors, so that the maxima of a block of filters stay in
registers while a text is read once: 128 int16 filters are four 512-bit registers, and a row's part is a
load and an addition. LLVM splits the vectors where registers are narrower (AVX2, NEON).
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from textcnn.tokenizer import CODES, KEYS, TEXT_BYTES, TEXT_OFFSETS, VALUES, encode_text

LANES: Final = 32
"""Filters of a vector; tables are padded to a multiple of it."""
_UNROLLED: Final = 5  # widths up to this have a loop of their own
_BUFFER: Final = 65_536  # ids that are encoded before they are scored
_TURN: Final = 4096  # texts that one width's table goes over before the next width's

_BLOCK: Final = 4  # vectors whose maxima and sums fit into the registers, those of AVX2 just so

_I16, _I64 = ir.IntType(16), ir.IntType(64)
_VECTOR = ir.VectorType(_I16, LANES)


def _window_maxima(width: int | None, vectors: int) -> Callable[..., None]:
    """An intrinsic for windows of ``width`` tokens (None: given when called) over ``vectors`` vectors."""

    @intrinsic
    def window_maxima(
        _: Any, rows: Any, windows: Any, length: Any, column: Any, stride: Any, best: Any
    ) -> tuple[Any, Any]:
        """Store at the address ``best`` the maximum over ``windows`` windows of the sums of their rows.

        ``rows`` is the address of the rows' addresses, ``column`` the first position's place in a row,
        ``stride`` what lies between two positions; both in bytes. ``length`` is the width.
        """

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            rows, windows, length, column, stride, best = arguments
            rows = builder.inttoptr(rows, _I64.as_pointer())

            def part(t: Any, position: Any) -> list[Any]:
                row = builder.load(builder.gep(rows, [builder.add(t, position)]))
                place = builder.add(builder.add(row, column), builder.mul(stride, position))
                first = builder.inttoptr(place, _VECTOR.as_pointer())
                # Rows start at multiples of 64 bytes, but for a table that someone made with numpy alone.
                return [
                    builder.load(builder.gep(first, [ir.Constant(_I64, v)]), align=2) for v in range(vectors)
                ]

            before = builder.block
            loop = builder.append_basic_block("windows")
            end = builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            t = builder.phi(_I64)
            t.add_incoming(ir.Constant(_I64, 0), before)
            maxima = [builder.phi(_VECTOR) for _ in range(vectors)]
            for maximum in maxima:
                maximum.add_incoming(ir.Constant(_VECTOR, [-32768] * LANES), before)
            sums = part(t, ir.Constant(_I64, 0))
            if width is not None:
                for position in range(1, width):
                    added = part(t, ir.Constant(_I64, position))
                    sums = [builder.add(a, b) for a, b in zip(sums, added, strict=True)]
            else:
                outer, inner = builder.block, builder.append_basic_block("positions")
                after = builder.append_basic_block("after")
                one = ir.Constant(_I64, 1)
                builder.cbranch(builder.icmp_signed("<", one, length), inner, after)
                builder.position_at_end(inner)
                position = builder.phi(_I64)
                so_far = [builder.phi(_VECTOR) for _ in range(vectors)]
                grown = [builder.add(a, b) for a, b in zip(so_far, part(t, position), strict=True)]
                following = builder.add(position, one)
                position.add_incoming(one, outer)
                position.add_incoming(following, inner)
                for phi, start, value in zip(so_far, sums, grown, strict=True):
                    phi.add_incoming(start, outer)
                    phi.add_incoming(value, inner)
                builder.cbranch(builder.icmp_signed("<", following, length), inner, after)
                builder.position_at_end(after)
                merged = [builder.phi(_VECTOR) for _ in range(vectors)]
                for phi, start, value in zip(merged, sums, grown, strict=True):
                    phi.add_incoming(start, outer)
                    phi.add_incoming(value, inner)
                sums = merged
            higher = [
                builder.select(builder.icmp_signed(">", a, b), a, b)
                for a, b in zip(sums, maxima, strict=True)
            ]
            following = builder.add(t, ir.Constant(_I64, 1))
            t.add_incoming(following, builder.block)
            for maximum, value in zip(maxima, higher, strict=True):
                maximum.add_incoming(value, builder.block)
            builder.cbranch(builder.icmp_signed("<", following, windows), loop, end)
            builder.position_at_end(end)
            target = builder.inttoptr(best, _VECTOR.as_pointer())
            for v, value in enumerate(higher):
                builder.store(value, builder.gep(target, [ir.Constant(_I64, v)]), align=2)
            return context.get_dummy_value()

        return numba.void(*[numba.int64] * 6), generate

    return window_maxima


_block_1, _block_2, _block_3, _block_4, _block_5 = (
    _window_maxima(width, _BLOCK) for width in range(1, _UNROLLED + 1)
)
_block_any, _single_any = _window_maxima(None, _BLOCK), _window_maxima(None, 1)


@numba.njit(inline="always")
def _block_maxima(rows: Any, windows: Any, width: Any, column: Any, stride: Any, best: Any) -> None:
    if width == 1:
        _block_1(rows, windows, width, column, stride, best)
    elif width == 2:
        _block_2(rows, windows, width, column, stride, best)
    elif width == 3:
        _block_3(rows, windows, width, column, stride, best)
    elif width == 4:
        _block_4(rows, windows, width, column, stride, best)
    elif width == 5:
        _block_5(rows, windows, width, column, stride, best)
    else:
        _block_any(rows, windows, width, column, stride, best)


_FLOATS = numba.types.Array(numba.float32, 1, "C", readonly=True)
_MATRIX = numba.types.Array(numba.float32, 2, "C", readonly=True)
_TABLE = numba.types.Array(numba.int16, 1, "C", readonly=True)
_IDS, _OFFSETS, _SCORES = numba.int32[::1], numba.int64[::1], numba.float32[:, ::1]
_STUDENT = (_TABLE, _OFFSETS, _FLOATS, _FLOATS, _MATRIX, _FLOATS, _OFFSETS, _MATRIX)


@numba.njit(inline="always")
def _extend_ngram(state: Any, token: Any) -> Any:
    """64-bit hash of an n-gram from that of the n-gram without its last token (Knuth's multiplier)."""
    return (state ^ np.uint64(token)) * np.uint64(0x9E3779B97F4A7C15)


@numba.njit(inline="always")
def _bucket(state: Any, buckets: Any) -> Any:
    return np.int64((state >> np.uint64(32)) & np.uint64(buckets - 1))


@numba.njit(inline="always")
def _ngrams(length: Any) -> Any:
    """How many 1- to 3-grams so many tokens have."""
    return length + max(0, length - 1) + max(0, length - 2)


@numba.njit(numba.types.Tuple((_OFFSETS, _OFFSETS))(_IDS, _OFFSETS, numba.int64), nogil=True, cache=True)
def ngram_buckets(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], buckets: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Buckets of every text's 1- to 3-grams of tokens, one text after another, and their offsets."""
    ends = np.zeros(len(offsets), np.int64)
    for text in range(len(offsets) - 1):
        ends[text + 1] = ends[text] + _ngrams(offsets[text + 1] - offsets[text])
    found = np.empty(ends[-1], np.int64)
    written = 0
    for text in range(len(offsets) - 1):
        for t in range(offsets[text], offsets[text + 1]):
            state = np.uint64(0xCBF29CE484222325)
            for position in range(t, min(t + 3, offsets[text + 1])):
                state = _extend_ngram(state, ids[position])
                found[written] = _bucket(state, buckets)
                written += 1
    return found, ends


@numba.njit(nogil=True)
def _add_wide(ids: Any, start: Any, end: Any, wide: Any, logits: Any) -> None:
    """Add the sum of the n-grams' logits, divided by the root of their number."""
    scale = np.float32(1.0) / np.float32(np.sqrt(max(1, _ngrams(end - start))))
    for t in range(start, end):
        state = np.uint64(0xCBF29CE484222325)
        for position in range(t, min(t + 3, end)):
            state = _extend_ngram(state, ids[position])
            row = wide[_bucket(state, len(wide))]
            for r in range(len(logits)):
                logits[r] += scale * row[r]


@numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _write_probabilities(logits: Any, groups: Any, probabilities: Any) -> None:
    """Softmax over each group of classes; one of two classes has one logit, the other's being 0."""
    r = 0
    for g in range(len(groups) - 1):
        c, classes = groups[g], groups[g + 1] - groups[g]
        if classes == 2:
            # From the side on which the exponential cannot overflow.
            odds = np.float32(np.exp(-abs(logits[r])))
            smaller = odds / (np.float32(1.0) + odds)
            larger = np.float32(1.0) / (np.float32(1.0) + odds)
            positive = logits[r] > 0
            probabilities[c] = smaller if positive else larger
            probabilities[c + 1] = larger if positive else smaller
            r += 1
        else:
            highest = logits[r]
            for k in range(1, classes):
                highest = max(highest, logits[r + k])
            total = np.float32(0.0)
            for k in range(classes):
                value = np.exp(logits[r + k] - highest)
                probabilities[c + k] = value
                total += value
            for k in range(classes):
                probabilities[c + k] /= total
            r += classes


@numba.njit(
    numba.void(_IDS, _OFFSETS, numba.int64, numba.int64, *_STUDENT, _SCORES, _SCORES),
    nogil=True,
    cache=True,
    fastmath={"reassoc", "contract", "nsz"},
)
def score_ids(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    first: Any,
    count: Any,
    table: NDArray[np.int16],
    widths: NDArray[np.int64],
    step: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    groups: NDArray[np.int64],
    wide: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    features: NDArray[np.float32],
) -> None:
    """Write the probabilities of ``count`` texts into the rows of ``probabilities`` from ``first`` on.

    Text i has ``ids[offsets[i]:offsets[i + 1]]``. ``groups`` (G + 1,) says which columns belong to one
    task; a task of two classes has one row of ``head``, its logit for the second class, any other has a
    row for each class. ``features``, where it has rows, gets what the head sees.
    """
    filters = len(step) // len(widths)
    positions = widths.sum()
    tokens = len(table) // (positions * filters)
    longest = np.int64(0)
    for text in range(count):
        longest = max(longest, offsets[text + 1] - offsets[text])
    rows = np.empty(longest + widths[-1], np.int64)
    best = np.empty((min(count, _TURN), len(step)), np.int16)
    seen = np.empty(len(step), np.float32)
    logits = np.empty(len(head), np.float32)
    rows_at, stride = np.int64(rows.ctypes.data), np.int64(filters * 2)
    blocked = filters - filters % (_BLOCK * LANES)
    for turn in range(0, count, _TURN):
        end = min(count, turn + _TURN)
        # One width after another: the frequent tokens' rows of one width stay in a core's own cache.
        base = np.int64(table.ctypes.data)
        for order in range(len(widths)):
            width = widths[order]
            row_bytes = width * stride
            for text in range(turn, end):
                start = offsets[text]
                length = offsets[text + 1] - start
                for t in range(length):
                    rows[t] = base + ids[start + t] * row_bytes
                for t in range(length, length + width):
                    rows[t] = base  # the padding's row: zeros
                windows = max(np.int64(1), length - width + 1)
                best_at = np.int64(best[text - turn].ctypes.data) + order * stride
                for f in range(0, blocked, _BLOCK * LANES):
                    _block_maxima(rows_at, windows, width, f * 2, stride, best_at + f * 2)
                for f in range(blocked, filters, LANES):
                    _single_any(rows_at, windows, width, f * 2, stride, best_at + f * 2)
            base += tokens * row_bytes
        for text in range(turn, end):
            maxima = best[text - turn]
            for f in range(len(seen)):
                seen[f] = max(np.float32(maxima[f]) * step[f] + bias[f], np.float32(0.0))
            if len(features):
                features[first + text] = seen
            for r in range(len(head)):
                weights = head[r]
                total = np.float32(0.0)
                for f in range(len(seen)):
                    total += seen[f] * weights[f]
                logits[r] = total + head_bias[r]
            if len(wide):
                _add_wide(ids, offsets[text], offsets[text + 1], wide, logits)
            _write_probabilities(logits, groups, probabilities[first + text])


@numba.njit(
    numba.void(
        TEXT_BYTES, TEXT_OFFSETS, numba.boolean[::1], CODES, KEYS, VALUES, numba.int64, numba.int64,
        numba.int64, *_STUDENT, _SCORES, numba.boolean[::1],
    ),
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
    table: NDArray[np.int16],
    widths: NDArray[np.int64],
    step: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    groups: NDArray[np.int64],
    wide: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    valid: NDArray[np.bool_],
) -> None:
    """Encode and score in one pass; arguments as of ``encode_texts`` and ``score_ids``."""
    n = len(mask)
    longest: Any = np.int64(1)
    for row in range(n):
        if not mask[row]:
            longest = max(longest, min(text_offsets[row + 1] - text_offsets[row], max_tokens))
    ids = np.empty(max(longest, _BUFFER), np.int32)
    offsets = np.zeros(_TURN + 1, np.int64)
    no_features = np.empty((0, 0), np.float32)
    first: Any = np.int64(0)
    while first < n:
        written: Any = np.int64(0)
        count: Any = np.int64(0)
        while first + count < n and count < _TURN:
            row = first + count
            good = False
            if not mask[row]:
                start, end = text_offsets[row], text_offsets[row + 1]
                if written + min(end - start, max_tokens) > len(ids):
                    break
                added, good = encode_text(
                    data, start, end, codes, keys, values, known, buckets, max_tokens, ids, written
                )
                written += added
            valid[row] = good
            count += 1
            offsets[count] = written
        score_ids(
            ids, offsets, first, count, table, widths, step, bias, head, head_bias, groups, wide,
            probabilities, no_features,
        )  # fmt: skip
        first += count
