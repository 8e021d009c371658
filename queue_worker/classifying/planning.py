"""A job's rows into shards: ranges of row groups where those are small, else files cut from the inputs.

Both are the same at every attempt: they depend on the inputs, which must be those of the acceptance, and on
the sizes that the first attempt chose. So shards can be worked on while the rest is still being cut, and
cut files are never synced: one that is lost or damaged is cut again.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pingti.corpus.formats import most_unpacked, open_binary, size_of, text_lines
from pingti.corpus.reader import BadRow, OnBadRow, read_rows
from pingti.errors import InputError
from pingti.files import replacing
from pingti.inference.classifier import Classifier
from queue_worker.classifying import stored
from queue_worker.classifying.bad_rows import BadRows, Check, TooManyBadRowsError
from queue_worker.classifying.row_limits import RowLimit
from queue_worker.classifying.shards import CUT, ERRORS, job_folder
from queue_worker.jobs.models import Job
from queue_worker.objects.inputs import fetch, is_object, local_input, named
from queue_worker.settings import Settings

BATCH_ROWS = 32_768  # as many as the kernel scores in one turn
_PROBE_ROWS = 2_048
_OVERHEAD = 1e-6  # seconds a row for reading and writing
_FEW_ROWS = 50_000  # a shard of so few is not made smaller, that all threads have one
_MOST_BAD = 10_000  # rows of a small job: with more it is planned as others are
_COUNTED_LINES = 100_000  # between two moments to stop at
_TEACHER_ROWS = 50_000  # of a shard whose students ask a teacher, which takes a minute for some of them
_UNKNOWN = 20_000  # rows of a shard whose speed could not be measured

Source = tuple[tuple[int, int, int], ...]
"""Where the rows of a shard are that is not cut: input, its first row group, and the one after the last."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What ``cut_inputs`` made."""

    shards: int
    total: int  # rows, good and bad
    failed: int  # bad ones found while cutting; shards that are not cut find their own


def checked_input(settings: Settings, job: Job, index: int) -> str:
    """Where an input can be read, if it is still the file that was accepted; else InputError."""
    path = job.inputs[index]
    if is_object(path):
        return local_input(settings, path, job.stamps[index])
    # Not only at acceptance: a link may have been put in the file's place since.
    real = str(settings.allowed_input(path))
    if job.stamps and (real != path or not job.stamps[index].fits(real)):
        raise InputError(f"{path}: was changed or replaced after the job was accepted; submit it again")
    return real


def input_batches(
    settings: Settings, job: Job, index: int, on_bad_row: OnBadRow, groups: range | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of an input; InputError when it is not the accepted one before, while or after it is read."""
    path, given = checked_input(settings, job, index), job.inputs[index]

    def report(bad: BadRow) -> None:
        on_bad_row(replace(bad, file=given))  # not the name of a copy

    try:
        with named(given, path):
            for batch in read_rows(path, job.columns, report, batch_rows=BATCH_ROWS, groups=groups):
                if isinstance(on_bad_row, BadRows):
                    on_bad_row.check()  # there may be megabytes without a row, or many rows to a shard
                if batch.num_rows:
                    yield batch
    except InputError:
        checked_input(settings, job, index)  # the reason why it cannot be read
        raise
    checked_input(settings, job, index)


# -- how big a shard is


def shard_rows(settings: Settings, job: Job, row_seconds: float | None) -> int:
    """Rows of which a shard takes about ``shard_seconds``, where one takes ``row_seconds`` (None: unknown).

    A short job's shards take less, so that this worker's threads end at about the same time.
    """
    rows = _UNKNOWN if row_seconds is None else max(1000, int(settings.shard_seconds / row_seconds))
    rows = min(rows, settings.shard_rows, _TEACHER_ROWS if job.asks_teacher else settings.shard_rows)
    if not all(map(_is_parquet, job.inputs)):
        return rows
    total: int = sum(_metadata(settings, job, index).num_rows for index in range(len(job.inputs)))
    shards = -(-total // rows)
    threads = settings.concurrency
    if shards < 4 * threads:  # with more, the last turn of the threads does not matter
        shards = max(shards, min(4 * threads, total // _FEW_ROWS), 1)
        if shards > 1:
            shards = -(-shards // threads) * threads
    return max(1, -(-total // max(1, shards)))


def measured_seconds(settings: Settings, job: Job, classifier: Classifier, check: Check) -> float | None:
    """What one row takes, by the first of them; None where there is none, or none after many bad ones."""
    path = checked_input(settings, job, 0)
    bad = BadRows(check, most=_MOST_BAD)
    try:
        batch = next(read_rows(path, job.columns, bad, batch_rows=_PROBE_ROWS), None)
    except TooManyBadRowsError:
        return None
    if batch is None or not batch.num_rows:
        return None
    classifier.classify(batch.slice(0, _PROBE_ROWS // 4))  # the tables come from the disk
    start = time.perf_counter()
    classifier.classify(batch)
    # A few rows say little of the time of many.
    seconds = time.perf_counter() - start
    return float(seconds / max(batch.num_rows, 256) + _OVERHEAD)


def _is_parquet(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _metadata(settings: Settings, job: Job, index: int) -> pq.FileMetaData:
    path = checked_input(settings, job, index)
    try:
        with open_binary(path) if is_object(path) else nullcontext(path) as file:
            return pq.read_metadata(file)
    except (pa.ArrowException, OSError) as error:
        checked_input(settings, job, index)
        reason = " ".join(str(error).split())
        raise InputError(f"{job.inputs[index]}: not a readable Parquet file: {reason}") from error


def most_rows(settings: Settings, job: Job, enough: int, check: Check) -> int:
    """Rows, good and bad, that a job's inputs can have at most.

    By their sizes, as a row takes a byte or more; by their lines where that could be more than ``enough``.

    Args:
        settings: which files may be read.
        job: whose inputs are looked at.
        enough: rows from which on lines are counted.
        check: called between steps.

    Raises:
        InputError: an input is gone, has changed or cannot be read.
    """
    inputs = range(len(job.inputs))
    by_size = sum(_most_by_size(settings, job, index) for index in inputs)
    return by_size if by_size <= enough else sum(_most_by_lines(settings, job, i, check) for i in inputs)


def _most_by_size(settings: Settings, job: Job, index: int) -> int:
    path = checked_input(settings, job, index)
    if _is_parquet(path):
        return int(_metadata(settings, job, index).num_rows)
    size = size_of(path)
    return most_unpacked(size) if path.lower().endswith(".gz") else size


def _most_by_lines(settings: Settings, job: Job, index: int, check: Check) -> int:
    path = checked_input(settings, job, index)
    if _is_parquet(path):
        return int(_metadata(settings, job, index).num_rows)
    lines = 0
    with text_lines(path, job.columns.encoding) as all_lines:
        for _ in all_lines:
            lines += 1
            if lines % _COUNTED_LINES == 0:
                check()
    checked_input(settings, job, index)
    return lines


# -- the plan


def cut_inputs(
    settings: Settings,
    job: Job,
    ready: Callable[[int, Sequence[str]], None],
    check: Check,
    limit: RowLimit | None = None,
) -> Cut:
    """Make all shards.

    Args:
        settings: where the workspace is.
        job: has the sizes of its shards.
        ready: called with the number of the first new shard, and where the rows of each are.
        check: called between steps.
        limit: how many rows there may be; any number where absent.

    Raises:
        InputError: an input is gone, has changed or cannot be read.
        RowLimitError: there are more rows than there may be.
    """
    folder = job_folder(settings, job.id) / CUT
    for stale in folder.glob(".*"):  # of attempts that died
        stale.unlink(missing_ok=True)
    shards = rows = 0
    bad_rows = BadRows(check)
    for sources, some in _shards(settings, job, bad_rows):
        check()
        rows += some
        if limit is not None:
            limit.check(rows + bad_rows.count)
        ready(shards, sources)
        shards += len(sources)
    if limit is not None:
        limit.check(rows + bad_rows.count)
    if bad_rows.count:
        folder.mkdir(parents=True, exist_ok=True)
        bad_rows.write(folder / ERRORS, tail=True)
        stored.put_cut(settings, job.id, folder / ERRORS)
    return Cut(shards=shards, total=rows + bad_rows.count, failed=bad_rows.count)


def cut_again(settings: Settings, job: Job, shard: int, check: Check) -> None:
    """Make one cut file anew."""
    for _ in _shards(settings, job, lambda _: check(), only=shard):
        check()


def cut_path(settings: Settings, job: Job, shard: int) -> Path:
    """The file of a shard that was cut from the inputs."""
    return job_folder(settings, job.id) / CUT / f"{shard:05d}.arrow"


def _shards(
    settings: Settings, job: Job, on_bad_row: OnBadRow, *, only: int | None = None
) -> Iterator[tuple[list[str], int]]:
    """Where the rows of the next shards are, and how many; ``only``: of the cut files, write this one."""
    number = 0
    inputs = range(len(job.inputs))
    for small, indices in itertools.groupby(inputs, lambda index: _has_small_groups(settings, job, index)):
        if small:
            ranges = list(_ranges(settings, job, indices))
            yield [json.dumps(source) for source, _ in ranges], sum(rows for _, rows in ranges)
            number += len(ranges)
            continue
        for table in _tables(settings, job, indices, on_bad_row):
            if only in (None, number):
                path = cut_path(settings, job, number)
                path.parent.mkdir(parents=True, exist_ok=True)
                with (
                    replacing(path, sync=False) as temporary,
                    pa.OSFile(str(temporary), "wb") as file,
                    pa.ipc.new_file(file, table.schema) as writer,
                ):
                    writer.write_table(table, max_chunksize=BATCH_ROWS)
                if only is None:
                    stored.put_cut(settings, job.id, path)
            yield [""], table.num_rows
            number += 1
            if only is not None and number > only:
                return


def _has_small_groups(settings: Settings, job: Job, index: int) -> bool:
    """Whether an input is a Parquet file of which whole row groups make good shards."""
    if not _is_parquet(job.inputs[index]):
        return False
    most_rows, most_bytes = _sizes(job)
    groups = _groups(settings, job, index)
    return all(rows <= 1.5 * most_rows and size <= 1.5 * most_bytes for rows, size in groups)


def _ranges(settings: Settings, job: Job, indices: Iterable[int]) -> Iterator[tuple[Source, int]]:
    most_rows, most_bytes = _sizes(job)
    pending: list[tuple[int, int, int]] = []
    rows = size = 0
    for index in indices:
        for group, (more_rows, more_bytes) in enumerate(_groups(settings, job, index)):
            if pending and (rows + more_rows > 1.1 * most_rows or size + more_bytes > 1.1 * most_bytes):
                yield tuple(pending), rows
                pending, rows, size = [], 0, 0
            rows, size = rows + more_rows, size + more_bytes
            if more_rows == 0:
                continue
            if pending and pending[-1][0] == index:
                pending[-1] = (index, pending[-1][1], group + 1)
            else:
                pending.append((index, group, group + 1))
    if rows:
        yield tuple(pending), rows


def _groups(settings: Settings, job: Job, index: int) -> list[tuple[int, int]]:
    """Rows of each row group, and bytes of its texts (fewer, where a dictionary holds them)."""
    metadata = _metadata(settings, job, index)
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    texts = [number for number, name in enumerate(names) if name == job.columns.text]
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return [
        (group.num_rows, sum(group.column(number).total_uncompressed_size for number in texts))
        for group in groups
    ]


def _sizes(job: Job) -> tuple[int, int]:
    if job.shard_rows is None or job.shard_bytes is None:
        raise ValueError(f"job {job.id}: the size of its shards is not fixed")
    return job.shard_rows, job.shard_bytes


def _tables(settings: Settings, job: Job, indices: Iterable[int], on_bad_row: OnBadRow) -> Iterator[pa.Table]:
    """Tables of at most the shards' rows and bytes: file (index of the input), then as ``read_rows``."""
    most_rows, most_bytes = _sizes(job)
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for index in indices:
        for batch in input_batches(settings, job, index, on_bad_row):
            ends = np.cumsum(pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False), dtype=np.int64)
            start = 0
            while start < batch.num_rows:
                before = int(ends[start - 1]) if start else 0
                fits = int(np.searchsorted(ends, before + most_bytes - size, side="right")) - start
                take = min(max(fits, 0), most_rows - rows, batch.num_rows - start)
                if take == 0 and rows == 0:
                    take = 1  # one text above the limit makes a shard of its own
                if take:
                    pending.append(_sourced(batch.slice(start, take), index))
                    start += take
                    rows += take
                    size += int(ends[start - 1]) - before
                if start < batch.num_rows or rows == most_rows:
                    checked_input(settings, job, index)
                    yield pa.Table.from_batches(pending)
                    pending, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(pending)


def _sourced(batch: pa.RecordBatch, index: int) -> pa.RecordBatch:
    file = pa.array(np.full(batch.num_rows, index, dtype=np.int32))
    return pa.RecordBatch.from_arrays([file, *batch.columns], names=["file", *batch.schema.names])


# -- one shard's rows


def shard_batches(
    settings: Settings, job: Job, shard: int, source: str | None, on_bad_row: OnBadRow, check: Check
) -> Iterator[pa.RecordBatch]:
    """The rows of a shard, as ``_tables`` has them, wherever they are. InputError as in ``cut_inputs``."""
    if source is not None:
        ranges = json.loads(source)
        fetch(
            settings, [(job.inputs[index], job.stamps[index]) for index, _, _ in ranges if job.stamps], check
        )
        for index, first, end in ranges:
            for batch in input_batches(settings, job, index, on_bad_row, range(first, end)):
                yield _sourced(batch, index)
        return
    path = cut_path(settings, job, shard)
    stored.fetch_cut(settings, job.id, path)
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
    except (OSError, pa.ArrowInvalid):  # a power loss took it: it was never synced
        cut_again(settings, job, shard, check)
        file = pa.ipc.open_file(pa.memory_map(str(path)))
    for number in range(file.num_record_batches):
        yield file.get_batch(number)


def read_whole(settings: Settings, job: Job, check: Check) -> tuple[list[pa.RecordBatch], BadRows] | None:
    """The rows of a small job and its bad ones; None when they are too many or too long for one shard."""
    bad = BadRows(check, most=_MOST_BAD)
    try:
        batches = _whole_batches(settings, job, bad)
    except TooManyBadRowsError:
        return None
    return None if batches is None else (batches, bad)


def _whole_batches(settings: Settings, job: Job, on_bad_row: OnBadRow) -> list[pa.RecordBatch] | None:
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for index in range(len(job.inputs)):
        for batch in input_batches(settings, job, index, on_bad_row):
            rows, size = rows + batch.num_rows, size + batch["text"].nbytes
            if rows > settings.shard_rows or size > settings.shard_bytes:
                return None
            batches.append(batch)
    return batches
