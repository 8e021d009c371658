"""Other small classifiers, trained on rows that Pingti chose, with the teacher's decisions as labels.

Each function takes texts with class numbers and gives what scores texts: an array (n, classes) whose order
within a column is what counts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.fidelity import data
from benchmarks.fidelity.data import Part, Task
from benchmarks.fidelity.loops import Chosen, Classifier, Effort
from pingti.workspace.definition import OperatingPointSection as Demand
from replacement.evaluation.operating_points import choose, curve
from textcnn import Architecture, Student, Vocabulary

Scorer = Callable[[list[str]], NDArray[np.float32]]
_DIMENSIONS: Final = 256
_SIF: Final = 1e-4
_EPOCHS: Final = 60


def linear_ngram(texts: list[str], labels: NDArray[np.int64], classes: int, *, chinese: bool) -> Scorer:
    """Hashed n-grams weighted by tf-idf, and a linear support vector machine (scikit-learn).

    Character 1- to 3-grams for Chinese; for English those of 2 to 5 within words, and words and pairs.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    def hashed(analyzer: str, shortest: int, longest: int) -> Any:
        return make_pipeline(
            HashingVectorizer(
                analyzer=analyzer,
                ngram_range=(shortest, longest),
                n_features=2**20,
                alternate_sign=False,
                norm=None,
            ),
            TfidfTransformer(sublinear_tf=True),
        )

    if labels.min() == labels.max():  # nothing to tell apart
        return lambda some: np.eye(classes, dtype=np.float32)[np.full(len(some), labels[0])]
    features = hashed("char", 1, 3) if chinese else make_union(hashed("char_wb", 2, 5), hashed("word", 1, 2))
    model = make_pipeline(features, LinearSVC(random_state=0))
    model.fit(texts, labels)

    def score(some: list[str]) -> NDArray[np.float32]:
        margins = np.asarray(model.decision_function(some), np.float32)
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], axis=1)
        scores = np.full((len(some), classes), -np.inf, np.float32)
        scores[:, model.classes_] = margins
        # The margin for log-odds: a threshold is chosen by a logistic model of them.
        return 0.5 + 0.5 * np.tanh(0.5 * scores)

    return score


def fasttext(
    texts: list[str], labels: NDArray[np.int64], classes: int, *, chinese: bool, folder: Path
) -> Scorer:
    """Joulin et al. (2016). Chinese: characters as words; English: words and their parts; pairs for both."""
    import fasttext as package

    def words(text: str) -> str:
        return " ".join("".join(text.split()) if chinese else text.lower().split())

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "fasttext.txt"
    with file.open("w", encoding="utf-8") as lines:
        for text, label in zip(texts, labels.tolist(), strict=True):
            lines.write(f"__label__{label} {words(text)}\n")
    model = package.train_supervised(
        str(file), epoch=25, lr=0.5, wordNgrams=2, dim=100, bucket=500_000, thread=1, verbose=0,
        minn=0 if chinese else 3, maxn=0 if chinese else 5,
    )  # fmt: skip
    file.unlink()

    def score(some: list[str]) -> NDArray[np.float32]:
        scores = np.zeros((len(some), classes), np.float32)
        named, probabilities = model.predict([words(text) for text in some], k=-1)
        for row, (names, values) in enumerate(zip(named, probabilities, strict=True)):
            for name, value in zip(names, values, strict=True):
                scores[row, int(name.removeprefix("__label__"))] = value
        return scores

    return score


def model2vec(
    texts: list[str],
    labels: NDArray[np.int64],
    classes: int,
    *,
    encoder: Path,
    kept: Path,
    rng: np.random.Generator,
) -> Scorer:
    """Static vectors distilled from ``encoder`` (Tulkens and van Dongen 2024), then fine-tuned.

    The package's own distilling and fine-tuning need further packages, so both are written out here as the
    package does them: every token through the encoder, mean of the states, principal components, weights
    by Zipf's law; then Adam at 1e-3 on vectors and a head of one hidden layer, the rate halved where it no
    longer helps, stopped early on a tenth of the rows. The vectors are kept in the file ``kept``.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, _static_vectors(encoder, tokenizer))
    unknown = tokenizer.token_to_id("[UNK]")

    def encode(some: list[str]) -> list[Tensor]:
        encodings = tokenizer.encode_batch_fast(some, add_special_tokens=False)
        return [torch.tensor([i for i in each.ids if i != unknown], dtype=torch.int64) for each in encodings]

    torch.manual_seed(int(rng.integers(2**31)))
    model = _Static(torch.from_numpy(np.load(kept).astype(np.float32)), classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    rate = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3, min_lr=1e-6)
    ids, targets = encode(texts), torch.from_numpy(labels)
    order = rng.permutation(len(ids))
    held, rows = order[: len(ids) // 10], order[len(ids) // 10 :]
    size = 32 * min(max(1, len(rows) // 960), 16)
    best, patience, state = np.inf, 5, model.state_dict()
    for _ in range(_EPOCHS):
        shuffled = rng.permutation(rows)
        for start in range(0, len(shuffled), size):
            batch = shuffled[start : start + size]
            loss = nn.functional.cross_entropy(model([ids[row] for row in batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.inference_mode():
            measured = float(nn.functional.cross_entropy(model([ids[row] for row in held]), targets[held]))
        rate.step(measured)
        patience -= 1
        if measured < best:
            best, patience = measured, 5
            state = {name: value.clone() for name, value in model.state_dict().items()}
        if patience == 0:
            break
    model.load_state_dict(state)

    def score(some: list[str]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = model(encode(some)).softmax(dim=1).numpy()
        return scores

    return score


class _Static(nn.Module):
    """The mean of a text's vectors, scaled to length one, and a head with a hidden layer."""

    def __init__(self, vectors: Tensor, classes: int) -> None:
        super().__init__()
        self.embeddings = nn.EmbeddingBag.from_pretrained(vectors, freeze=False, mode="mean")
        hidden, last = nn.Linear(vectors.shape[1], 512), nn.Linear(512, classes)
        nn.init.kaiming_uniform_(hidden.weight, nonlinearity="relu")
        nn.init.xavier_uniform_(last.weight)
        self.head = nn.Sequential(hidden, nn.ReLU(), last)

    def forward(self, ids: list[Tensor]) -> Tensor:
        offsets = torch.tensor([0, *(len(each) for each in ids[:-1])]).cumsum(0)
        logits: Tensor = self.head(nn.functional.normalize(self.embeddings(torch.cat(ids), offsets)))
        return logits


def _static_vectors(encoder: Path, tokenizer: Any) -> NDArray[np.float32]:
    """(tokens, 256 or as many as the encoder has)."""
    from transformers import AutoModel

    from teacher.folders import quiet

    with quiet():
        model = AutoModel.from_pretrained(encoder, local_files_only=True).eval()
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    parts = []
    with torch.inference_mode():
        for start in range(0, tokenizer.get_vocab_size(), 1024):
            tokens = torch.arange(start, min(start + 1024, tokenizer.get_vocab_size()))
            ids = torch.stack([torch.full_like(tokens, first), tokens, torch.full_like(tokens, last)], dim=1)
            parts.append(model(input_ids=ids).last_hidden_state.mean(dim=1).numpy())
    vectors = np.concatenate(parts).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    reduced = vectors @ axes[:, ::-1][:, :_DIMENSIONS]
    # The vocabulary is in order of frequency: Zipf's law stands for the counts.
    shares = 1.0 / np.arange(2, len(reduced) + 2)
    weights = _SIF / (_SIF + shares / shares.sum())
    result: NDArray[np.float32] = (reduced * weights[:, None]).astype(np.float32)
    return result


def trained(
    method: str, part: Part, task: Task, seed: int, workspace: Path, effort: Effort, chosen: Chosen
) -> Classifier:
    classes = len(part.names(task))
    labels: NDArray[np.int64] = chosen.learn_answers.argmax(axis=1)
    rng = np.random.default_rng([seed, *method.encode()])
    if method == "plain_textcnn":
        score = _plain_textcnn(part, task, effort, chosen, rng)
    elif method == "linear_ngram":
        score = linear_ngram(chosen.learn, labels, classes, chinese=part.chinese)
    elif method == "fasttext":
        # Processes may run side by side: a folder for each.
        folder = workspace / "fasttext" / f"{part.name}-{task.slug}-{seed}"
        score = fasttext(chosen.learn, labels, classes, chinese=part.chinese, folder=folder)
    else:
        encoder = part.model if part.chinese else data.minilm()
        kept = workspace / "model2vec" / f"{part.name if part.chinese else 'minilm'}.npy"
        score = model2vec(chosen.learn, labels, classes, encoder=encoder, kept=kept, rng=rng)
    threshold = None
    if task.labels:
        positive = chosen.validation_answers.argmax(axis=1) > 0
        threshold, _ = choose(
            curve(positive, score(chosen.validation)[:, 1], chosen.validation_weights),
            Demand(),
        )
    return Classifier(scores=score(part.holdout), threshold=threshold, asked=chosen.asked, rounds=[])


def _plain_textcnn(
    part: Part, task: Task, effort: Effort, chosen: Chosen, rng: np.random.Generator
) -> Scorer:
    """Kim's network on the teacher's scores, its vectors random at the start."""
    from pingti.workspace.definition import StudentSection
    from textcnn.train import Recipe, train

    section = StudentSection()
    vocabulary = Vocabulary.build(part.pool, size=section.vocabulary)
    network = train(
        vocabulary.encode(pa.array(chosen.learn, pa.large_string())),
        chosen.learn_answers,
        size=vocabulary.size,
        architecture=Architecture(embedding=section.embedding, filters=section.filters, widths=(2, 3, 4)),
        rng=rng,
        recipe=Recipe(epochs=effort.epochs or section.epochs),
    )
    student = Student.from_network(network, vocabulary, part.names(task))
    return lambda texts: student.score(pa.array(texts, pa.large_string()))
