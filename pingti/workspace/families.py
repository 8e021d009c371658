"""Which tasks are a family, and whether one network can serve them."""

from collections.abc import Sequence

from pingti.errors import DefinitionError, NotFoundError
from pingti.workspace.registry import TaskEntry, Workspace

_ALIKE = ("corpus", "student")
"""Sections that members have in common: one network reads one vocabulary, made from one corpus."""
_OWN = {"kind", "transformer", "table"}
"""Keys of those sections that shape nothing of the network: each task may have its own."""
_SPLIT = ("holdout_days", "holdout_fraction", "holdout_rows")
"""Keys of the gate that members have in common: one split, one holdout."""


def members_of(workspace: Workspace, name: str) -> list[TaskEntry]:
    """The tasks of a family.

    Args:
        workspace: has the tasks.
        name: what their definitions call the family, or the task whose teacher others use ("task:NAME").

    Returns:
        Two or more, by name.

    Raises:
        NotFoundError: there are fewer.
        DefinitionError: a definition that cannot be read, or members that one network cannot serve.
    """
    entries = workspace.entries()
    members = [entry for entry in entries if family_among(entries, entry) == name]
    if len(members) < 2:
        families = sorted({family for family in map(family_of, entries) if family})
        raise NotFoundError(
            f"family {name!r}: tasks in it: {len(members)}; needed are two or more with "
            f'family = "{name}" in their definitions, or with teacher.model = "task:{name}"; '
            f"families there are: {', '.join(families) or 'none'}"
        )
    members.sort(key=lambda entry: entry.name)
    _check_heard(name, members)
    _check_alike(name, members)
    _check_one_schedule(name, members)
    return members


def family_of(entry: TaskEntry) -> str | None:
    """The name of a task's family: its definition's, or else the task whose teacher it uses.

    Args:
        entry: the task.
    """
    model = entry.definition.teacher.model
    return entry.definition.family or (model.removeprefix("task:") if model.startswith("task:") else None)


def family_among(entries: Sequence[TaskEntry], entry: TaskEntry) -> str | None:
    """The name of a task's family; of a task whose teacher others use, its own name.

    Args:
        entries: all tasks of the workspace.
        entry: one of them.
    """
    reads = f"task:{entry.name}"
    read = any(o.definition.teacher.model == reads and o.definition.family is None for o in entries)
    return family_of(entry) or (entry.name if read else None)


def _check_alike(name: str, members: Sequence[TaskEntry]) -> None:
    """Raise DefinitionError where members differ in what one network has in common."""
    first = members[0]
    for entry in members[1:]:
        for section in _ALIKE:
            ours, theirs = (getattr(task.definition, section).model_dump() for task in (first, entry))
            keys = [key for key in ours if key not in _OWN]
            _refuse_unlike(name, section, (first, ours), (entry, theirs), keys)
        gates = [task.definition.gate.model_dump() for task in (first, entry)]
        _refuse_unlike(name, "gate", (first, gates[0]), (entry, gates[1]), _SPLIT)


def _check_heard(name: str, members: Sequence[TaskEntry]) -> None:
    """Raise DefinitionError for what is asked of one task's training, where all tasks have one in common."""
    for entry in members:
        student, unheard = entry.definition.student, ""
        if entry.definition.teacher.boundary == "leave":
            unheard = "teacher.boundary: 'leave', but rows teach all tasks or none; 'learn'"
        elif student.finish_rows:
            unheard = f"student.finish_rows: {student.finish_rows}, but there is no finish for all tasks; 0"
        elif student.trunk == "own":
            unheard = "student.trunk: 'own', but all tasks have one network; 'family'"
        if unheard:
            raise DefinitionError(
                f"{entry.path}: {unheard} is what a run of the family {name!r} needs; or take the task "
                f"out of the family, then pingti replace {entry.name}"
            )


def _check_one_schedule(name: str, members: Sequence[TaskEntry]) -> None:
    """Raise DefinitionError where two members would each retrain the whole family."""
    scheduled = [entry for entry in members if entry.definition.retrain and entry.definition.retrain.joint]
    if len(scheduled) > 1:
        raise DefinitionError(
            f"{scheduled[1].path}: retrain.joint: it stands in {scheduled[0].path.name}, too; one task of "
            f"the family {name!r} has it, and its night is that of all"
        )


def _refuse_unlike(
    name: str,
    section: str,
    one: tuple[TaskEntry, dict[str, object]],
    other: tuple[TaskEntry, dict[str, object]],
    keys: Sequence[str],
) -> None:
    for key in keys:
        ours, theirs = one[1][key], other[1][key]
        if ours != theirs:
            raise DefinitionError(
                f"{other[0].path}: {section}.{key}: {_shown(theirs)}, but {_shown(ours)} in "
                f"{one[0].path.name}; tasks of the family {name!r} need the same: "
                "one network reads one corpus"
            )


def _shown(value: object) -> str:
    return "absent" if value is None else repr(value)
