"""A student as a model of ONNX, looked at in ONNX Runtime before it is handed out.

The model is the network alone: rules, thresholds and dependencies are in ``pingti classify`` and in the other
exports. ``pingti.integrations.onnx`` makes it, and its inputs.
"""

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pingti import files
from pingti.corpus.reader import expand_all, read_rows
from pingti.errors import ConflictError, InputError, UnavailableError
from pingti.extras import install_hint
from pingti.integrations import onnx
from pingti.students import AnyStudent
from pingti.students.transformer import TransformerStudent
from pingti.workspace.registry import TaskEntry
from textcnn.student import Student

MOST_TEXTS = 10_000
"""Texts by which a model is compared with its student."""
TOLERANCE = 1e-4
"""By how much a probability may differ: two orders above what rounding of float32 makes."""
_AT_ONCE = 200  # texts; the model pads each to the longest


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model beside its student."""

    texts: int
    """How many both have scored."""
    difference: float
    """The largest of a probability."""


def write(student: AnyStudent, path: Path, texts: pa.Array) -> Comparison | None:
    """Write the model of a student.

    A transformer student is one: its own file is copied, and its tokenizer beside it (``tokenizer_of``).

    Args:
        student: a TextCNN or a transformer.
        path: the file.
        texts: n strings or nulls, for the comparison.

    Returns:
        How they compare; None where ONNX Runtime is not installed, where there is no text, and of a
        transformer student.

    Raises:
        UnavailableError: onnx is not installed.
        ConflictError: the model scores otherwise than the student, the student is of another kind, or a
            tokenizer lies where this one's would; nothing is written.
    """
    if isinstance(student, TransformerStudent):
        if tokenizer_of(path).exists():
            raise ConflictError(
                f"{tokenizer_of(path)}: it is there already; name another model by --out, or remove it"
            )
        files.write_bytes(tokenizer_of(path), student.tokenizer.encode())
        files.write_bytes(path, student.model)
        return None
    if not isinstance(student, Student):
        raise ConflictError(f"{path}: a student of kind {student.kind!r} has no model of ONNX")
    if importlib.util.find_spec("onnx") is None:
        raise UnavailableError(f"a model of ONNX needs the package onnx: {install_hint('onnx')}")
    with tempfile.TemporaryDirectory(prefix="pingti-export-") as folder:
        model = Path(folder) / "student.onnx"
        onnx.export(student, model)
        comparison = None
        if len(texts) and importlib.util.find_spec("onnxruntime") is not None:
            comparison = compare(student, model, texts)
            if comparison.difference > TOLERANCE:
                raise ConflictError(
                    f"{path}: the model scores otherwise than the student, by up to "
                    f"{comparison.difference:.2g} on {comparison.texts:,} texts; nothing was written"
                )
        files.write_bytes(path, model.read_bytes())
    return comparison


def tokenizer_of(path: Path) -> Path:
    """Where the tokenizer of a transformer student lies.

    Args:
        path: the model's.
    """
    return path.with_suffix(".tokenizer.json")


def compare(student: Student, model: Path, texts: pa.Array) -> Comparison:
    """Score texts by a student and by a model in ONNX Runtime.

    Args:
        student: what the model was made of.
        model: the file.
        texts: n strings or nulls; nulls and what is not UTF-8 are left out.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    scored, difference = 0, 0.0
    for start in range(0, len(texts), _AT_ONCE):
        encoded = student.vocabulary.encode(texts.slice(start, _AT_ONCE))
        (scores,) = session.run(["probabilities"], onnx.inputs(student, encoded))
        apart = np.abs(scores - student.score_encoded(encoded))[encoded.valid]
        scored += len(apart)
        difference = max(difference, float(apart.max(initial=0.0)))
    return Comparison(texts=scored, difference=difference)


def corpus_texts(entry: TaskEntry) -> pa.Array:
    """The first texts of a task's corpus, ``MOST_TEXTS`` at most; none where it is not here.

    Args:
        entry: the task.
    """
    chunks: list[Any] = []
    with contextlib.suppress(InputError, OSError):
        for texts in _texts(entry):
            chunks.append(texts)
            if sum(map(len, chunks)) >= MOST_TEXTS:
                break
    return pa.concat_arrays([pa.array([], pa.large_string()), *chunks]).slice(0, MOST_TEXTS)


def _texts(entry: TaskEntry) -> Iterable[pa.Array]:
    corpus = entry.definition.corpus
    for path in expand_all(corpus.files, entry.path.parent):
        for batch in read_rows(path, corpus.columns, lambda bad: None, batch_rows=MOST_TEXTS):
            yield batch["text"].cast(pa.large_string())
