"""The same weights in other runtimes: torch eager and ONNX Runtime, float32 and int8.

All are treated generously. They get ready ids, so that encoding costs them nothing; texts are sorted by
length, so that there is little padding; masks are ready too; each uses the batch size and the form of the
convolution that is fastest here.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from benchmarks.harness import Contender, LeftOut, fastest
from benchmarks.plain import PlainTextCNN, batches
from textcnn import Encoded
from textcnn.network import TextCNN

_BATCHES: Final = (32, 128, 512)
_TRIED: Final = 1024  # texts on which forms and batch sizes are compared


def same_weights(
    network: TextCNN, encode: Callable[[int], Encoded], limit: int, folder: Path
) -> tuple[list[Contender], dict[str, str]]:
    """Contenders torch_eager, onnxruntime_fp32 and onnxruntime_int8; and what could not be made, with why.

    ``encode`` gives the ids of the first n of ``limit`` texts; models are written into ``folder``.
    """
    widths = network.architecture.widths
    tried = encode(min(limit, _TRIED))
    with torch.inference_mode():
        wanted = np.exp(torch.log_softmax(network(tried.ids, tried.offsets), 1).numpy())
    contenders = [_torch_eager(PlainTextCNN(network).eval(), tried, encode, limit, widths, wanted)]
    files = {}
    for form in (False, True):
        name = "Conv2d" if form else "Conv1d"
        files[name] = folder / f"textcnn{int(form)}.onnx"
        one = batches(tried, 32, widths)[0]
        export(
            PlainTextCNN(network, wide_kernel=form).eval(),
            [one.ids, *one.masks],
            ["ids", *(f"mask{width}" for width in widths)],
            files[name],
        )
    contenders.append(_onnx("onnxruntime_fp32", files, tried, encode, limit, widths, wanted, 1e-3))
    left_out = {}
    quantised: dict[str, Path] = {}
    why = ""
    for name, file in files.items():
        for kind in (QuantType.QInt8, QuantType.QUInt8):
            try:
                quantised[f"{name}, {kind.name}"] = _quantised(file, kind)
            except Exception as error:  # ONNX Runtime has no one error for a layer that it cannot quantise
                why = f"{name}: {error}"
    try:
        contenders.append(_onnx("onnxruntime_int8", quantised, tried, encode, limit, widths, wanted, 0.5))
    except LeftOut as error:
        left_out["onnxruntime_int8"] = why or str(error)
    return contenders, left_out


def _torch_eager(
    model: PlainTextCNN,
    tried: Encoded,
    encode: Callable[[int], Encoded],
    limit: int,
    widths: tuple[int, ...],
    wanted: NDArray[np.float32],
) -> Contender:
    def runner(encoded: Encoded, size: int) -> Callable[[], list[NDArray[np.float32]]]:
        tensors = [
            [torch.from_numpy(array) for array in (batch.ids, *batch.masks)]
            for batch in batches(encoded, size, widths)
        ]

        def run() -> list[NDArray[np.float32]]:
            with torch.inference_mode():
                return [model(*batch).softmax(1).numpy() for batch in tensors]

        return run

    _check("torch_eager", np.concatenate(runner(tried, 32)()), tried, wanted, 1e-3)
    sizes = {f"{size}": runner(tried, size) for size in _BATCHES}
    size = int(fastest(sizes, rounds=2))
    return Contender(
        name="torch_eager",
        prepare=lambda texts: runner(encode(texts), size),
        limit=limit,
        least=size,
        what=f"same weights, ready ids: Conv1d, batches of {size}",
    )


def _onnx(
    name: str,
    files: dict[str, Path],
    tried: Encoded,
    encode: Callable[[int], Encoded],
    limit: int,
    widths: tuple[int, ...],
    wanted: NDArray[np.float32],
    tolerance: float,
) -> Contender:
    """The fastest of the models ``files`` at its fastest batch size."""

    def runner(
        session: onnxruntime.InferenceSession, encoded: Encoded, size: int
    ) -> Callable[[], list[NDArray[np.float32]]]:
        feeds = [
            {"ids": batch.ids, **{f"mask{w}": mask for w, mask in zip(widths, batch.masks, strict=True)}}
            for batch in batches(encoded, size, widths)
        ]

        def run() -> list[NDArray[np.float32]]:
            logits = [session.run(None, feed)[0] for feed in feeds]
            exponentials = [np.exp(part - part.max(1, keepdims=True)) for part in logits]
            return [part / part.sum(1, keepdims=True) for part in exponentials]

        return run

    sessions = {}
    why = "no model to run"
    for form, file in files.items():
        try:
            sessions[form] = session(file)
        except Exception as error:  # as above: a model may ask for a kernel that is not there
            why = f"{form}: {error}"
    if not sessions:
        raise LeftOut(why)
    for form in sessions:
        _check(name, np.concatenate(runner(sessions[form], tried, 32)()), tried, wanted, tolerance)
    tries = {
        f"{form}|{size}": runner(ready, tried, size) for form, ready in sessions.items() for size in _BATCHES
    }
    form, _, size = fastest(tries, rounds=2).rpartition("|")
    return Contender(
        name=name,
        prepare=lambda texts: runner(sessions[form], encode(texts), int(size)),
        limit=limit,
        least=int(size),
        what=f"same weights, ready ids: {form}, batches of {size}",
    )


def _check(
    name: str,
    scores: NDArray[np.float32],
    encoded: Encoded,
    wanted: NDArray[np.float32],
    tolerance: float,
) -> None:
    """A contender that computes something else is no contender."""
    order = np.argsort(np.diff(encoded.offsets), kind="stable")
    difference = float(np.abs(scores - wanted[order]).max())
    if not difference <= tolerance:
        raise LeftOut(f"{name}: differs from the network by {difference:.3g}; its export is wrong")


def export(model: nn.Module, inputs: list[NDArray[Any]], names: list[str], file: Path) -> None:
    """Write a model as ONNX, the first two axes of every input free."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's advice to use its successor, which needs onnxscript
        torch.onnx.export(
            model,
            tuple(torch.from_numpy(array) for array in inputs),
            file,
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: f"length_{name}"} for name in names},
            opset_version=18,
            dynamo=False,
        )


def _quantised(file: Path, kind: QuantType) -> Path:
    quantised = file.with_name(f"{file.stem}-{kind.name}.onnx")
    logging.disable(logging.WARNING)  # its advice to simplify the graph first, which here changes nothing
    try:
        quantize_dynamic(file, quantised, weight_type=kind)
    finally:
        logging.disable(logging.NOTSET)
    return quantised


def quantise_int8(file: Path) -> Path:
    """A model's matrices as int8, its activations quantised as they come."""
    return _quantised(file, QuantType.QInt8)


def session(file: Path) -> onnxruntime.InferenceSession:
    """A session on one thread with every graph optimisation."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
