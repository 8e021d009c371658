"""A job's results on disk: classify one shard, and put the parts together.

``jobs/<id>/`` in the workspace holds

    input/NNNNN.arrow              shards that were cut from the inputs (see ``cutting``); errors.jsonl beside
    NNNNN.parquet                  finished parts, written under another name and renamed
    NNNNN.jsonl                    bad rows that were found in a shard
    errors.jsonl, manifest.json    written by the end of the job; the manifest last: it shows the results

Each function may run again after a crash, or at the same time in a worker that lost its lease without
knowing: what is written does not depend on the attempt.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pingti import files
from pingti.corpus.reader import BadRow, OnBadRow
from pingti.errors import ConflictError, PingtiError
from pingti.files import replacing, sha256, write_json
from pingti.inference.classifier import Classifier, results_writer
from pingti.workspace.registry import Workspace
from queue_worker.jobs.models import Counts, Done, Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.settings import Settings

CUT = "input"  # folder of the cut files, in the job's own
MANIFEST = "manifest.json"
ERRORS = "errors.jsonl"
_MANIFEST_VERSION = 1
_READ_BYTES = 256 * 1024

Check = Callable[[], None]
"""Called between steps; raises when the attempt must stop (its lease is lost, or the job is cancelled)."""


def job_folder(settings: Settings, id: str) -> Path:
    """Where a job's results are."""
    return Workspace(settings.home).jobs / id


def part_name(shard: int) -> str:
    """The file of a shard's part."""
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
    if manifest["outcome"] != job.status:  # of an attempt that had lost its lease
        return []
    return [folder / part["name"] for part in manifest["parts"]]


def error_lines(settings: Settings, job: Job) -> Iterator[bytes]:
    """Pieces of the lines of a job's bad rows; those found so far, while it is under way."""
    folder = job_folder(settings, job.id)
    whole = folder / ERRORS
    for path in [whole] if whole.exists() else _pieces_of_errors(folder, None):
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                yield piece


def write_bad_row(file: IO[bytes], bad: BadRow) -> None:
    """Write one line of errors.jsonl."""
    # An id may hold half a surrogate pair, as JSON allows.
    line = json.dumps(asdict(bad), ensure_ascii=False) + "\n"
    file.write(line.encode("utf-8", "backslashreplace"))


def _pieces_of_errors(folder: Path, finished: set[int] | None) -> list[Path]:
    found = sorted(
        path for path in folder.glob("[0-9]*.jsonl") if finished is None or int(path.stem) in finished
    )
    return [path for path in (folder / CUT / ERRORS, *found) if path.exists()]


def delete_job(settings: Settings, store: JobStore, id: str) -> None:
    """Forget a job that has ended and remove its files; errors as of ``JobStore.delete``."""
    store.delete(id)
    shutil.rmtree(job_folder(settings, id), ignore_errors=True)


# -- shard


def classify_shard(
    settings: Settings,
    job: Job,
    shard: int,
    rows: Callable[[OnBadRow], Iterator[pa.RecordBatch]],
    classifier: Classifier,
    check: Check,
) -> Done:
    """Write the part of one shard with these rows (id, text). A second run replaces it by an equal one."""
    bad: list[BadRow] = []

    def scored() -> Iterator[pa.RecordBatch]:
        for batch in rows(bad.append):
            yield _classified(classifier, batch)
            check()

    return write_part(job_folder(settings, job.id), job, shard, classifier.schema, scored(), bad)


def _classified(classifier: Classifier, batch: pa.RecordBatch) -> pa.RecordBatch:
    found = classifier.classify(batch)
    if found.num_rows != batch.num_rows:
        raise PingtiError(f"the classifier gave {found.num_rows} rows for {batch.num_rows}")
    return found


def write_part(
    folder: Path,
    job: Job,
    shard: int,
    schema: pa.Schema,
    scored: Iterator[pa.RecordBatch],
    bad: Sequence[BadRow],
    *,
    sync: bool = True,
) -> Done:
    """Write a shard's part, and its bad rows, which are all known when ``scored`` ends."""
    start = time.perf_counter()
    schema = schema.with_metadata({**(schema.metadata or {}), b"job": job.id.encode()})
    asked = {pin.task: 0 for pin in job.pins if not pin.hidden}
    rows = 0
    part, errors = folder / part_name(shard), folder / f"{shard:05d}.jsonl"
    with replacing(part, sync=False) as temporary:
        with results_writer(temporary, schema) as writer:
            for batch in scored:
                writer.write_batch(batch)
                rows += batch.num_rows
                for task in asked:
                    asked[task] += batch.num_rows - batch.column(task).null_count
        if bad:
            with replacing(errors, sync=False) as lines, lines.open("wb") as file:
                for each in bad:
                    write_bad_row(file, each)
        else:  # an earlier attempt may have given up rows that this one delivers
            errors.unlink(missing_ok=True)
    if sync:  # the store, not the file's name, says that a part is finished
        files.sync(part, *([errors] if bad else []))
    return Done(rows=rows, failed=len(bad), seconds=time.perf_counter() - start, tasks=asked)


# -- finalize


def finalize(settings: Settings, job: Job, finished: set[int], check: Check) -> None:
    """Write errors.jsonl and the manifest of a job whose shards have ended.

    ``finished`` are the shards that count. Raises PingtiError when rows are missing or too many. What it is
    made of stays (see ``tidy``): another attempt, after a crash or at the same time, makes the same of it.
    """
    folder = job_folder(settings, job.id)
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _pieces_of_errors(folder, finished)
    if pieces:
        with replacing(folder / ERRORS, sync=False) as temporary, temporary.open("wb") as whole:
            lines = 0
            for piece in pieces:
                with piece.open("rb") as file:
                    while data := file.read(_READ_BYTES):
                        lines += data.count(b"\n")
                        whole.write(data)
            if lines < job.counts.failed:  # pieces are gone: of an attempt that is late
                raise PingtiError(f"{ERRORS} would have {lines} of {job.counts.failed} bad rows")
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
    write_json(folder / MANIFEST, _manifest(folder, job, _outcome(job), parts), sync=False)
    # Both have their names now; they show nothing before the store says that the job has ended.
    files.sync(folder / MANIFEST, *([folder / ERRORS] if pieces else []))


def tidy(settings: Settings, id: str) -> None:
    """Remove what a job's results were made of; only once the store says that it has ended."""
    folder = job_folder(settings, id)
    for path in folder.glob("[0-9]*.jsonl"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / CUT, ignore_errors=True)


def _manifest(folder: Path, job: Job, outcome: JobStatus, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": _MANIFEST_VERSION,
        "job": job.id,
        "outcome": outcome,
        "counts": job.counts.model_dump(),
        "inputs": list(job.inputs),
        "tasks": [asdict(pin) for pin in job.pins],
        "parts": parts,
        "errors": ERRORS if (folder / ERRORS).exists() else None,
        "error": job.error,
    }


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


# -- all of a small job in one go


def classify_whole(
    settings: Settings,
    job: Job,
    batches: Sequence[pa.RecordBatch],
    bad: Sequence[BadRow],
    classifier: Classifier,
) -> Done:
    """Write all files of a small job, its manifest too, as of a job that is completed; unsynced."""
    folder = job_folder(settings, job.id)
    scored = (_classified(classifier, batch) for batch in batches)
    done = write_part(folder, job, 0, classifier.schema, scored, bad, sync=False)
    if bad:
        (folder / "00000.jsonl").replace(folder / ERRORS)
    counts = Counts(total=done.rows + done.failed, completed=done.rows, failed=done.failed)
    parts = [_part_entry(folder / part_name(0))]
    manifest = _manifest(folder, job.model_copy(update={"counts": counts}), JobStatus.COMPLETED, parts)
    write_json(folder / MANIFEST, manifest, sync=False)
    return done
