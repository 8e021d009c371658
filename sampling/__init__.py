"""Which rows to take next: arrays in, distinct row numbers within a budget out."""

from sampling.clusters import Clusters, by_need, cluster, coverage, neighbours
from sampling.strategies import (
    breaking_ties,
    committee,
    competing,
    competing_classes,
    least_confidence,
    likely_false,
    near_threshold,
    random_rows,
)

__all__ = [
    "Clusters",
    "breaking_ties",
    "by_need",
    "cluster",
    "committee",
    "competing",
    "competing_classes",
    "coverage",
    "least_confidence",
    "likely_false",
    "near_threshold",
    "neighbours",
    "random_rows",
]
