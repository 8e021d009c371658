"""What a corpus holds before anything is trained on it, and cleaning rules proposed from that."""

from replacement.profiling.cleaning_rules import Proposal
from replacement.profiling.profile import Share, Stats, collect

__all__ = ["Proposal", "Share", "Stats", "collect"]
