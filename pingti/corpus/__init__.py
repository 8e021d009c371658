"""Reading texts: file formats and encodings, bad rows, normalised forms, and rules by regular expression."""

from pingti.corpus.ids import read_ids
from pingti.corpus.normalize import keys_of, normalised
from pingti.corpus.reader import BadRow, Columns, check_input, expand, expand_all, read_rows, schema
from pingti.corpus.rules import matches

__all__ = [
    "BadRow",
    "Columns",
    "check_input",
    "expand",
    "expand_all",
    "keys_of",
    "matches",
    "normalised",
    "read_ids",
    "read_rows",
    "schema",
]
