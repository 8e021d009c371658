"""Teachers whose only vocabulary is a model of SentencePiece, trained on the spot."""

import io
import itertools
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
from tests.support.texts import WORDS

_SHAPE: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 66, "vocab_size": 120, "id2label": {0: "no", 1: "yes"},
    "label2id": {"no": 0, "yes": 1},
}  # fmt: skip
_BERT_PIECES: dict[str, Any] = {
    "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
}  # fmt: skip
KINDS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "albert": ("Albert", "spiece.model", {"embedding_size": 16}, _BERT_PIECES),
    "rembert": (
        "RemBert",
        "sentencepiece.model",
        {"input_embedding_size": 16, "output_embedding_size": 16, "bos_token_id": 2, "eos_token_id": 3},
        _BERT_PIECES,
    ),
    "xlm-roberta": ("XLMRoberta", "sentencepiece.bpe.model", {}, {}),
}
_TEXTS = [
    " ".join(pair) for pair in itertools.permutations([word for of in WORDS.values() for word in of], 2)
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind, as people have them from before tokenizer.json was written, too."""
    pieces = pytest.importorskip("sentencepiece", reason="needs the package sentencepiece")
    root = tmp_path_factory.mktemp("pieces")
    for kind, (name, file, shape, symbols) in KINDS.items():
        config = getattr(transformers, f"{name}Config")(**_SHAPE, **shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = getattr(transformers, f"{name}ForSequenceClassification")(config)
            for weights in model.parameters():
                if weights.ndim > 1:
                    torch.nn.init.normal_(weights, std=0.3)
        model.save_pretrained(root / kind)
        written = io.BytesIO()
        pieces.SentencePieceTrainer.train(
            sentence_iterator=iter(_TEXTS), model_writer=written, vocab_size=100, hard_vocab_limit=False,
            minloglevel=2, **symbols,
        )  # fmt: skip
        (root / kind / file).write_bytes(written.getvalue())
    return root


@pytest.mark.parametrize("kind", ["albert", "xlm-roberta"])
def test_it_answers_as_with_the_tokenizer_that_transformers_makes_of_it(
    models: Path, kind: str, tmp_path: Path
) -> None:
    folder = models / kind
    assert not (folder / "tokenizer.json").exists()
    answers = Teacher.load(str(folder), max_length=16).score(_TEXTS[:20])
    # Each word is known: no two texts are one to the model.
    assert len(np.unique(answers.vectors.round(3), axis=0)) == 20
    transformers.AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
    again = Teacher.load(str(tmp_path), max_length=16).score(_TEXTS[:20])
    np.testing.assert_allclose(again.probabilities, answers.probabilities, atol=1e-6)


def test_a_tokenizer_that_leaves_out_what_a_text_begins_with_is_refused(models: Path, tmp_path: Path) -> None:
    """So transformers reads RemBERT's pieces, but not what it writes of them itself."""
    folder = Path(shutil.copytree(models / "rembert", tmp_path / "rembert"))
    with pytest.raises(InputError, match=r"puts no \[CLS\] before a text, .* save it there anew"):
        Teacher.load(str(folder), max_length=16)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    assert Teacher.load(str(folder), max_length=16).score(_TEXTS[:2]).probabilities.shape == (2, 2)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ({"sentencepiece"}, r"needs a package that is not installed: pip install sentencepiece$"),
        ({"google.protobuf"}, r"needs a package that is not installed: pip install protobuf$"),
        (
            {"sentencepiece", "google.protobuf"},
            r"needs packages that are not installed: pip install sentencepiece protobuf$",
        ),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_package_it_is_refused_before_anything_is_read(
    models: Path, kind: str, missing: set[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "find_spec", lambda name: None if name in missing else object())
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", pytest.fail)
    with pytest.raises(InputError, match=says):
        describe(str(models / kind))
