"""Files in, one results file out, in this process: what ``pingti classify`` runs."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pingti import files
from pingti.corpus.kept import Carrying, types_in
from pingti.corpus.paths import input_files
from pingti.corpus.reader import Columns, OnBadRow, check_input, read_rows
from pingti.errors import ConflictError, InputError
from pingti.inference.bad_rows import BadRowList
from pingti.inference.classifier import Classifier, results_writer
from pingti.inference.results import check_keep, results_schema, with_carried

RESULTS = "results.parquet"
ERRORS = "_errors.jsonl"
"""Its first letter hides it from readers that take a folder for a table."""
_ROWS = 32_768  # of a batch: the kernel's order of texts pays more where there are more of them


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows in = rows out + rows failed."""

    total: int
    completed: int
    failed: int


def classify_files(
    inputs: Sequence[str],
    columns: Columns,
    classifier: Classifier,
    out: Path,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    notice: Callable[[str], None] = lambda sentence: None,
) -> Counts:
    """Classify the rows of ``inputs`` into ``out/results.parquet``; bad rows go to ``out/_errors.jsonl``.

    See ``BadRowList`` for the latter, and ``check_bad`` for when they are too many. Both files appear at
    the end, whole. Memory is bounded by a few batches per thread.

    Args:
        inputs: paths or addresses of files, of folders as Spark and others write them, or patterns.
        columns: what to read of them.
        classifier: the students.
        out: folder of the results.
        threads: how many classify at once; one for each processor where absent.
        progress: called with the number of rows done so far.
        notice: called with what is otherwise in an input than its name says, such as another delimiter.

    Raises:
        InputError: an input that cannot be read; all are checked before the first row is classified. Or
            ``out`` has a name that Arrow cannot write to.
        ConflictError: ``out`` holds results already, or is a file.
    """
    try:
        str(out).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{str(out)!r}: its name is not UTF-8; that of a folder of results must be"
        ) from None
    if out.exists() and not out.is_dir():
        raise ConflictError(f"{out}: is no folder; the results need one")
    if (out / RESULTS).exists():
        raise ConflictError(f"{out / RESULTS}: is there already; name another folder or remove it")
    paths, columns = checked_inputs(inputs, columns, classifier, notice)
    schema = results_schema(classifier.schema, columns)
    completed = 0
    with (
        files.replacing(out / RESULTS) as results,
        files.replacing(out / ERRORS) as errors,
        BadRowList(errors) as bad_rows,
        results_writer(results, schema) as writer,
    ):
        for result in classified(paths, columns, classifier, bad_rows.add, threads):
            writer.write_batch(result)
            completed += result.num_rows
            progress(completed)
    return Counts(total=completed + bad_rows.count, completed=completed, failed=bad_rows.count)


def checked_inputs(
    inputs: Sequence[str], columns: Columns, classifier: Classifier, notice: Callable[[str], None]
) -> tuple[list[str], Columns]:
    """The files that inputs name, each looked at, and the columns with the types that go along.

    Args:
        inputs: as of ``classify_files``.
        columns: as of ``classify_files``.
        classifier: whose columns the results have, too.
        notice: as of ``classify_files``.

    Raises:
        InputError: an input that cannot be read, or a column that cannot go along.
    """
    check_keep(columns.keep, classifier.pins)
    paths = input_files(inputs)
    carrying = Carrying(columns)
    for path in paths:
        for sentence in check_input(path, columns):
            notice(f"{path}: {sentence}")
        carrying.add(path, types_in(path, columns))
    return paths, carrying.columns()


def classified(
    paths: Sequence[str],
    columns: Columns,
    classifier: Classifier,
    on_bad_row: OnBadRow,
    threads: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Results of the rows of files, in their order; of ``results_schema``.

    Args:
        paths: of the files.
        columns: as ``checked_inputs`` gives them.
        classifier: the students.
        on_bad_row: is told of rows that cannot be read.
        threads: as of ``classify_files``.

    Raises:
        InputError: as of ``read_rows``.
    """
    batches = (batch for path in paths for batch in read_rows(path, columns, on_bad_row, batch_rows=_ROWS))

    def classify(batch: pa.RecordBatch) -> pa.RecordBatch:
        return with_carried(classifier.classify(batch), batch, columns)

    yield from _in_threads(classify, batches, threads or os.cpu_count() or 1)


def _in_threads(
    classify: Callable[[pa.RecordBatch], pa.RecordBatch], batches: Iterator[pa.RecordBatch], threads: int
) -> Iterator[pa.RecordBatch]:
    """Results in the order of the batches. Scoring releases the interpreter's lock; reading holds it."""
    if threads == 1:  # in turns then: two threads of one core would take each other's caches away
        yield from map(classify, batches)
        return
    waiting: deque[Future[pa.RecordBatch]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            waiting.append(pool.submit(classify, batch))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
