"""pandas: ``classify(frame, "title", students)``."""

from typing import TYPE_CHECKING

import pyarrow as pa

from pingti.errors import InputError
from pingti.integrations.students import Students

if TYPE_CHECKING:
    import pandas as pd


def classify(frame: "pd.DataFrame", column: str, students: Students) -> "pd.DataFrame":
    """Put the decisions beside a frame's columns.

    Args:
        frame: n rows, of any index.
        column: its column of texts; None, NaN and ``pd.NA`` give nulls.
        students: which decide.

    Returns:
        A new frame of the same rows and index.

    Raises:
        InputError: no such column or two of them, a value in it that is no string, or a column named as a
            result.
    """
    import pandas as pd

    columns = [str(name) for name in frame.columns]
    if columns.count(column) > 1:
        raise InputError(f"column {column!r} is there {columns.count(column)} times; needed is one")
    fields = [(name, pa.string() if name == column else pa.null()) for name in columns]
    students.check(pa.schema(fields), column)
    try:
        series = frame[column]
        if series.map(lambda value: isinstance(value, bytes)).any():  # Arrow would take them as UTF-8
            raise InputError(f"column {column!r}: every value must be a string or missing, and one is bytes")
        # pandas makes a column of floats of texts that are all missing, and of none.
        texts = pa.Array.from_pandas(
            series.astype(object) if series.isna().all() else series, type=pa.large_string()
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise InputError(f"column {column!r}: every value must be a string or missing: {error}") from error
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    results = students.classify(texts).to_pandas()
    results.index = frame.index
    return pd.concat([frame, results], axis=1)
