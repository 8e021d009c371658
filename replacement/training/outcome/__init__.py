"""The end of a run: the student that is kept is measured, and written with its report."""
