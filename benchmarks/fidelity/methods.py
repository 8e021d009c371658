"""The methods of ``make bench-fidelity``: the loop, the loop with one thing changed, and others."""

import time
from pathlib import Path
from typing import Any, Final

from benchmarks.fidelity import loops, peers
from benchmarks.fidelity.data import Part, Task
from benchmarks.fidelity.loops import Chosen, Classifier, Effort
from replacement.evaluation.metrics import decide, measure

WHAT: Final = {
    "pingti": "the loop",
    "family": "the loop once for all tasks of the data set that answer yes or no",
    "own": "the loop with students as made before families, the wide part on the classes alone",
    "finish": "pingti, and one more training on the pool, of which the student's own answers are learned",
    "random": "as many teacher rows, at random",
    "breaking_ties": "as many teacher rows, least confidence alone",
    "full_pool": "the teacher scores the whole pool",
    "hard_labels": "pingti with the teacher's decisions for targets",
    "no_boundary_rows": "pingti that learns nothing from boundary rows",
    "no_diversity": "pingti with hard negatives alone",
    "no_subclasses": "pingti that learns the task's classes alone",
    "plain_textcnn": "no wide part, random start, on pingti's rows",
    "fasttext": "on pingti's rows",
    "model2vec": "distilled and fine-tuned, on pingti's rows",
    "linear_ngram": "tf-idf of hashed n-grams and LinearSVC, on pingti's rows",
}
METHODS: Final = tuple(WHAT)
PEERS: Final = ("fasttext", "model2vec", "linear_ngram")
ABLATIONS: Final = (
    "plain_textcnn", "hard_labels", "no_subclasses", "no_diversity", "no_boundary_rows",
)  # fmt: skip
CURVE: Final = ("pingti", "family", "random", "breaking_ties", "full_pool")
"""What ``--curve`` measures; the full pool once, the others at every share."""
_ON_PINGTIS_ROWS: Final = ("plain_textcnn", *PEERS)
Row = dict[str, Any]


def run(method: str, part: Part, task: Task, seed: int, workspace: Path, effort: Effort) -> tuple[Row, Row]:
    """Make a classifier and measure it: a row of the results, and what else there is to say about it."""
    started = time.monotonic()
    name = f"3-{part.name}-{task.slug}-{seed}-{len(part.pool)}-{effort.share:g}.parquet"
    kept = workspace / "chosen" / name
    chosen = None
    if method != "pingti":
        if not kept.is_file():
            loops.replaced("pingti", part, task, seed, workspace, effort, None)[1].save(kept)
        chosen = Chosen.load(kept)
    if method in _ON_PINGTIS_ROWS:
        assert chosen is not None
        classifier = peers.trained(method, part, task, seed, workspace, effort, chosen)
    else:
        classifier, asked = loops.replaced(method, part, task, seed, workspace, effort, chosen)
        if method == "pingti":
            asked.save(kept)
    row, more = measured(part, task, classifier, method=method, share=share_of(method, effort), seed=seed)
    return row, {**more, "seconds": round(time.monotonic() - started, 1)}


def share_of(method: str, effort: Effort) -> float:
    """The part of the pool that a method asks about."""
    return 1.0 if method == "full_pool" else effort.share


def measured(
    part: Part, task: Task, classifier: Classifier, *, method: str, share: float, seed: int
) -> tuple[Row, Row]:
    """A classifier against its teacher and true labels: a row of the results, and what else there is."""
    classes = len(part.names(task))
    decided = decide(classifier.scores, classifier.threshold)
    reference = part.reference(task)
    against_teacher = measure(reference, decided, classes)
    rows, true = part.known(task)
    against_true = measure(true, decided[rows], classes)
    teacher = measure(true, reference[rows], classes)
    key = {"data": part.name, "task": task.name, "method": method, "share": share, "seed": seed}
    return {
        **key,
        "teacher_rows": classifier.asked,
        "pool_rows": len(part.pool),
        "f1_teacher": round(against_teacher.f1, 5),
        "f1_truth": round(against_true.f1, 5),
        "teacher_f1_truth": round(teacher.f1, 5),
    }, {
        **key,
        "accuracy_teacher": round(against_teacher.accuracy, 5),
        "accuracy_truth": round(against_true.accuracy, 5),
        "teacher_accuracy_truth": round(teacher.accuracy, 5),
        "precision_teacher": round(against_teacher.precision, 5),
        "recall_teacher": round(against_teacher.recall, 5),
        "holdout_rows": against_teacher.rows,
        "holdout_positives": against_teacher.positives,
        "holdout_rows_with_truth": len(rows),
        "rounds": classifier.rounds,
    }
