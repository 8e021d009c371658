"""Text to token ids: one implementation, used for training and for scoring.

A text is read code point by code point. Full-width forms become their half-width twins and letters their
lower case. A run of letters, digits and combining marks is one word token; a character of a script that
is written without spaces (Han, kana, Hangul, Thai, ...), a punctuation mark or a symbol is a token by
itself; white space and control characters separate; invisible format characters are dropped.

A token is known by a 64-bit hash of its code points. Tokens of the vocabulary have ids from 1, the most
frequent first, so that the hot rows of a table are neighbours. Every other token falls into one of a
fixed number of buckets behind them. Id 0 is padding.

Not handled: canonical equivalence (a precomposed letter and its decomposed form are different tokens),
stemming, and word segmentation of scripts without spaces.
"""

import functools
import unicodedata
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

SEPARATOR, WORD, SINGLE, DROPPED = range(4)

_TABLE_SIZE: Final = 0x20000  # planes 0 and 1; above them lie Han, private use, and tags
_CLASS_SHIFT: Final = 24
_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)

# Scripts written without spaces between words, as ranges of code points.
_UNSPACED: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3021, 0x3029),
    (0x3040, 0x31FF),  # kana, bopomofo, Hangul compatibility Jamo
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),  # Han
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),
    (0xFF66, 0xFFDC),  # half-width kana and Hangul
    (0x1AFF0, 0x1B16F),  # kana extensions
)


@functools.cache
def character_table() -> NDArray[np.int32]:
    """For each code point below 0x20000 its folded code point, and its class in the top byte."""
    table = np.empty(_TABLE_SIZE, dtype=np.int32)
    category_class = {"L": WORD, "N": WORD, "M": WORD, "Z": SEPARATOR, "P": SINGLE, "S": SINGLE}
    for code in range(_TABLE_SIZE):
        folded = code - 0xFEE0 if 0xFF01 <= code <= 0xFF5E else code
        category = unicodedata.category(chr(folded))
        if category in ("Cf", "Cs") or 0xFE00 <= code <= 0xFE0F:  # format, surrogate, variation selector
            kind = DROPPED
        elif category == "Cc":
            kind = SEPARATOR
        else:  # unassigned and private use: a token by itself
            kind = category_class.get(category[0], SINGLE)
        folded = ord(chr(folded).lower()[0])
        table[code] = folded | kind << _CLASS_SHIFT
    for first, last in _UNSPACED:
        codes = np.arange(first, last + 1, dtype=np.int32)
        letters = table[codes] >> _CLASS_SHIFT == WORD
        table[codes[letters]] = codes[letters] | SINGLE << _CLASS_SHIFT
    table.flags.writeable = False
    return table


def tokenize(text: str) -> list[str]:
    """The tokens of one text, folded: the readable reference of the compiled kernel."""
    table = character_table()
    tokens: list[str] = []
    word = ""
    for character in text:
        code = ord(character)
        entry = int(table[code]) if code < _TABLE_SIZE else _astral(code)
        kind, folded = entry >> _CLASS_SHIFT, chr(entry & 0xFFFFFF)
        if kind == WORD:
            word += folded
        elif kind != DROPPED:
            if word:
                tokens.append(word)
                word = ""
            if kind == SINGLE:
                tokens.append(folded)
    if word:
        tokens.append(word)
    return tokens


def token_hash(token: str) -> int:
    """64-bit FNV-1a over the token's code points, then Murmur3's finaliser to spread the high bits."""
    codes = np.fromiter((ord(character) for character in token), dtype=np.int64, count=len(token))
    return int(_hash_codes(codes))


def _astral(code: int) -> int:
    """Character table entry of a code point from 0x20000: variation selectors and tags are dropped."""
    kind = DROPPED if 0xE0000 <= code <= 0xE0FFF else SINGLE
    return code | kind << _CLASS_SHIFT


_U8, _I32, _I64 = numba.types.Array(numba.uint8, 1, "C", readonly=True), numba.int32, numba.int64
_BYTES = _U8
_OFFSETS = numba.int64[::1]
_MASK = numba.types.Array(numba.boolean, 1, "A", readonly=True)
_CHARACTERS = numba.types.Array(numba.int32, 1, "C", readonly=True)


@numba.njit(inline="always")
def _mix(state: np.uint64, code: int) -> np.uint64:
    return (state ^ np.uint64(code)) * _FNV_PRIME


@numba.njit(inline="always")
def _finish(state: np.uint64) -> np.uint64:
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xFF51AFD7ED558CCD)
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(33))


@numba.njit(numba.uint64(numba.int64[::1]), cache=True)
def _hash_codes(codes: NDArray[np.int64]) -> np.uint64:
    state = _FNV_OFFSET
    for code in codes:
        state = _mix(state, code)
    return _finish(state)


@numba.njit(numba.types.UniTuple(_I64, 2)(_BYTES, _I64, _I64), nogil=True, cache=True)
def _decode(data: NDArray[np.uint8], position: Any, end: Any) -> Any:
    """Code point and length in bytes at ``position``; length 0 where the bytes are not UTF-8 (RFC 3629)."""
    first = np.int64(data[position])
    if first < 0x80:
        return first, 1
    if first < 0xC2 or first > 0xF4:
        return 0, 0
    length = 2 if first < 0xE0 else (3 if first < 0xF0 else 4)
    if position + length > end:
        return 0, 0
    code = first & (0x7F >> length)
    for index in range(1, length):
        byte = np.int64(data[position + index])
        if byte & 0xC0 != 0x80:
            return 0, 0
        code = code << 6 | byte & 0x3F
    if length == 3 and (code < 0x800 or 0xD800 <= code <= 0xDFFF):
        return 0, 0
    if length == 4 and (code < 0x10000 or code > 0x10FFFF):
        return 0, 0
    return code, length


@numba.njit(_I64(_CHARACTERS, _I64), nogil=True, cache=True)
def _entry(table: NDArray[np.int32], code: Any) -> Any:
    if code < _TABLE_SIZE:
        return np.int64(table[code])
    kind = DROPPED if 0xE0000 <= code <= 0xE0FFF else SINGLE
    return code | kind << _CLASS_SHIFT


@numba.njit(
    numba.types.Tuple((_I64, numba.boolean))(
        _BYTES, _I64, _I64, _CHARACTERS, _I64, numba.uint64[::1], numba.int64[:, ::1], _I64
    ),
    nogil=True,
    cache=True,
)
def _hash_text(
    data: NDArray[np.uint8],
    start: Any,
    end: Any,
    table: NDArray[np.int32],
    max_tokens: int,
    hashes: NDArray[np.uint64],
    spans: NDArray[np.int64],
    written: Any,
) -> Any:
    """Write the hashes of one text's tokens into ``hashes``, from ``written`` on.

    ``spans``, where it has rows, gets where each token's bytes start and end. Gives the new ``written``
    and whether the whole text is UTF-8; of a text that is not, nothing is kept.
    """
    first: Any = written
    position: Any = start
    word = False
    word_start = word_end = np.int64(0)
    state = _FNV_OFFSET
    while position < end:
        code, length = _decode(data, position, end)
        if length == 0:
            return first, False
        entry = _entry(table, code)
        kind = entry >> _CLASS_SHIFT
        folded = entry & 0xFFFFFF
        if kind == WORD:
            if not word:
                word, state, word_start = True, _FNV_OFFSET, position
            state = _mix(state, folded)
            word_end = position + length
        elif kind != DROPPED:
            if word:
                word = False
                if written - first < max_tokens:
                    hashes[written] = _finish(state)
                    if len(spans):
                        spans[written, 0], spans[written, 1] = word_start, word_end
                    written += 1
            if kind == SINGLE and written - first < max_tokens:
                hashes[written] = _finish(_mix(_FNV_OFFSET, folded))
                if len(spans):
                    spans[written, 0], spans[written, 1] = position, position + length
                written += 1
        position += length
    if word and written - first < max_tokens:
        hashes[written] = _finish(state)
        if len(spans):
            spans[written, 0], spans[written, 1] = word_start, word_end
        written += 1
    return written, True


@numba.njit(
    numba.types.Tuple((numba.uint64[::1], numba.int64[:, ::1]))(_BYTES, _OFFSETS, _MASK, _CHARACTERS, _I64),
    nogil=True,
    cache=True,
)
def hash_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    mask: NDArray[np.bool_],
    table: NDArray[np.int32],
    max_tokens: int,
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash and bytes of every token of every text."""
    bound = offsets[-1] - offsets[0]  # a token has at least one byte
    hashes = np.empty(bound, np.uint64)
    spans = np.empty((bound, 2), np.int64)
    written = np.int64(0)
    for row in range(len(mask)):
        if not mask[row]:
            written, _ = _hash_text(
                data, offsets[row], offsets[row + 1], table, max_tokens, hashes, spans, written
            )
    return hashes[:written].copy(), spans[:written].copy()


@numba.njit(
    numba.types.Tuple((numba.int32[::1], numba.int64[::1], numba.boolean[::1]))(
        _BYTES, _OFFSETS, _MASK, _CHARACTERS, numba.uint64[::1], numba.int32[::1], _I64, _I64, _I64
    ),
    nogil=True,
    cache=True,
)
def encode_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    mask: NDArray[np.bool_],
    table: NDArray[np.int32],
    keys: NDArray[np.uint64],
    values: NDArray[np.int32],
    known: int,
    buckets: int,
    max_tokens: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
    n = len(mask)
    longest = np.int64(0)
    bound: Any = np.int64(0)
    for row in range(n):
        if not mask[row]:
            size = min(offsets[row + 1] - offsets[row], max_tokens)
            bound += size
            longest = max(longest, size)
    ids = np.empty(bound, np.int32)
    ends = np.zeros(n + 1, np.int64)
    valid = np.zeros(n, np.bool_)
    hashes = np.empty(longest, np.uint64)
    no_spans = np.empty((0, 2), np.int64)
    slots = np.uint64(len(keys) - 1)
    written = np.int64(0)
    for row in range(n):
        if not mask[row]:
            count, good = _hash_text(
                data, offsets[row], offsets[row + 1], table, max_tokens, hashes, no_spans, 0
            )
            valid[row] = good
            for index in range(count):
                key = hashes[index]
                slot = key & slots
                while values[slot] != 0 and keys[slot] != key:
                    slot = (slot + np.uint64(1)) & slots
                if values[slot] != 0:
                    ids[written] = values[slot]
                else:
                    bucket = np.int64((key >> np.uint64(32)) % np.uint64(buckets))
                    ids[written] = np.int32(1 + known + bucket)
                written += 1
        ends[row + 1] = written
    return ids[:written].copy(), ends, valid
