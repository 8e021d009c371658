"""From a data frame and a teacher to a promoted student: what a notebook calls, not the command line."""
