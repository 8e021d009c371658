"""Fixtures that several rooms' tests share: tiny real parts, made on the spot from fixed seeds."""

import os
import shutil
import string
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pingti.files import write_json
from replacement.registry import Workspace
from textcnn import Architecture, Student, Vocabulary

# Before torch is imported, and for child processes too. The models here are tiny: a second thread gains
# nothing, and where another process has its core the first spins until it is back, many times longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained BERT encoder (2 layers, hidden 32) with a WordPiece tokenizer.

    The tokenizer knows the letters and digits, alone and inside a word; other characters are unknown to
    it. Usable as ``base`` for ``fine_tune``; what that saves loads with ``Teacher.load``.
    """
    folder = tmp_path_factory.mktemp("tiny_bert")
    write_bert(folder, [])
    return folder


def write_bert(folder: Path, words: list[str]) -> None:
    """Write an untrained BERT whose tokenizer knows ``words`` besides the letters and digits."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    characters = string.ascii_lowercase + string.digits
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*special, *characters, *(f"##{c}" for c in characters), *words]
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}).save_pretrained(folder)


# ---- a workspace with promoted students, made without a teacher in seconds -----------------------------

WORDS = {
    "sport": ["goal", "match", "team", "coach", "league", "striker", "tennis", "champion"],
    "tech": ["software", "chip", "browser", "server", "robot", "laptop", "network", "code"],
    "other": ["market", "film", "minister", "bread", "weather", "garden", "music", "train"],
}
_DEFINITION = """\
classes = {classes}
priority = {priority}

[corpus]
files = ["../corpus.jsonl"]
id = "id"

[teacher]
model = "nowhere"

[scenes.strict]
precision = 0.9
"""


def made_texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences of made-up words, and the topic (sport, tech or other) that their words are of."""
    rng = np.random.default_rng(seed)
    topics = [str(topic) for topic in rng.choice(list(WORDS), n)]
    words = [rng.choice(WORDS[topic], 4).tolist() for topic in topics]
    sentences = [" ".join(["the", *chosen, str(rng.integers(99))]) for chosen in words]
    return sentences, topics


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return made_texts(400, seed=1)[0]


@pytest.fixture(scope="session")
def _workspace_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sport and tech (no, yes) and topic (sport, tech, other), each with version 1 promoted."""
    from textcnn.train import Recipe, train

    workspace = Workspace(tmp_path_factory.mktemp("template"))
    sentences, topics = made_texts(300)
    vocabulary = Vocabulary.build(pa.array(sentences), size=200, buckets=16)
    for name, classes, priority in (
        ("sport", ["no", "yes"], 3),
        ("tech", ["no", "yes"], 5),
        ("topic", ["sport", "tech", "other"], 7),
    ):
        binary = len(classes) == 2
        text = _DEFINITION.format(classes=classes, priority=priority)
        entry = workspace.add_task(name, text if binary else text.partition("[scenes")[0])
        if binary:
            targets = np.array([[topic != name, topic == name] for topic in topics], np.float32)
        else:
            targets = np.array([[topic == label for label in classes] for topic in topics], np.float32)
        architecture = Architecture(embedding=16, filters=16, widths=(1, 2))
        network = train(
            vocabulary.encode(sentences),
            targets,
            size=vocabulary.size,
            architecture=architecture,
            rng=np.random.default_rng(0),
            recipe=Recipe(epochs=20, learning_rate=1e-2),
        )
        thresholds = {"default": 0.5, "strict": 0.9} if binary else {"default": None}
        student = Student.from_network(
            network,
            vocabulary,
            classes,
            {"task": name, "version": 1, "thresholds": thresholds, "rules": {}, "depends_on": []},
        )
        folder = entry.folder / "students" / "1"
        student.save(folder)
        found = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0, "rows": 300, "positives": 100}
        write_json(
            folder / "report.json",
            {
                "format": 1,
                "task": name,
                "version": 1,
                "classes": classes,
                "gate": {"precision": 0.9, "recall": 0.9, "passed": True},
                "holdout": found,
                "rounds": [{"round": 1, "holdout": found}],
            },
        )
        entry.promote(1, who="tests", why="made for the tests")
    return workspace.root


@pytest.fixture
def workspace(_workspace_template: Path, tmp_path: Path) -> Workspace:
    """A copy of the template that a test may change."""
    root = tmp_path / "workspace"
    shutil.copytree(_workspace_template, root)
    return Workspace(root)
