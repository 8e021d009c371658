"""One run of the bench of kinds, on a teacher that is made on the spot."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.fidelity.data import Part, Task
from benchmarks.fidelity.loops import Effort
from benchmarks.kinds import results
from benchmarks.kinds.runs import run, uncertain
from tests.support.texts import made_texts


def test_a_band_is_of_scores_or_of_margins() -> None:
    two = np.array([[0.8, 0.2], [0.5, 0.5], [0.3, 0.7]], np.float32)
    assert uncertain(two, 0.5, 0.7).tolist() == [False, True, False]
    three = np.array([[0.5, 0.4, 0.1], [0.1, 0.8, 0.1]], np.float32)
    assert uncertain(three, 0.0, 0.2).tolist() == [True, False]


def part_of(folder: Path, teacher: Path) -> Part:
    from teacher.bert import Teacher

    texts, topics = made_texts(700, seed=2)
    unique = list(dict.fromkeys(texts[:600]))
    held = [text for text in dict.fromkeys(texts[600:]) if text not in set(unique)]
    pq.write_table(pa.table({"text": [*unique, *held]}), folder / "corpus.parquet")
    seed = list(zip(texts[:40], topics[:40], strict=True))
    names = ("sport", "tech", "other")
    answers = Teacher.load(str(teacher), device="cpu").score(held).probabilities
    return Part(
        name="weibo",
        chinese=False,
        model=teacher,
        classes=names,
        tasks=(),
        corpus=folder / "corpus.parquet",
        holdout_fraction=len(held) / (len(unique) + len(held)),
        seed=[(text, names[topic] if isinstance(topic, int) else str(topic)) for text, topic in seed],
        pool=pa.array(unique, pa.large_string()),
        holdout=held,
        answers=answers,
        true_labels=[None] * len(held),
    )


def test_a_run_gives_a_row_of_the_default(topic_teacher: Path, tmp_path: Path) -> None:
    part = part_of(tmp_path, topic_teacher)
    task = Task(name="about sport", slug="sport", labels=frozenset({"sport"}))
    workspace = tmp_path / "workspace"
    measured, missing = run(part, task, 0, ["default"], workspace, Effort(rounds=1, epochs=2, share=0.9))
    assert missing == {}
    ((row, more),) = measured
    assert results.key(row) == ("weibo", "about sport", 0, "default")
    assert list(row) == [
        "data", "task", "seed", "kind",
        "f1_teacher", "texts_per_second", "ratio_to_default", "teacher_share", "agreement",
    ]  # fmt: skip
    assert (row["ratio_to_default"], row["teacher_share"]) == (1.0, 0.0)
    assert more["teacher_texts_per_second"] > 0
    assert more["holdout_rows"] == len(part.holdout)
    assert 0.0 < row["agreement"] <= 1.0


def test_calls_side_by_side_add_up_in_one_file(tmp_path: Path) -> None:
    out = tmp_path / "students.json"
    empty = results.read(out)
    first = {"data": "weibo", "task": "a", "seed": 0, "kind": "ngram", "f1_teacher": 0.8}
    second = {**first, "kind": "default", "f1_teacher": 0.9}
    results.merge(out, empty, rows=[first], left_out={"weibo: default": "broken", "arxiv": "not there"})
    merged = results.merge(out, empty, rows=[second], further=[{**second, "seconds": 1.0}])
    assert json.loads(out.read_text()) == merged
    assert [row["kind"] for row in merged["rows"]] == ["default", "ngram"]
    assert merged["left_out"] == {"arxiv": "not there"}
    again = results.merge(out, empty, rows=[{**first, "f1_teacher": 0.7}])
    assert [row["f1_teacher"] for row in again["rows"]] == [0.9, 0.7]
    out.write_text('{"format": 9}')
    with pytest.raises(SystemExit, match="format 9"):
        results.read(out)
