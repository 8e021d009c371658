"""The student: a TextCNN that is trained with torch and scores without it."""

from textcnn.architecture import Architecture
from textcnn.encoding import Encoded, Vocabulary
from textcnn.multi_scorer import Panel, score_many
from textcnn.student import Student

__all__ = ["Architecture", "Encoded", "Panel", "Student", "Vocabulary", "score_many"]
