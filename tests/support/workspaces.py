"""A workspace with promoted students, and a tiny BERT: real parts, made on the spot from fixed seeds."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pingti.files import write_json
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from tests.support.teachers import write_bert
from tests.support.texts import made_texts
from textcnn import Architecture, Student, Vocabulary


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained BERT encoder (2 layers, hidden 32) with a WordPiece tokenizer.

    The tokenizer knows the letters and digits, alone and inside a word; other characters are unknown to
    it. Usable as ``base`` for ``fine_tune``; what that saves loads with ``Teacher.load``.
    """
    folder = tmp_path_factory.mktemp("tiny_bert")
    write_bert(folder, [])
    return folder


# ---- a workspace with promoted students, made without a teacher in seconds -----------------------------

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
        scores = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0, "rows": 300, "positives": 100}
        write_json(
            folder / "report.json",
            {
                "format": 1,
                "task": name,
                "version": 1,
                "classes": classes,
                "gate": {"precision": 0.9, "recall": 0.9, "passed": True},
                "holdout": scores,
                "rounds": [{"round": 1, "holdout": scores}],
            },
        )
        promotion.promote(entry, 1, who="tests", why="made for the tests")
    return workspace.root


@pytest.fixture
def workspace(_workspace_template: Path, tmp_path: Path) -> Workspace:
    """A copy of the template that a test may change."""
    root = tmp_path / "workspace"
    shutil.copytree(_workspace_template, root)
    return Workspace(root)


def with_rules(workspace: Workspace) -> Workspace:
    """Let tech drop some texts, call others negative, and be asked only where topic is not sport."""
    folder = workspace.task("tech").student_folder(1)
    student = Student.load(folder)
    rules = {"drop": ["browser"], "negative": ["robot"]}
    changed = {**student.metadata, "rules": rules, "depends_on": ["topic=tech"]}
    shutil.rmtree(folder)
    Student(student.folded, student.vocabulary, student.classes, student.architecture, changed).save(folder)
    write_json(folder / "report.json", {})
    return workspace


def with_cascade(
    workspace: Workspace, task: str, low: float, high: float, *, on_no_teacher: str = "fail"
) -> Workspace:
    """Let a student be unsure of the scores (of more than two classes, the margins) between two."""
    folder = workspace.task(task).student_folder(1)
    student, report = Student.load(folder), (folder / "report.json").read_bytes()
    shutil.rmtree(folder)
    student.metadata["cascade"] = {
        "second": "teacher",
        "agreement": 0.97,
        "confidence": 0.95,
        "on_no_teacher": on_no_teacher,
        "bands": {"default": [low, high]},
    }
    student.save(folder)
    (folder / "report.json").write_bytes(report)
    return workspace
