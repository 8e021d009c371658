"""The similarity student: vectors of texts that lie near each other where a sentence teacher's do."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from textcnn.similarity.student import SimilarityStudent

__all__ = ["SimilarityStudent"]

# Loads the compiled kernels.
__getattr__ = lazy(__name__, {"SimilarityStudent": "textcnn.similarity.student"})
