"""The student: a TextCNN (Kim 2014) that is trained with torch and scores without it."""

from textcnn.architecture import Architecture
from textcnn.encoding import Encoded, Vocabulary
from textcnn.multi_scorer import MultiScorer, score_many
from textcnn.student import Student

__all__ = ["Architecture", "Encoded", "MultiScorer", "Student", "Vocabulary", "score_many"]
