"""Files in, a table of results in an object store out: what ``pingti classify --out s3://...`` runs."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from pingti.corpus.reader import Columns
from pingti.inference.bad_rows import BadRowList
from pingti.inference.classifier import Classifier, results_writer
from pingti.inference.files import Counts, checked_inputs, classified
from pingti.inference.results import results_schema
from pingti.workspace.storage import Storage, tables

_PART_BYTES = 64 << 20  # of a part on the disk, about
_PART_ROWS = 4_000_000


def classify_to_store(
    inputs: Sequence[str],
    columns: Columns,
    classifier: Classifier,
    address: str,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    notice: Callable[[str], None] = lambda sentence: None,
) -> Counts:
    """As ``files.classify_files``, into a folder of a store; see ``storage.tables`` for what is in it.

    On an error what was written is removed again; a process that is killed leaves ``_started.json``, and no
    ``_SUCCESS``.

    Raises:
        InputError: an input that cannot be read, or the store refuses something.
        ConflictError: something is in the folder already.
        UnavailableError: the store cannot be reached.
    """
    table = Storage(address)
    tables.refuse_taken(table)
    paths, columns = checked_inputs(inputs, columns, classifier, notice)
    schema = results_schema(classifier.schema, columns)
    tables.start(table, f"pingti classify {secrets.token_hex(8)}")
    try:
        with TemporaryDirectory() as name:
            folder = Path(name)
            with BadRowList(folder / tables.ERRORS) as bad_rows:
                results = classified(paths, columns, classifier, bad_rows.add, threads)
                parts, completed = _write_parts(table, folder, schema, results, progress)
            if bad_rows.count:
                table.put_file(tables.ERRORS, folder / tables.ERRORS)
        counts = Counts(total=completed + bad_rows.count, completed=completed, failed=bad_rows.count)
        manifest = {"format": 1, "counts": asdict(counts), "inputs": paths, "parts": parts}
        tables.finish(table, {**manifest, "errors": tables.ERRORS if bad_rows.count else None})
    except BaseException:
        table.delete_below("")
        raise
    return counts


def _write_parts(
    table: Storage,
    folder: Path,
    schema: pa.Schema,
    results: Iterator[pa.RecordBatch],
    progress: Callable[[int], None],
) -> tuple[list[dict[str, Any]], int]:
    """Write parts as they fill; returns the manifest's entries of them, and the rows of all."""
    parts: list[dict[str, Any]] = []
    completed, batch = 0, next(results, None)
    while batch is not None or not parts:  # a table without rows has a part, which tells its columns
        path, rows = folder / tables.part_name(len(parts)), 0
        with ExitStack() as stack:
            writer = stack.enter_context(results_writer(path, schema))
            while (
                batch is not None and rows < _PART_ROWS and not (rows and path.stat().st_size > _PART_BYTES)
            ):
                writer.write_batch(batch)
                rows += batch.num_rows
                progress(completed + rows)
                batch = next(results, None)
        completed += rows
        size, checksum = path.stat().st_size, table.put_file(path.name, path)
        parts.append({"name": path.name, "rows": rows, "bytes": size, "sha256": checksum})
        path.unlink()
    return parts, completed
