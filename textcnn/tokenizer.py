"""Text to token ids: one implementation, used for training and for scoring.

A text is read code point by code point. Full-width forms become their half-width twins and letters their
lower case. A run of letters, digits and combining marks is one word token; a character of a script that
is written without spaces (Han, kana, Hangul, Thai, ...), a punctuation mark or a symbol is a token by
itself; white space and control characters separate; invisible format characters are dropped.

A token is known by a 64-bit hash of its code points. Tokens of the vocabulary have ids from 1, the most
frequent first, so that the hot rows of a table are neighbours. Every other token falls into one of a
fixed number of buckets behind them. Id 0 is padding.

Texts are composed (NFC) before they come here: ``may_compose`` finds the few that are not.

Not handled: stemming, and word segmentation of scripts without spaces.
"""

import functools
import logging
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

import numba
import numpy as np
from numba.core import event
from numpy.typing import NDArray

from textcnn.plain.characters import (
    CLASS_SHIFT,
    DROPPED,
    SEPARATOR,
    SINGLE,
    TABLE_SIZE,
    VALUE,
    WORD,
    character_table,
)

UNSETTLED: Final = 255
"""Entry of ``composition_table`` of a character that composition may change."""
FIRST_MARK: Final = 0xCC
"""First byte of U+0300; no character below it joins to another."""
_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)

_log = logging.getLogger(__name__)


class _Announcement(event.Listener):
    """Says, once, that kernels are compiled: whoever waits sees nothing else for that time."""

    told = False

    def on_start(self, event: Any) -> None:
        compiled = event.data["dispatcher"].py_func.__module__
        if not self.told and compiled.startswith("textcnn."):
            self.told = True
            _log.warning("compiling the kernels, once for this installation: 15 to 60 seconds")

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())  # before the first kernel, which is below


@functools.cache
def composition_table() -> NDArray[np.uint8]:
    """What each character says of a text's being composed: the quick check of Unicode Standard Annex 15.

    Returns:
        uint8 (131072,), read-only: ``UNSETTLED`` for one that NFC changes, or may join to the one before it;
        else its canonical combining class. It is this Python's: characters that are newer than Unicode 14 may
        be looked at by one and not by another.
    """
    table = np.zeros(TABLE_SIZE, np.uint8)
    for code in range(0xC0, TABLE_SIZE):
        if 0x3400 <= code < 0xA000 or 0xAC00 <= code < 0xE000:  # Han, Hangul syllables, surrogates
            continue
        character = chr(code)
        table[code] = max(table[code], unicodedata.combining(character))
        parts = unicodedata.decomposition(character)
        if unicodedata.normalize("NFC", character) != character:
            table[code] = UNSETTLED
        elif parts and parts[0] != "<":  # the last of them joins to what is before it
            table[int(parts.split()[-1], 16)] = UNSETTLED
    table[0x1161:0x1176] = table[0x11A8:0x11C3] = UNSETTLED  # vowels and finals of Hangul
    table.flags.writeable = False
    return table


def token_hashes(tokens: Sequence[str]) -> NDArray[np.uint64]:
    """Hash tokens as the kernels do: FNV-1a, 64 bits, over code points, then Murmur3's finaliser.

    Args:
        tokens: folded, as of ``tokenize``.

    Returns:
        uint64 (tokens,); the finaliser spreads what differs into the high bits.
    """
    codes = np.frombuffer("".join(tokens).encode("utf-32-le", "surrogatepass"), np.uint32)
    ends = np.cumsum([0, *map(len, tokens)])
    return _hash_tokens(codes, ends)


_I64 = numba.int64
TEXT_BYTES: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
TEXT_OFFSETS: Final = numba.int64[::1]
_MASK: Final = numba.boolean[::1]
CODES: Final = numba.types.Array(numba.int32, 1, "C", readonly=True)
COMPOSITION: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
COSTS: Final = numba.int32[::1]
KEYS: Final = numba.uint64[::1]
VALUES: Final = numba.int32[::1]


@numba.njit(inline="always")
def _mix(state: Any, code: Any) -> Any:
    return (state ^ np.uint64(code)) * _FNV_PRIME


@numba.njit(inline="always")
def _finish(state: Any) -> Any:
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xFF51AFD7ED558CCD)
    state ^= state >> np.uint64(33)
    state *= np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(33))


@numba.njit(
    numba.uint64[::1](numba.types.Array(numba.uint32, 1, "C", readonly=True), numba.int64[::1]), cache=True
)
def _hash_tokens(codes: NDArray[np.uint32], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    hashes = np.empty(len(ends) - 1, np.uint64)
    for token in range(len(hashes)):
        state: Any = _FNV_OFFSET
        for index in range(ends[token], ends[token + 1]):
            state = _mix(state, codes[index])
        hashes[token] = _finish(state)
    return hashes


@numba.njit(numba.types.Tuple((KEYS, VALUES))(KEYS, _I64), cache=True)
def hash_table(hashes: NDArray[np.uint64], capacity: int) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """Build the open addressing table of a vocabulary.

    Args:
        hashes: uint64 (tokens,), each once.
        capacity: a power of two above the number of tokens.

    Returns:
        The hashes by slot, uint64 (capacity,), and the tokens' ids from 1 on, int32 (capacity,), 0 in an
        empty slot.
    """
    keys = np.zeros(capacity, np.uint64)
    values = np.zeros(capacity, np.int32)
    for index in range(len(hashes)):
        slot = hashes[index] & np.uint64(capacity - 1)
        while values[slot] != 0:
            slot = (slot + np.uint64(1)) & np.uint64(capacity - 1)
        keys[slot] = hashes[index]
        values[slot] = index + 1
    return keys, values


@numba.njit(numba.types.UniTuple(_I64, 2)(TEXT_BYTES, _I64, _I64), nogil=True, cache=True)
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


@numba.njit(numba.boolean(TEXT_BYTES, _I64, _I64, COMPOSITION), nogil=True, cache=True)
def _is_unsettled(data: NDArray[np.uint8], position: Any, end: Any, table: NDArray[np.uint8]) -> Any:
    """Whether a text may not be composed; never of bytes that are not UTF-8, which nobody reads."""
    # Of Latin, and of U+4000 to U+9FFF, as most of Chinese, composition changes nothing. Such a text is known
    # by the bytes that its characters start with, which are found much faster than characters are decoded.
    settled = True
    for index in range(position, end):
        byte = data[np.uint64(index)]
        settled &= (byte < FIRST_MARK) | ((byte >= 0xE4) & (byte <= 0xE9))
    if settled:
        return False
    last = np.uint8(0)
    unsettled = False
    while position < end:
        first = data[np.uint64(position)]
        if first < 0x80:
            last = np.uint8(0)
            position += 1
            continue
        if 0xE4 <= first <= 0xE9 and position + 2 < end:
            if data[np.uint64(position + 1)] & 0xC0 != 0x80 or data[np.uint64(position + 2)] & 0xC0 != 0x80:
                return False
            last = np.uint8(0)
            position += 3
            continue
        code, length = _decode(data, position, end)
        if length == 0:
            return False
        if code < TABLE_SIZE:
            entry = table[np.uint64(code)]
        else:
            entry = np.uint8(UNSETTLED if 0x2F800 <= code < 0x2FA20 else 0)
        if entry == UNSETTLED or (entry > 0 and entry < last):
            unsettled = True
        last = entry
        position += length
    return unsettled


@numba.njit(numba.boolean[::1](TEXT_BYTES, TEXT_OFFSETS, _MASK, COMPOSITION), nogil=True, cache=True)
def may_compose(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], mask: NDArray[np.bool_], table: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Which texts may not be in their NFC form; all others are.

    Args:
        data: as of ``encode_texts``, like ``offsets`` and ``mask``.
        offsets: int64 (n + 1,).
        mask: bool (n,).
        table: of ``composition_table``.

    Returns:
        bool (n,); False of nulls and of texts that are not UTF-8.
    """
    unsettled = np.zeros(len(mask), np.bool_)
    for row in range(len(mask)):
        if not mask[row]:
            unsettled[row] = _is_unsettled(data, offsets[row], offsets[row + 1], table)
    return unsettled


@numba.njit(_I64(CODES, _I64), nogil=True, cache=True)
def _entry(table: NDArray[np.int32], code: Any) -> Any:
    if code < TABLE_SIZE:
        return np.int64(table[code])
    kind = DROPPED if 0xE0000 <= code <= 0xE0FFF else SINGLE
    return code | kind << CLASS_SHIFT


@numba.njit(
    numba.types.Tuple((numba.uint64[::1], numba.int64[:, ::1]))(TEXT_BYTES, TEXT_OFFSETS, _MASK, CODES, _I64),
    nogil=True,
    cache=True,
)
def hash_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    mask: NDArray[np.bool_],
    table: NDArray[np.int32],
    max_tokens: Any,
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash every token of every text that is UTF-8.

    ``table`` is of ``character_table``, all other arguments as of ``encode_texts``.

    Returns:
        uint64 (tokens,) of all texts, one behind the other; and int64 (tokens, 2), where in ``data`` each
        token's bytes start and end.
    """
    bound = offsets[-1] - offsets[0]  # a token has at least one byte
    hashes = np.empty(bound, np.uint64)
    spans = np.empty((bound, 2), np.int64)
    written: Any = np.int64(0)
    for row in range(len(mask)):
        if mask[row]:
            continue
        first = written
        limit = first + max_tokens
        position: Any = offsets[row]
        end: Any = offsets[row + 1]
        word_start, word_end = np.int64(-1), np.int64(-1)
        state = _FNV_OFFSET
        while position <= end:
            code: Any = np.int64(0)
            length: Any = np.int64(1)
            entry: Any = np.int64(SEPARATOR << CLASS_SHIFT)
            if position < end:  # behind the end stands a separator, which ends the last word
                code, length = _decode(data, position, end)
                if length == 0:
                    written = first
                    break
                entry = _entry(table, code)
            kind = entry >> CLASS_SHIFT
            if kind == WORD:
                if word_start < 0:
                    state, word_start = _FNV_OFFSET, position
                state = _mix(state, entry & VALUE)
                word_end = position + length
            elif kind != DROPPED:
                if word_start >= 0 and written < limit:
                    hashes[written] = _finish(state)
                    spans[written, 0], spans[written, 1] = word_start, word_end
                    written += 1
                word_start = np.int64(-1)
                if kind == SINGLE and written < limit:
                    hashes[written] = _finish(_mix(_FNV_OFFSET, entry & VALUE))
                    spans[written, 0], spans[written, 1] = position, position + length
                    written += 1
            position += length
    return hashes[:written].copy(), spans[:written].copy()


def code_table(tokens: dict[str, int], known: int, buckets: int) -> NDArray[np.int32]:
    """Put ids into the character table, in place of the folded code points of characters that are tokens.

    Most text of unspaced scripts needs no other look-up.

    Args:
        tokens: the vocabulary's, with their ids.
        known: their number.
        buckets: ids that the unknown tokens share.

    Returns:
        int32 (131072,), read-only, laid out as ``character_table``.
    """
    table = character_table().copy()
    single = table >> CLASS_SHIFT == SINGLE
    folded = (table[single] & VALUE).astype(np.uint64)
    with np.errstate(over="ignore"):
        state = _finish.py_func((_FNV_OFFSET ^ folded) * _FNV_PRIME)
    ids = 1 + known + ((state >> np.uint64(32)) % np.uint64(buckets)).astype(np.int32)
    known_ids = np.zeros(TABLE_SIZE, np.int32)
    for token, number in tokens.items():
        if len(token) == 1 and ord(token) < TABLE_SIZE:
            known_ids[ord(token)] = number
    of_vocabulary = known_ids[folded.astype(np.int64)]
    table[single] = np.where(of_vocabulary > 0, of_vocabulary, ids).astype(np.int32) | SINGLE << CLASS_SHIFT
    table.flags.writeable = False
    return table


@numba.njit(_I64(numba.uint64, KEYS, VALUES, _I64, _I64), nogil=True, cache=True)
def _find(key: Any, keys: Any, values: Any, known: Any, buckets: Any) -> Any:
    """Id of the token with the hash ``key``."""
    slots = np.uint64(len(keys) - 1)
    slot = key & slots
    while values[slot] != 0:
        if keys[slot] == key:
            return np.int64(values[slot])
        slot = (slot + np.uint64(1)) & slots
    return 1 + known + np.int64((key >> np.uint64(32)) % np.uint64(buckets))


@numba.njit(inline="always")
def _three_bytes(first: Any, second: Any, third: Any) -> Any:
    """Code point from U+1000 to U+CFFF; -1 where the bytes behind the first are not UTF-8."""
    code = (first & 0xF) << 12 | (second & 0x3F) << 6 | third & 0x3F
    return code if second & 0xC0 == 0x80 and third & 0xC0 == 0x80 else np.int64(-1)


@numba.njit(_I64(_I64, KEYS, VALUES, _I64, _I64), nogil=True, cache=True)
def _rare_entry(code: Any, keys: Any, values: Any, known: Any, buckets: Any) -> Any:
    """What ``code_table`` would hold of a code point that lies behind its end."""
    if 0xE0000 <= code <= 0xE0FFF:
        return np.int64(DROPPED << CLASS_SHIFT)
    number = _find(_finish(_mix(_FNV_OFFSET, code)), keys, values, known, buckets)
    return number | np.int64(SINGLE << CLASS_SHIFT)


@numba.njit(
    numba.types.Tuple((_I64, numba.boolean))(
        TEXT_BYTES, _I64, _I64, CODES, KEYS, VALUES, _I64, _I64, _I64, COSTS, _I64, numba.int32[::1], _I64
    ),
    nogil=True,
    cache=True,
)
def encode_text(
    data: NDArray[np.uint8],
    position: Any,
    end: Any,
    codes: NDArray[np.int32],
    keys: NDArray[np.uint64],
    values: NDArray[np.int32],
    known: Any,
    buckets: Any,
    max_tokens: Any,
    costs: NDArray[np.int32],
    affordable: Any,
    ids: NDArray[np.int32],
    first: Any,
) -> Any:
    """Write the ids of the text ``data[position:end]`` into ``ids`` from ``first`` on; see ``encode_texts``.

    Returns:
        The number of ids, and whether the whole text is UTF-8; of one that is not, no id counts.
    """
    written: Any = first
    limit = first + max_tokens
    word = False
    state = _FNV_OFFSET
    # Unsigned indices spare the question whether one is below zero.
    while position < end:
        code: Any = np.int64(data[np.uint64(position)])
        length: Any = np.int64(1)
        if code >= 0x80:
            # Three bytes, as most of Chinese: decoded here, the rest elsewhere.
            if 0xE1 <= code <= 0xEC and position + 2 < end:
                second, third = data[np.uint64(position + 1)], data[np.uint64(position + 2)]
                code, length = _three_bytes(code, np.int64(second), np.int64(third)), np.int64(3)
                if code < 0:
                    return 0, False
            else:
                code, length = _decode(data, position, end)
                if length == 0:
                    return 0, False
        if code < TABLE_SIZE:
            entry: Any = np.int64(codes[np.uint64(code)])
        else:
            entry = _rare_entry(code, keys, values, known, buckets)
        kind = entry >> CLASS_SHIFT
        if kind == WORD:
            if not word:
                word, state = True, _FNV_OFFSET
            state = _mix(state, entry & VALUE)
        elif kind != DROPPED:
            if word and written < limit:
                ids[np.uint64(written)] = _find(_finish(state), keys, values, known, buckets)
                written += 1
            word = False
            if kind == SINGLE and written < limit:
                ids[np.uint64(written)] = entry & VALUE
                written += 1
        position += length
    if word and written < limit:
        ids[np.uint64(written)] = _find(_finish(state), keys, values, known, buckets)
        written += 1
    if len(costs):
        spent = np.int64(0)
        for index in range(first, written):
            spent += costs[ids[np.uint64(index)]]
            if spent > affordable:
                return index - first, True
    return written - first, True


@numba.njit(
    numba.types.Tuple((numba.int32[::1], numba.int64[::1], numba.boolean[::1]))(
        TEXT_BYTES, TEXT_OFFSETS, _MASK, CODES, KEYS, VALUES, _I64, _I64, _I64, COSTS, _I64
    ),
    nogil=True,
    cache=True,
)
def encode_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    mask: NDArray[np.bool_],
    codes: NDArray[np.int32],
    keys: NDArray[np.uint64],
    values: NDArray[np.int32],
    known: Any,
    buckets: Any,
    max_tokens: Any,
    costs: NDArray[np.int32],
    affordable: Any,
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_]]:
    """Encode texts.

    Args:
        data: the bytes of all texts.
        offsets: int64 (n + 1,): text i has the bytes ``data[offsets[i]:offsets[i + 1]]``.
        mask: bool (n,): True for a null.
        codes: of ``code_table``.
        keys: of ``hash_table``.
        values: of ``hash_table``.
        known: how many tokens the vocabulary has.
        buckets: how many ids the other tokens share.
        max_tokens: a text's further tokens are left out.
        costs: int32 (ids,), what each id costs; empty where nothing is counted.
        affordable: a text's tokens from that on which lifts their cost above this are left out.

    Returns:
        The arrays of ``textcnn.encoding.Encoded``.
    """
    n = len(mask)
    bound: Any = np.int64(0)
    for row in range(n):
        if not mask[row]:
            bound += min(offsets[row + 1] - offsets[row], max_tokens)
    ids = np.empty(bound, np.int32)
    ends = np.zeros(n + 1, np.int64)
    valid = np.zeros(n, np.bool_)
    written: Any = np.int64(0)
    for row in range(n):
        if not mask[row]:
            count, good = encode_text(
                data, offsets[row], offsets[row + 1], codes, keys, values, known, buckets, max_tokens,
                costs, affordable, ids, written,
            )  # fmt: skip
            valid[row] = good
            written += count
        ends[row + 1] = written
    return ids[:written].copy(), ends, valid
