"""Cutting, training and quantizing: each against what transformers or float32 say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pingti.students.pieces import Cutter, Pieces
from pingti.students.transformer import TransformerStudent
from replacement.distilling import quantized, training
from replacement.distilling.cutting import chosen_layers, cut, problem
from replacement.distilling.network import Encoder, input_ranges
from teacher.finetuning.mean_layer import add_mean_layer
from tests.support.texts import WORDS, made_texts
from tests.support.transformers import MAX_LENGTH, needs_runtime, random_classifier, tokenizer_of

ROBERTA = ("roberta", "xlm-roberta", "camembert")
KINDS = ("bert", "distilbert", "electra", *ROBERTA)


def whole(model: Any, *, layers: int = 3, keep_head: bool = True, columns: int = 3) -> Encoder:
    rng = np.random.default_rng(0)
    return cut(model, [], layers=layers, columns=columns, keep_head=keep_head, dropout=0.1, rng=rng).eval()


def pieces_of(folder: Path, rows: int = 40) -> Pieces:
    return Cutter(tokenizer_of(folder), MAX_LENGTH).encode([*made_texts(rows)[0], "word " * 50, ""])


@pytest.mark.parametrize("kind", KINDS)
def test_all_layers_of_a_model_say_what_it_says(kind: str, tmp_path: Path) -> None:
    model = random_classifier(tmp_path, kind)
    pieces = pieces_of(tmp_path)
    own = training.probabilities(whole(model), pieces)
    for row in range(len(pieces)):
        ids = torch.from_numpy(pieces.rectangle(np.array([row]))[0])
        # The tokenizer is BERT's: what is 1 in it, RoBERTa's kinds would take for padding.
        places = {"position_ids": torch.arange(2, 2 + ids.shape[1])[None]} if kind in ROBERTA else {}
        with torch.inference_mode():
            theirs = model(input_ids=ids, **places).logits.softmax(dim=1).numpy()
        np.testing.assert_allclose(own[row : row + 1], theirs, atol=1e-5)


def test_layers_are_spread_evenly() -> None:
    assert chosen_layers(2, 4) == [0, 2]
    assert chosen_layers(2, 6) == [0, 3]
    assert chosen_layers(3, 3) == [0, 1, 2]
    assert chosen_layers(1, 12) == [0]


def test_a_layer_that_takes_the_mean_is_not_copied(tmp_path: Path) -> None:
    model = random_classifier(tmp_path)
    assert add_mean_layer(model)
    model.save_pretrained(tmp_path)
    assert problem(tmp_path, 3, 32) == ""
    assert problem(tmp_path, 4, 32).startswith("student.transformer.layers is 4, and the model")
    network = whole(model)
    assert network.mean
    assert len(network.layers) == 3


def test_what_no_student_can_be_cut_from_is_told(tmp_path: Path) -> None:
    random_classifier(tmp_path)
    assert problem(tmp_path, 2, 64) == ""
    assert "max_length is 65; this model allows 3 to 64" in problem(tmp_path, 2, 65)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"gelu"', '"silu"'))
    assert "has the activation 'silu'; known are gelu" in problem(tmp_path, 2, 64)
    (tmp_path / "config.json").write_text(config.replace('"model_type": "bert"', '"model_type": "mpnet"'))
    assert "is of the type mpnet, and a student is cut from bert, camembert" in problem(tmp_path, 2, 64)


@pytest.mark.parametrize("mean", [False, True])
def test_the_written_model_computes_as_the_network(tmp_path: Path, mean: bool) -> None:
    needs_runtime()
    network, pieces = whole(random_classifier(tmp_path)), pieces_of(tmp_path)
    network.mean = mean
    classes = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    wanted = training.probabilities(network, pieces) @ classes
    options: Any = {"shape": network.shape, "max_length": MAX_LENGTH}
    tokenizer = tokenizer_of(tmp_path)
    plain = TransformerStudent(quantized.model(network, None, classes), tokenizer, ("a", "b"), **options)
    np.testing.assert_allclose(plain.score_encoded(pieces), wanted, atol=1e-5)
    int8 = quantized.model(network, input_ranges(network, pieces), classes)
    small = TransformerStudent(int8, tokenizer, ("a", "b"), **options)
    apart = np.abs(small.score_encoded(pieces) - wanted)
    assert 0 < apart.max() < 0.1
    assert apart.mean() < 0.02
    assert len(int8) < len(plain.model) / 2


def test_ranges_are_those_of_all_texts_without_padding(tmp_path: Path) -> None:
    network, pieces = whole(random_classifier(tmp_path)), pieces_of(tmp_path, rows=10)
    together = input_ranges(network, pieces)
    alone = [input_ranges(network, pieces.take(np.array([row]))) for row in range(len(pieces))]
    assert set(together) == {name for name, _ in network.named_modules() if name in together} >= {"head"}
    for name, (low, high) in together.items():
        assert low <= 0.0 <= high
        np.testing.assert_allclose(low, min(ranges[name][0] for ranges in alone), atol=1e-4)
        np.testing.assert_allclose(high, max(ranges[name][1] for ranges in alone), atol=1e-4)


def test_training_learns_its_targets_and_one_seed_is_one_result(tmp_path: Path) -> None:
    model, pieces = random_classifier(tmp_path), pieces_of(tmp_path, rows=60)
    before = torch.random.get_rng_state()
    # What the teacher says of a topic; of the two texts without one it knows nothing.
    soft = np.array([[0.8, 0.15, 0.05], [0.1, 0.9, 0.0], [0.05, 0.05, 0.9]], np.float32)
    topics = [list(WORDS).index(topic) for topic in made_texts(60)[1]]
    targets = np.concatenate([soft[topics], np.full((2, 3), 1 / 3, np.float32)])
    recipe = training.Recipe(epochs=30, learning_rate=3e-3, batch_size=16)
    results = []
    for seed in (5, 5, 6):
        network = whole(model, layers=2)
        start = training.probabilities(network, pieces)
        training.train(
            network, pieces, targets, np.ones(len(pieces), np.float32),
            recipe=recipe, rng=np.random.default_rng(seed), device=torch.device("cpu"),
        )  # fmt: skip
        results.append(training.probabilities(network, pieces))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 0
    assert np.abs(results[0] - targets).mean() < 0.6 * np.abs(start - targets).mean()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_row_of_no_weight_teaches_nothing(tmp_path: Path) -> None:
    model, pieces = random_classifier(tmp_path), pieces_of(tmp_path, rows=30)
    targets = np.eye(3, dtype=np.float32)[np.arange(len(pieces)) % 3]
    weights = (np.arange(len(pieces)) % 2).astype(np.float32)
    others = targets.copy()
    others[weights == 0] = np.roll(others[weights == 0], 1, axis=1)
    results = []
    for learned in (targets, others):
        network = whole(model, layers=1)
        training.train(
            network, pieces, learned, weights,
            recipe=training.Recipe(epochs=2, learning_rate=1e-3), rng=np.random.default_rng(0),
            device=torch.device("cpu"),
        )  # fmt: skip
        results.append(training.probabilities(network, pieces))
    np.testing.assert_array_equal(results[0], results[1])
