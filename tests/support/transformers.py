"""Transformer students of random weights, and a workspace that has one."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pingti.files import write_json
from pingti.students import save_second
from pingti.students.transformer import TransformerStudent
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from tests.support.teachers import write_bert
from tests.support.texts import WORDS
from textcnn import Student

MAX_LENGTH = 32
CALIBRATING = ["the goal match team coach 7", "a bread garden", "the robot browser code laptop 33", ""]


def needs_runtime() -> None:
    """Skip where the extra "transformer" is not installed."""
    for package in ("onnx", "onnxruntime", "tokenizers"):
        pytest.importorskip(package, reason=f"{package} is not installed: extra transformer")


def random_classifier(folder: Path, kind: str = "bert", *, labels: int = 3, **config: Any) -> Any:
    """A sequence classifier of transformers of random weights; a tokenizer of BERT's lies beside it.

    Weights are larger than at the start of a training, so that different texts get different answers.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    write_bert(folder, [word for words in WORDS.values() for word in words])
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    from transformers import CONFIG_MAPPING

    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "num_labels": labels,
        **config,
    }
    if kind == "distilbert":
        shape["hidden_dim"] = shape.pop("intermediate_size")
    if kind == "electra":
        shape["embedding_size"] = 32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_config(CONFIG_MAPPING[kind](**shape))
        with torch.no_grad():
            for weights in model.parameters():
                if weights.ndim > 1:
                    weights.normal_(std=0.2)
                else:
                    weights.add_(torch.randn_like(weights) * 0.1)
    model.eval()
    model.save_pretrained(folder)
    return model


def tokenizer_of(folder: Path) -> str:
    """JSON of the tokenizer in a model folder."""
    from transformers import AutoTokenizer

    return str(AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str())


def random_student(
    folder: Path, *, classes: tuple[str, ...] = ("sport", "tech", "other")
) -> TransformerStudent:
    """A student of two layers of random weights.

    Args:
        folder: where the model that it is cut from goes.
        classes: as many as there are columns.
    """
    from pingti.students.pieces import Cutter
    from replacement.distilling import quantized
    from replacement.distilling.cutting import cut
    from replacement.distilling.network import input_ranges

    model = random_classifier(folder, labels=len(classes))
    network = cut(
        model, [], layers=2, columns=len(classes), keep_head=True, dropout=0.0, rng=np.random.default_rng(0)
    ).eval()
    tokenizer = tokenizer_of(folder)
    pieces = Cutter(tokenizer, MAX_LENGTH).encode(pa.array(CALIBRATING))
    return TransformerStudent(
        quantized.model(network, input_ranges(network, pieces), np.eye(len(classes), dtype=np.float32)),
        tokenizer,
        classes,
        shape=network.shape,
        max_length=MAX_LENGTH,
    )


def with_transformer(workspace: Workspace, student: TransformerStudent) -> Workspace:
    """Promote a transformer student as version 2 of the task topic."""
    entry = workspace.task("topic")
    thresholds = {"default": None}
    student.metadata.update(
        {"task": "topic", "version": 2, "thresholds": thresholds, "rules": {}, "depends_on": []}
    )
    folder = entry.folder / "students" / "2"
    student.save(folder)
    write_json(folder / "report.json", {**entry.report(1), "version": 2})
    promotion.promote(entry, 2, who="tests", why="made for the tests")
    return workspace


def with_transformer_second(
    workspace: Workspace, student: TransformerStudent, low: float, high: float
) -> Workspace:
    """Let a transformer answer where the student of the task topic has a margin between two."""
    folder = workspace.task("topic").student_folder(1)
    first, report = Student.load(folder), (folder / "report.json").read_bytes()
    shutil.rmtree(folder)
    folder.mkdir()
    bands = {"default": [low, high]}
    first.metadata["cascade"] = {
        "second": student.kind,
        "second_sha256": save_second(student, folder),
        "bands": bands,
    }
    first.save(folder)
    (folder / "report.json").write_bytes(report)
    return workspace
