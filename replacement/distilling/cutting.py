"""A smaller encoder that starts from layers of a model of transformers (Sanh et al. 2019, DistilBERT)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pingti.model_files import length_problem
from pingti.students.transformer import Shape
from replacement.distilling.network import ACTIVATIONS, Encoder
from teacher.finetuning.mean_layer import MARK
from teacher.folders import read_config

_BERT = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}
_DISTILBERT = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "up": "ffn.lin1",
    "down": "ffn.lin2",
    "norm": "output_layer_norm",
}
_OFFSET = {"roberta": 2, "xlm-roberta": 2, "camembert": 2}
"""The first place's row among the positions; 0 of other types."""
_HEADS = {
    "bert": ("bert.pooler.dense", "classifier", "tanh"),
    "distilbert": ("pre_classifier", "classifier", "relu"),
    "electra": ("classifier.dense", "classifier.out_proj", "gelu"),
    **dict.fromkeys(_OFFSET, ("classifier.dense", "classifier.out_proj", "tanh")),
}
"""Of each type of model that is known: the layer before the head, the head, and what lies between them."""
_SPREAD = 0.02
"""Standard deviation of weights that are drawn at random, as in BERT."""


def problem(folder: Path, layers: int, max_length: int) -> str:
    """Tell why a student cannot be cut from a model, in a part of a sentence; empty: it can.

    Args:
        folder: of the model.
        layers: how many are taken.
        max_length: word pieces of a text that are read.

    Raises:
        InputError: the model's configuration cannot be read.
    """
    config = read_config(folder)
    kind, another = config.model_type, "name another model as student.transformer.checkpoint"
    if kind not in _HEADS or getattr(config, "is_decoder", False):
        return (
            f"the model {folder} is of the type {kind}, and a student is cut from "
            f"{', '.join(sorted(_HEADS))}; {another}"
        )
    if getattr(config, "embedding_size", config.hidden_size) != config.hidden_size:
        return f"the model {folder} has embeddings narrower than its states, which no student has; {another}"
    if _activation(config) not in (*ACTIVATIONS, "relu"):
        return (
            f"the model {folder} has the activation {_activation(config)!r}; known are "
            f"{', '.join(ACTIVATIONS)}, relu; {another}"
        )
    if layers > _layers(config):
        return f"student.transformer.layers is {layers}, and the model {folder} has {_layers(config)}"
    too_long = length_problem(max_length, kind, config.max_position_embeddings)
    return f"the model {folder}: {too_long}" if too_long else ""


def cut(
    model: Any,
    missing: list[str],
    *,
    layers: int,
    columns: int,
    keep_head: bool,
    dropout: float,
    rng: np.random.Generator,
) -> Encoder:
    """Make an encoder of some layers of a model.

    The layers are spread evenly: of four, two are the first and the third, as DistilBERT takes every other.

    Args:
        model: a sequence classifier of transformers, in which ``problem`` finds none.
        missing: names of its weights that its folder has not.
        layers: how many are taken.
        columns: what the new encoder decides between.
        keep_head: whether the head starts as the model's own; else it starts at random.
        dropout: in training.
        rng: draws what starts at random.
    """
    config = model.config
    shape = Shape(
        layers=layers,
        hidden=config.hidden_size,
        intermediate=config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size,
        heads=config.num_attention_heads,
        columns=columns,
    )
    before, head, head_activation = _HEADS[config.model_type]
    first = _OFFSET.get(config.model_type, 0)
    # What torch draws for its layers is all replaced: its global generator stays as it was.
    with torch.random.fork_rng(devices=[]):
        encoder = Encoder(
            shape,
            vocabulary=config.vocab_size,
            positions=config.max_position_embeddings - first,
            mean=bool(getattr(config, MARK, False)),
            activation=_activation(config),
            head_activation=head_activation,
            epsilon=getattr(config, "layer_norm_eps", 1e-12),
            dropout=dropout,
        )
    weights = dict(model.state_dict())
    with torch.no_grad():
        _draw(encoder, rng)
        _copy_embeddings(encoder, weights, config.model_type, first)
        for number, source in enumerate(chosen_layers(layers, _layers(config))):
            _copy_layer(encoder, number, weights, config.model_type, source)
        if not any(name.startswith(before) for name in missing):
            _copy_linear(encoder.before_head, weights, before)
        if keep_head:
            _copy_linear(encoder.head, weights, head)
    return encoder


def chosen_layers(count: int, own: int) -> list[int]:
    """Which layers of a model are taken: the first, and others evenly behind it.

    Args:
        count: how many.
        own: how many the model has.
    """
    return [number * own // count for number in range(count)]


def _layers(config: Any) -> int:
    """How many layers a model has that were trained: one that only takes a mean is not copied."""
    return int(config.num_hidden_layers) - bool(getattr(config, MARK, False))


def _activation(config: Any) -> str:
    return str(config.activation if config.model_type == "distilbert" else config.hidden_act)


def _draw(encoder: Encoder, rng: np.random.Generator) -> None:
    """Start every matrix at random and every bias at 0."""
    for linear in (encoder.before_head, encoder.head):
        drawn = rng.normal(0.0, _SPREAD, tuple(linear.weight.shape)).astype(np.float32)
        linear.weight.copy_(torch.from_numpy(drawn))
        linear.bias.zero_()


def _copy_embeddings(encoder: Encoder, weights: Mapping[str, Tensor], kind: str, first: int) -> None:
    prefix = f"{_base(kind)}.embeddings"
    encoder.words.weight.copy_(weights[f"{prefix}.word_embeddings.weight"])
    places = weights[f"{prefix}.position_embeddings.weight"][first:]
    if f"{prefix}.token_type_embeddings.weight" in weights:  # every token is of the first type
        places = places + weights[f"{prefix}.token_type_embeddings.weight"][0]
    encoder.places.weight.copy_(places)
    encoder.norm.weight.copy_(weights[f"{prefix}.LayerNorm.weight"])
    encoder.norm.bias.copy_(weights[f"{prefix}.LayerNorm.bias"])


def _copy_layer(encoder: Encoder, number: int, weights: Mapping[str, Tensor], kind: str, source: int) -> None:
    names, middle = (_DISTILBERT, "transformer") if kind == "distilbert" else (_BERT, "encoder")
    for name, theirs in names.items():
        part = getattr(encoder.layers[number], name)
        _copy_linear(part, weights, f"{_base(kind)}.{middle}.layer.{source}.{theirs}")


def _copy_linear(part: Any, weights: Mapping[str, Tensor], name: str) -> None:
    part.weight.copy_(weights[f"{name}.weight"])
    part.bias.copy_(weights[f"{name}.bias"])


def _base(kind: str) -> str:
    """What the names of a model's weights begin with."""
    return "roberta" if kind in _OFFSET else kind
