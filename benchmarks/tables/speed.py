"""Tables of ``speed.json``: how fast students are."""

import statistics
from typing import Any, Final

from benchmarks.tables.markdown import rate, rounded, table, times

_ROWS: Final = {
    "default": "**student as `pingti replace` makes it** (two classes)",
    "default_9_labels": "the same for a teacher of 9 labels, told apart within the classes",
    "default_32_labels": "the same for 32 labels",
    "folded": "the network alone, 128 filters of widths 2, 3, 4",
    "parquet_to_parquet": "Parquet file to Parquet file, the network alone",
    "two_processes": "two processes, a core each, the network alone",
    "fasttext": "fastText, characters and pairs",
    "linear_ngram": "scikit-learn, hashed 1- to 3-grams and SGD",
    "model2vec": "model2vec, 256 dimensions",
    "onnxruntime_fp32": "the network alone in ONNX Runtime, float32, ids ready",
    "torch_eager": "the network alone in torch, ids ready",
    "minilm_onnxruntime_int8": "MiniLM in ONNX Runtime, int8",
    "minilm_torch": "MiniLM in torch",
    "bert_base": "BERT-base in torch",
}
_TASKS: Final = {
    "tasks_50_separate": "50 students, one after the other",
    "tasks_50_one_pass": "the same in one pass (`textcnn.score_many`)",
    "tasks_50_shared_trunk": "50 heads on a shared trunk (`Student.family`)",
    "tasks_50_own": "50 students as `pingti replace` makes them, one pass",
    "tasks_50_family": "50 tasks of a family, read off one student",
}
Document = dict[str, Any]


def rates(document: Document) -> dict[str, float]:
    """Texts (or label scores) per second by contender."""
    return {row["name"]: row["texts_per_second"] for row in document["rows"]}


def one_core(document: Document) -> str:
    """Students beside other classifiers."""
    measured, lines = rates(document), []
    base = measured["onnxruntime_fp32"]
    for name, what in _ROWS.items():
        if name in measured:
            cells = [
                rate(measured[name]),
                "1" if name == "onnxruntime_fp32" else times(measured[name] / base),
            ]
            lines.append([what, *(f"**{cell}**" if name == "default" else cell for cell in cells)])
    return table(["", "texts/s", "to ONNX Runtime"], lines)


def many_tasks(document: Document) -> str | None:
    """Fifty tasks in one process, on one core; without the two of families where those were not measured."""
    measured = rates(document)
    if "tasks_50_separate" not in measured:
        return None
    base = measured["tasks_50_separate"]
    lines = [
        [
            what,
            rate(measured[name] / 50),
            "1" if name == "tasks_50_separate" else times(measured[name] / base),
        ]
        for name, what in _TASKS.items()
        if name in measured
    ]
    return table(["50 label tasks, one core", "texts/s", "times"], lines)


def families(document: Document) -> str | None:
    """A family of fifty tasks beside fifty students of their own: a job on two cores, and training."""
    measured = document.get("families")
    if not measured:
        return None
    job, training, wanted = measured["job"], measured["training"], measured["wanted"]
    own, family = (statistics.median(job["rows_per_second"][way]) for way in ("own", "family"))
    one = statistics.median(training["seconds"]["own"])
    lines = [
        [
            f"a job of 50 tasks, {job['cores']} cores", f"{rate(own)} rows/s", f"{rate(family)} rows/s",
            f"{rate(wanted['rows_per_second'])} rows/s",
        ],
        ["the same, times", "1", times(job["times_own"]), str(wanted["times_own"])],
        [
            f"training on {training['rows']:,} rows, times that of one task", f"1 ({rounded(one, 1)} s)",
            times(training["times_one"]), f"at most {wanted['training_times_one']}",
        ],
    ]  # fmt: skip
    return table(["", "students of their own", "a family", "wanted"], lines)
