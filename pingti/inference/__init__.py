"""Classifying with finished students: versions pinned, many tasks in one pass, files in and files out."""

from pingti.inference.bad_rows import MaxBad, check_bad
from pingti.inference.classifier import Classifier
from pingti.inference.files import Counts, classify_files
from pingti.inference.pins import Choice, Pin, pin

__all__ = ["Choice", "Classifier", "Counts", "MaxBad", "Pin", "check_bad", "classify_files", "pin"]
