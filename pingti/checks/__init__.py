"""All that can be said against a task before it is added, without the teacher's packages."""

from pingti.checks.task import check_task

__all__ = ["check_task"]
