import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pingti.workspace.registry import TaskEntry, Workspace
from replacement.results import Outcome
from tests.support.texts import WORDS, made_texts


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


DEFINITION = """\
classes = {classes}

[corpus]
files = ["../corpus.jsonl"]
id = "id"

[teacher]
model = {model}
budget = {budget}
margin = {margin}

[student]
embedding = 16
filters = 16
widths = [1, 2]
epochs = 3
wide = 0

[gate]
precision = {gate}
recall = {gate}
holdout_fraction = 0.2
holdout_rows = 60
rounds = {rounds}
"""


@pytest.fixture(scope="session")
def topic_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned teacher of three topics."""
    return make_teacher(tmp_path_factory.mktemp("teacher"), learning_rate=3e-3)


def make_teacher(folder: Path, *, learning_rate: float, rows: int = 300) -> Path:
    """Make a teacher of three topics; of few rows it learns to be sure of few texts."""
    from teacher.finetune import Recipe, fine_tune

    base, out = folder / "base", folder / "topic"
    write_bert(base, [word for words in WORDS.values() for word in words])
    texts, topics = made_texts(rows, seed=5)
    fine_tune(
        str(base),
        texts,
        topics,
        classes=["sport", "tech", "other"],
        out=out,
        rng=np.random.default_rng(0),
        recipe=Recipe(epochs=4, learning_rate=learning_rate, freeze_embeddings=False),
    )
    return out


def corpus_file(root: Path, rows: int = 600) -> None:
    texts, _ = made_texts(rows, seed=2)
    root.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": f"r{index}", "text": text}) for index, text in enumerate(texts)]
    (root / "corpus.jsonl").write_text("\n".join(lines) + "\n")


def sport(root: Path, model: Path, **changes: Any) -> TaskEntry:
    """A task of a workspace of its own: is it about sport?"""
    corpus_file(root)
    values = {"budget": 300, "margin": 0.1, "gate": 1.0, "rounds": 3, **changes}
    text = DEFINITION.format(classes='["no", "yes"]', model=json.dumps(str(model)), **values)
    text = text.replace("[student]", '[teacher.map]\nsport = "yes"\n"*" = "no"\n\n[student]')
    return Workspace(root).add_task("sport", text)


def agreement_with_teacher(entry: TaskEntry, version: int, texts: list[str]) -> tuple[int, int]:
    """Of how many texts a version and its teacher were asked, and on how many they agree."""
    from queue_worker.retraining.drift_meter import DriftMeter
    from replacement.second.teacher import TeacherSecond

    return DriftMeter.load(entry, version).count(texts, TeacherSecond(entry.workspace))


def folder_bytes(outcome: Outcome, entry: TaskEntry) -> bytes:
    return (entry.student_folder(outcome.version) / "student.safetensors").read_bytes()


def write_kinds(folder: Path, base: Path) -> dict[str, Path]:
    """Write the kinds of heads that users bring, decided at random, beside the encoder in ``base``.

    ``multi_label`` answers delivery, taste and price each by itself, ``one_logit`` has one output without a
    name, ``unnamed`` two, ``many`` fifteen labels of which one holds, ``nine`` nine that it answers each by
    itself.
    """
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    def names(labels: list[str]) -> dict[str, Any]:
        return {
            "num_labels": len(labels),
            "id2label": dict(enumerate(labels)),
            "label2id": {label: number for number, label in enumerate(labels)},
        }

    heads = {
        "multi_label": {
            **names(["delivery", "taste", "price"]),
            "problem_type": "multi_label_classification",
        },
        "one_logit": {"num_labels": 1},
        "unnamed": {"num_labels": 2},
        "many": names([f"topic {number}" for number in range(15)]),
        "nine": {
            **names([f"aspect {number}" for number in range(9)]),
            "problem_type": "multi_label_classification",
        },
    }
    tokenizer = AutoTokenizer.from_pretrained(base)
    for name, head in heads.items():
        config = BertConfig.from_pretrained(base, **head)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            model = BertForSequenceClassification(config)
            for weights in model.parameters():
                if weights.ndim > 1:
                    torch.nn.init.normal_(weights, std=0.3)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {name: folder / name for name in heads}


def notes_beside_size(report: dict[str, Any]) -> list[str]:
    """A report's notes without the one on a small holdout: those of tests are small."""
    return [note for note in report["notes"] if not note.startswith("the holdout has only ")]
