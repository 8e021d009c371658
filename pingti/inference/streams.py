"""``-``: rows of standard input, results on standard output, as between the programs of a pipe."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pingti.corpus.columns import BadRow, Columns
from pingti.errors import InputError
from pingti.inference.classifier import Classifier
from pingti.inference.files import Counts, checked_inputs, classified
from pingti.inference.results import results_schema
from pingti.inference.text_results import csv_lines, json_lines

STREAM = "-"
StreamFormat = Literal["jsonl", "csv", "tsv", "parquet"]
_MOST_REPORTED = 10


@contextmanager
def with_standard_input(inputs: Sequence[str], source: IO[bytes], form: StreamFormat) -> Iterator[list[str]]:
    """Inputs, with a file of what comes from standard input in the place of ``-``.

    It is read twice, as all inputs are: once to look at it, and once row by row.

    Args:
        inputs: as of ``classify_files``, or ``-``.
        source: standard input.
        form: what it holds.

    Raises:
        InputError: ``-`` is given several times; or what is read of the copy cannot be: named is standard
            input, and not the copy.
    """
    if STREAM not in inputs:
        yield list(inputs)
        return
    if (times := list(inputs).count(STREAM)) > 1:
        raise InputError(f"- (standard input) is given {times} times; it can be read once: give it once")
    with TemporaryDirectory(prefix="pingti-") as folder:
        path = Path(folder) / f"standard-input.{form}"
        with path.open("wb") as file:
            shutil.copyfileobj(source, file)
        try:
            yield [str(path) if name == STREAM else name for name in inputs]
        except InputError as error:
            prefix = f"{path}: "
            if not str(error).startswith(prefix):
                raise
            detail = str(error).removeprefix(prefix)
            raise InputError.in_file(
                "standard input", f"{detail} (it was read as {form}; --format names another)"
            ) from error


def classify_to_stream(
    inputs: Sequence[str],
    columns: Columns,
    classifier: Classifier,
    target: IO[bytes],
    form: StreamFormat,
    *,
    threads: int | None = None,
    notice: Callable[[str], None] = lambda sentence: None,
) -> Counts:
    """As ``files.classify_files``, to a stream as the rows come; the first bad rows are told to ``notice``.

    Args:
        inputs: as of ``classify_files``.
        columns: as of ``classify_files``.
        classifier: the students.
        target: where the results go.
        form: of the results.
        threads: as of ``classify_files``.
        notice: as of ``classify_files``.

    Raises:
        InputError: as ``classify_files``.
        BrokenPipeError: nobody reads on.
    """
    paths, columns = checked_inputs(inputs, columns, classifier, notice)
    schema = results_schema(classifier.schema, columns)
    completed = failed = 0

    def on_bad_row(bad: BadRow) -> None:
        nonlocal failed
        failed += 1
        if failed <= _MOST_REPORTED:
            notice(f"bad row: {Path(bad.file).name}: row {bad.row}: {bad.reason}")

    with _writer(target, schema, form) as write:
        for result in classified(paths, columns, classifier, on_bad_row, threads):
            write(result)
            completed += result.num_rows
    target.flush()
    return Counts(total=completed + failed, completed=completed, failed=failed)


@contextmanager
def _writer(
    target: IO[bytes], schema: pa.Schema, form: StreamFormat
) -> Iterator[Callable[[pa.RecordBatch], Any]]:
    if form == "parquet":
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            yield writer.write_batch
    elif form == "jsonl":
        yield lambda batch: target.write(json_lines(batch))
    else:
        delimiter = "\t" if form == "tsv" else ","
        target.write(
            csv_lines(pa.RecordBatch.from_pylist([], schema=schema), header=True, delimiter=delimiter)
        )
        yield lambda batch: target.write(csv_lines(batch, header=False, delimiter=delimiter))
