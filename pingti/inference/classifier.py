"""Rows of text in, one column of decisions and one of scores per label task out.

This is what a job's shard and ``pingti classify`` share: rules, dependencies between tasks, thresholds of
operating points, and one encoding of a text for all tasks of one vocabulary.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pingti.corpus.rules import matches
from pingti.errors import PingtiError
from pingti.frames.tables import rows_of
from pingti.inference.pins import Choice, Pin, class_number, columns_of, deciding, described
from pingti.inference.pins import pin as pin_choices
from pingti.students import AnyStudent, Scorer, load_second, load_student
from pingti.workspace.definition import RulesSection
from pingti.workspace.registry import Workspace

Second = Callable[[Pin, list[str]], Sequence[str | None]]
"""Is asked about the texts of which a pin's student is not sure: a class for each, None where it has none."""
BY = pa.array(["student", "teacher", "unsure", "transformer"], pa.string())
"""What ``<task>_by`` of the results holds."""
_STUDENT, _TEACHER, _UNSURE, _TRANSFORMER = range(4)


class Classifier:
    """The students of some pins, loaded; safe to use from several threads.

    ``schema`` is that of the results: ``id``, then for every task ``<task>`` (string, null where it was not
    asked) and ``<task>_score`` (float32: the positive class's probability, or for more than two classes
    that of the class decided on). A task asked at several operating points has columns for each:
    ``<task>`` for the default one, ``<task>@<name>`` for others. A task with a cascade has ``<task>_by``
    (string): "student", "teacher" or "transformer", as who decided, or "unsure" where the student did without
    being sure. The metadata's ``pingti.tasks`` holds the pins as JSON.
    """

    def __init__(self, tasks: "Sequence[_Task]", second: Second | None = None) -> None:
        self.pins = tuple(task.pin for task in tasks)
        self._tasks = tasks
        self._second = second
        # What is asked of every text is scored in one pass; a dependent task often concerns few. A student
        # scores once, at however many operating points it is asked.
        asked = {task.pin_of_student: task.student for task in self._tasks if not task.depends_on}
        self._asked_of_all = list(asked)
        self._scorer = Scorer(list(asked.values()))
        fields = [("id", pa.string())]
        for pin in self.pins:
            if not pin.hidden:
                fields += columns_of(pin).items()
        pinned = [described(pin) for pin in self.pins]
        self.schema = pa.schema(fields, metadata={"pingti.tasks": json.dumps(pinned)})

    @classmethod
    def load(cls, workspace: Workspace, pins: Sequence[Pin]) -> Self:
        """Load the students of some pins.

        Raises:
            NotFoundError: a task or a version is gone.
            ArtifactError: a student is damaged.
            UnavailableError: a package is missing that a student computes with.
        """
        students: dict[tuple[str, int], AnyStudent] = {}
        seconds: dict[tuple[str, int], AnyStudent] = {}
        for pin in pins:
            key = pin.task, pin.version
            folder = workspace.task(pin.task).student_folder(pin.version)
            if key not in students:
                students[key] = load_student(folder)
            if pin.second not in (None, "teacher") and key not in seconds:
                second = load_second(folder, students[key].metadata)
                if second is not None:
                    seconds[key] = second
        return cls.of_students(pins, students, seconds)

    @classmethod
    def of_students(
        cls,
        pins: Sequence[Pin],
        students: Mapping[tuple[str, int], AnyStudent],
        seconds: Mapping[tuple[str, int], AnyStudent] | None = None,
    ) -> Self:
        """Take students that are loaded already.

        Args:
            pins: in an order in which they can be decided.
            students: by task and version; KeyError where one of the pins' is not among them.
            seconds: of versions with a cascade, the students that answer where those are not sure.
        """
        known = seconds or {}
        return cls([_Task.of(pin, students[key := (pin.task, pin.version)], known.get(key)) for pin in pins])

    @classmethod
    def of(cls, workspace: Workspace, tasks: Sequence[str]) -> Self:
        """Load the promoted students of some label tasks.

        Args:
            workspace: where they are.
            tasks: "task", or "task@name" for an operating point of it, with "#version" behind either for
                another version than the promoted one.

        Raises:
            NotFoundError: no such task or version.
            ConflictError: a task without a promoted version, or without such an operating point.
            InputError: an operating point twice, none at all, or one that is not written so.
        """
        return cls.load(workspace, pin_choices(workspace, [Choice.parse(task) for task in tasks]))

    def asking(self, second: Second) -> Self:
        """The same students, and a teacher who is asked where those with a cascade are not sure.

        Args:
            second: is asked, where no student answers in the teacher's place.
        """
        return type(self)(self._tasks, second)

    def alone(self) -> Self:
        """The same students, which answer alone: rows of which they are not sure are marked."""
        return type(self)([dataclasses.replace(task, second=None) for task in self._tasks])

    @property
    def students(self) -> tuple[AnyStudent, ...]:
        """The student of each of ``pins``."""
        return tuple(task.student for task in self._tasks)

    def classify(self, rows: Any, *, text: str = "text", id: str | None = None) -> pa.RecordBatch:
        """Decide on every row.

        Examples:
            >>> import pingti
            >>> classifier = pingti.Classifier.of(pingti.Workspace.open(), ["sport", "topic"])
            >>> frame = {"number": [7, 8], "post": ["the goal match team coach", "a bread garden"]}
            >>> decided = classifier.classify(frame, text="post", id="number")
            >>> decided.select(["id", "sport", "topic"]).to_pylist()
            [{'id': '7', 'sport': 'yes', 'topic': 'sport'}, {'id': '8', 'sport': 'no', 'topic': 'other'}]

        Args:
            rows: a frame of pandas, polars or datasets, an Arrow table or batch; or texts alone, as
                ``Student.score`` takes them.
            text: of a frame, the column of the texts.
            id: of a frame, the column of the ids; "id" if absent and there is one, else rows are numbered.

        Returns:
            One row for each of ``rows``, in the same order, of ``schema``.

        Raises:
            InputError: no such column, or texts that are no strings.
        """
        plain = isinstance(rows, pa.RecordBatch) and {"id", "text"} <= set(rows.schema.names)
        if not (plain and text == "text" and id in (None, "id")):  # a shard's batch is taken as it is
            rows = rows_of(rows, text=text, id=id)
        texts = rows.column("text")
        scored = dict(zip(self._asked_of_all, self._scorer.score(texts), strict=True))
        decisions: dict[str, NDArray[np.int64]] = {}
        columns = [rows.column("id")]
        for task in self._tasks:
            decided, scores, unsure = task.decide(
                texts, scored.get(task.pin_of_student), decisions, self._tasks
            )
            by = np.where(unsure, _UNSURE, _STUDENT)
            if task.second is not None and unsure.any():
                decided, by = task.ask_student(task.second, texts, decided, unsure)
            elif self._second is not None and task.pin.second == "teacher" and unsure.any():
                decided, by = task.ask(self._second, texts, decided, unsure)
            decisions[task.pin.name] = decided
            if not task.pin.hidden:
                # Without a mask the arrays are taken as they are.
                absent = decided < 0 if decided.min(initial=0) < 0 else None
                labels = pa.DictionaryArray.from_arrays(
                    pa.array(decided, pa.int32(), mask=absent), pa.array(task.student.classes, pa.string())
                )
                columns += [labels.dictionary_decode(), pa.array(scores, pa.float32(), mask=absent)]
                if task.pin.second is not None:
                    named = pa.DictionaryArray.from_arrays(pa.array(by, pa.int32(), mask=absent), BY)
                    columns.append(named.dictionary_decode())
        return pa.record_batch(columns, schema=self.schema)


@dataclass(frozen=True, kw_only=True)
class _Task:
    pin: Pin
    student: AnyStudent
    # Rules and dependencies as they were when the student was trained, whatever the file says by now.
    rules: RulesSection
    depends_on: list[tuple[str, str]]
    """Names and classes of other tasks."""
    second: AnyStudent | None = None
    """Answers where the student is not sure."""

    @property
    def pin_of_student(self) -> tuple[str, int]:
        """What two operating points of one student have in common."""
        return self.pin.task, self.pin.version

    @classmethod
    def of(cls, pin: Pin, student: AnyStudent, second: AnyStudent | None = None) -> Self:
        rules = RulesSection.model_validate(student.metadata.get("rules", {}))
        parts = (dependency.partition("=") for dependency in student.metadata.get("depends_on", []))
        depends_on = [(task, label) for task, _, label in parts]
        return cls(pin=pin, student=student, rules=rules, depends_on=depends_on, second=second)

    def decide(
        self,
        texts: pa.Array,
        scored: NDArray[np.float32] | None,
        decisions: dict[str, NDArray[np.int64]],
        tasks: "Sequence[_Task]",
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
        """Number of each text's class, -1 where the task does not apply; its score; whether it is unsure.

        ``scored`` are the student's probabilities, (n, classes), where every text was scored.
        """
        ruled = self.rules.drop or self.rules.negative
        if scored is not None and not ruled and not np.isnan(scored[:, 0]).any():
            return self._choose(scored)  # the usual case, without a copy of anything
        applies = ~matches(texts, self.rules.drop)
        if scored is not None:
            applies &= ~np.isnan(scored[:, 0])  # not a text; what depends on another is not asked there
        for name, label in self.depends_on:
            decider = deciding([task.pin for task in tasks], name)
            parent = next(task.student for task in tasks if task.pin == decider)
            applies &= decisions[decider.name] == class_number(self.pin.task, name, label, parent.classes)
        negative = matches(texts, self.rules.negative)
        asked = applies & ~negative
        decided = np.full(len(texts), -1, np.int64)
        decided[applies & negative] = 0
        scores = np.full(len(texts), 0.0 if self.pin.threshold is not None else 1.0, np.float32)
        unsure = np.zeros(len(texts), np.bool_)
        rows = np.flatnonzero(asked)
        if len(rows):
            some = self.student.score(texts.take(pa.array(rows))) if scored is None else scored[rows]
            decided[rows], scores[rows], unsure[rows] = self._choose(some)
        return decided, scores, unsure

    def ask(
        self, second: Second, texts: pa.Array, decided: NDArray[np.int64], unsure: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The decisions with the second's where it answered, and who decided, by numbers of ``BY``."""
        rows = np.flatnonzero(unsure)
        answers = second(self.pin, texts.take(pa.array(rows)).to_pylist())
        if len(answers) != len(rows):
            raise PingtiError(f"task {self.pin.task!r}: {len(answers)} answers for {len(rows)} texts")
        known = [row for row, answer in zip(rows.tolist(), answers, strict=True) if answer is not None]
        decided, by = decided.copy(), np.where(unsure, _UNSURE, _STUDENT)
        decided[known] = [self.student.classes.index(answer) for answer in answers if answer is not None]
        by[known] = _TEACHER
        return decided, by

    def ask_student(
        self, second: AnyStudent, texts: pa.Array, decided: NDArray[np.int64], unsure: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As ``ask``, of a student in this process: its likeliest classes."""
        rows = np.flatnonzero(unsure)
        decided = decided.copy()
        decided[rows] = second.score(texts.take(pa.array(rows))).argmax(axis=1)
        return decided, np.where(unsure, _TRANSFORMER, _STUDENT)

    def _choose(
        self, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
        unsure = self._unsure(probabilities)
        if self.pin.threshold is not None:
            scores = probabilities[:, 1]
            return (scores >= self.pin.threshold).astype(np.int64), scores, unsure
        return probabilities.argmax(axis=1), probabilities.max(axis=1), unsure

    def _unsure(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        low, high = self.pin.unsure_from, self.pin.unsure_below
        if low is None or high is None:
            return np.zeros(len(probabilities), np.bool_)
        values = certainty(probabilities)
        return (values >= low) & (values < high)


def certainty(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    """What tells how sure a student is: of two classes the second's probability, of more the margin.

    Args:
        probabilities: (n, classes).

    Returns:
        (n,), of the probabilities' own type.
    """
    if probabilities.shape[1] == 2:
        return probabilities[:, 1]
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    margins: NDArray[np.floating] = two[:, 1] - two[:, 0]
    return margins


def results_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of results: labels as numbers of a dictionary, ids and scores as they are.

    Those are seldom equal, and to look for a dictionary and for extremes cost more than to compress them.
    """
    labels = [field.name for field in schema if pa.types.is_string(field.type) and field.name != "id"]
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=labels, write_statistics=labels)
