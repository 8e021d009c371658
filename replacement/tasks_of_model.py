"""Definitions of label tasks made from a model: one for each of its labels, over one corpus.

A teacher's answers are kept by the model, not by the task, so tasks made so share one pass of answers. They
are a family, too: their students read one network.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomlkit

from pingti.errors import DefinitionError, InputError
from pingti.model_files import file_problems, labels_of, read_config_json
from pingti.workspace.definition import NAME

_CLASSES = ["no", "yes"]
_LONGEST = 63


def read_labels(folder: Path) -> tuple[tuple[str, ...], bool]:
    """The labels of a model, and whether it answers each by itself.

    Args:
        folder: that ``save_pretrained`` wrote.

    Raises:
        InputError: it holds no classifier.
    """
    for problem in file_problems(folder):
        raise InputError(f"{folder}: {problem}")
    try:
        return labels_of(read_config_json(folder))
    except ValueError as error:
        raise InputError(f"{folder}: {error}") from error


def choose_labels(folder: Path, labels: Sequence[str], wanted: str) -> tuple[str, ...]:
    """The labels that tasks are made of.

    Args:
        folder: the model's, for errors.
        labels: all that the model has.
        wanted: some of them with commas between, or "all".

    Raises:
        InputError: one that the model has not, or none.
    """
    if wanted == "all":
        return tuple(labels)
    if wanted in labels:  # a name may hold a comma
        return (wanted,)
    chosen = tuple(dict.fromkeys(part.strip() for part in wanted.split(",") if part.strip()))
    strange = [label for label in chosen if label not in labels]
    if strange or not chosen:
        raise InputError(
            f"--labels {wanted!r}: {folder} has no label {(strange or [''])[0]!r}; it has {', '.join(labels)}"
        )
    return chosen


def names_of(labels: Sequence[str], chosen: Sequence[str], prefix: str) -> dict[str, str]:
    """A task's name for each label, safe as a file and a column, none twice.

    Args:
        labels: all that the model has: a label that holds no letter of a to z goes by its number there.
        chosen: those that are named.
        prefix: what names begin with.

    Raises:
        InputError: a prefix with which there is no name.
    """
    names: dict[str, str] = {}
    for label in chosen:
        stem = re.sub("[^a-z0-9]+", "_", label.lower()).strip("_")
        if not re.search("[a-z]", stem) or not label.isascii():
            stem = f"label_{list(labels).index(label)}"
        stem = f"{prefix}{stem}"
        if not re.match("[a-z]", stem) or stem == "id":
            stem = f"label_{stem}"
        name, number = stem[:_LONGEST], 2
        while name in names.values():
            ending = f"_{number}"
            name, number = f"{stem[: _LONGEST - len(ending)]}{ending}", number + 1
        if not NAME.fullmatch(name):
            raise InputError(f"--prefix {prefix!r}: not the start of a name; allowed are a-z, 0-9 and _")
        names[label] = name
    return names


def family_name(folder: Path) -> str:
    """What the tasks of a model are called together, where their definitions do not say it.

    Args:
        folder: the model's.
    """
    stem = re.sub("[^a-z0-9]+", "_", folder.resolve().name.lower()).strip("_")
    return stem[:_LONGEST] if re.match("[a-z]", stem) else f"family_{stem}".rstrip("_")[:_LONGEST]


def definitions(
    folder: Path, chosen: Sequence[str], independent: bool, base: str, source: Path
) -> dict[str, str]:
    """The definition of a task for each label: is it this one?

    Args:
        folder: the model's.
        chosen: the labels.
        independent: whether the model answers each label by itself.
        base: TOML of all that the tasks share: the corpus, and whatever else; its teacher's ``model``,
            ``map`` and ``label`` are replaced.
        source: where ``base`` comes from, for errors.

    Returns:
        By label, TOML.

    Raises:
        DefinitionError: the base is no TOML, or has no two classes.
    """
    try:
        shared: dict[str, Any] = tomllib.loads(base.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{source}: not valid TOML: {error}") from error
    classes = shared.get("classes", _CLASSES)
    if not isinstance(classes, list) or len(classes) != 2:
        raise DefinitionError(
            f"{source}: classes: {classes!r}; a task that asks for one label has two classes"
        )
    teacher = shared.get("teacher", {})
    if not isinstance(teacher, dict):
        raise DefinitionError(f"{source}: teacher: {teacher!r} is no table")
    kept = {key: value for key, value in teacher.items() if key not in ("model", "map", "label")}
    model = str(folder.resolve())
    family = family_name(folder)
    texts: dict[str, str] = {}
    for label in chosen:
        asked = {"label": label} if independent else {"map": {label: classes[1], "*": classes[0]}}
        document = {
            "family": family,
            **shared,
            "classes": classes,
            "teacher": {"model": model, **kept, **asked},
        }
        plain = {key: value for key, value in document.items() if not isinstance(value, dict)}
        tables = {key: value for key, value in document.items() if isinstance(value, dict)}
        texts[label] = tomlkit.dumps({**plain, **tables})
    return texts
