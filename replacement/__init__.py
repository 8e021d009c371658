"""The loop that replaces a teacher: training, evaluation, reporting, and profiling of the corpus."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from replacement.training.loop import replace

__all__ = ["replace"]

# The loop needs FAISS, and much in this room does without.
__getattr__ = lazy(__name__, {"replace": "replacement.training.loop"})
