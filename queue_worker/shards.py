"""A job's work on disk: cut the inputs into shards, classify one shard, put the results together.

``jobs/<id>/`` in the workspace holds

    input-<token>/NNNNN.parquet    shards of the inputs, by the attempt that cut them; errors.jsonl beside
    NNNNN.parquet                  finished parts, written under another name and renamed
    errors.jsonl, manifest.json    written by the end of the job; the manifest last: it shows the results

Each function may run again after a crash, or at the same time in a worker that lost its lease without
knowing: names hold the attempt's token or the content does not depend on the attempt.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pingti.errors import ConflictError, PingtiError
from pingti.files import replacing, sha256, write_json
from queue_worker.jobs import Job, JobStatus
from queue_worker.settings import Settings
from replacement.classify import Classifier, results_writer
from replacement.corpus import BadRow, read_rows
from replacement.registry import Workspace

MANIFEST = "manifest.json"
ERRORS = "errors.jsonl"
_MANIFEST_VERSION = 1
_BATCH_ROWS = 16_384

Check = Callable[[], None]
"""Called between steps; raises when the attempt must stop (its lease is lost, or the job is cancelled)."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What ``cut_inputs`` made."""

    folder: str  # inside the job's folder
    shards: int
    total: int  # rows read, good and bad
    failed: int  # bad rows


def job_folder(settings: Settings, id: str) -> Path:
    return Workspace(settings.home).jobs / id


def part_name(shard: int) -> str:
    return f"{shard:05d}.parquet"


def results(settings: Settings, job: Job) -> list[Path]:
    """The part files of a job that has ended, in the order of its input rows.

    A cancelled or failed job has the parts that were finished. Raises ConflictError while the job is
    under way: results appear all at once.
    """
    if not job.status.final:
        raise ConflictError(f"job {job.id} is {job.status}; its results are there when it has ended")
    folder = job_folder(settings, job.id)
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:  # it ended before any part
        return []
    return [folder / part["name"] for part in manifest["parts"]]


# -- plan


def cut_inputs(settings: Settings, job: Job, token: str, check: Check) -> Cut:
    """Read the inputs once and cut them into shards of at most ``shard_rows`` rows and ``shard_bytes``.

    Each shard is a Parquet file of file (index into the job's inputs, int32), row (int64), id and text.
    Reading a slice of one big row group would cost many times more than reading such a file. Raises
    InputError when an input is gone, outside the allowed folders by now, or cannot be read.
    """
    folder = job_folder(settings, job.id)
    for stale in folder.glob("input-*"):  # of attempts that died
        shutil.rmtree(stale, ignore_errors=True)
    cut = folder / f"input-{token}"
    cut.mkdir(parents=True)
    shards = good = failed = 0
    with (cut / ERRORS).open("w", encoding="utf-8") as errors:

        def on_bad_row(bad: BadRow) -> None:
            nonlocal failed
            failed += 1
            errors.write(json.dumps(asdict(bad), ensure_ascii=False) + "\n")

        for table in _shard_tables(settings, job, on_bad_row):
            check()
            with replacing(cut / part_name(shards)) as temporary:
                pq.write_table(table, temporary, compression="zstd", compression_level=1)
            shards += 1
            good += table.num_rows
        errors.flush()
        os.fsync(errors.fileno())
    return Cut(folder=cut.name, shards=shards, total=good + failed, failed=failed)


def _shard_tables(settings: Settings, job: Job, on_bad_row: Callable[[BadRow], None]) -> Iterator[pa.Table]:
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in _input_batches(settings, job, on_bad_row):
        ends = np.cumsum(pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False), dtype=np.int64)
        start = 0
        while start < batch.num_rows:
            before = int(ends[start - 1]) if start else 0
            fits = int(np.searchsorted(ends, before + settings.shard_bytes - size, side="right")) - start
            take = min(max(fits, 0), settings.shard_rows - rows, batch.num_rows - start)
            if take == 0 and rows == 0:
                take = 1  # one text above the limit makes a shard of its own
            if take:
                pending.append(batch.slice(start, take))
                start += take
                rows += take
                size += int(ends[start - 1]) - before
            if start < batch.num_rows or rows == settings.shard_rows:
                yield pa.Table.from_batches(pending)
                pending, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(pending)


def _input_batches(
    settings: Settings, job: Job, on_bad_row: Callable[[BadRow], None]
) -> Iterator[pa.RecordBatch]:
    for index, path in enumerate(job.inputs):
        # Again, not only at acceptance: a link may have been put in the file's place since.
        real = settings.allowed_input(path)
        for batch in read_rows(str(real), job.columns, on_bad_row, batch_rows=_BATCH_ROWS):
            file = pa.array(np.full(batch.num_rows, index, dtype=np.int32))
            yield pa.RecordBatch.from_arrays(
                [file, batch["row"], batch["id"], batch["text"]], names=["file", "row", "id", "text"]
            )


# -- shard


def classify_shard(settings: Settings, job: Job, shard: int, classifier: Classifier, check: Check) -> int:
    """Write the part of one shard; returns its rows. A second run replaces the part by an equal one."""
    folder = job_folder(settings, job.id)
    source = pq.ParquetFile(folder / str(job.cut_input) / part_name(shard))
    schema = classifier.schema.with_metadata({**(classifier.schema.metadata or {}), b"job": job.id.encode()})
    with source, replacing(folder / part_name(shard)) as temporary:
        with results_writer(temporary, schema) as writer:
            for batch in source.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                scored = classifier.classify(batch)
                if scored.num_rows != batch.num_rows:
                    raise PingtiError(f"the classifier gave {scored.num_rows} rows for {batch.num_rows}")
                writer.write_batch(scored)
                check()
        rows: int = source.metadata.num_rows
    return rows


# -- finalize


def finalize(settings: Settings, job: Job, finished: set[int], check: Check) -> None:
    """Write errors.jsonl and the manifest of a job whose shards have ended, and remove what is done with.

    ``finished`` are the shards that count. Raises PingtiError when rows are missing or too many.
    """
    folder = job_folder(settings, job.id)
    folder.mkdir(parents=True, exist_ok=True)
    if job.cut_input is not None and (folder / job.cut_input / ERRORS).exists():
        with replacing(folder / ERRORS) as temporary:
            shutil.copyfile(folder / job.cut_input / ERRORS, temporary)
    parts = []
    for shard in sorted(finished):
        check()
        parts.append(_part_entry(folder / part_name(shard)))
    _verify(job, parts)
    names = {part["name"] for part in parts}
    for path in folder.glob("*.parquet"):
        if path.name not in names:  # its worker ended between the rename and the mark
            path.unlink(missing_ok=True)
    for path in folder.glob(".*.parquet.*"):  # of attempts that died
        path.unlink(missing_ok=True)
    write_json(
        folder / MANIFEST,
        {
            "format": _MANIFEST_VERSION,
            "job": job.id,
            "outcome": _outcome(job),
            "counts": job.counts.model_dump(),
            "inputs": list(job.inputs),
            "tasks": [asdict(pin) for pin in job.pins],
            "parts": parts,
            "errors": ERRORS if (folder / ERRORS).exists() else None,
            "error": job.error,
        },
    )
    for cut in folder.glob("input-*"):
        shutil.rmtree(cut, ignore_errors=True)


def _part_entry(path: Path) -> dict[str, Any]:
    rows: int = pq.read_metadata(path).num_rows
    return {"name": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _verify(job: Job, parts: list[dict[str, Any]]) -> None:
    written = sum(part["rows"] for part in parts)
    counts = job.counts
    if written != counts.completed:
        raise PingtiError(f"the parts hold {written} rows, but {counts.completed} were counted")
    if _outcome(job) is JobStatus.COMPLETED and counts.total != counts.completed + counts.failed:
        raise PingtiError(
            f"of {counts.total} rows, {counts.completed} are in parts and {counts.failed} in {ERRORS}"
        )


def _outcome(job: Job) -> JobStatus:
    if job.status is JobStatus.CANCELLING:
        return JobStatus.CANCELLED
    return JobStatus.FAILED if job.error else JobStatus.COMPLETED
