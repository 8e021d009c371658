"""A task made of what a notebook has: frames as files of the workspace, arguments as a definition."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pingti import files
from pingti.checks.label_names import YES_CLASSES, asking_for
from pingti.checks.teacher_labels import PYTHON
from pingti.checks.text import check_text
from pingti.errors import ConflictError, InputError
from pingti.frames.tables import columns_of
from pingti.frames.texts import is_frame, shown
from pingti.model_files import labels_of, read_config_json
from pingti.workspace import definition
from pingti.workspace.registry import TaskEntry, Workspace
from teacher.sources.callables import Function

CORPORA = "corpora"
"""Folder of a workspace that holds the frames, each a Parquet file named by its content."""

_MARK = "# Written by pingti.replace, which changes it when it is called with other arguments.\n"
_HASH_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a task is to be made of."""

    data: Any
    """A frame, a path or pattern, or several."""
    teacher: str | Path | Mapping[str, Any] | Function | None = None
    text: str = "text"
    time: str | None = None
    id: str | None = None
    name: str | None = None
    classes: Sequence[str] | None = None
    yes: Sequence[str] | None = None
    """Labels of the teacher that are a yes; None: nobody says so."""
    labels: Any = None
    """A frame with the columns ``text`` and label, or a file; None: there are none."""
    definition: Mapping[str, Any] | None = None
    """Further keys, as in a definition's file."""

    def named(self) -> list[str]:
        """What is given besides the data."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return [
            name
            for name, value in values.items()
            if name != "data" and value is not None and not (name == "text" and value == "text")
        ]


def write_task(question: Question, workspace: Workspace) -> tuple[TaskEntry, list[str]]:
    """Write the corpus and the definition of a task; what is there already with the same content stays.

    Args:
        question: what to make of it.
        workspace: where to.

    Returns:
        The task, and what a caller should know, a sentence each.

    Raises:
        InputError: a frame, a file or an argument that cannot be used.
        ConflictError: the task has a definition that somebody wrote.
    """
    if question.teacher is None:
        raise InputError(
            "teacher: name the model that is to be replaced: a folder, a name on the hub, the keys of "
            "[teacher], or a function"
        )
    section = _teacher_section(question.teacher)
    classes = _classes_of(question, section)
    if question.yes is not None:
        section |= _asking_for(question, section)
    name = question.name or _name_of(section.get("model"))
    definition.check_name(name)
    path = workspace.tasks / f"{name}.toml"
    _check_owner(name, path)
    document: dict[str, Any] = {
        "classes": classes,
        "corpus": {"files": _corpus_files(question, workspace, name), **_columns(question)},
        "teacher": section,
    }
    if question.labels is not None:
        document["teacher"]["labels"] = _labels_file(question, workspace, name)
    workspace.tasks.mkdir(parents=True, exist_ok=True)  # relative paths count from it
    text = _MARK + toml(_merged(document, question.definition or {}))
    notes = [*check_text(name, text, workspace, path)[1]]
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        workspace.add_task(name, text)
        notes.insert(0, f"task {name!r} of the workspace {workspace.root}: {path} is its definition")
    return workspace.task(name), notes


def check_function(entry: TaskEntry) -> None:
    """Check that a task's teacher is a function of Python.

    Args:
        entry: the task.

    Raises:
        InputError: somebody else answers for it.
    """
    model = entry.definition.teacher.model
    if not model.startswith(PYTHON):
        raise InputError(
            f"teacher: a function was given, and the definition of task {entry.name!r} names another "
            f'teacher; teacher.model = "{PYTHON}NAME" in {entry.path} stands for a function'
        )


def toml(document: Mapping[str, Any], place: tuple[str, ...] = ()) -> str:
    """TOML of nested mappings; a None is left out, as TOML has none.

    Args:
        document: strings, numbers, truth values, lists of those, and mappings.
        place: the table that it is.

    Raises:
        InputError: a value of another type.
    """
    plain = {key: value for key, value in document.items() if not isinstance(value, Mapping)}
    lines = [
        f"{_key(key)} = {_value(value, (*place, key))}" for key, value in plain.items() if value is not None
    ]
    if place:
        lines.insert(0, f"\n[{'.'.join(map(_key, place))}]")
    tables = [
        toml(value, (*place, key)) for key, value in document.items() if isinstance(value, Mapping) and value
    ]
    return "".join(f"{line}\n" for line in lines) + "".join(tables)


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _string(key)


def _value(value: Any, place: tuple[str, ...]) -> str:
    if isinstance(value, str | Path):
        return _string(str(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(part, place) for part in value)}]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    raise InputError(
        f"definition: {'.'.join(place)} is {shown(value)}; allowed are strings, numbers, truth values, lists "
        "of them and mappings"
    )


def _string(text: str) -> str:
    # JSON's escapes are TOML's, too; but TOML has no bare DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _merged(document: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The one with the keys of the other, table by table."""
    merged = dict(document)
    for key, value in over.items():
        under = merged.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            value = _merged(under, value)
        merged[key] = value
    return merged


def _check_owner(name: str, path: Path) -> None:
    """ConflictError where a definition is there that a person wrote, or changed the mark of."""
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
        raise ConflictError(
            f"task {name!r}: {path} is a definition that pingti.replace did not write; "
            f"Workspace.open(...).task({name!r}).replace() runs it, and name=... makes another task"
        )


def _teacher_section(teacher: str | Path | Mapping[str, Any] | Function) -> dict[str, Any]:
    if callable(teacher):
        return {"model": f"{PYTHON}{_name_of_function(teacher)}"}
    section = dict(teacher) if isinstance(teacher, Mapping) else {"model": teacher}
    model = section.get("model")
    if isinstance(model, Path):
        section["model"] = str(model.absolute())
    elif isinstance(model, str):
        folder = Path(model).expanduser()
        section["model"] = str(folder.absolute()) if folder.is_dir() else model
    elif not isinstance(teacher, Mapping):
        raise InputError(
            f"teacher: {shown(teacher)} was given; needed is the folder of a model that save_pretrained "
            "wrote, its name on the hub, a mapping of the keys of [teacher], or a function"
        )
    return section


def _name_of_function(function: Function) -> str:
    """The name by which a function's answers are kept."""
    name = getattr(function, "__name__", "")
    if not name.isidentifier():  # so are those of a lambda and of a partial
        raise InputError(
            f"teacher: {shown(function)} has no name, by which its answers are kept; give a function that "
            "def has made"
        )
    return str(name)


def _name_of(model: Any) -> str:
    """A task's name after its teacher's."""
    named = "" if model is None or str(model).startswith("task:") else str(model).removeprefix(PYTHON)
    return definition.name_after(Path(named).name) or "task"


def _classes_of(question: Question, section: Mapping[str, Any]) -> list[str]:
    """The classes that are named, or the teacher's labels."""
    if question.yes is not None:
        if question.classes is not None:
            raise InputError('yes: the classes are "no" and "yes" then; leave classes out, or name a map')
        return list(YES_CLASSES)
    if question.classes is not None:
        if isinstance(question.classes, str):
            raise InputError(f"classes: {shown(question.classes)} was given; needed is a list of names")
        return list(question.classes)
    if section.get("map") or question.labels is not None:
        raise InputError(
            "classes: name them; with a map or with labels they are not the teacher's (of two, the second is "
            "the positive one)"
        )
    labels, independent = _labels_of(
        section.get("model"), "classes: name them", of_hub="classes=[...] with all of them in its order"
    )
    if independent:
        raise InputError(
            "classes: this model answers each label by itself; yes=... says which one the task asks for, of "
            f"{', '.join(labels)}"
        )
    return list(labels)


def _asking_for(question: Question, section: Mapping[str, Any]) -> dict[str, Any]:
    """What ``yes`` says, as keys of [teacher]."""
    if question.labels is not None or section.get("map") or section.get("label"):
        raise InputError("yes: it does not go with labels, a map or a label, which say the same otherwise")
    labels, independent = _labels_of(
        section.get("model"),
        "yes: give teacher.map instead",
        of_hub="in the place of yes=..., give classes=['no', 'yes'] and teacher="
        f"{{'model': {section.get('model')!r}, 'map': {{'LABEL': 'yes', '*': 'no'}}}}",
    )
    try:
        return asking_for(labels, independent, question.yes or ())
    except InputError as error:
        raise InputError(f"yes: {error}") from error


def _labels_of(model: Any, instead: str, *, of_hub: str) -> tuple[tuple[str, ...], bool]:
    """The labels of a model's folder, and whether each is answered by itself.

    Args:
        model: what the teacher is named as.
        instead: what to do where they are not known.
        of_hub: what to do where the model is one of the hub.
    """
    if not isinstance(model, str) or not model:
        raise InputError(f"{instead}; such a teacher is not a folder here, so that its labels are not known")
    if model.startswith(PYTHON):
        raise InputError(f"{instead}; a function does not tell which labels it gives")
    if not Path(model).is_dir():
        raise InputError(
            f"teacher: {model!r} is no folder here (looked from {Path.cwd()}); give the path of the folder "
            "that save_pretrained wrote. A name on the hub needs its labels told (config.json, which has "
            f"them, is not here yet): {of_hub}; and the hub must be within reach when the teacher is loaded"
        )
    try:
        return labels_of(read_config_json(Path(model)))
    except ValueError as error:
        raise InputError(f"{instead}; {model}: {error}") from error


def _corpus_files(question: Question, workspace: Workspace, name: str) -> list[str]:
    data = question.data
    if is_frame(data):
        others = {"time": question.time, "id": question.id}
        return [_written(columns_of(data, text=question.text, others=others), workspace, name)]
    paths = [data] if isinstance(data, str | Path) else data
    if not isinstance(paths, Sequence) or not paths or not all(isinstance(p, str | Path) for p in paths):
        raise InputError(
            f"{shown(data)} was given; needed is a frame of pandas, polars or datasets, an Arrow table, or "
            "paths of files"
        )
    return [_from_anywhere(path) for path in paths]


def _from_anywhere(path: str | Path) -> str:
    """A path that does not count from where the definition is; an address as it is."""
    return str(path) if "://" in str(path) else str(Path(path).expanduser().absolute())


def _columns(question: Question) -> dict[str, str | None]:
    return {"text": question.text, "id": question.id, "time": question.time}


def _labels_file(question: Question, workspace: Workspace, name: str) -> str:
    labels = question.labels
    if is_frame(labels):
        table = columns_of(labels, text=question.text, others={"label": "label"})
        return _written(table, workspace, f"{name}-labels")
    if isinstance(labels, str | Path):
        return _from_anywhere(labels)
    raise InputError(
        f"labels: {shown(labels)} was given; needed is a file, or a frame with the columns {question.text!r} "
        "and 'label'"
    )


def _written(table: pa.Table, workspace: Workspace, name: str) -> str:
    """Write a table under a name of its content; what it is to a definition of the workspace."""
    if not table.num_rows:
        raise InputError("the frame has no rows")
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks().replace_schema_metadata(None), sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    path = workspace.root / CORPORA / f"{name}-{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}.parquet"
    if not path.is_file():
        files.write_bytes(path, content)
    return f"../{CORPORA}/{path.name}"
