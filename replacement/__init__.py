"""The loop that replaces a teacher: training, evaluation, reporting, and profiling of the corpus."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replacement.training.loop import replace

__all__ = ["replace"]


def __getattr__(name: str) -> Any:
    # Not at import: the loop needs FAISS, and much in this room does without.
    if name == "replace":
        from replacement.training.loop import replace

        return replace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
