"""Teachers of other kinds than BERT, as people bring them: each works, or is refused in one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from pingti import model_files
from pingti.errors import InputError
from teacher.bert import Teacher, describe
from teacher.finetune import Recipe, fine_tune

TEXTS = ["a", "bcd e", "", "f1 g2 h3 i4", "谁", "a b c d e f"]
LABELS: dict[str, Any] = {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}}
SHAPE: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "electra": ("Electra", {**SHAPE, "embedding_size": 16}),
    "albert": ("Albert", {**SHAPE, "embedding_size": 16}),
    "rembert": ("RemBert", {**SHAPE, "input_embedding_size": 16, "output_embedding_size": 16}),
    "mobilebert": (
        "MobileBert",
        {**SHAPE, "embedding_size": 16, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    ),
    "distilbert": (
        "DistilBert",
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    ),
    "gpt2": (
        "GPT2",
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0},
    ),
    "xlnet": ("XLNet", {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}),
}
ENCODERS = [kind for kind in KINDS if kind not in ("gpt2", "xlnet")]


@pytest.fixture(scope="module")
def kinds(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one decided teacher of each kind."""
    root = tmp_path_factory.mktemp("kinds")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    for kind, (name, shape) in KINDS.items():
        config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **shape, **LABELS)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = getattr(transformers, f"{name}ForSequenceClassification")(config)
            for weights in model.parameters():
                if weights.ndim > 1:
                    torch.nn.init.normal_(weights, std=0.3)
            # MobileBERT looks at a token's neighbours: beside a text's end there is nothing, padded or not.
            model.get_input_embeddings().weight.data[tokenizer.pad_token_id] = 0.0
        model.save_pretrained(root / kind)
        tokenizer.save_pretrained(root / kind)
        path = root / kind / "config.json"
        saved = json.loads(path.read_text())
        if kind == "gpt2":
            saved.pop("pad_token_id", None)
        path.write_text(json.dumps(saved))
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_has_the_same_answer_beside_others_as_alone(kinds: Path, kind: str) -> None:
    teacher = Teacher.load(str(kinds / kind), max_length=16)
    together = teacher.score(TEXTS)
    assert together.vectors.shape == (6, 32)
    for row, text in enumerate(TEXTS):
        alone = teacher.score([text])
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[row], atol=2e-4)
        np.testing.assert_allclose(alone.vectors[0], together.vectors[row], rtol=2e-3, atol=2e-3)
    # Vectors tell texts apart, whichever token the head reads.
    assert len(np.unique(together.vectors.round(3), axis=0)) >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_token_vectors_are_as_wide_as_the_embedding_and_the_states(kinds: Path, kind: str) -> None:
    inputs, outputs = Teacher.load(str(kinds / kind)).token_vectors(["a", "bc", "谁"])
    narrow = kind in ("electra", "albert", "rembert", "mobilebert")
    assert inputs.shape == (3, 16 if narrow else 32)
    assert outputs.shape == (3, 32)
    assert np.isfinite(inputs).all()
    assert np.isfinite(outputs).all()
    assert np.abs(inputs).max(axis=1).min() > 0


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_are_fine_tuned_and_frozen_or_refused(kinds: Path, kind: str, tmp_path: Path) -> None:
    def tune(out: str, layers: int) -> None:
        fine_tune(
            str(kinds / kind), ["a", "b"] * 4, ["x", "y"] * 4, classes=["x", "y"], out=tmp_path / out,
            rng=np.random.default_rng(0), recipe=Recipe(epochs=1, freeze_layers=layers),
        )  # fmt: skip

    tune("whole", 0)
    assert Teacher.load(str(tmp_path / "whole")).score(["a"]).probabilities.shape == (1, 2)
    if kind == "albert":
        with pytest.raises(InputError, match=r"freeze_layers is 1; the layers of .* share their weights"):
            tune("frozen", 1)
    else:
        tune("frozen", 1)


@pytest.mark.parametrize("kind", ["gpt2", "xlnet"])
def test_what_reads_from_left_to_right_is_not_fine_tuned(kinds: Path, kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reads from left to right .* teacher\.fine_tune = false"):
        fine_tune(
            str(kinds / kind), ["a", "b"], ["x", "y"], classes=["x", "y"], out=tmp_path / "out",
            rng=np.random.default_rng(0),
        )  # fmt: skip


def test_without_a_padding_token_the_end_of_a_text_pads(kinds: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kinds / "gpt2", tmp_path / "gpt2"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.eos_token, tokenizer.pad_token = "[SEP]", None
    tokenizer.save_pretrained(folder)
    teacher = Teacher.load(str(folder))
    together, alone = teacher.score(TEXTS), teacher.score(TEXTS[:1])
    np.testing.assert_allclose(together.probabilities[0], alone.probabilities[0], atol=2e-4)


def test_a_tokenizer_of_sentencepiece_says_what_to_install(
    kinds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(kinds / "albert", tmp_path / "albert"))
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    (folder / "spiece.model").write_bytes(b"pieces")
    monkeypatch.setattr(model_files, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"spiece\.model, needs .*: pip install sentencepiece"):
        describe(str(folder))


@pytest.mark.parametrize(
    "name",
    ["../outside.safetensors", "/etc/passwd", "weights.bin", "missing.safetensors", "sub/a.safetensors", 7],
)
def test_an_index_of_weights_leads_nowhere_else(
    kinds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: object
) -> None:
    folder = Path(shutil.copytree(kinds / "electra", tmp_path / "electra"))
    shutil.copy(folder / "model.safetensors", tmp_path / "outside.safetensors")
    (folder / "weights.bin").write_bytes(b"no")
    index = {"metadata": {}, "weight_map": {"classifier.out_proj.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *some, **_: loaded.append(some))
    with pytest.raises(InputError, match=r"model\.safetensors\.index\.json"):
        Teacher.load(str(folder))
    assert loaded == []


def test_an_adapter_is_refused(kinds: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(kinds / "electra", tmp_path / "electra"))
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "../elsewhere"}')
    with pytest.raises(InputError, match="merge the two"):
        describe(str(folder))
