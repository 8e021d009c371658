"""Spark: ``frame.mapInArrow(classify(students, "title"), result_schema(frame.schema, students))``."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pingti.integrations.students import Students

if TYPE_CHECKING:
    from pyspark.sql.types import StructType


def classify(
    students: Students, column: str
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Make the function that ``mapInArrow`` calls in its workers.

    Args:
        students: which decide; their folder is at the same path on every worker.
        column: the frame's column of texts.
    """

    def extend(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from students.extend(pa.Table.from_batches([batch]), column).to_batches()

    return extend


def result_schema(schema: "StructType", students: Students) -> "StructType":
    """Name the columns that come out: the frame's own, then those of the results.

    Args:
        schema: the frame's.
        students: which decide.
    """
    from pyspark.sql.types import FloatType, StringType, StructField, StructType

    added = [
        StructField(field.name, StringType() if pa.types.is_string(field.type) else FloatType())
        for field in students.schema
    ]
    return StructType([*schema.fields, *added])
