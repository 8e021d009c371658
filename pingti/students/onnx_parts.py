"""Nodes and numbers of a model of ONNX, as they are added: what all that write such models share."""

from typing import Any

import numpy as np


class OnnxParts:
    """A graph in the making; a subclass adds its nodes in order."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._numbers: list[Any] = []

    def _number(self, values: Any) -> str:
        from onnx import numpy_helper

        name = f"number{len(self._numbers)}"
        self._numbers.append(
            numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), name)
        )
        return name

    def _add(
        self, kind: str, *names: str, to: str = "", to_type: int | None = None, **attributes: Any
    ) -> str:
        from onnx import helper

        output = to or f"value{len(self._nodes)}"
        if to_type is not None:
            attributes["to"] = to_type
        self._nodes.append(helper.make_node(kind, list(names), [output], **attributes))
        return output
