"""From a task's corpus and its teacher to a student: the loop, and each of its steps."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from replacement.training.dataset import Corpus, load_corpus
    from replacement.training.loop import replace
    from replacement.training.teacher_labels import TeacherLabels, load_teacher, load_teacher_of_version

__all__ = ["Corpus", "TeacherLabels", "load_corpus", "load_teacher", "load_teacher_of_version", "replace"]

# The loop needs FAISS, and who reads a corpus does without.
__getattr__ = lazy(
    __name__,
    {
        "Corpus": "replacement.training.dataset",
        "TeacherLabels": "replacement.training.teacher_labels",
        "load_corpus": "replacement.training.dataset",
        "load_teacher": "replacement.training.teacher_labels",
        "load_teacher_of_version": "replacement.training.teacher_labels",
        "replace": "replacement.training.loop",
    },
)
