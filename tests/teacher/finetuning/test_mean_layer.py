from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from teacher.finetuning.mean_layer import MARK, add_mean_layer

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64, "vocab_size": 100, "num_labels": 3,
}  # fmt: skip


def made(kind: str, **changes: Any) -> Any:
    config = getattr(transformers, f"{kind}Config")(**{**SHAPE, **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()


def states(model: Any, mask: torch.Tensor) -> torch.Tensor:
    ids = torch.arange(3, 3 + mask.numel()).reshape(mask.shape)
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1].clone()


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "XLMRoberta", "Camembert", "Electra"])
def test_the_first_state_becomes_the_mean_of_a_text_s_own(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    before = states(model, mask)
    assert add_mean_layer(model)
    after = states(model, mask)
    for row, length in enumerate((5, 3)):
        mean = before[row, :length].mean(dim=0)
        wanted = torch.nn.functional.layer_norm(mean, (32,))
        np.testing.assert_allclose(after[row, 0], wanted, atol=2e-2)
    # What transformers saves and loads by itself is the same model.
    model.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert (loaded.config.num_hidden_layers, getattr(loaded.config, MARK)) == (3, True)
    assert torch.equal(states(loaded, mask), after)
    # It is there already.
    assert add_mean_layer(loaded)
    assert loaded.config.num_hidden_layers == 3


def test_models_with_other_layers_stay_as_they_are() -> None:
    model = made("Albert", embedding_size=16)
    names = {name for name, _ in model.named_parameters()}
    assert not add_mean_layer(model)
    assert {name for name, _ in model.named_parameters()} == names
    assert not hasattr(model.config, MARK)


def test_the_layer_is_not_trained() -> None:
    model = made("Bert")
    add_mean_layer(model)
    assert not any(weight.requires_grad for weight in model.bert.encoder.layer[-1].parameters())
    assert all(weight.requires_grad for weight in model.bert.encoder.layer[0].parameters())
