"""From a data frame and a teacher to a promoted student: what a notebook calls instead of the command line."""
