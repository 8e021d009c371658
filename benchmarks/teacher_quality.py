"""How well fine-tuned teachers decide, beside what is trivial on the same rows: ``make bench-teacher``.

The teacher is what ``fine_tune`` makes with nothing said but the rows. The baselines learn all rows that the
teacher was given, those that it keeps aside included, and their choices are made in their favour, on the
rows that measure: TF-IDF of character n-grams with a linear support vector machine, scikit-learn's or the
product's own, whichever is better; and the frozen encoder with logistic regression on the mean of its last
states, or on [CLS], at the best of three strengths.
"""

import gzip
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.fidelity import data as fidelity_data
from benchmarks.harness import LeftOut
from teacher import ngrams
from teacher.bert import Teacher
from teacher.finetune import fine_tune
from teacher.folders import encode, load_tokenizer, pad, quiet

MAX_LENGTH: Final = 64
_MEASURING: Final = 4000  # rows at most
_WEIBO: Final = frozenset({"社会", "明星", "体育", "电视剧", "时事", "综艺", "财经", "游戏"})
Labelled = list[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Labelled rows to learn from, others to measure on, and the encoder that learns them."""

    name: str
    labelled: int
    encoder: Callable[[], Path]
    read: Callable[[], tuple[Labelled, Labelled]]
    """Rows to draw from, and rows that measure."""
    even: bool = False
    """Whether each class gives as many rows."""


def measure(data: DataSet, device: str) -> dict[str, Any]:
    """Fine-tune a teacher and its baselines, and see how many rows they decide right.

    Raises:
        LeftOut: data or encoder are not on this machine.
    """
    encoder = data.encoder()
    older, measuring = data.read()
    rng = np.random.default_rng(0)
    rows = draw(older, data.labelled, rng, even=data.even)
    classes = sorted({label for _, label in rows})
    measuring = [row for row in measuring if row[1] in set(classes)]
    measuring = [measuring[row] for row in rng.permutation(len(measuring))[:_MEASURING].tolist()]
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    asked = [text for text, _ in measuring]
    true = np.array([classes.index(label) for _, label in measuring], np.int64)
    answers = np.array([classes.index(label) for label in labels], np.int64)
    with tempfile.TemporaryDirectory() as temporary:
        start = time.monotonic()
        tuned = fine_tune(
            str(encoder), texts, labels, classes=classes, out=Path(temporary) / "teacher",
            rng=np.random.default_rng(0), device=device,
        )  # fmt: skip
        seconds = time.monotonic() - start
        teacher = Teacher.load(str(tuned.folder), max_length=MAX_LENGTH, precision="float32", device=device)
        decided = teacher.score(asked).probabilities.argmax(axis=1)
    return {
        "data": data.name,
        "labelled": len(rows),
        "accuracy_teacher": _share(decided == true),
        "accuracy_ngram": _ngram_accuracy(texts, answers, asked, true),
        "accuracy_frozen": _frozen_accuracy(encoder, texts, answers, asked, true),
        "classes": len(classes),
        "measured_on": len(true),
        "kept_aside": None if tuned.quality is None else tuned.quality.rows,
        "steps": tuned.steps,
        "ngram_share": tuned.ngram_share,
        "encoder_tuned": tuned.tuned,
        "seconds": round(seconds),
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """What ``measure`` gave, for people."""
    shown = Table(box=None, pad_edge=False, title="fine-tuned teachers: share of unseen rows decided right")
    shown.add_column("")
    headings = ("labelled", "teacher", "n-grams", "frozen encoder", "n-grams' part", "seconds")
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(
            row["data"],
            f"{row['labelled']:,}",
            *(f"{row[f'accuracy_{who}']:.4f}" for who in ("teacher", "ngram", "frozen")),
            f"{row['ngram_share']:.2f}",
            f"{row['seconds']:,}",
        )
    return shown


# ---- baselines ----------------------------------------------------------------------------------------


def _ngram_accuracy(
    texts: list[str], answers: NDArray[np.int64], asked: list[str], true: NDArray[np.int64]
) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    own = ngrams.fit(texts, answers, int(answers.max()) + 1, np.random.default_rng(0))
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    other = LinearSVC().fit(vectors.fit_transform(texts), answers)
    return max(
        _share(own.logits(asked).argmax(axis=1) == true),
        _share(other.predict(vectors.transform(asked)) == true),
    )


def _frozen_accuracy(
    encoder: Path,
    texts: list[str],
    answers: NDArray[np.int64],
    asked: list[str],
    true: NDArray[np.int64],
) -> float:
    from sklearn.linear_model import LogisticRegression

    accuracies = []
    for own, other in zip(_states(encoder, texts), _states(encoder, asked), strict=True):
        centre, scale = own.mean(axis=0), own.std(axis=0) + 1e-6
        for strength in (0.01, 0.1, 1.0):
            model = LogisticRegression(C=strength, max_iter=1000).fit((own - centre) / scale, answers)
            accuracies.append(_share(model.predict((other - centre) / scale) == true))
    return max(accuracies)


def _states(encoder: Path, texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean of the last states of each text, and its [CLS]."""
    from transformers import AutoModel

    with quiet():
        model = AutoModel.from_pretrained(encoder, local_files_only=True).eval()
    tokenizer = load_tokenizer(encoder)
    ids = encode(tokenizer, texts, MAX_LENGTH)
    means, firsts = [], []
    for start in range(0, len(ids), 64):
        padded, mask = pad(ids[start : start + 64], tokenizer.pad_token_id)
        with torch.inference_mode():
            states = model(input_ids=padded, attention_mask=mask).last_hidden_state
        known = mask[:, :, None]
        means.append(((states * known).sum(dim=1) / known.sum(dim=1)).numpy())
        firsts.append(states[:, 0].numpy())
    return np.concatenate(means), np.concatenate(firsts)


def _share(right: NDArray[np.bool_]) -> float:
    return round(float(right.mean()), 4)


# ---- data ---------------------------------------------------------------------------------------------


def draw(rows: Labelled, count: int, rng: np.random.Generator, *, even: bool) -> Labelled:
    """``count`` different texts, at random or, one after the other, from each class."""
    different = list(dict(rows).items())
    shuffled = [different[row] for row in rng.permutation(len(different)).tolist()]
    if even:
        seen: dict[str, int] = {}
        place = []
        for _, label in shuffled:
            place.append(seen.get(label, 0))
            seen[label] = place[-1] + 1
        shuffled = [shuffled[row] for row in np.argsort(place, kind="stable").tolist()]
    return shuffled[:count]


def read_lines(*path: str) -> list[dict[str, Any]]:
    """The JSON lines of a file of ``shared/data``.

    Raises:
        LeftOut: it is not on this machine.
    """
    file = fidelity_data.SHARED.joinpath("data", *path)
    if not file.is_file():
        raise LeftOut(f"{file}: no such file")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def bert_mini() -> Path:
    """The encoder that Chinese teachers are made from.

    Raises:
        LeftOut: it is not on this machine.
    """
    folder = fidelity_data.SHARED / "models" / "bert-mini-zh"
    if not folder.is_dir():
        raise LeftOut(f"{folder}: no such folder")
    return folder


def clinc() -> tuple[Labelled, Labelled]:
    """CLINC150 without the queries of no intent: training and validation parts, and the test part."""
    rows = [
        row for row in read_lines("clinc150", "clinc150_full.jsonl.gz") if not row["split"].startswith("oos")
    ]
    return (
        [(row["text"], row["label"]) for row in rows if row["split"] != "test"],
        [(row["text"], row["label"]) for row in rows if row["split"] == "test"],
    )


def _weibo() -> tuple[Labelled, Labelled]:
    """Titles of 2024, and of November and December 2025."""
    rows = [row for row in read_lines("weibo_hot", "weibo_hot.jsonl.gz") if row["label"]]
    named = [
        (row["timestamp"], row["text"], row["label"] if row["label"] in _WEIBO else fidelity_data.OTHER)
        for row in rows
    ]
    return (
        [(text, label) for day, text, label in named if day[:4] == "2024"],
        [(text, label) for day, text, label in named if day[:7] >= "2025-11"],
    )


def thucnews() -> tuple[Labelled, Labelled]:
    """Headlines of THUCNews: a part of the training set, and the development set."""
    parts = [read_lines("thucnews", name) for name in ("train_33k.jsonl.gz", "dev.jsonl.gz")]
    older, measuring = ([(row["text"], row["label"]) for row in part] for part in parts)
    return older, measuring


def _waimai() -> tuple[Labelled, Labelled]:
    rows = read_lines("waimai_10k", "waimai_10k.jsonl.gz")
    different = list({row["text"]: row["label"] for row in rows}.items())
    order = np.random.default_rng(0).permutation(len(different)).tolist()
    shuffled = [different[row] for row in order]
    return shuffled[_MEASURING:], shuffled[:_MEASURING]


DATA_SETS: Final = (
    DataSet(name="clinc150", labelled=800, encoder=fidelity_data.minilm, read=clinc, even=True),
    DataSet(name="clinc150", labelled=3000, encoder=fidelity_data.minilm, read=clinc, even=True),
    DataSet(name="weibo", labelled=3000, encoder=bert_mini, read=_weibo),
    DataSet(name="thucnews", labelled=3000, encoder=bert_mini, read=thucnews),
    DataSet(name="waimai", labelled=1000, encoder=bert_mini, read=_waimai),
)
