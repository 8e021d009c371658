"""The methods of ``make bench-fidelity``: the loop as it is, with one thing changed, and other classifiers.

What is changed is changed from here, by exchanging a function of the product while a run lasts; a change
that turns out to be without effect is an error. All methods of one task and seed have the same validation
rows, which choose the threshold, and the same holdout.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import sampling
from benchmarks import fidelity_data, fidelity_peers
from benchmarks.fidelity_data import Part, Task
from pingti.workspace.definition import OperatingPointSection as Demand
from pingti.workspace.registry import Workspace
from replacement.evaluation import disagreement
from replacement.evaluation.metrics import decide, measure
from replacement.evaluation.operating_points import choose, curve
from replacement.training import acquisition, loop, teacher_labels, validation_set
from textcnn import Architecture, Student, Vocabulary

METHODS: Final = (
    "pingti", "random", "breaking_ties", "full_pool", "hard_labels", "no_boundary_drop", "no_diversity",
    "no_subclasses", "plain_textcnn", "fasttext", "model2vec", "linear_ngram",
)  # fmt: skip
LOOPS: Final = METHODS[:8]
"""Those that run the product's loop."""
PEERS: Final = METHODS[9:]
WHAT: Final = {
    "pingti": "the loop",
    "random": "as many teacher rows, at random",
    "breaking_ties": "as many teacher rows, least confidence alone",
    "full_pool": "the teacher scores the whole pool",
    "hard_labels": "pingti with the teacher's decisions for targets",
    "no_boundary_drop": "pingti with margin 0",
    "no_diversity": "pingti with hard negatives alone",
    "no_subclasses": "pingti that learns the task's classes alone",
    "plain_textcnn": "no wide part, random start, on pingti's rows",
    "fasttext": "on pingti's rows",
    "model2vec": "distilled and fine-tuned, on pingti's rows",
    "linear_ngram": "tf-idf of hashed n-grams and LinearSVC, on pingti's rows",
}
_LEARN, _VALIDATE = "teacher: rows to learn from", "teacher: validation"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a run may take."""

    share: float = 0.25
    """Of the pool: rows that the teacher may be asked about, all that the loop asks for included."""
    rounds: int = 5
    epochs: int | None = None
    """The student's; the product's own number where None."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """What a run of pingti asked the teacher, without the rows of its gate."""

    learn: list[str]
    learn_answers: NDArray[np.float32]
    validation: list[str]
    validation_answers: NDArray[np.float32]
    validation_weights: NDArray[np.float64]
    asked: int
    """Teacher rows in all, those of the gate included."""

    def save(self, path: Path) -> None:
        answers = np.concatenate([self.learn_answers, self.validation_answers])
        table = pa.table(
            {
                "text": pa.array([*self.learn, *self.validation], pa.large_string()),
                "learn": np.arange(len(answers)) < len(self.learn),
                "probabilities": pa.array(list(answers), pa.list_(pa.float32())),
                "weight": np.concatenate([np.ones(len(self.learn)), self.validation_weights]),
            }
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata({"asked": str(self.asked)}), path)

    @classmethod
    def load(cls, path: Path) -> "Chosen":
        table = pq.read_table(path)
        learn = np.asarray(table["learn"])
        texts = np.array(table["text"].to_pylist(), dtype=object)
        answers = np.array(table["probabilities"].to_pylist(), np.float32)
        return cls(
            learn=texts[learn].tolist(),
            learn_answers=answers[learn],
            validation=texts[~learn].tolist(),
            validation_answers=answers[~learn],
            validation_weights=np.asarray(table["weight"])[~learn],
            asked=int(table.schema.metadata[b"asked"]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Classifier:
    """A classifier that is ready to be measured."""

    scores: NDArray[np.float32]
    """(holdout, classes)"""
    threshold: float | None
    asked: int
    rounds: list[dict[str, Any]]


def run(
    method: str, part: Part, task: Task, seed: int, workspace: Path, effort: Effort
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a classifier and measure it: a row of the results, and what else there is to say about it."""
    started = time.monotonic()
    kept = workspace / "chosen" / f"2-{part.name}-{task.slug}-{seed}-{len(part.pool)}.parquet"
    chosen = None
    if method != "pingti":
        if not kept.is_file():
            _loop("pingti", part, task, seed, workspace, effort, None)[1].save(kept)
        chosen = Chosen.load(kept)
    if method in LOOPS:
        classifier, asked = _loop(method, part, task, seed, workspace, effort, chosen)
        if method == "pingti":
            asked.save(kept)
    else:
        assert chosen is not None
        classifier = _other(method, part, task, seed, workspace, effort, chosen)
    classes = len(part.names(task))
    decided = decide(classifier.scores, classifier.threshold)
    reference = part.reference(task)
    against_teacher = measure(reference, decided, classes)
    rows, true = part.known(task)
    against_true = measure(true, decided[rows], classes)
    teacher = measure(true, reference[rows], classes)
    key = {"data": part.name, "task": task.name, "method": method, "seed": seed}
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
        "seconds": round(time.monotonic() - started, 1),
        "rounds": classifier.rounds,
    }


# ---- the product's loop -------------------------------------------------------------------------------


def _loop(
    method: str, part: Part, task: Task, seed: int, workspace: Path, effort: Effort, chosen: Chosen | None
) -> tuple[_Classifier, Chosen]:
    budget = int(len(part.pool) * effort.share)
    gate_rows = max(10, min(2000, budget // 10))
    number = effort.rounds
    settings: dict[str, Any] = {"budget": budget, "margin": None, "subclasses": None}
    if method in ("random", "full_pool"):
        number = 2  # the seed, then all the rest at once
    if method == "full_pool":
        settings["budget"] = len(part.pool) + len(part.seed) + gate_rows
    if method == "no_boundary_drop":
        settings["margin"] = 0.0
    if method == "no_subclasses":
        settings["subclasses"] = 0
    home = Workspace(workspace)
    name = f"{part.name}_{task.slug}_{method}_{seed}"
    shutil.rmtree(home.tasks / name, ignore_errors=True)
    text = _definition(part, task, f"{name}.jsonl", gate_rows, number, effort.epochs, **settings)
    entry = home.add_task(name, text)
    yes = part.names(task)
    with (home.tasks / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for seed_text, label in part.seed:
            if task.labels:
                label = yes[label in task.labels]
            file.write(json.dumps({"text": seed_text, "label": label}, ensure_ascii=False) + "\n")

    asked: dict[str, list[tuple[list[str], NDArray[np.float32]]]] = {}

    def record(original: Callable[..., Any], self: Any, texts: list[str], what: str, **more: Any) -> Any:
        answers = original(self, texts, what, **more)
        asked.setdefault(what, []).append((list(texts), answers.probabilities))
        return answers

    weights = np.zeros(0)

    def weigh(original: Callable[..., Any], self: validation_set.ValidationSet, scores: Any) -> Any:
        nonlocal weights
        weights = self.weights
        return original(self, scores)

    with contextlib.ExitStack() as stack:
        stack.enter_context(_exchanged(validation_set.ValidationSet, "scored", weigh))
        stack.enter_context(_exchanged(teacher_labels.TeacherLabels, "ask", record))
        if chosen is not None:
            # A budget of another size would take another number of validation rows.
            count = len(chosen.validation)
            stack.enter_context(mock.patch.object(loop, "VALIDATION_ROWS", count))
        for change in _changes(method):
            stack.enter_context(change)
        outcome = loop.replace(entry, seed=seed)
    for what in (_LEARN, _VALIDATE):
        if what not in asked:
            raise RuntimeError(f"the loop asked for nothing as {what!r}, but as {sorted(asked)}")
    own = Chosen(
        learn=[text for texts, _ in asked[_LEARN] for text in texts],
        learn_answers=np.concatenate([answers for _, answers in asked[_LEARN]]),
        validation=[text for texts, _ in asked[_VALIDATE] for text in texts],
        validation_answers=np.concatenate([answers for _, answers in asked[_VALIDATE]]),
        validation_weights=weights,
        asked=outcome.report["teacher"]["rows_asked"],
    )
    # The others are drawn by a student's scores, and a method's student is its own.
    even = len(asked[_VALIDATE][0][0])
    if chosen is not None and own.validation[:even] != chosen.validation[:even]:
        raise RuntimeError(f"{name}: its validation rows are not pingti's; run pingti again first")
    folder = entry.student_folder(outcome.version)
    student = Student.load(folder)
    scores = student.score(pa.array(part.holdout, pa.large_string()))
    threshold = student.metadata["thresholds"]["default"] if task.labels else None
    del student
    (folder / "student.safetensors").unlink()  # the reports stay, to be looked at
    keys = ("round", "rows", "asked", "added", "boundary", "competing")
    turns = [
        {**{key: turn[key] for key in keys}, "f1": turn["holdout"]["f1"]} for turn in outcome.report["rounds"]
    ]
    return _Classifier(scores=scores, threshold=threshold, asked=own.asked, rounds=turns), own


def _definition(
    part: Part,
    task: Task,
    labels: str,
    gate_rows: int,
    number: int,
    epochs: int | None,
    *,
    budget: int,
    margin: float | None,
    subclasses: int | None,
) -> str:
    def quoted(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    lines = [
        f"classes = {quoted(part.names(task))}",
        "[corpus]",
        f"files = [{quoted(str(part.corpus.absolute()))}]",
        "[teacher]",
        f"model = {quoted(str(part.model))}",
        f"labels = {quoted(labels)}",
        "fine_tune = false",  # the teacher is there already: the labelled rows are the first round's
        f"max_length = {fidelity_data.MAX_LENGTH}",
        f"budget = {budget}",
    ]
    if margin is not None:
        lines.append(f"margin = {margin}")
    if task.labels:
        named = "".join(f'{quoted(label)} = "yes", ' for label in sorted(task.labels))
        lines.append(f'map = {{ {named}"*" = "no" }}')
    lines.append("[student]")
    if epochs is not None:
        lines.append(f"epochs = {epochs}")
    if subclasses is not None:
        lines.append(f"subclasses = {subclasses}")
    # The gate is out of reach, so that every round is run.
    lines += ["[gate]", "precision = 1.0", "recall = 1.0", f"rounds = {number}"]
    lines += [f"holdout_rows = {gate_rows}", f"holdout_fraction = {part.holdout_fraction!r}"]
    return "\n".join(lines) + "\n"


def _changes(method: str) -> list[contextlib.AbstractContextManager[None]]:
    """What is exchanged in the product for a method."""

    def at_random(_: Any, candidates: Any, *__: Any, budget: int, rng: Any, **___: Any) -> Any:
        return {"random": sampling.random_rows(len(candidates), budget=budget, rng=rng)}, []

    def least_confident(_: Any, candidates: Any, *__: Any, budget: int, rng: Any, **___: Any) -> Any:
        picked = sampling.breaking_ties(candidates.probabilities, budget=budget, rng=rng)
        return {"uncertain": picked}, []

    def none_hard(_: Any, answers: NDArray[np.float32], *__: Any, **___: Any) -> Any:
        return np.zeros(len(answers), np.bool_)

    def hard_negatives_alone(original: Callable[..., Any], *positional: Any, **named: Any) -> Any:
        parts = dict(original(*positional, **named))
        parts["competing"] += parts["diverse"]
        parts["diverse"] = 0.0
        return parts

    def decisions(original: Callable[..., Any], encoded: Any, targets: Any, **named: Any) -> Any:
        hard = np.eye(targets.shape[1], dtype=np.float32)[targets.argmax(axis=1)]
        return original(encoded, hard, **named)

    if method in ("random", "full_pool"):
        return [
            _exchanged(acquisition, "choose", at_random),
            _exchanged(disagreement, "hard_negatives", none_hard),
        ]
    if method == "breaking_ties":
        return [
            _exchanged(acquisition, "choose", least_confident),
            _exchanged(disagreement, "hard_negatives", none_hard),
        ]
    if method == "no_diversity":
        return [_exchanged(acquisition, "shares", hard_negatives_alone)]
    if method == "hard_labels":
        from textcnn import train

        return [_exchanged(train, "train", decisions)]
    return []


@contextlib.contextmanager
def _exchanged(owner: Any, name: str, by: Callable[..., Any]) -> Iterator[None]:
    """While it lasts ``owner.name`` is ``by``, which gets the original before its own arguments."""
    original = getattr(owner, name)
    calls = 0

    def instead(*positional: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return by(original, *positional, **named)

    with mock.patch.object(owner, name, instead):
        yield
    if calls == 0:
        raise RuntimeError(f"{owner.__name__}.{name} was not called: the bench's change had no effect")


# ---- classifiers trained on the rows that pingti chose ------------------------------------------------


def _other(
    method: str, part: Part, task: Task, seed: int, workspace: Path, effort: Effort, chosen: Chosen
) -> _Classifier:
    classes = len(part.names(task))
    labels: NDArray[np.int64] = chosen.learn_answers.argmax(axis=1)
    rng = np.random.default_rng([seed, *method.encode()])
    if method == "plain_textcnn":
        score = _plain_textcnn(part, task, effort, chosen, rng)
    elif method == "linear_ngram":
        score = fidelity_peers.linear_ngram(chosen.learn, labels, classes, chinese=part.chinese)
    elif method == "fasttext":
        # Processes may run side by side: a folder for each.
        folder = workspace / "fasttext" / f"{part.name}-{task.slug}-{seed}"
        score = fidelity_peers.fasttext(chosen.learn, labels, classes, chinese=part.chinese, folder=folder)
    else:
        encoder = part.model if part.chinese else fidelity_data.minilm()
        kept = workspace / "model2vec" / f"{part.name if part.chinese else 'minilm'}.npy"
        score = fidelity_peers.model2vec(chosen.learn, labels, classes, encoder=encoder, kept=kept, rng=rng)
    threshold = None
    if task.labels:
        positive = chosen.validation_answers.argmax(axis=1) > 0
        threshold, _ = choose(
            curve(positive, score(chosen.validation)[:, 1], chosen.validation_weights),
            Demand(),
        )
    return _Classifier(scores=score(part.holdout), threshold=threshold, asked=chosen.asked, rounds=[])


def _plain_textcnn(
    part: Part, task: Task, effort: Effort, chosen: Chosen, rng: np.random.Generator
) -> fidelity_peers.Scorer:
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
