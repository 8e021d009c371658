"""Arrow arrays of texts to arrays of token ids, by a vocabulary."""

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.errors import InputError
from pingti.frames.texts import text_array
from textcnn.plain.characters import character_table, tokenize
from textcnn.tokenizer import (
    FIRST_MARK,
    code_table,
    composition_table,
    encode_texts,
    hash_table,
    hash_texts,
    may_compose,
    token_hashes,
)

Normalization = Literal["nfc"]
"""What is done to texts before they are read: canonical composition (Unicode Standard Annex 15)."""

Buffers = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]
"""Of n texts: the bytes, uint8; the offsets, int64 (n + 1,); bool (n,), True for a null."""


_LOOKED_AT = 512  # texts whose bytes are looked at together
_PARTS = 16  # of a piece, in which the kernels count


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far a student reads, in another tokenizer's pieces: as far as its teacher does.

    That tokenizer is not needed to score: what each token of the vocabulary costs in its pieces is known, and
    all others are taken to cost the same.
    """

    pieces: int
    """Of a text that are read."""
    costs: tuple[int, ...]
    """Of each token of the vocabulary, in pieces."""
    unknown: float
    """Of a token that is not in the vocabulary, in pieces."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Token ids of n texts, in one array."""

    ids: NDArray[np.int32]
    """Ids of all texts, one after another."""
    offsets: NDArray[np.int64]
    """n + 1 positions in ``ids``; text i has ``ids[offsets[i]:offsets[i + 1]]``."""
    valid: NDArray[np.bool_]
    """False for a null and for bytes that are not UTF-8; such a text has no ids."""

    def __len__(self) -> int:
        return len(self.valid)

    def take(self, rows: NDArray[np.int64]) -> "Encoded":
        """Take the texts ``rows``, int64 (m,), in that order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        source = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Encoded(self.ids[source], offsets, self.valid[rows])


class Vocabulary:
    """The tokens that a student knows by name, and the buckets for all others.

    Args:
        tokens: folded tokens, the most frequent first; each once.
        buckets: how many ids the unknown tokens share; at least 1.
        max_tokens: a text's further tokens are left out, in training and in scoring alike.
        normalization: of texts before they are read; None: they are read as they are, as by students that
            were made before there was any.
        reach: how far a text is read, besides ``max_tokens``; None: no matter.

    Raises:
        InputError: a token twice, an empty token, or a number out of range.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        *,
        buckets: int = 1024,
        max_tokens: int = 512,
        normalization: Normalization | None = None,
        reach: Reach | None = None,
    ) -> None:
        if buckets < 1 or max_tokens < 1:
            raise InputError(
                f"vocabulary: buckets={buckets}, max_tokens={max_tokens}; both must be at least 1"
            )
        self.tokens = tuple(tokens)
        self.buckets = buckets
        self.max_tokens = max_tokens
        if normalization not in (None, "nfc"):
            raise InputError(f'vocabulary: normalization {normalization!r}; allowed are "nfc" and none')
        self.normalization = normalization
        if reach is not None and len(reach.costs) != len(self.tokens):
            raise InputError(
                f"vocabulary: {len(reach.costs)} costs; needed is one of each of {len(self.tokens)} tokens"
            )
        self.reach = reach
        hashes = token_hashes(self.tokens)
        if len(np.unique(hashes)) != len(hashes) or "" in self.tokens:
            raise InputError("vocabulary: every token must be there once, and none may be empty")
        # Open addressing, at most half full: a miss ends after about 1.5 probes.
        capacity = 1 << max(4, (2 * len(hashes)).bit_length())
        numbers = {token: number for number, token in enumerate(self.tokens, 1)}
        self.tables: tuple[Any, ...] = (
            code_table(numbers, len(self.tokens), buckets),
            *hash_table(hashes, capacity),
            len(self.tokens),
            buckets,
            max_tokens,
            *self._costs(),
        )
        """What the kernels need to encode."""

    @classmethod
    def build(
        cls,
        texts: pa.Array | pa.ChunkedArray,
        *,
        size: int = 8000,
        buckets: int = 1024,
        max_tokens: int = 512,
        normalization: Normalization | None = "nfc",
    ) -> "Vocabulary":
        """Make the vocabulary of the most frequent tokens; equal counts come in order of the tokens.

        Args:
            texts: an Arrow string, binary or dictionary array.
            size: how many tokens, where the texts have so many.
            buckets: as of the class.
            max_tokens: as of the class; a text's further tokens are not counted.
            normalization: as of the class.
        """
        counts: dict[int, list[int]] = {}
        strings: dict[int, str] = {}
        for data, offsets, mask in _normalized(text_buffers(texts), normalization):
            hashes, spans = hash_texts(data, offsets, mask, character_table(), max_tokens)
            unique, first, number = np.unique(hashes, return_index=True, return_counts=True)
            for key, index, count in zip(unique.tolist(), first.tolist(), number.tolist(), strict=True):
                counts.setdefault(key, [0])[0] += count
                if key not in strings:
                    start, end = spans[index]
                    strings[key] = "".join(tokenize(bytes(data[start:end]).decode()))
        order = sorted(counts, key=lambda key: (-counts[key][0], strings[key]))
        tokens = [strings[key] for key in order[:size]]
        return cls(tokens, buckets=buckets, max_tokens=max_tokens, normalization=normalization)

    def reaching(self, reach: Reach) -> "Vocabulary":
        """The same vocabulary for texts that are read only so far.

        Raises:
            InputError: not a cost for each token.
        """
        return Vocabulary(
            self.tokens,
            buckets=self.buckets,
            max_tokens=self.max_tokens,
            normalization=self.normalization,
            reach=reach,
        )

    @property
    def size(self) -> int:
        """Number of ids: padding, tokens, buckets."""
        return 1 + len(self.tokens) + self.buckets

    @functools.cached_property
    def fingerprint(self) -> str:
        """Equal for two vocabularies that give every text the same ids."""
        digest = hashlib.sha256(f"{self.buckets} {self.max_tokens} ".encode())
        digest.update("\n".join(self.tokens).encode())
        # What students of before do not have leaves their fingerprints as they were.
        if self.normalization is not None:
            digest.update(f"\n\n{self.normalization}".encode())
        if self.reach is not None:
            digest.update(f"\n\n{self.reach}".encode())
        return digest.hexdigest()[:16]

    def encode(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> Encoded:
        """Look up the tokens of n texts.

        Args:
            texts: an Arrow string, binary or dictionary array, or an iterable of strings.

        Raises:
            InputError: an array of another type, or a value that is neither a string nor None.
        """
        parts = [encode_texts(*buffers, *self.tables) for buffers in self.buffers(text_array(texts))]
        if len(parts) == 1:
            return Encoded(*parts[0])
        ids = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int32)])
        lengths = np.concatenate([np.diff(part[1]) for part in parts] or [np.zeros(0, np.int64)])
        valid = np.concatenate([part[2] for part in parts] or [np.zeros(0, np.bool_)])
        return Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), valid)

    def as_document(self) -> dict[str, Any]:
        """The vocabulary in values that JSON has; ``of_document`` makes it again."""
        document: dict[str, Any] = {
            "buckets": self.buckets,
            "max_tokens": self.max_tokens,
            "normalization": self.normalization,
            "tokens": list(self.tokens),
        }
        if self.reach is not None:
            document["reach"] = {**asdict(self.reach), "costs": list(self.reach.costs)}
        return document

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Vocabulary":
        """What ``as_document`` made; documents of before format 3 have neither normalization nor reach.

        Raises:
            InputError: as of the class.
            TypeError: another key, or one is missing.
        """
        fields = dict(document)
        reach = fields.pop("reach", None)
        return cls(
            **fields, reach=None if reach is None else Reach(**{**reach, "costs": tuple(reach["costs"])})
        )

    def buffers(self, texts: pa.Array | pa.ChunkedArray) -> list[Buffers]:
        """As ``text_buffers``, of the texts in the form in which they are read.

        Raises:
            InputError: as of ``text_buffers``.
        """
        return _normalized(text_buffers(texts), self.normalization)

    def _costs(self) -> tuple[NDArray[np.int32], int]:
        """Of each id, int32 (size,), and of a whole text, in parts of a piece; empty where none counts."""
        if self.reach is None:
            return np.zeros(0, np.int32), 0
        costs = np.full(self.size, round(_PARTS * self.reach.unknown), np.int32)
        costs[0] = 0
        costs[1 : 1 + len(self.tokens)] = np.array(self.reach.costs, np.int32) * _PARTS
        return costs, _PARTS * self.reach.pieces


def text_buffers(texts: pa.Array | pa.ChunkedArray) -> list[Buffers]:
    """Look into the chunks of an Arrow array, without copying the texts' bytes.

    Returns:
        For each chunk its texts.

    Raises:
        InputError: an array of another type than string, binary or dictionary of those.
    """
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    return [_buffers(chunk) for chunk in chunks]


def _normalized(chunks: list[Buffers], normalization: Normalization | None) -> list[Buffers]:
    return [_composed(*chunk) for chunk in chunks] if normalization == "nfc" else chunks


def _composed(data: NDArray[np.uint8], offsets: NDArray[np.int64], mask: NDArray[np.bool_]) -> Buffers:
    """The texts in their NFC form; those that have it, nearly all, are looked at and not copied."""
    changed = np.zeros(len(mask), np.bool_)
    for first in range(0, len(mask), _LOOKED_AT):
        end = min(first + _LOOKED_AT, len(mask))
        # The highest byte of many texts is found much faster than their characters are looked up.
        if data[offsets[first] : offsets[end]].max(initial=0) >= FIRST_MARK:
            changed[first:end] = may_compose(
                data, offsets[first : end + 1], mask[first:end], composition_table()
            )
    if not changed.any():
        return data, offsets, mask
    whole = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(mask), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    flags = pa.array(changed)
    some: Any = pc.utf8_normalize(whole.filter(flags).cast(pa.large_string()), "NFC")
    # The nulls are known by ``mask``, whatever bytes they have.
    replaced: Any = pc.replace_with_mask(whole, flags, some.cast(pa.large_binary()))
    new_data, new_offsets, _ = _buffers(replaced)
    return new_data, new_offsets, mask


def _buffers(array: pa.Array) -> Buffers:
    kind = array.type
    if pa.types.is_dictionary(kind):
        if pa.types.is_string_view(kind.value_type) or pa.types.is_binary_view(kind.value_type):
            values = array.dictionary.cast(pa.large_binary())  # Arrow cannot take from views
            array = pa.DictionaryArray.from_arrays(array.indices, values)
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_null(kind) or pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        array = array.cast(pa.large_binary())
        kind = array.type
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        width: type[np.int32 | np.int64] = np.int64
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        width = np.int32
    else:
        raise InputError(f"texts are of Arrow type {kind}; allowed are string and binary types")
    mask = np.zeros(len(array), np.bool_)
    if array.null_count:
        mask = array.is_null().to_numpy(zero_copy_only=False)
    _, offset_buffer, data_buffer = array.buffers()
    if len(array) == 0 or offset_buffer is None:
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64), mask
    offsets = np.frombuffer(offset_buffer, width)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    return data, offsets.astype(np.int64), mask
