"""Classifying with finished students: versions pinned, many tasks in one pass, files in and files out."""

from pingti.inference.classifier import Classifier
from pingti.inference.files import Counts, classify_files
from pingti.inference.pins import Choice, Pin, pin

__all__ = ["Choice", "Classifier", "Counts", "Pin", "classify_files", "pin"]
