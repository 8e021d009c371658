"""A trained encoder as a model of ONNX whose matrices are int8.

Weights get a scale for each column. The scales of what comes into a matrix are fixed here, by what texts like
those to come have there: scales that were taken anew from every batch would make what is said of a text
depend on its neighbours, and would cost a look at all numbers first. Of int8 seven bits are used: products of
eight saturate on CPUs without VNNI, and a student decides the same everywhere.

``MatMulIntegerToFloat`` and ``MultiHeadAttention`` are ONNX Runtime's own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pingti.students.onnx_parts import OnnxParts
from replacement.distilling.network import ACTIVATIONS, Encoder

if TYPE_CHECKING:
    import onnx

_OPSET = 20
_RUNTIME = "com.microsoft"
_MOST = 63
"""Of a weight: so much is a byte times the sum of two neighbours below what int16 holds."""


def model(
    network: Encoder, ranges: Mapping[str, tuple[float, float]] | None, classes: NDArray[np.float32]
) -> bytes:
    """Write a network as a model of ONNX.

    Args:
        network: trained, on the CPU.
        ranges: the least and the largest that each linear layer gets, by its name; None: a float32 model.
        classes: float32 (columns, classes), 1 where a column stands for a class.

    Returns:
        The bytes of the model: inputs ``ids`` int64 (n, longest) and ``lengths`` int64 (n,), output
        ``probabilities`` float32 (n, classes).
    """
    content: bytes = _Graph(network, ranges).model(classes).SerializeToString()
    return content


class _Graph(OnnxParts):
    """Nodes and numbers of a model, as they are added."""

    def __init__(self, network: Encoder, ranges: Mapping[str, tuple[float, float]] | None) -> None:
        super().__init__()
        self._network = network
        self._ranges = ranges
        self._names = {id(module): name for name, module in network.named_modules()}

    def model(self, classes: NDArray[np.float32]) -> "onnx.ModelProto":
        from onnx import TensorProto, checker, helper

        self._outputs(classes)
        feeds = [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "longest"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["n"]),
        ]
        result = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes.shape[1]])
        graph = helper.make_graph(self._nodes, "student", feeds, [result], self._numbers)
        sets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_RUNTIME, 1)]
        written = helper.make_model(graph, opset_imports=sets, ir_version=9)
        checker.check_model(written)
        return written

    def _outputs(self, classes: NDArray[np.float32]) -> None:
        network = self._network
        states, longest = self._embedded()
        places = self._add("Range", self._number(np.int64(0)), longest, self._number(np.int64(1)))
        lengths = self._add("Unsqueeze", "lengths", self._number(np.array([1])))
        there = self._add("Less", places, lengths)
        for layer in network.layers[:-1]:
            states = self._layer(layer, states, states, there)
        asking = self._mean(states, there, lengths) if network.mean else self._first(states)
        read = self._layer(network.layers[-1], asking, states, there)
        read = self._add("Squeeze", read, self._number(np.array([1])))
        read = self._activated(self._linear(read, network.before_head), network.head_activation)
        parts = self._add("Softmax", self._linear(read, network.head), axis=1)
        self._add("MatMul", parts, self._number(classes), to="probabilities")

    def _embedded(self) -> tuple[str, str]:
        """States before the first layer, and the longest text of the batch."""
        network = self._network
        table = network.words.weight.detach().numpy()
        if self._ranges is None:
            words = self._add("Gather", self._number(table), "ids")
        else:  # a scale for each word piece
            scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127
            whole = self._number(np.rint(table / scales).astype(np.int8))
            words = self._add("Cast", self._add("Gather", whole, "ids"), to_type=1)
            words = self._add(
                "Mul", words, self._add("Gather", self._number(scales.astype(np.float32)), "ids")
            )
        shape = self._add("Shape", "ids")
        longest = self._add("Gather", shape, self._number(np.int64(1)))
        ends = self._add("Unsqueeze", longest, self._number(np.array([0])))
        start, axis = self._number(np.array([0])), self._number(np.array([0]))
        places = self._add("Slice", self._number(network.places.weight.detach().numpy()), start, ends, axis)
        return self._normed(self._add("Add", words, places), network.norm), longest

    def _layer(self, layer: Any, asking: str, states: str, there: str) -> str:
        query, key, value = (
            self._linear(part, linear)
            for part, linear in ((asking, layer.query), (states, layer.key), (states, layer.value))
        )
        mask = self._add("Cast", there, to_type=6)
        seen = self._add(
            "MultiHeadAttention",
            query, key, value, "", mask,
            domain=_RUNTIME, num_heads=layer.heads,
        )  # fmt: skip
        asking = self._normed(
            self._add("Add", asking, self._linear(seen, layer.output)), layer.attention_norm
        )
        added = self._linear(self._activated(self._linear(asking, layer.up), layer.activation), layer.down)
        return self._normed(self._add("Add", asking, added), layer.norm)

    def _first(self, states: str) -> str:
        """The states of the first token alone, (n, 1, hidden)."""
        ends = [self._number(np.array([value])) for value in (0, 1, 1)]
        return self._add("Slice", states, *ends)

    def _mean(self, states: str, there: str, lengths: str) -> str:
        """The mean of the states of a text's tokens, (n, 1, hidden)."""
        kept = self._add("Unsqueeze", self._add("Cast", there, to_type=1), self._number(np.array([1])))
        sums = self._add("MatMul", kept, states)
        count = self._add("Cast", self._add("Unsqueeze", lengths, self._number(np.array([2]))), to_type=1)
        return self._add("Div", sums, count)

    def _linear(self, values: str, linear: nn.Linear) -> str:
        weight, bias = linear.weight.detach().numpy().T, linear.bias.detach().numpy()
        name = self._names[id(linear)]
        if self._ranges is None or name == "head":  # the head is small, and decides
            return self._add("Add", self._add("MatMul", values, self._number(weight)), self._number(bias))
        low, high = self._ranges[name]
        scale = np.float32(max(high - low, 1e-6) / 255)
        zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
        scales = (np.maximum(np.abs(weight).max(axis=0), 1e-12) / _MOST).astype(np.float32)
        whole = self._add("QuantizeLinear", values, self._number(scale), self._number(zero))
        return self._add(
            "MatMulIntegerToFloat",
            whole,
            self._number(np.rint(weight / scales).astype(np.int8)),
            self._number(scale),
            self._number(scales),
            self._number(zero),
            "",
            self._number(bias),
            domain=_RUNTIME,
        )

    def _normed(self, values: str, norm: Any) -> str:
        weight, bias = (self._number(part.detach().numpy()) for part in (norm.weight, norm.bias))
        return self._add("LayerNormalization", values, weight, bias, axis=-1, epsilon=norm.eps)

    def _activated(self, values: str, name: str) -> str:
        if name in ("relu", "tanh"):
            return self._add(name.capitalize(), values)
        return self._add("Gelu", values, approximate=ACTIVATIONS[name])
