"""A definition's text, checked as a whole: what is wrong with its keys, and with what the others name."""

import dataclasses
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pingti.checks.task import check_task
from pingti.checks.teacher_labels import PYTHON
from pingti.errors import DefinitionError, Fault
from pingti.validation import sentence
from pingti.workspace import definition
from pingti.workspace.definition import Definition
from pingti.workspace.registry import Workspace

_STANDS_FOR = {"classes": ["no", "yes"], "teacher": {"model": f"{PYTHON}nobody"}}
"""What stands in the place of a needed key that cannot be read, so that the others are looked at."""
_OF_CLASSES = ("/classes", "/teacher/map", "/teacher/label", "/gate/labels")
"""Keys of which nothing is known without the classes."""


def check_text(
    name: str, text: str, workspace: Workspace, source: Path | str
) -> tuple[Definition, tuple[str, ...]]:
    """Read a definition, and look at all that it names.

    Args:
        name: the task's.
        text: TOML.
        workspace: that it is to be added to.
        source: the file that it comes from; or what errors call it.

    Returns:
        What it says, and what could not be looked at here, a sentence each.

    Raises:
        DefinitionError: all that is wrong, a fault each, with its key: of keys that cannot be read, and of
            what the others name.
    """
    try:
        parsed = definition.parse(text, source)
    except DefinitionError as error:
        faults = [*error.faults, *_of_the_rest(name, text, workspace, source, error.faults)]
        if len(faults) == len(error.faults):
            raise
        raise DefinitionError(f"{source}: {sentence(faults)}", faults=faults) from error
    return parsed, check_task(name, parsed, workspace, source)


def _of_the_rest(
    name: str, text: str, workspace: Workspace, source: Path | str, faults: Sequence[Fault]
) -> list[Fault]:
    """What is wrong with what the readable keys name; nothing where there is too little to look at."""
    pointers = [fault.pointer or "" for fault in faults]
    try:
        document = tomllib.loads(text.removeprefix("\ufeff"))
        for pointer in pointers:
            _remove(document, pointer)
        missing = [key for key in _STANDS_FOR if key not in document]
        rest = Definition.model_validate(document | {key: _STANDS_FOR[key] for key in missing})
        check_task(name, rest, workspace, source)
    except DefinitionError as error:
        blind = [*pointers, *_OF_CLASSES] if "classes" in missing else pointers
        return [
            dataclasses.replace(fault, file=faults[0].file)
            for fault in error.faults
            if not _is_below(fault.pointer or "", blind)
        ]
    except (ValidationError, ValueError, RecursionError):  # no TOML, or a needed key is gone
        pass
    return []


def _remove(document: dict[str, Any], pointer: str) -> None:
    """Take away the key that a pointer leads to; of a list's item the whole list."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    place: Any = document
    for number, part in enumerate(parts):
        inner = place.get(part)
        if not isinstance(inner, dict) or number == len(parts) - 1:
            place.pop(part, None)
            return
        place = inner


def _is_below(pointer: str, others: Iterable[str]) -> bool:
    return any(pointer == other or pointer.startswith(f"{other}/") for other in others)
