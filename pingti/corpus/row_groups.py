"""Rows of a file in portions that fit into memory, however long or shared their texts are."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pingti.corpus.formats import opened

PORTION_BYTES = 32 << 20
"""About how many bytes of texts are read at once."""
_MEAN_BYTES = PORTION_BYTES // 4  # by a row group's mean: some rows are longer than others
_ENOUGH_ROWS = 500  # a look for how many more would fit costs more than it saves
_FEW_ROWS = 64  # where nothing is known of how long a value can be
_WINDOW = 32  # row groups that are looked at before the first of them is read
_BUFFER_BYTES = 1 << 16


def parquet_portions(
    path: str, file: pq.ParquetFile, names: list[str], most: int, groups: Iterable[int]
) -> Iterator[pa.RecordBatch]:
    """The columns ``names`` of these row groups, at most ``most`` rows at once, fewer where they are long.

    Many rows of a Parquet file can share one value. So neither its size nor what it says of its columns'
    sizes bounds what they become; the longest value that a row group's dictionaries hold does.

    Raises:
        pa.ArrowException, OSError: the file is damaged.
    """
    with _Look(path, file, names, most) as look:
        # One reader for groups that are read alike: its batches go over their borders.
        runs = itertools.groupby(groups, lambda group: (look.rows(group), group // _WINDOW))
        yield from _gathered(
            (
                batch
                for (rows, _), run in runs
                for batch in file.iter_batches(
                    rows,
                    row_groups=list(run),
                    columns=names,
                    use_threads=pa.cpu_count() > 1,  # a pool of one thread only costs a small file time
                )
            ),
            most,
        )


class _Look(ExitStack):
    """How many rows of a row group may be read at once."""

    def __init__(self, path: str, file: pq.ParquetFile, names: list[str], most: int) -> None:
        super().__init__()
        self._path, self._file, self._most = path, file, most
        self._reader: pq.ParquetFile | None = None
        columns = [file.schema.column(number) for number in range(len(file.schema))]
        # Values of other types are a few bytes.
        self._columns = [
            number
            for number, column in enumerate(columns)
            if column.physical_type == "BYTE_ARRAY"
            and any(f"{column.path}.".startswith(f"{name}.") for name in names)
        ]
        self._paths = [columns[number].path for number in self._columns]
        self._flat = set(self._paths) <= set(names)

    def rows(self, group: int) -> int:
        metadata = self._file.metadata.row_group(group)
        # All values of the group, each once; no single one is longer.
        size = sum(metadata.column(number).total_uncompressed_size for number in self._columns)
        fits: int = PORTION_BYTES // max(1, size)
        if metadata.num_rows * size <= 4 * PORTION_BYTES:
            fits = max(fits, metadata.num_rows)
        if fits >= min(_ENOUGH_ROWS, self._most):
            return min(1 << fits.bit_length(), self._most)  # alike for groups that are about alike
        found: int = self._most
        if size > 2 * PORTION_BYTES:
            found = min(found, max(1, metadata.num_rows * _MEAN_BYTES // size))
        if found <= _FEW_ROWS:
            return found
        # Of lists and the like no row is good.
        longest: int | None = self._longest(group) if self._flat else None
        return min(found, _FEW_ROWS if longest is None else max(1, 2 * PORTION_BYTES // max(1, longest)))

    def _longest(self, group: int) -> int | None:
        """Bytes of the longest values of the group's dictionaries together; None where that is not known."""
        if self._reader is None:
            # Of a file of its own: the other reader may be reading ahead in its threads.
            source = self.enter_context(opened(self._path))
            metadata = self._file.metadata
            self._reader = pq.ParquetFile(
                source,
                metadata=metadata,
                read_dictionary=self._paths,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
            )
        try:
            batches = self._reader.iter_batches(1, row_groups=[group], columns=self._paths, use_threads=False)
            row = next(batches)
        except OSError:  # values that are told by the one before (DELTA_BYTE_ARRAY) cannot be read so
            return None
        if not all(isinstance(column, pa.DictionaryArray) for column in row.columns):
            return None
        return sum(pc.max(pc.binary_length(column.dictionary)).as_py() or 0 for column in row.columns)


def _gathered(batches: Iterable[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """Small batches put together, as each costs time: up to ``most`` rows and about ``PORTION_BYTES``."""
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        shared = any(pa.types.is_dictionary(field.type) for field in batch.schema)  # its bytes say nothing
        more = PORTION_BYTES if shared else batch.nbytes
        rows, size = rows + batch.num_rows, size + more
        if pending and (rows > most or size > PORTION_BYTES):
            yield _joined(pending)
            pending, rows, size = [], batch.num_rows, more
        pending.append(batch)
    if pending:
        yield _joined(pending)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
