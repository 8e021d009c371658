"""The rounds of a run: what it knows, training, measuring and choosing rows, and when they end."""
