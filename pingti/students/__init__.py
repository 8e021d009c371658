"""Students of every kind behind one interface: TextCNNs, and what else may take a teacher's place."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from pingti.students.interface import AnyStudent, Cost
    from pingti.students.loading import (
        load_second,
        load_student,
        save_second,
        student_files,
        version_files,
    )
    from pingti.students.scorer import Scorer

__all__ = [
    "AnyStudent",
    "Cost",
    "Scorer",
    "load_second",
    "load_student",
    "save_second",
    "student_files",
    "version_files",
]

# The scorer loads the compiled kernels, which who copies files does without.
__getattr__ = lazy(
    __name__,
    {
        "AnyStudent": "pingti.students.interface",
        "Cost": "pingti.students.interface",
        "Scorer": "pingti.students.scorer",
        "load_second": "pingti.students.loading",
        "load_student": "pingti.students.loading",
        "save_second": "pingti.students.loading",
        "student_files": "pingti.students.loading",
        "version_files": "pingti.students.loading",
    },
)
