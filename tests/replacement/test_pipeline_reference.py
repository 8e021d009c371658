"""The reference is what ``pipeline("text-classification")`` answers, mapped: on real texts."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from pingti.workspace.registry import Workspace
from replacement.training.people_labels import read_people_labels
from replacement.training.teacher_labels import load_teacher
from tests.support.paths import SHARED

MODEL = SHARED / "models" / "weibo-teacher-zh"
TEXTS = {
    "weibo_hot": SHARED / "data" / "weibo_hot" / "weibo_hot.jsonl.gz",
    "thucnews": SHARED / "data" / "thucnews" / "dev.jsonl.gz",
    "clinc150": SHARED / "data" / "clinc150" / "clinc150_full.jsonl.gz",
}
YES = ("时事", "财经", "综艺")  # the labels of which this model is least sure


@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the real texts and models beside the repository")
@pytest.mark.parametrize("data", TEXTS)
def test_the_reference_is_the_pipelines_label_mapped(data: str, tmp_path: Path) -> None:
    from transformers import pipeline

    with gzip.open(TEXTS[data], "rt", encoding="utf-8") as lines:
        some = [json.loads(line)["text"] for _, line in zip(range(3000), lines, strict=False)]
    texts = list(dict.fromkeys(some))[::10]
    mapping = ", ".join(f'"{label}" = "yes"' for label in YES)
    text = f'classes = ["no", "yes"]\n[corpus]\nfiles = ["x"]\n[teacher]\nmodel = "{MODEL}"\n'
    entry = Workspace(tmp_path).add_task("t", f'{text}map = {{ {mapping}, "*" = "no" }}\n')
    teacher = load_teacher(entry, read_people_labels(entry), seed=0, device="cpu")
    asked = pipeline("text-classification", model=str(MODEL), device="cpu")
    said = np.array([answer["label"] in YES for answer in asked(texts, truncation=True, max_length=64)])
    answers = teacher.ask(texts, "asking")
    np.testing.assert_array_equal(answers.decided > 0, said)
    outputs = teacher.cache.score(texts).probabilities
    summed = outputs[:, [teacher.labels.index(label) for label in YES]].sum(axis=1) > 0.5
    if data != "clinc150":  # English: this model knows no word of it, and calls nearly all of it other
        assert (summed != said).any()  # texts of which the sum would say something else
