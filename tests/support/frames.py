"""Frames of the libraries that a user may have; a test that needs one which is not installed is skipped."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

LIBRARIES = ("arrow", "batch", "mapping", "pandas", "pandas-object", "polars", "polars-lazy", "datasets")


def frame(library: str, columns: Mapping[str, Sequence[Any]]) -> Any:
    """The columns as a frame of a library, a None as that library writes it."""
    if library == "arrow":
        return pa.table(dict(columns))
    if library == "batch":
        return pa.record_batch(dict(columns))
    if library == "mapping":
        return dict(columns)
    package = pytest.importorskip(
        library.partition("-")[0], reason=f"frames of {library}: it is not installed"
    )
    if library == "pandas-object":
        missing = [None, np.nan, package.NA]
        values = {
            name: [missing[row % 3] if value is None else value for row, value in enumerate(column)]
            for name, column in columns.items()
        }
        return package.DataFrame(values, dtype=object)
    if library == "datasets":
        return package.Dataset.from_dict(dict(columns))
    made = package.DataFrame(dict(columns))
    return made.lazy() if library == "polars-lazy" else made
