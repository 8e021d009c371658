"""Which class each of a teacher's labels stands for: by ``teacher.map``, by its name, or by its place."""

import re
from collections.abc import Sequence
from typing import Any

from pingti.errors import Fault, InputError

YES_CLASSES = ("no", "yes")
"""Classes of a task that asks for some labels of a teacher."""


def asking_for(labels: Sequence[str], independent: bool, yes: Sequence[str]) -> dict[str, Any]:
    """The keys of ``[teacher]`` of a task that asks whether a text has one of some labels.

    Args:
        labels: the teacher's.
        independent: whether it answers each by itself.
        yes: those that are a yes.

    Raises:
        InputError: a label that the teacher has not, none or all of them, or several of a teacher that
            answers each by itself.
    """
    strange = [label for label in yes if label not in labels]
    if strange:
        raise InputError(f"no label {strange[0]!r}; the model has {', '.join(labels)}")
    if independent:
        if len(yes) != 1:
            raise InputError(
                f"name one: the model answers each of {', '.join(labels)} by itself (pingti task add "
                "--from-model makes a task of each)"
            )
        return {"label": yes[0]}
    if not yes or set(yes) == set(labels):
        which = "all" if yes else "none"
        raise InputError(f"{which} of {', '.join(labels)} is a yes; a yes and a no are needed")
    return {"map": {**dict.fromkeys(yes, "yes"), "*": "no"}}


def class_numbers(labels: Sequence[str], classes: Sequence[str], mapping: dict[str, str]) -> tuple[int, ...]:
    """For each label of the teacher the number of the class that it stands for.

    Args:
        labels: the teacher's; they fit the classes, as ``label_faults`` sees it.
        classes: the task's.
        mapping: ``teacher.map``: the class of a label, and that of "*" for the rest; where it is empty,
            labels are classes by their names, or by their order if they have no names of their own.
    """
    if mapping:
        return tuple(classes.index(mapping.get(label, mapping.get("*", ""))) for label in labels)
    if _fit_by_order(labels, classes):
        return tuple(range(len(labels)))
    return tuple(classes.index(label) for label in labels)


def label_faults(labels: Sequence[str], classes: Sequence[str], mapping: dict[str, str]) -> list[Fault]:
    """All that does not fit between a teacher's labels and a task's classes.

    Args:
        labels: the teacher's.
        classes: the task's.
        mapping: ``teacher.map``.
    """
    if not mapping:
        if set(labels) == set(classes) or _fit_by_order(labels, classes):
            return []
        return [
            Fault(
                detail=f"{', '.join(classes)} are not the teacher's labels, {', '.join(labels)}; "
                "teacher.map says which label stands for which class",
                pointer="/classes",
            )
        ]
    strange = sorted(set(mapping.values()) - set(classes))
    if strange:  # the definition was changed since
        problems = [f"{name!r} is no class; allowed are {', '.join(classes)}" for name in strange]
        return [Fault(detail=problem, pointer="/teacher/map") for problem in problems]
    problems = [f"no label {label!r}" for label in sorted(set(mapping) - set(labels) - {"*"})]
    if "*" not in mapping:
        problems += [f"label {label!r} is not mapped" for label in labels if label not in mapping]
    known = f'; the teacher has {", ".join(labels)}, and "*" is for the rest'
    problems = [problem + known for problem in problems]
    reached = {mapping.get(label, mapping.get("*")) for label in labels}
    if not problems:
        problems = [f"no label of the teacher stands for {name!r}" for name in classes if name not in reached]
    return [Fault(detail=problem, pointer="/teacher/map") for problem in problems]


def _fit_by_order(labels: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether a model was saved without names for its labels, and has as many as there are classes."""
    return len(labels) == len(classes) and unnamed(labels) and set(labels) != set(classes)


def unnamed(labels: Sequence[str]) -> bool:
    """Whether a model was saved without names for its labels: they are the ones that transformers makes up.

    Args:
        labels: the model's.
    """
    return all(re.fullmatch("LABEL_[0-9]+", label) for label in labels)


def position_note(labels: Sequence[str], classes: Sequence[str], mapping: dict[str, str]) -> str:
    """What is to be told where labels without names were taken for classes by their order; else empty.

    Args:
        labels: the teacher's.
        classes: the task's.
        mapping: ``teacher.map``.
    """
    if mapping or set(labels) == set(classes):
        return ""
    pairs = ", ".join(f"{label} = {name}" for label, name in zip(labels, classes, strict=True))
    return (
        f"the teacher's labels have no names and were taken for the classes by their order: {pairs}; "
        "teacher.map says it otherwise"
    )
