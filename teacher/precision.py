"""What numbers a teacher computes with: float32, bfloat16, or int8 on a CPU.

int8 is dynamic quantization of the linear layers (Zafrir et al. 2019, "Q8BERT"; here without training):
weights once, with a scale for every output; activations at each call, with one scale for the batch, so that
a text's last digits depend on the texts beside it. All other layers stay in float32. It needs a processor
with 8-bit dot products (VNNI) to be worth while: others add pairs of products in 16 bits, which 8-bit
activations overflow, so that they get 7 bits there. Scales of their own for every token were tried: closer
to float32, and slower than it.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

from pingti.errors import InputError
from teacher.folders import torch

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


def resolve_precision(precision: str | None, device: torch.device) -> Precision:
    """Choose the precision of that name; None is bfloat16 on a GPU and float32 on a CPU.

    Raises:
        InputError: another name, or int8 on a device that is no CPU.
    """
    if precision is None:
        return "bfloat16" if device.type == "cuda" else "float32"
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is not known; allowed are {', '.join(PRECISIONS)}")
    if precision == "int8" and device.type != "cpu":
        raise InputError(f"precision int8 is for a CPU; on {device} allowed are float32 and bfloat16")
    return precision  # type: ignore[return-value]


def prepared(model: Any, precision: Precision) -> Any:
    """Exchange the model's linear layers where ``precision`` is int8; the model is changed in place."""
    if precision == "int8":
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is torch.nn.Linear:
                    setattr(module, name, _Int8Linear(child))
    return model


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Make the context in which a model of that precision is called."""
    if precision == "bfloat16":
        # Weights stay in float32, and layer norms and softmax are computed in it.
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def activation_bits() -> int:
    """Bits of an activation in int8: 7 where this processor's sums of products would overflow with 8."""
    if torch.backends.quantized.engine == "qnnpack":  # of ARM: it adds in 32 bits
        return 8
    return 8 if torch.cpu.get_capabilities().get("avx512_vnni") else 7


class _Int8Linear(torch.nn.Module):
    """``torch.nn.Linear`` with int8 weights, for inference on a CPU."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127
        zero = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch 2.13 calls its quantized tensors deprecated, and has no other linear layer with fused
            # quantization for CPUs.
            warnings.simplefilter("ignore", UserWarning)
            rounded = torch.quantize_per_channel(weight, scale.double(), zero, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(rounded, linear.bias)
        self._reduced = activation_bits() == 7

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = torch.ops.quantized.linear_dynamic(inputs, self._packed, self._reduced)
        return outputs
