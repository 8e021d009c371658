"""Rows of CSV, TSV and JSON lines: whole blocks of lines by Arrow's readers, row by row where they differ.

Arrow reads some files otherwise than is right here: it takes a line break for a row's end that is none, two
objects of a line for two rows, or bytes that are no text for text. So each block is looked at before, and
what Arrow could read otherwise is read row by row, in small blocks. ``lines`` does so for both formats.
"""
