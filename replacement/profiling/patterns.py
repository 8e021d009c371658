"""What texts hold besides words: repeated patterns, and emoticons."""

import functools
import itertools
import re
import sys
import unicodedata

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.corpus.rules import matches
from replacement.profiling.cleaning_rules import BRACKETED, REPEATED

_TYPED = r"(?::-?[()DP*]|;-?[)D]|=[)D]|\^_*\^|T_T|>_<|\(≧▽≦\))"
"""Emoticons of punctuation and letters, in RE2 and in Python alike; few and sure ones."""


def emoticons(texts: pa.Array) -> list[set[str]]:
    """The emoticons in each of n texts: emoji, bracketed ones such as [微笑], and typed ones.

    An emoji comes without its skin colour and the like; joined ones come one by one. A bracketed one is
    short and has a letter in it.
    """
    of_texts: list[set[str]] = [set() for _ in range(len(texts))]
    # The compiled search of all texts leaves few that have to be looked at one by one.
    for row in np.flatnonzero(matches(texts, [rf"\p{{So}}|{BRACKETED}|{_TYPED}"])).tolist():
        of_texts[row].update(_emoticon().findall(texts[row].as_py()))
    return of_texts


@functools.cache
def _emoticon() -> re.Pattern[str]:
    symbols = "".join(
        symbol
        for symbol in map(chr, range(0x100, sys.maxunicode + 1))
        if unicodedata.category(symbol) == "So" and not _is_unit(symbol)
    )
    bracketed = r"\[[^\[\]]{0,20}[^\W\d_][^\[\]]{0,20}\]"  # as BRACKETED; Python has no \pL
    return re.compile(rf"[\U0001F1E6-\U0001F1FF]{{2}}|[{symbols}]|{bracketed}|{_TYPED}(?![^\W_])")


def _is_unit(symbol: str) -> bool:
    """Whether a symbol is letters in one place, such as ℃ and №; emoji lie above."""
    return ord(symbol) < 0x1F000 and unicodedata.normalize("NFKC", symbol) != symbol


def repeats(
    texts: pa.Array, lengths: NDArray[np.int64], *, at_once: int = 1 << 20
) -> list[tuple[int, str, bool]]:
    """Repeated patterns, such as 哈哈哈哈 and !!!!!.

    Args:
        texts: (n,).
        lengths: (n,), of the texts in characters.
        at_once: so that long texts need no memory, not many more characters are looked at together.

    Returns:
        For each pattern the text's number, the unit, and whether the text is nothing else.
    """
    ends = lengths.cumsum()
    cuts = np.flatnonzero(np.diff(ends // at_once, prepend=0)).tolist()
    return [
        (first + row, unit, whole)
        for first, last in itertools.pairwise([0, *cuts, len(lengths)])
        for row, unit, whole in _repeats_of(texts.slice(first, last - first), lengths[first:last])
    ]


def _repeats_of(texts: pa.Array, lengths: NDArray[np.int64]) -> list[tuple[int, str, bool]]:
    codes = np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), np.uint32)
    ends = lengths.cumsum()
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    repeated: list[tuple[int, str, bool]] = []
    for length, least in REPEATED.items():
        if len(codes) <= length:
            break
        # A run of k characters equal to the one ``length`` before is k + length characters of a pattern.
        same = (codes[length:] == codes[:-length]) & (row_of[length:] == row_of[:-length])
        edges = np.diff(same.astype(np.int8), prepend=0, append=0)
        starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) + length
        long = stops - starts >= length * least
        starts, stops = starts[long], stops[long]
        # One character over and over was found already.
        other = np.full(len(starts), length == 1)
        for offset in range(1, length):
            other |= codes[starts] != codes[starts + offset]
        for start, stop in zip(starts[other].tolist(), stops[other].tolist(), strict=True):
            row = int(row_of[start])
            unit = codes[start : start + length].tobytes().decode("utf-32-le")
            if unit.isspace():
                continue
            behind = codes[stop : ends[row]].tobytes().decode("utf-32-le")
            begun = start == ends[row] - lengths[row]
            repeated.append((row, unit, begun and not any(map(str.isalnum, behind))))
    return repeated
