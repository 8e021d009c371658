"""Which rows to take next: arrays in, distinct row numbers within a budget out."""

from sampling.clusters import Clusters, by_need, cluster, coverage, neighbours, spread
from sampling.strategies import (
    breaking_ties,
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
    "competing",
    "competing_classes",
    "coverage",
    "least_confidence",
    "likely_false",
    "near_threshold",
    "neighbours",
    "random_rows",
    "spread",
]
