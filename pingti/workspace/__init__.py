"""The folder that holds everything: definitions, versions of students, and which of them is promoted."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from pingti.workspace.definition import Definition
    from pingti.workspace.registry import TaskEntry, Workspace

__all__ = ["Definition", "TaskEntry", "Workspace"]

# Who reads a report needs neither.
__getattr__ = lazy(
    __name__,
    {
        "Definition": "pingti.workspace.definition",
        "TaskEntry": "pingti.workspace.registry",
        "Workspace": "pingti.workspace.registry",
    },
)
