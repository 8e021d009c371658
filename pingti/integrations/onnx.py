"""A student as a model of ONNX: the same sums in float32, for any runtime.

Input ``ids``: int64 (n, longest), token ids of n texts, each padded behind with 0, ``longest`` at least 1. A
student with a wide part has a second, ``buckets``: int64 (n, most), hashed n-grams padded with -1, ``most``
at least 1; a bag of n-grams has that alone. ``inputs`` makes them. Output ``probabilities``: float32
(n, classes).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pingti import files
from pingti.students.onnx_parts import OnnxParts
from textcnn.encoding import Encoded
from textcnn.fold import padded, rows, spread
from textcnn.kernel import ngram_buckets
from textcnn.student import Student

if TYPE_CHECKING:
    import onnx

_OPSET = 17
_NEVER = np.float32(-3e38)  # less than any window's sum


def export(student: Student, path: Path) -> None:
    """Write the model of a student; it appears at the end, whole.

    Args:
        student: any.
        path: the file.
    """
    content = _Graph(student).model().SerializeToString()
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


def inputs(student: Student, encoded: Encoded) -> dict[str, NDArray[np.int64]]:
    """Make a model's inputs.

    Args:
        student: the one that was exported.
        encoded: n texts, as its vocabulary encodes them; those that are not valid get scores of no meaning.
    """
    feeds = {}
    if student.architecture.widths:
        feeds["ids"] = _rectangle(encoded.ids, encoded.offsets, 0)
    if student.architecture.wide:
        hashed, ends = ngram_buckets(encoded.ids, encoded.offsets, student.architecture.wide)
        feeds["buckets"] = _rectangle(hashed, ends, -1)
    return feeds


def _rectangle(values: NDArray[Any], offsets: NDArray[np.int64], padding: int) -> NDArray[np.int64]:
    """Rows one behind the other as an array (n, at least 1), padded behind."""
    lengths = np.diff(offsets)
    table = np.full((len(lengths), max(1, lengths.max(initial=0))), padding, np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = values[offsets[0] : offsets[-1]]
    return table


class _Graph(OnnxParts):
    """Nodes and numbers of a model, as they are added."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self._student = student

    def model(self) -> "onnx.ModelProto":
        from onnx import TensorProto, checker, helper

        self._outputs()
        feeds = []
        if self._student.architecture.widths:
            feeds.append(helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "longest"]))
        if self._student.architecture.wide:
            feeds.append(helper.make_tensor_value_info("buckets", TensorProto.INT64, ["n", "most"]))
        shape: list[str | int | None] = ["n", len(self._student.classes)]
        result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "student", feeds, [result], self._numbers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        checker.check_model(model)
        return model

    def _outputs(self) -> None:
        folded, classes = self._student.folded, len(self._student.classes)
        own = self._rows()
        logits = self._number(folded.head_bias[own])
        if self._student.architecture.widths:
            features = self._add("Concat", *self._maxima(), axis=1)
            features = self._add("Mul", features, self._number(folded.step))
            features = self._add("Relu", self._add("Add", features, self._number(folded.bias)))
            products = self._add("MatMul", features, self._number(folded.head[own].T))
            logits = self._add("Add", products, logits)
        if self._student.architecture.wide:
            logits = self._add("Add", logits, self._wide())
        if own.stop - own.start == 1:  # the second class's logit less the first's
            logits = self._add("Concat", self._add("Sub", logits, logits), logits, axis=1)
        parts = self._add("Softmax", logits, axis=1)
        sums = np.eye(classes, dtype=np.float32)[list(self._student.readout.class_of)]
        self._add("MatMul", parts, self._number(sums), to="probabilities")

    def _rows(self) -> slice:
        """The rows of the head that the student reads."""
        readout = self._student.readout
        first = sum(map(rows, readout.groups[: readout.group]))
        return slice(first, first + rows(len(readout.class_of)))

    def _maxima(self) -> list[str]:
        """For each width the largest window sum of every filter, (n, padded filters)."""
        student, filters = self._student, padded(self._student.architecture.filters)
        first = 0
        maxima = []
        for width in student.architecture.widths:
            size = student.vocabulary.size * width * filters
            block = student.folded.table[first : first + size].reshape(-1, width, filters)
            table = block.astype(np.float32)
            first += size
            ids = self._add("Pad", "ids", self._number(np.array([0, 0, 0, width - 1])))
            sums = ""
            for position in range(width):
                part = self._add(
                    "Gather", self._number(table[:, position]), self._columns(ids, position, width)
                )
                sums = self._add("Add", sums, part) if sums else part
            # A text's first window counts even where the text is shorter; a later one where it is full.
            later = self._columns(self._columns(ids, width - 1, width), 1, 1)
            one = self._number(np.array([0, 1, 0, 0]))
            counts = self._add("Pad", later, one, self._number(np.array(1)))
            counts = self._add("Cast", counts, to_type=9)
            counts = self._add("Unsqueeze", counts, self._number(np.array([2])))
            sums = self._add("Where", counts, sums, self._number(_NEVER))
            maxima.append(self._add("ReduceMax", sums, axes=[1], keepdims=0))
        return maxima

    def _wide(self) -> str:
        """What the hashed n-grams add to each row of logits, (n, rows)."""
        wide = self._student.folded.wide
        subclasses, own = self._student.subclasses, self._rows()
        takes = list(range(own.start, own.stop)) if subclasses is None else spread(subclasses)
        columns = np.stack([wide[:, take] if take >= 0 else np.zeros(len(wide)) for take in takes], axis=1)
        padding = np.zeros((1, columns.shape[1]))  # the bucket -1 is the last row
        table = self._number(np.concatenate([columns, padding]).astype(np.float32))
        sums = self._add("Gather", table, "buckets")
        sums = self._add("ReduceSum", sums, self._number(np.array([1])), keepdims=0)
        there = self._add(
            "Cast", self._add("GreaterOrEqual", "buckets", self._number(np.array(0))), to_type=1
        )
        count = self._add("ReduceSum", there, self._number(np.array([1])), keepdims=1)
        count = self._add("Max", count, self._number(np.float32(1.0)))
        return self._add("Div", sums, self._add("Sqrt", count))

    def _columns(self, matrix: str, first: int, width: int) -> str:
        """Columns from ``first`` on of a padded matrix, as many as it has windows; the rest for width 1."""
        axis = self._number(np.array([1]))
        last = first - width + 1
        stop = np.array([last if last < 0 else np.iinfo(np.int64).max])
        return self._add("Slice", matrix, self._number(np.array([first])), self._number(stop), axis)
