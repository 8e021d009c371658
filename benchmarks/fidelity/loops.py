"""The product's loop as the bench runs it: a workspace and a definition of its own, with one thing changed.

What is changed is changed from here, by exchanging a function of the product while a run lasts; a change that
turns out to be without effect is an error.
All methods of one task, share and seed have the same validation rows, which choose the threshold, and the
same holdout.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import sampling
from benchmarks.fidelity import data
from benchmarks.fidelity.data import Part, Task
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.evaluation import disagreement
from replacement.training import acquisition, loop, teacher_labels, validation_set
from textcnn import Student

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
class Classifier:
    """A classifier that is ready to be measured."""

    scores: NDArray[np.float32]
    """(holdout, classes)"""
    threshold: float | None
    asked: int
    rounds: list[dict[str, Any]]


def replaced(
    method: str, part: Part, task: Task, seed: int, workspace: Path, effort: Effort, chosen: Chosen | None
) -> tuple[Classifier, Chosen]:
    """Run the loop for a method, and give its student's scores and what it asked the teacher."""
    _, gate_rows = rows_of(part, effort.share)
    # The seed, then all the rest at once, where rows are not chosen by errors.
    number = 2 if method in ("random", "full_pool") else effort.rounds
    settings = _settings(method, part, effort)
    home = Workspace(workspace)
    name = f"{part.name}_{task.slug}_{method}_{seed}_{round(1000 * effort.share)}"
    text = definition(part, task, f"{name}.jsonl", gate_rows, number, effort.epochs, **settings)
    entry = added(home, name, text, part, task, effort.share)

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
        stack.enter_context(exchanged(validation_set.ValidationSet, "scored", weigh))
        stack.enter_context(exchanged(teacher_labels.TeacherLabels, "ask", record))
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
    return _measurable(entry.student_folder(outcome.version), part, task, outcome.report), own


def _measurable(folder: Path, part: Part, task: Task, report: dict[str, Any]) -> Classifier:
    """A student's scores of the bench's own holdout; the student's file is removed, its reports stay."""
    student = Student.load(folder)
    scores = student.score(pa.array(part.holdout, pa.large_string()))
    threshold = student.metadata["thresholds"]["default"] if task.labels else None
    del student
    (folder / "student.safetensors").unlink()
    asked = report["teacher"]["rows_asked"]
    return Classifier(scores=scores, threshold=threshold, asked=asked, rounds=rounds_of(report))


def rounds_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What a report tells of the rounds, in short."""
    keys = ("round", "rows", "asked", "added", "boundary", "competing")
    return [{**{key: turn[key] for key in keys}, "f1": turn["holdout"]["f1"]} for turn in report["rounds"]]


def _settings(method: str, part: Part, effort: Effort) -> dict[str, Any]:
    """What a method's definition says that no other's does."""
    budget, gate_rows = rows_of(part, effort.share)
    if method == "full_pool":
        return {"budget": len(part.pool) + len(part.seed_of(effort.share)) + gate_rows}
    more: dict[str, Any] = {}
    if method == "no_boundary_rows":
        more["boundary"] = "leave"
    if method == "no_subclasses":
        more["subclasses"] = 0
    if method == "finish":
        more["finish_rows"] = len(part.pool)
    return {"budget": budget, **more}


def rows_of(part: Part, share: float) -> tuple[int, int]:
    """Rows that a teacher may be asked about, and those of them that are the gate's."""
    budget = int(len(part.pool) * share)
    return budget, max(10, min(2000, budget // 10))


def added(home: Workspace, name: str, text: str, part: Part, task: Task, share: float) -> TaskEntry:
    """A task of the workspace, made afresh, with its labelled texts."""
    shutil.rmtree(home.tasks / name, ignore_errors=True)
    entry = home.add_task(name, text)
    yes = part.names(task)
    with (home.tasks / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for seed_text, label in part.seed_of(share):
            if task.labels:
                label = yes[label in task.labels]
            file.write(json.dumps({"text": seed_text, "label": label}, ensure_ascii=False) + "\n")
    return entry


def definition(
    part: Part,
    task: Task,
    labels: str,
    gate_rows: int,
    number: int,
    epochs: int | None,
    *,
    budget: int,
    boundary: str | None = None,
    subclasses: int | None = None,
    finish_rows: int | None = None,
    family: str | None = None,
    kind: str | None = None,
    cascade: float | None = None,
) -> str:
    """The TOML of a task; what is None is the product's own."""

    def quoted(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    lines = [
        f"classes = {quoted(part.names(task))}",
        *([f"family = {quoted(family)}"] if family else []),
        "[corpus]",
        f"files = [{quoted(str(part.corpus.absolute()))}]",
        "[teacher]",
        f"model = {quoted(str(part.model))}",
        f"labels = {quoted(labels)}",
        "fine_tune = false",  # the teacher is there already: the labelled rows are the first round's
        f"max_length = {data.MAX_LENGTH}",
        f"budget = {budget}",
    ]
    if boundary is not None:
        lines.append(f"boundary = {quoted(boundary)}")
    if task.labels:
        named = "".join(f'{quoted(label)} = "yes", ' for label in sorted(task.labels))
        lines.append(f'map = {{ {named}"*" = "no" }}')
    lines.append("[student]")
    if kind is not None:
        lines.append(f"kind = {quoted(kind)}")
    if epochs is not None:
        lines.append(f"epochs = {epochs}")
    if subclasses is not None:
        lines.append(f"subclasses = {subclasses}")
    if finish_rows is not None:
        lines.append(f"finish_rows = {finish_rows}")
    # The gate is out of reach, so that every round is run.
    lines += ["[gate]", "precision = 1.0", "recall = 1.0", f"rounds = {number}"]
    lines += [f"holdout_rows = {gate_rows}", f"holdout_fraction = {part.holdout_fraction!r}"]
    if cascade is not None:
        lines += ["[cascade]", f"agreement = {cascade!r}"]
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

    if method == "own":
        return [exchanged(loop, "train_student", _as_before_families)]
    if method in ("random", "full_pool"):
        return [
            exchanged(acquisition, "choose", at_random),
            exchanged(disagreement, "hard_negatives", none_hard),
        ]
    if method == "breaking_ties":
        return [
            exchanged(acquisition, "choose", least_confident),
            exchanged(disagreement, "hard_negatives", none_hard),
        ]
    if method == "no_diversity":
        return [exchanged(acquisition, "shares", hard_negatives_alone)]
    if method == "hard_labels":
        from textcnn import train

        return [exchanged(train, "train", decisions)]
    return []


def _as_before_families(
    original: Callable[..., Any], setup: Any, training: Any, parts: Any, number: int
) -> Any:
    """A student whose wide part knows the task's classes alone, and its head the teacher's labels."""
    from textcnn import train

    def trained(
        of_labels: Callable[..., Any], encoded: Any, targets: Any, *, recipe: Any, **named: Any
    ) -> Any:
        recipe = train.Recipe(epochs=recipe.epochs)
        return of_labels(encoded, targets, subclasses=parts.counts, recipe=recipe, **named)

    def folded(_: Any, network: Any, vocabulary: Any, tasks: dict[str, Any]) -> dict[str, Student]:
        return {
            name: Student.from_network(network, vocabulary, classes, subclasses=parts.counts)
            for name, (classes, _) in tasks.items()
        }

    if not parts.divided:
        return original(setup, training, parts, number)
    with exchanged(train, "train", trained), exchanged(Student, "reading", folded):
        return original(setup, training, parts, number)


@contextlib.contextmanager
def exchanged(owner: Any, name: str, by: Callable[..., Any]) -> Iterator[None]:
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
