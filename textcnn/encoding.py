"""Arrow arrays of texts to arrays of token ids, by a vocabulary."""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.errors import InputError
from pingti.frames.texts import text_array
from textcnn.tokenizer import (
    character_table,
    code_table,
    encode_texts,
    hash_table,
    hash_texts,
    token_hashes,
    tokenize,
)


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

    Raises:
        InputError: a token twice, an empty token, or a number out of range.
    """

    def __init__(self, tokens: Sequence[str], *, buckets: int = 1024, max_tokens: int = 512) -> None:
        if buckets < 1 or max_tokens < 1:
            raise InputError(
                f"vocabulary: buckets={buckets}, max_tokens={max_tokens}; both must be at least 1"
            )
        self.tokens = tuple(tokens)
        self.buckets = buckets
        self.max_tokens = max_tokens
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
    ) -> "Vocabulary":
        """Make the vocabulary of the most frequent tokens; equal counts come in order of the tokens.

        Args:
            texts: an Arrow string, binary or dictionary array.
            size: how many tokens, where the texts have so many.
            buckets: as of the class.
            max_tokens: as of the class; a text's further tokens are not counted.
        """
        counts: dict[int, list[int]] = {}
        strings: dict[int, str] = {}
        for data, offsets, mask in text_buffers(texts):
            hashes, spans = hash_texts(data, offsets, mask, character_table(), max_tokens)
            unique, first, number = np.unique(hashes, return_index=True, return_counts=True)
            for key, index, count in zip(unique.tolist(), first.tolist(), number.tolist(), strict=True):
                counts.setdefault(key, [0])[0] += count
                if key not in strings:
                    start, end = spans[index]
                    strings[key] = "".join(tokenize(bytes(data[start:end]).decode()))
        order = sorted(counts, key=lambda key: (-counts[key][0], strings[key]))
        return cls([strings[key] for key in order[:size]], buckets=buckets, max_tokens=max_tokens)

    @property
    def size(self) -> int:
        """Number of ids: padding, tokens, buckets."""
        return 1 + len(self.tokens) + self.buckets

    @functools.cached_property
    def fingerprint(self) -> str:
        """Equal for two vocabularies that give every text the same ids."""
        digest = hashlib.sha256(f"{self.buckets} {self.max_tokens} ".encode())
        digest.update("\n".join(self.tokens).encode())
        return digest.hexdigest()[:16]

    def encode(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> Encoded:
        """Look up the tokens of n texts.

        Args:
            texts: an Arrow string, binary or dictionary array, or an iterable of strings.

        Raises:
            InputError: an array of another type, or a value that is neither a string nor None.
        """
        texts = text_array(texts)
        parts = [
            encode_texts(data, offsets, mask, *self.tables) for data, offsets, mask in text_buffers(texts)
        ]
        if len(parts) == 1:
            return Encoded(*parts[0])
        ids = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int32)])
        lengths = np.concatenate([np.diff(part[1]) for part in parts] or [np.zeros(0, np.int64)])
        valid = np.concatenate([part[2] for part in parts] or [np.zeros(0, np.bool_)])
        return Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), valid)


def text_buffers(
    texts: pa.Array | pa.ChunkedArray,
) -> list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]]:
    """Look into the chunks of an Arrow array, without copying the texts' bytes.

    Returns:
        For each chunk of n texts: the bytes, uint8; the offsets, int64 (n + 1,); bool (n,), True for a null.

    Raises:
        InputError: an array of another type than string, binary or dictionary of those.
    """
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    return [_buffers(chunk) for chunk in chunks]


def _buffers(array: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
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
