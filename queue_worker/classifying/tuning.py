"""How many threads a classify worker should have on this machine: tried, with what a shard makes it do.

Threads read rows from a Parquet file, classify them, and write a part, again and again, as in a worker. More
threads than cores help where reading waits for a disk; fewer are as fast where memory is what all wait for.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pingti.corpus.reader import Columns, read_rows
from pingti.errors import InputError
from pingti.inference.classifier import Classifier, results_writer

_ROWS = 20_000  # of the file that every thread reads
_TURNS = 3
_ALIKE = 0.95
_COLUMNS = Columns(text="text", id="id")


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a number of threads came to."""

    threads: int
    rows_per_second: float
    """Median of the turns."""
    cores_used: float
    """Seconds of processor time in a second."""


def stress(
    classifier: Classifier,
    texts: pa.Array,
    *,
    most: int,
    seconds: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tried]:
    """Try 1 to ``most`` threads, each in three turns of ``seconds``, one number after the other.

    ``texts`` are repeated or cut to 20,000 rows. Raises InputError where there is none.
    """
    if not len(texts):
        raise InputError("there is no text to classify: give a file that has rows")
    column = pa.chunked_array([texts] * -(-_ROWS // len(texts))).slice(0, _ROWS)
    found: dict[int, list[tuple[float, float]]] = {threads: [] for threads in range(1, most + 1)}
    with tempfile.TemporaryDirectory(prefix="pingti-stress-") as name, _one_core_each():
        source = Path(name) / "rows.parquet"
        pq.write_table(pa.table({"id": [str(row) for row in range(_ROWS)], "text": column}), source)
        _work(classifier, source, Path(name) / "warm.parquet", time.monotonic())
        for turn in range(_TURNS):
            for place, threads in enumerate(found):
                found[threads].append(_turn(classifier, source, threads, seconds))
                progress(turn * most + place + 1, _TURNS * most)
    return [
        Tried(
            threads=threads,
            rows_per_second=statistics.median(rate for rate, _ in turns),
            cores_used=statistics.median(cores for _, cores in turns),
        )
        for threads, turns in found.items()
    ]


def recommended(tried: Sequence[Tried]) -> int:
    """The fewest threads that are within 5 % of the fastest."""
    fastest = max(each.rows_per_second for each in tried)
    return min(each.threads for each in tried if each.rows_per_second >= _ALIKE * fastest)


def _turn(classifier: Classifier, source: Path, threads: int, seconds: float) -> tuple[float, float]:
    """Rows a second, and seconds of processor time in one."""
    start, used = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        running = [
            pool.submit(_work, classifier, source, source.with_name(f"{number}.parquet"), start + seconds)
            for number in range(threads)
        ]
        rows = sum(each.result() for each in running)
    elapsed = time.monotonic() - start
    return rows / elapsed, (time.process_time() - used) / elapsed


def _work(classifier: Classifier, source: Path, target: Path, deadline: float) -> int:
    """Parts till the deadline has passed, one at least; their rows."""
    rows = 0
    while True:
        with results_writer(target, classifier.schema) as writer:
            for batch in read_rows(str(source), _COLUMNS, lambda bad: None):
                writer.write_batch(classifier.classify(batch))
                rows += batch.num_rows
        if time.monotonic() >= deadline:
            return rows


@contextmanager
def _one_core_each() -> Iterator[None]:
    """Arrow's own threads off, as in a worker."""
    before = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        yield
    finally:
        pa.set_cpu_count(before)
