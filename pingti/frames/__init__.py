"""Texts and tables of whichever library a caller works with, as Arrow: pandas, polars, datasets, NumPy.

None of those libraries is needed here, and none is imported: what a caller gives has been imported already.
"""
