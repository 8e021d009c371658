"""Ray Data: ``data.map_batches(Classify, fn_constructor_args=(students, "t"), batch_format="pyarrow")``."""

import pyarrow as pa

from pingti.integrations.students import Students


class Classify:
    """What ``map_batches`` calls with each batch; each of its actors loads the students once.

    Args:
        students: which decide.
        column: the batches' column of texts.
    """

    def __init__(self, students: Students, column: str) -> None:
        self._students = students
        self._column = column

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Put the decisions beside a batch's columns; errors as of ``Students.extend``."""
        return self._students.extend(batch, self._column)
