"""Which rows to take next: arrays in, distinct row numbers within a budget out."""

from sampling.clusters import Clusters, by_need, cluster, coverage, neighbours
from sampling.duplicates import near_duplicates
from sampling.strategies import (
    breaking_ties,
    committee,
    hard_negatives,
    hard_negatives_by_class,
    likely_false,
    open_questions,
    random_rows,
)

__all__ = [
    "Clusters",
    "breaking_ties",
    "by_need",
    "cluster",
    "committee",
    "coverage",
    "hard_negatives",
    "hard_negatives_by_class",
    "likely_false",
    "near_duplicates",
    "neighbours",
    "open_questions",
    "random_rows",
]
