"""A student that is a small transformer: int8 in ONNX Runtime, without torch.

The model reads a batch of texts that are padded to the longest of them, and says how long each is; texts
are sorted by length first, so that little of a batch is padding, and a text that comes alone has none. Its
numbers are quantized with scales that were fixed when it was made: what it says of a text does not depend on
the texts beside it, but for the last bits of float32.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti import files
from pingti.errors import ArtifactError, InputError, UnavailableError
from pingti.extras import install_hint
from pingti.students.pieces import Cutter, Pieces, batches
from textcnn.cost import Cost
from textcnn.hub.pretrained import Pretrained
from textcnn.plain.artifact import LAYOUT, read_document, write_document

KIND = "transformer"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
_BATCH_TOKENS = 1024
"""Padded word pieces of a batch: with more of them its states leave the cache of a core."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What an encoder of BERT's kind is made of."""

    layers: int
    hidden: int
    """Width of the states."""
    intermediate: int
    """Width of the middle of a layer's feed-forward part."""
    heads: int
    columns: int
    """What the head decides between: the teacher's labels, of which one or more stand for a class."""

    def multiplications(self, tokens: float) -> float:
        """Count what a text of so many word pieces takes.

        The last layer reads all tokens and works at one place alone, since the head reads no other.

        Args:
            tokens: of the text.
        """
        square, feed_forward = self.hidden**2, 2 * self.hidden * self.intermediate
        whole = tokens * (4 * square + feed_forward) + 2 * tokens**2 * self.hidden
        last = 2 * tokens * square + 2 * square + feed_forward + 2 * tokens * self.hidden
        return (self.layers - 1) * whole + last + square + self.hidden * self.columns


class TransformerStudent(Pretrained):
    """A small transformer with its tokenizer and its classes.

    Scoring releases the interpreter's lock and takes one core for each thread that calls it.

    Args:
        model: bytes of a model of ONNX: inputs ``ids`` int64 (n, longest) and ``lengths`` int64 (n,), output
            ``probabilities`` float32 (n, classes).
        tokenizer: JSON of the package tokenizers.
        classes: names, in the order of the columns of the scores.
        shape: the encoder's.
        max_length: word pieces of a text that are read, with what stands before and behind it.
        metadata: what else is to be known of the student, in values that JSON has.

    Raises:
        InputError: a model or a tokenizer that cannot be read, or another number of classes.
        UnavailableError: onnxruntime or tokenizers is not installed.
    """

    FILES = (MODEL, TOKENIZER, LAYOUT.json)

    def __init__(
        self,
        model: bytes,
        tokenizer: str,
        classes: Iterable[str],
        *,
        shape: Shape,
        max_length: int,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.classes = tuple(classes)
        self.shape = shape
        self.max_length = max_length
        self.metadata = dict(metadata or {})
        self._session = _session(model, len(self.classes))
        self._cutter = Cutter(tokenizer, max_length)

    @property
    def kind(self) -> str:
        """What it computes by, as ``student.kind`` of a definition names it."""
        return KIND

    def cost(self, tokens: float) -> Cost:
        """Count what it takes.

        Args:
            tokens: word pieces of a text, in the mean.
        """
        return Cost(bytes=len(self.model), operations=self.shape.multiplications(tokens))

    def encode(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> Pieces:
        """Cut n texts into word pieces.

        Args:
            texts: as of ``score``.

        Raises:
            InputError: as of ``score``.
        """
        return self._cutter.encode(texts)

    def score_encoded(self, encoded: Pieces) -> NDArray[np.float32]:
        """Score n texts that ``encode`` has cut.

        Returns:
            As of ``score``.
        """
        scores = np.full((len(encoded), len(self.classes)), np.nan, np.float32)
        lengths = np.diff(encoded.offsets)
        for rows in batches(lengths, _BATCH_TOKENS):
            ids, own = encoded.rectangle(rows)
            scores[rows] = self._session.run(["probabilities"], {"ids": ids, "lengths": own})[0]
        return scores

    def score(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> NDArray[np.float32]:
        """Score n texts.

        Args:
            texts: as of ``textcnn.Student.score``.

        Returns:
            Class probabilities, float32 (n, classes). The row of a null, and of bytes that are not UTF-8, is
            NaN.

        Raises:
            InputError: as of ``textcnn.Student.score``.
        """
        return self.score_encoded(self.encode(texts))

    def save(self, folder: Path | str, *, document_name: str = LAYOUT.json) -> None:
        """Write the artifact into ``folder``, which is made where it is not there; the JSON comes last.

        Args:
            folder: where to.
            document_name: of the JSON, where another student's is in the folder.
        """
        folder = Path(folder)
        files.write_bytes(folder / MODEL, self.model)
        files.write_bytes(folder / TOKENIZER, self.tokenizer.encode())
        checksums = {name: files.sha256(folder / name) for name in (MODEL, TOKENIZER)}
        document = {
            "format": LAYOUT.format,
            "kind": KIND,
            "classes": list(self.classes),
            "shape": asdict(self.shape),
            "max_length": self.max_length,
            "metadata": self.metadata,
        }
        write_document(folder / document_name, document, checksums)

    @classmethod
    def load(cls, folder: Path | str, *, document_name: str = LAYOUT.json) -> Self:
        """Read an artifact that ``save`` wrote.

        Args:
            folder: that it wrote.
            document_name: as of ``save``.

        Raises:
            ArtifactError: a file is missing, damaged, or written by a newer Pingti.
            UnavailableError: onnxruntime or tokenizers is not installed.
        """
        folder = Path(folder)
        document = read_document(folder / document_name)
        content = {name: _read(folder / name, document["sha256"].get(name)) for name in (MODEL, TOKENIZER)}
        try:
            return cls(
                content[MODEL],
                content[TOKENIZER].decode(),
                document["classes"],
                shape=Shape(**document["shape"]),
                max_length=document["max_length"],
                metadata=document["metadata"],
            )
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder / document_name}: does not fit together: {error}") from error


def _read(path: Path, expected: str | None) -> bytes:
    """The content of an artifact's file."""
    try:
        if files.sha256(path) != expected:
            raise ArtifactError(f"{path}: its checksum does not fit; it was damaged or exchanged")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: not readable: {error.strerror}") from error


def _session(model: bytes, classes: int) -> Any:
    """ONNX Runtime's session of a model: one thread, that of the caller."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            f"a transformer student needs the package onnxruntime ({error}): {install_hint(KIND)}"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common root
        raise InputError(f"student: its model is none that ONNX Runtime reads: {error}") from error
    shape = session.get_outputs()[0].shape
    if shape[-1] != classes:
        raise InputError(f"student: {classes} classes for a model of {shape[-1]}")
    return session
