"""``pingti.replace``: a teacher replaced on a frame, and what comes of it."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.cli.console import Screen
from api.cli.rounds import tell_round
from pingti.errors import InputError
from pingti.inference.task_student import TaskStudent
from pingti.notebook.task_files import Question, check_function, write_task
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace
from pingti.workspace.report import Report, how_sure, refusal
from pingti.workspace.report_document import ReportDocument
from replacement.progress import quiet
from replacement.results import Outcome, Round
from replacement.training import loop
from teacher.sources.callables import Function


def replace(
    data: Any,
    *,
    teacher: str | Path | Mapping[str, Any] | Function | None = None,
    text: str = "text",
    time: str | None = None,
    id: str | None = None,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    yes: str | Sequence[str] | None = None,
    labels: Any = None,
    workspace: Workspace | Path | str | None = None,
    definition: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> "Replacement":
    """Replace a teacher by a student that decides as it does on your texts.

    A workspace gets a task: the frame as its corpus (the columns that are named, in a Parquet file that goes
    by its content), and a definition. Then rounds are run as by ``pingti replace``. Called again after an
    interruption it goes on: what the teacher has answered is kept.

    Args:
        data: past texts: a frame of pandas, polars or datasets, an Arrow table, a file, a pattern, or several
            files; or a task of a workspace, which brings all but ``seed``, ``device`` and ``progress``, and
            the function that its definition calls "python:NAME".
        teacher: the folder of a model, its name on the hub, the keys of ``[teacher]``, or a function: called
            with a list of n texts it gives n of the classes, or probabilities (n, classes) in their order;
            None or a row of NaN is no answer. Its answers are kept by its name.
        text: the column of the texts.
        time: the column of the times, by which the newest texts are held out; their order where absent.
        id: the column of the ids; the row's number where absent.
        name: the task's; after the teacher's folder where absent.
        classes: of two, the second is the positive one; the teacher's labels where absent.
        yes: a label of the teacher, or several, that are a yes: the classes are "no" and "yes" then.
        labels: labelled texts to fine-tune the teacher on first: a file, or a frame with the column ``text``
            and a column "label".
        workspace: the folder; PINGTI_HOME if absent, else "workspace".
        definition: further keys, as in a definition's file: ``{"gate": {"precision": 0.95}}``.
        seed: every random choice comes from it.
        device: the teacher's torch device; a GPU where there is one, if absent.
        progress: whether to show on standard error how far it is.

    Returns:
        The new version, which is not promoted yet.

    Raises:
        InputError: a frame, a file, a label or an argument that cannot be used.
        ConflictError: another run makes a version of the task, or its definition is somebody's own.
        UnavailableError: the teacher cannot be had.
    """
    function = None if teacher is None or isinstance(teacher, str | Path | Mapping) else teacher
    question = Question(
        data=data,
        teacher=teacher,
        text=text,
        time=time,
        id=id,
        name=name,
        classes=classes,
        yes=(yes,) if isinstance(yes, str) else yes,
        labels=labels,
        definition=definition,
    )
    screen = Screen() if progress else None
    entry = _task_of(question, workspace, screen)
    return _run(entry, seed=seed, device=device, function=function, screen=screen)


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """A new version of a task. In a notebook it shows its report."""

    entry: TaskEntry
    outcome: Outcome
    """How the run ended: rounds, why it stopped, ..."""

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.entry.name

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.outcome.version

    @property
    def passed(self) -> bool:
        """Whether the student passed its gate."""
        return self.outcome.passed

    @functools.cached_property
    def student(self) -> TaskStudent:
        """The student, promoted or not.

        Raises:
            ConflictError: it has no usable threshold, or a task that it depends on has no promoted version.
        """
        return TaskStudent.of_version(self.entry.workspace, self.task, self.version)

    @functools.cached_property
    def report(self) -> ReportDocument:
        """How far it can be trusted; a notebook shows it as a page."""
        return self.entry.report(self.version)

    def promote(self, *, why: str = "passed its gate", force: bool = False) -> None:
        """Make it the version that jobs and ``pingti.load`` get from now on.

        Args:
            why: the reason, for the task's history.
            force: even if it fell short of its gate; the history says so.

        Raises:
            GateError: it fell short of its gate.
        """
        promotion.promote(self.entry, self.version, why=why, force=force)

    def __repr__(self) -> str:
        holdout = self.outcome.best.holdout
        verdict = "reaches its gate" if self.passed else refusal(self.report).headline
        return (
            f"<task {self.task!r}, version {self.version}: {verdict}; precision {holdout.precision:.3f}, "
            f"recall {holdout.recall:.3f} against the teacher on {holdout.rows:,} held-out texts>"
        )

    def __str__(self) -> str:
        """What the command line says, too: how far chance has a part in the verdict, on a line of its own."""
        return "\n".join(filter(None, [repr(self), self._how_sure()]))

    def _how_sure(self) -> str:
        # Of the student alone: where its teacher helps it, the verdict is another.
        alone = self.report["gate"].get("by", "student") == "student"
        return how_sure(Report.model_validate(self.report)) if alone else ""

    def _repr_html_(self) -> str | None:
        return self.report._repr_html_()


def _task_of(
    question: Question, workspace: Workspace | Path | str | None, screen: Screen | None
) -> TaskEntry:
    """The task that was given, or one that is written for the question."""
    if isinstance(question.data, TaskEntry):
        named = [*question.named(), *(["workspace"] if workspace is not None else [])]
        if "teacher" in named and callable(question.teacher):
            check_function(question.data)
            named.remove("teacher")
        if named:
            raise InputError(
                f"{', '.join(named)}: the definition of task {question.data.name!r} says it already"
            )
        return question.data
    entry, notes = write_task(
        question, workspace if isinstance(workspace, Workspace) else Workspace.named(workspace)
    )
    if screen is not None:
        for note in notes:
            screen.note(note)
    return entry


def _run(
    entry: TaskEntry, *, seed: int, device: str | None, function: Function | None, screen: Screen | None
) -> Replacement:
    """Run the rounds of a task, as ``pingti replace`` does."""

    def announce(round: Round) -> None:
        if screen is not None:
            tell_round(screen.note, round, len(entry.definition.classes), entry.definition.gate)

    shown: AbstractContextManager[None] = nullcontext() if screen is None else screen.progress()
    advance = quiet if screen is None else screen.advance
    try:
        with entry.making(), shown:
            outcome = loop.replace(
                entry, seed=seed, device=device, function=function, progress=advance, announce=announce
            )
    except KeyboardInterrupt:
        if screen is not None:
            screen.note("interrupted; the same call goes on from what the teacher has answered")
        raise
    result = Replacement(entry=entry, outcome=outcome)
    if not outcome.passed:
        entry.record(promotion.Event.REFUSED, outcome.version, why=refusal(outcome.report).headline)
    if screen is not None:
        for note in outcome.report.get("notes", []):
            screen.note(note)
        screen.note(f"{result}\nreport: {result.report.page}")
    return result
