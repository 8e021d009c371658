"""One network for all tasks of a family: what the teachers' other labels teach serves every task."""
