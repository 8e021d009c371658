"""Texts to token ids in plain Python: what ``textcnn.encoding`` does by compiled kernels."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from textcnn.plain.characters import tokenize

_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
_MASK = (1 << 64) - 1
_PARTS = 16  # of a piece, in which the kernels count
_REMEMBERED = 100_000  # ids of unknown tokens


class PlainVocabulary:
    """The tokens that a student knows by name, and the buckets for all others.

    Args:
        document: of ``textcnn.encoding.Vocabulary.as_document``.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        tokens: list[str] = document["tokens"]
        self._ids = {token: number for number, token in enumerate(tokens, 1)}
        self._known = len(tokens)
        self._buckets: int = document["buckets"]
        self._max_tokens: int = document["max_tokens"]
        self._composed = document.get("normalization") == "nfc"
        self.size = 1 + self._known + self._buckets
        """Number of ids: padding, tokens, buckets."""
        self._costs: list[int] = []
        if reach := document.get("reach"):
            unknown = round(_PARTS * reach["unknown"])
            costs = [_PARTS * cost for cost in reach["costs"]]
            self._costs = [0, *costs, *[unknown] * self._buckets]
            self._affordable = _PARTS * reach["pieces"]

    def encode(self, text: str) -> list[int]:
        """Look up the tokens of a text, as far as the student reads it.

        Raises:
            UnicodeEncodeError: half of a surrogate pair in it, which no UTF-8 holds.
        """
        text.encode()
        if self._composed:
            text = unicodedata.normalize("NFC", text)
        ids = [self._id(token) for token in tokenize(text, self._max_tokens)]
        return ids[: self._affordable_tokens(ids)] if self._costs else ids

    def _affordable_tokens(self, ids: list[int]) -> int:
        spent = 0
        for index, number in enumerate(ids):
            spent += self._costs[number]
            if spent > self._affordable:
                return index
        return len(ids)

    def _id(self, token: str) -> int:
        number = self._ids.get(token)
        if number is None:
            number = 1 + self._known + (token_hash(token) >> 32) % self._buckets
            if len(self._ids) < self._known + _REMEMBERED:
                self._ids[token] = number
        return number


def token_hash(token: str) -> int:
    """Hash a folded token as the kernels do: FNV-1a, 64 bits, over code points, then Murmur3's finaliser."""
    state = _FNV_OFFSET
    for character in token:
        state = (state ^ ord(character)) * _FNV_PRIME & _MASK
    state ^= state >> 33
    state = state * 0xFF51AFD7ED558CCD & _MASK
    state ^= state >> 33
    state = state * 0xC4CEB9FE1A85EC53 & _MASK
    return state ^ (state >> 33)
