"""From a task's corpus and its teacher to a student: the loop, and each of its steps."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replacement.training.dataset import Corpus, load_corpus
    from replacement.training.loop import replace
    from replacement.training.teacher_labels import TeacherLabels, load_teacher, load_teacher_of_version

__all__ = ["Corpus", "TeacherLabels", "load_corpus", "load_teacher", "load_teacher_of_version", "replace"]

_MODULES = {
    "Corpus": "dataset",
    "TeacherLabels": "teacher_labels",
    "load_corpus": "dataset",
    "load_teacher": "teacher_labels",
    "load_teacher_of_version": "teacher_labels",
    "replace": "loop",
}


def __getattr__(name: str) -> Any:
    # Not at import: the loop needs FAISS, and who reads a corpus does without.
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
