"""The folder that holds everything: definitions, versions of students, and which of them is promoted."""

from pingti.workspace.definition import Definition
from pingti.workspace.registry import TaskEntry, Workspace

__all__ = ["Definition", "TaskEntry", "Workspace"]
