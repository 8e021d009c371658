"""Texts as word pieces of a transformer's tokenizer, without torch or transformers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.errors import InputError, UnavailableError
from pingti.extras import install_hint
from pingti.frames.texts import text_array
from textcnn.encoding import text_buffers

_AT_ONCE = 4096
"""Texts that are cut at a time, which bounds what the tokenizer holds in memory."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Word pieces of n texts, in one array."""

    ids: NDArray[np.int64]
    """Ids of all texts, one after another, those before and behind a text among them."""
    offsets: NDArray[np.int64]
    """n + 1 positions in ``ids``; text i has ``ids[offsets[i]:offsets[i + 1]]``."""
    valid: NDArray[np.bool_]
    """False for a null and for bytes that are not UTF-8; such a text has no ids."""

    def __len__(self) -> int:
        return len(self.valid)

    def take(self, rows: NDArray[np.int64]) -> "Pieces":
        """Take the texts ``rows``, int64 (m,), in that order."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        source = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Pieces(self.ids[source], offsets, self.valid[rows])

    def rectangle(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take some texts, padded behind to the longest of them.

        Args:
            rows: int64 (m,), of texts that are valid.

        Returns:
            Ids, int64 (m, longest), and lengths, int64 (m,).
        """
        some = self.take(rows)
        lengths = np.diff(some.offsets)
        padded = np.zeros((len(rows), int(lengths.max())), np.int64)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = some.ids
        return padded, lengths


class Cutter:
    """Cuts texts into word pieces; safe to use from several threads.

    Args:
        content: JSON of the package tokenizers.
        max_length: word pieces of a text that are read, with what stands before and behind it.

    Raises:
        InputError: a tokenizer that cannot be read.
        UnavailableError: tokenizers is not installed.
    """

    def __init__(self, content: str, max_length: int) -> None:
        self._tokenizer = _tokenizer(content, max_length)

    def encode(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> Pieces:
        """Cut n texts.

        Args:
            texts: as of ``textcnn.Student.score``.

        Raises:
            InputError: as of ``textcnn.Student.score``.
        """
        ids: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        valid: list[bool] = []
        lengths: list[int] = []
        for some in _decoded(text_array(texts)):
            cut = iter(self._tokenizer.encode_batch_fast([text for text in some if text is not None]))
            for text in some:
                own = [] if text is None else next(cut).ids
                ids.append(np.array(own, np.int64))
                lengths.append(len(own))
                valid.append(text is not None)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        return Pieces(np.concatenate(ids), offsets, np.array(valid, np.bool_))


def batches(lengths: NDArray[np.int64], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Put texts of like length together; those without a token are left out.

    Args:
        lengths: int64 (n,), tokens of each text.
        tokens: padded tokens of a batch at most; a longer text is a batch by itself.

    Yields:
        Row numbers, ascending by length.
    """
    order = np.argsort(lengths, kind="stable")
    order = order[np.searchsorted(lengths[order], 1) :]
    start = 0
    while start < len(order):
        # As many as fit, padded to the longest of them, which is the last.
        sizes = lengths[order[start : start + tokens]] * np.arange(1, len(order[start : start + tokens]) + 1)
        count = max(1, int(np.searchsorted(sizes, tokens, side="right")))
        yield order[start : start + count]
        start += count


def _decoded(texts: pa.Array | pa.ChunkedArray) -> Iterator[list[str | None]]:
    """The texts, so many at a time; None for a null and for bytes that are not UTF-8."""
    for data, offsets, mask in text_buffers(texts):
        for first in range(0, len(mask), _AT_ONCE):
            rows = range(first, min(first + _AT_ONCE, len(mask)))
            yield [
                None if mask[row] else _utf8(data[offsets[row] : offsets[row + 1]].tobytes()) for row in rows
            ]


def _utf8(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _tokenizer(content: str, max_length: int) -> Any:
    """A tokenizer that cuts texts off at ``max_length`` and pads nothing."""
    try:
        import tokenizers
    except ImportError as error:
        raise UnavailableError(
            f"a transformer student needs the package tokenizers ({error}): {install_hint('transformer')}"
        ) from error
    try:
        tokenizer = tokenizers.Tokenizer.from_str(content)
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        if not tokenizer.encode("").ids:
            raise ValueError("it puts nothing before and behind a text")
    except Exception as error:  # it raises Exception itself
        raise InputError(f"student: its tokenizer cannot be read: {error}") from error
    return tokenizer
