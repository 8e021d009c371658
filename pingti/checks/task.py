"""All that can be said against a task before it is added: its files, their columns, labels, and the teacher.

Nothing is loaded and no model is asked; the extra ``teacher`` is not needed. A name on the hub is not looked
up.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from pingti.annotation.answer_files import open_answers
from pingti.annotation.labelled_texts import look_at_labelled
from pingti.annotation.row_ids import missing_ids
from pingti.checks.decision_rule import rule_faults
from pingti.checks.teacher_labels import PYTHON, answered_alone, labels_asked
from pingti.corpus.reader import check_input, expand
from pingti.errors import DefinitionError, Fault, InputError, NotFoundError, PingtiError, json_pointer
from pingti.extras import install_hint
from pingti.model_files import file_problems, labels_of, length_problem, read_config_json, tokenizer_problem
from pingti.validation import sentence
from pingti.workspace.definition import HUB_NAME, Definition
from pingti.workspace.registry import Workspace

_MODEL = "/teacher/model"
_TASK = "task:"


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A definition that is looked at."""

    name: str
    definition: Definition
    source: Path | None
    """The file that it comes from, if any."""
    workspace: Workspace

    @property
    def base(self) -> Path:
        """Where its relative paths count from."""
        return self.workspace.tasks

    def nowhere(self, path: str, what: str = "file") -> str:
        """What to do about a path that leads nowhere; ``what`` is needed there."""
        if self.source is not None and _leads(self.source.parent, path):
            there = os.path.relpath(self.source.parent.resolve() / path, self.base.resolve())
            return f"{path!r} counts from {self.base}, where the definition goes; write {there!r}"
        return (
            f"{path!r}: there is no such {what} (looked from {self.base}); put it there, or correct the path"
        )


def check_task(
    name: str, definition: Definition, workspace: Workspace, source: Path | str
) -> tuple[str, ...]:
    """Look at all that a definition names.

    Args:
        name: the task's.
        definition: is checked.
        workspace: that it is to be added to.
        source: the file that it comes from; or, of a definition that comes from none, what errors call it.

    Returns:
        What could not be looked at here, a sentence each.

    Raises:
        DefinitionError: something would keep a run from beginning; all of it, a fault each, with its key.
    """
    # The system follows "../../posts.csv" only from a folder that is there.
    workspace.tasks.mkdir(parents=True, exist_ok=True)
    file = source if isinstance(source, Path) else None
    task = _Task(name=name, definition=definition, source=file, workspace=workspace)
    corpus = [*_corpus_faults(task)]
    labels = _label_faults(task, look_up=not corpus)
    faults = [*corpus, *labels, *_parent_faults(task), *_teacher_faults(task), *_checkpoint_faults(task)]
    if faults:
        placed = [replace(fault, file=None if file is None else str(file)) for fault in faults]
        raise DefinitionError(f"{source}: {sentence(faults)}", faults=placed)
    named = definition.teacher.model
    if find_spec("transformers") is None and named and not definition.teacher.model.startswith(_TASK):
        return (
            "the teacher's packages are not installed here, so that nobody knows whether they can read the "
            f"model; where it is to be replaced, {install_hint('teacher')}",
        )
    return ()


def _leads(base: Path, path: str) -> bool:
    return (base / path).exists() or bool(glob.glob(path, root_dir=base, recursive=True))  # noqa: PTH207


def _corpus_faults(task: _Task) -> Iterator[Fault]:
    """Of each entry of ``corpus.files``: that it leads nowhere, or to files that lack a column, ..."""
    section = task.definition.corpus
    for number, pattern in enumerate(section.files):
        pointer = json_pointer(("corpus", "files", number))
        if "://" not in pattern and not _leads(task.base, pattern):
            yield Fault(detail=task.nowhere(pattern), pointer=pointer)
            continue
        try:
            paths = expand(pattern, task.base)
        except PingtiError as error:
            yield Fault(detail=str(error), pointer=pointer)
            continue
        except Exception as error:  # of an address: its drivers' errors have no common root
            yield Fault(detail=f"{pattern!r} cannot be reached: {error}", pointer=pointer)
            continue
        for path in paths:
            try:
                check_input(path, section.columns)
            except InputError as error:
                yield Fault(detail=str(error), pointer=pointer)


def _label_faults(task: _Task, *, look_up: bool) -> Iterator[Fault]:
    """Of the files of labels: that they are not there, cannot be read, or have labels that are no classes.

    With ``look_up`` also of the ids in them: that no row of the corpus has them.
    """
    definition = task.definition
    # What another task's teacher was made of is that task's.
    seed = None if definition.teacher.model.startswith(_TASK) else definition.teacher.labels
    named: list[tuple[str, Path, tuple[str, ...]]] = []
    for section, path in (("teacher", seed), ("gate", definition.gate.labels)):
        if path is None:
            continue
        pointer = f"/{section}/labels"
        if not (task.base / path).is_file():
            yield Fault(detail=task.nowhere(path), pointer=pointer)
            continue
        tuned = section == "teacher" and definition.teacher.tuned
        look = look_at_labelled(task.base / path, definition.corpus, definition.classes, all_needed=tuned)
        for fault in look.faults:
            yield Fault(detail=f"{task.base / path}: {fault.detail}", pointer=pointer)
        named.append((pointer, task.base / path, look.ids))
    if look_up:
        yield from _id_faults(task, named)


def _id_faults(task: _Task, named: Sequence[tuple[str, Path, tuple[str, ...]]]) -> Iterator[Fault]:
    """Of the ids in files of labels: that no row of the corpus, which is read once for all, has them.

    Args:
        task: the task.
        named: pointer, file, and its ids.
    """
    try:
        missing = missing_ids(
            [identity for _, _, ids in named for identity in ids], task.definition.corpus, task.base
        )
    except InputError as error:
        yield Fault(detail=str(error), pointer="/corpus/files")
        return
    for pointer, path, ids in named:
        if detail := missing.told(ids):
            yield Fault(detail=f"{path}: {detail}", pointer=pointer)


def _parent_faults(task: _Task) -> Iterator[Fault]:
    """Of the tasks that it depends on: that they are not there, or have no such class."""
    seen: set[str] = set()
    for number, dependency in enumerate(task.definition.depends_on):
        name, _, label = dependency.partition("=")
        problem = ""
        if name == task.name:
            problem = "a task may not depend on itself"
        elif name in seen:
            problem = f"task {name!r} is named twice; a text is of one of its classes alone"
        else:
            problem = _parent_problem(task.workspace, name, label)
        seen.add(name)
        if problem:
            yield Fault(detail=f"{dependency!r}: {problem}", pointer=json_pointer(("depends_on", number)))


def _parent_problem(workspace: Workspace, name: str, label: str) -> str:
    """Why a task cannot decide that a text is of a class; empty where it can."""
    try:
        parent = workspace.task(name)
        version = parent.current()  # the promoted student decides, whatever the definition says by now
        if version is None:
            classes = parent.definition.classes
        else:
            from textcnn.student import Student  # its kernels only where a student is looked at

            classes = Student.read_classes(parent.student_folder(version))
    except NotFoundError as error:
        return f"{error}; add that task first"
    except PingtiError as error:
        return str(error)
    return "" if label in classes else f"task {name!r} has no class {label!r}; it has {', '.join(classes)}"


def _teacher_faults(task: _Task) -> Iterator[Fault]:
    """Of the teacher: that its files cannot be used, or its labels do not fit the classes."""
    section = task.definition.teacher
    yield from _answer_faults(task)
    if section.model.startswith(_TASK):
        yield from _owner_faults(task)
        return
    if not section.model or section.model.startswith(PYTHON):
        return
    folder = task.base / section.model
    if not folder.is_dir():
        if not HUB_NAME.fullmatch(section.model):
            yield Fault(
                detail=f"{task.nowhere(section.model, 'folder')}; needed is a folder that save_pretrained "
                "wrote, or a name on the Hugging Face hub",
                pointer=_MODEL,
            )
        return
    for problem in _folder_problems(folder):
        yield Fault(detail=f"{folder}: {problem}", pointer=_MODEL)
    try:
        config = read_config_json(folder)
    except ValueError as error:
        if (folder / "config.json").exists():
            yield Fault(detail=f"{folder}: {error}", pointer=_MODEL)
        return
    kind = config.get("model_type")
    if problem := length_problem(section.max_length, kind, config.get("max_position_embeddings")):
        yield Fault(detail=problem, pointer="/teacher/max_length")
    if section.tuned:
        labels, independent = task.definition.classes, False  # by then it has these
    else:
        try:
            labels, independent = labels_of(config)
        except ValueError as error:
            yield Fault(detail=f"{folder}: {error}", pointer=_MODEL)
            return
    yield from rule_faults(labels, independent, task.definition.classes, section)


def _checkpoint_faults(task: _Task) -> Iterator[Fault]:
    """Of the model that a transformer student starts from: that it is nowhere."""
    named = task.definition.student.transformer.checkpoint
    if named is not None and not (task.base / named).is_dir() and not HUB_NAME.fullmatch(named):
        yield Fault(
            detail=f"{task.nowhere(named, 'folder')}; needed is a folder that save_pretrained wrote, or a "
            "name on the Hugging Face hub",
            pointer="/student/transformer/checkpoint",
        )


def _answer_faults(task: _Task) -> Iterator[Fault]:
    """Of answers, sentence model and endpoint: that they lead nowhere, or their labels do not fit."""
    section = task.definition.teacher
    for number, pattern in enumerate(section.answers):
        pointer = json_pointer(("teacher", "answers", number))
        if "://" in pattern:
            yield Fault(detail=f"{pattern!r}: needed are files here, not an address", pointer=pointer)
            continue
        if not _leads(task.base, pattern):
            yield Fault(detail=task.nowhere(pattern), pointer=pointer)
            continue
        try:
            for path in expand(pattern, task.base):
                open_answers(path, section.answer_columns, task.definition.corpus)
        except InputError as error:
            yield Fault(detail=str(error), pointer=pointer)
    if section.vectors is not None and not (task.base / section.vectors).is_dir():
        yield Fault(detail=task.nowhere(section.vectors), pointer="/teacher/vectors")
    labels: tuple[str, ...] = ()
    independent = False
    if section.endpoint is not None or section.model.startswith(PYTHON):
        labels = labels_asked(task.definition)
    elif not section.model:
        labels, independent = tuple(section.answer_columns.scores), answered_alone(section)
    if labels:
        yield from rule_faults(labels, independent, task.definition.classes, section)


def _folder_problems(folder: Path) -> Iterable[str]:
    yield from file_problems(folder)
    if find_spec("transformers") is not None and (problem := tokenizer_problem(folder)):
        yield problem


def _owner_faults(task: _Task) -> Iterator[Fault]:
    """Of a teacher that another task has."""
    section = task.definition.teacher
    name = section.model.removeprefix(_TASK)
    try:
        owner = task.workspace.task(name)
        theirs = owner.definition
    except NotFoundError as error:
        yield Fault(detail=f"{section.model!r}: {error}; add that task first", pointer=_MODEL)
        return
    except DefinitionError as error:
        yield Fault(detail=f"{section.model!r}: {error}", pointer=_MODEL)
        return
    if name == task.name or theirs.teacher.model.startswith(_TASK):
        yield Fault(detail=f"{section.model!r} has no teacher of its own", pointer=_MODEL)
        return
    if theirs.teacher.tuned:
        labels, independent = theirs.classes, False
    elif not theirs.teacher.model or theirs.teacher.model.startswith(PYTHON):
        return
    else:
        folder = owner.path.parent / theirs.teacher.model
        if not folder.is_dir():
            return
        try:
            labels, independent = labels_of(read_config_json(folder))
        except ValueError as error:
            yield Fault(detail=f"{section.model!r}: {folder}: {error}", pointer=_MODEL)
            return
    yield from rule_faults(labels, independent, task.definition.classes, section)
