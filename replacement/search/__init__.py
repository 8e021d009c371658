"""The search for a task's architecture: short trainings, a surrogate, and what a folded student costs."""
