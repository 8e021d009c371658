"""Definitions of label tasks made from a model: one for each of its labels, over one corpus.

A teacher's answers are kept by the model, not by the task, so tasks made so share one pass of answers. They
are a family, too: their students read one network.
"""

import re
import shlex
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from pingti.errors import DefinitionError, Fault, InputError
from pingti.model_files import file_problems, labels_of, read_config_json
from pingti.validation import sentence
from pingti.workspace.definition import NAME, check_name

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


def named_labels(
    folder: Path, labels: Sequence[str], wanted: Sequence[str], *, prefix: str, taken: Collection[str]
) -> dict[str, str]:
    """The labels that tasks are made of, and the name of each one's task.

    Args:
        folder: the model's, for errors.
        labels: all that the model has.
        wanted: as ``--labels`` says it, in parts: a label, LABEL=NAME, "all", or several with commas between.
            A label's own name may hold a comma or "=".
        prefix: what those names begin with that are made from labels.
        taken: names of the tasks that are there.

    Returns:
        By label, in the order in which they were named; "all" leaves the model's.

    Raises:
        InputError: a label that the model has not, or none; a name that is not allowed, two for one label,
            one for two labels, or one that a task has. All of them at once, a fault each.
    """
    given, faults = _given_names(folder, labels, wanted)
    if not given and not faults:
        faults.append(f"no label is named; {folder} has {', '.join(labels)}")
    faults += _faults_of_names(given)
    names = _names_of(labels, given, prefix)
    if any(given[label] is None and not NAME.fullmatch(name) for label, name in names.items()):
        faults.append(f"--prefix {prefix!r}: not the start of a name; allowed are a-z, 0-9 and _")
    faults += [
        f"task {name!r} is there already, and nothing was added; --prefix makes other names, --labels "
        f"{shlex.quote(f'{label}=NAME')} gives this one another"
        for label, name in names.items()
        if name in taken
    ]
    if faults:
        listed = [Fault(detail=fault) for fault in faults]
        raise InputError(sentence(listed), faults=listed)
    return names


def _given_names(
    folder: Path, labels: Sequence[str], wanted: Sequence[str]
) -> tuple[dict[str, str | None], list[str]]:
    """The chosen labels with the names that were given to them, and what is wrong with the choice."""
    given: dict[str, str | None] = {}
    faults: list[str] = []
    for option in wanted:
        # A label's own name may hold a comma, or "=".
        before, _, after = option.rpartition("=")
        whole = option in labels or (before in labels and "," not in after)
        for part in [option] if whole else [own.strip() for own in option.split(",") if own.strip()]:
            label, equals, name = part.rpartition("=")
            if part in labels:
                given.setdefault(part, None)
            elif part == "all":
                given |= {label: given.get(label) for label in labels}
            elif not equals or label not in labels:
                has = label if equals else part
                faults.append(f"--labels {part!r}: {folder} has no label {has!r}; it has {', '.join(labels)}")
            elif given.get(label) not in (None, name):
                faults.append(
                    f"--labels: {label!r} has two names, {given[label]!r} and {name!r}; give it one"
                )
            else:
                given[label] = name
    return given, faults


def _faults_of_names(given: Mapping[str, str | None]) -> list[str]:
    """What is wrong with the names that were given to labels."""
    faults: list[str] = []
    labels_of_name: dict[str, list[str]] = {}
    for label, name in given.items():
        if name is None:
            continue
        labels_of_name.setdefault(name, []).append(label)
        try:
            check_name(name)
        except DefinitionError as error:
            faults.append(f"--labels {f'{label}={name}'!r}: {error}")
    faults += [
        f"--labels: {', '.join(map(repr, same))} are named {name!r} alike; each label has a task of its own "
        "(one task of several labels is a definition with teacher.map)"
        for name, same in labels_of_name.items()
        if len(same) > 1
    ]
    return faults


def _names_of(labels: Sequence[str], given: Mapping[str, str | None], prefix: str) -> dict[str, str]:
    """A task's name for each label: the one given to it, or one made from it that no other has.

    One that holds another letter than those of a to z, or none, goes by its number among all ``labels``.
    """
    used = {name for name in given.values() if name is not None}
    names: dict[str, str] = {}
    for label, name in given.items():
        if name is not None:
            names[label] = name
            continue
        stem = re.sub("[^a-z0-9]+", "_", label.lower()).strip("_")
        if not re.search("[a-z]", stem) or not label.isascii():
            stem = f"label_{list(labels).index(label)}"
        stem = f"{prefix}{stem}"
        if not re.match("[a-z]", stem) or stem == "id":
            stem = f"label_{stem}"
        name, number = stem[:_LONGEST], 2
        while name in used:
            ending = f"_{number}"
            name, number = f"{stem[: _LONGEST - len(ending)]}{ending}", number + 1
        used.add(name)
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
