"""Which students decide, as a value that travels to an engine's processes, and Arrow tables in and out."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pingti.errors import InputError
from pingti.frames.texts import text_array
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, Pin, pin
from pingti.workspace.registry import Workspace

_TEXTS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_null,  # a column of which every text is missing
)


@dataclass(frozen=True, kw_only=True)
class Students:
    """Students of fixed versions. Small, hashable, and picklable: each process loads them once.

    Examples:
        >>> import pyarrow as pa
        >>> from pingti.integrations import Students
        >>> students = Students.of("workspace", ["sport", "topic"])
        >>> students.schema.names
        ['sport', 'sport_score', 'topic', 'topic_score']
        >>> decided = students.classify(pa.array(["the goal match team coach", None]))
        >>> decided.column("topic").to_pylist()
        ['sport', None]
    """

    home: str
    """The workspace's folder, at the same path for every process."""
    pins: tuple[Pin, ...]

    @classmethod
    def of(cls, home: str | Path, tasks: Sequence[str] | str) -> Self:
        """Fix the promoted students of some label tasks.

        Args:
            home: the workspace's folder.
            tasks: one or several: "task", or "task@name" for an operating point of it, with "#version"
                behind either for another version than the promoted one.

        Raises:
            NotFoundError: no such task or version.
            ConflictError: a task without a promoted version, or without such an operating point.
            InputError: a task twice, none at all, or one that is not written so.
        """
        choices = [Choice.parse(task) for task in ([tasks] if isinstance(tasks, str) else tasks)]
        root = Path(home).resolve()
        return cls(home=str(root), pins=pin(Workspace(root), choices))

    @classmethod
    def of_results(cls, home: str | Path, results: str | Path) -> Self:
        """Take the students that a job or ``pingti classify`` used, whatever is promoted by now.

        Args:
            home: the workspace's folder.
            results: a Parquet file of results.

        Raises:
            InputError: a file that cannot be read, or without the pins in its metadata.
        """
        try:
            metadata = pq.read_schema(results).metadata or {}
            pins = tuple(Pin(**described) for described in json.loads(metadata[b"pingti.tasks"]))
        except KeyError:
            raise InputError.in_file(
                results, "no pingti.tasks in its metadata; needed is a results file that Pingti wrote"
            ) from None
        except (OSError, pa.ArrowException, ValueError, TypeError) as error:
            raise InputError.in_file(results, f"not readable as results: {error}") from error
        return cls(home=str(Path(home).resolve()), pins=pins)

    @property
    def schema(self) -> pa.Schema:
        """Schema of the results: for each task ``<task>`` (string) and ``<task>_score`` (float32)."""
        schema = self.classifier.schema
        return pa.schema([field for field in schema if field.name != "id"])

    @property
    def classifier(self) -> Classifier:
        """The students, loaded once in each process.

        Raises:
            NotFoundError: a task or a version is gone.
            ArtifactError: a student is damaged.
        """
        return _loaded(self)

    def classify(self, texts: Any) -> pa.RecordBatch:
        """Decide on n texts.

        Args:
            texts: an Arrow string array, a string, a Series, a list; what is missing gives nulls.

        Returns:
            n rows of ``schema``.

        Raises:
            InputError: a frame, of which a column is needed, or a value that is no string.
        """
        texts = text_array(texts)
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        if pa.types.is_null(texts.type):
            texts = texts.cast(pa.string())  # rules are looked for in strings alone
        ids = pa.nulls(len(texts), pa.string())
        results = self.classifier.classify(pa.record_batch({"id": ids, "text": texts}))
        return results.select(self.schema.names)

    def extend(self, table: pa.Table, column: str) -> pa.Table:
        """Put the decisions beside the columns of a table.

        Args:
            table: n rows.
            column: its column of texts.

        Returns:
            The same rows, with the columns of ``schema`` behind their own.

        Raises:
            InputError: no such column, one of another type than string, or a column named as a result.
        """
        names = self.check(table.schema, column)
        texts = table.column(column).combine_chunks()
        if isinstance(texts, pa.ChunkedArray):  # without a chunk, or with more bytes than one array holds
            parts = [pa.Table.from_batches([self.classify(chunk)]) for chunk in texts.chunks]
            results = pa.concat_tables([self.schema.empty_table(), *parts])
        else:
            results = pa.Table.from_batches([self.classify(texts)])
        for name in names:
            table = table.append_column(results.schema.field(name), results.column(name))
        return table

    def check(self, schema: pa.Schema, column: str) -> list[str]:
        """Look whether rows of a schema can be classified.

        Returns:
            Names of the columns that the results add.

        Raises:
            InputError: as of ``extend``.
        """
        if column not in schema.names:
            known = ", ".join(repr(name) for name in schema.names)
            raise InputError(f"no column {column!r}; there are {known or 'none'}")
        kind = schema.field(column).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_text(value) for is_text in _TEXTS):
            raise InputError(f"column {column!r} is of type {kind}; needed is a column of strings")
        names: list[str] = self.schema.names
        if taken := sorted({*names} & {*schema.names}):
            raise InputError(
                f"column {taken[0]!r} is there already, and a result would be named so; rename it first"
            )
        return names


@functools.lru_cache(maxsize=8)
def _loaded(students: Students) -> Classifier:
    return Classifier.load(Workspace(Path(students.home)), students.pins)
