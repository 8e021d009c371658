"""The student: a TextCNN (Kim 2014) that is trained with torch and scores without it."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from textcnn.architecture import Architecture
    from textcnn.encoding import Encoded, Vocabulary
    from textcnn.multi_scorer import MultiScorer, score_many
    from textcnn.student import Student

__all__ = ["Architecture", "Encoded", "MultiScorer", "Student", "Vocabulary", "score_many"]

# All but the architecture load the compiled kernels, which who reads definitions does without.
__getattr__ = lazy(
    __name__,
    {
        "Architecture": "textcnn.architecture",
        "Encoded": "textcnn.encoding",
        "MultiScorer": "textcnn.multi_scorer",
        "Student": "textcnn.student",
        "Vocabulary": "textcnn.encoding",
        "score_many": "textcnn.multi_scorer",
    },
)
