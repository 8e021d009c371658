"""``make bench-tables``: the tables of the documentation, written from ``benchmarks/results/``."""
