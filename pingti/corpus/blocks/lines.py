"""A text file's blocks in turn: by Arrow where it reads them rightly, else row by row."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from pingti.corpus.blocks.rows import Row, batch_of
from pingti.corpus.columns import Columns
from pingti.corpus.formats import LINE_BYTES, TextLines

BLOCK_BYTES = 1 << 18
"""Of a block that Arrow reads at once."""
SMALL_BYTES = 1 << 16
"""Of a block that is read row by row where Arrow cannot: few other rows are the slower for it."""
PASSED_BYTES = 16 << 20
"""Of a text file, after which a batch comes even if there is no row in it."""
_LINE_COST = 64  # bytes that could be read in the time that a line costs, however short it is
_ROWS = 4096  # of a batch of rows that were read one by one
_CHARACTERS = 1 << 20  # as that, of their texts

ByArrow = Callable[[bytes], pa.RecordBatch | None]
"""A block's good rows; None where Arrow could read it otherwise than is right, and nothing was done."""
ByRow = Callable[[bytes], Iterator[Row | None]]
"""The rows of lines that begin with this block, read one by one; None where none comes for long."""


def batches(lines: TextLines, columns: Columns, by_arrow: ByArrow, by_row: ByRow) -> Iterator[pa.RecordBatch]:
    """The good rows of a file, in their order; now and then an empty batch where there are none.

    Args:
        lines: of the file, behind its header.
        columns: that are read.
        by_arrow: reads a block.
        by_row: reads lines from ``lines``, from which the block is still to be had.
    """
    size, passed = BLOCK_BYTES, 0
    while block := lines.block(size):
        whole = None if len(block) > LINE_BYTES // 2 else by_arrow(block)
        if whole is not None:
            size = min(2 * size, BLOCK_BYTES)
            if len(whole):
                yield whole
        else:
            lines.give_back(block)
            if size > SMALL_BYTES and len(block) > SMALL_BYTES:
                size = SMALL_BYTES
                continue
            for some in _gathered(by_row(block)):
                yield batch_of(some, columns)
        passed += len(block) + _LINE_COST * lines_in(block)
        if passed >= PASSED_BYTES:
            passed = 0
            yield batch_of([], columns)


def lines_in(block: bytes) -> int:
    """Line feeds in a block; several times faster than to count them as bytes."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


def is_utf8(block: bytes) -> bool:
    """Whether a block is text; Arrow looks at it faster than Python decodes it."""
    offsets = pa.py_buffer(np.array([0, len(block)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(block)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _gathered(rows: Iterator[Row | None]) -> Iterator[Sequence[Row]]:
    gathered: list[Row] = []
    characters = 0
    for row in rows:
        if row is not None:
            gathered.append(row)
            characters += len(row[2])
        if row is None or len(gathered) == _ROWS or characters >= _CHARACTERS:
            yield gathered
            gathered, characters = [], 0
    if gathered:
        yield gathered
