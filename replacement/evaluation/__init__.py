"""How well a student decides: figures, their intervals, operating points, the gate, and where it fails."""

from replacement.evaluation.metrics import Measure, decide, measure
from replacement.evaluation.operating_points import OperatingPoint, Scored

__all__ = ["Measure", "OperatingPoint", "Scored", "decide", "measure"]
