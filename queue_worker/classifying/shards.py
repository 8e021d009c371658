"""A job's results on disk: classify one shard, and put the parts together.

``jobs/<id>/`` in the workspace holds

    input/NNNNN.arrow              shards that were cut from the inputs (``planning``); errors.jsonl beside
    NNNNN.parquet                  finished parts, written under another name and renamed
    NNNNN.jsonl                    bad rows that were found in a shard; a last line counts those not listed
    errors.jsonl, manifest.json    written by the end of the job; the manifest last: it shows the results

Each function may run again after a crash, or at the same time in a worker that lost its lease without
knowing: what is written does not depend on the attempt.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pingti import files
from pingti.corpus.reader import OnBadRow
from pingti.errors import ArtifactError, ConflictError, InputError, PingtiError
from pingti.files import replacing, sha256, write_json
from pingti.inference.bad_rows import check_bad
from pingti.inference.classifier import Classifier, results_writer
from pingti.inference.pins import described
from pingti.inference.results import results_schema, with_carried
from pingti.workspace.registry import Workspace
from queue_worker.classifying import bad_rows
from queue_worker.classifying.bad_rows import BadRows, Check, Listing, read_piece
from queue_worker.jobs.models import Counts, Done, Job, JobStatus
from queue_worker.settings import Settings

CUT = "input"  # folder of the cut files, in the job's own
MANIFEST = "manifest.json"
ERRORS = "errors.jsonl"
_MANIFEST_VERSION = 1
_READ_BYTES = 256 * 1024


def job_folder(settings: Settings, id: str) -> Path:
    """Where the files of a job are."""
    return Workspace(settings.home).jobs / id


def part_name(shard: int) -> str:
    """File of a shard's results, in the job's folder."""
    return f"{shard:05d}.parquet"


def results(settings: Settings, job: Job) -> list[Path]:
    """The part files of a job that has ended, in the order of its input rows.

    A cancelled or failed job has the parts that were finished.

    Raises:
        ConflictError: the job is under way; results appear all at once.
        ArtifactError: the parts are not those that were counted: rows that are missing are never an empty
            result.
    """
    if not job.status.final:
        raise ConflictError(f"job {job.id} is {job.status}; its results are there when it has ended")
    folder = job_folder(settings, job.id)
    parts = [
        (folder / part["name"], part["rows"]) for part in listed_parts(job, (folder / MANIFEST).read_bytes)
    ]
    for path, rows in parts:
        try:
            written: int = pq.read_metadata(path).num_rows
        except FileNotFoundError:
            raise damaged(job, f"its part {path.name} is gone") from None
        except (OSError, pa.ArrowException) as error:
            raise damaged(job, f"its part {path.name} cannot be read: {error}") from error
        if written != rows:
            raise damaged(job, f"its part {path.name} holds {written:,} rows, but {rows:,} were written")
    return [path for path, _ in parts]


def listed_parts(job: Job, read: Callable[[], bytes]) -> list[dict[str, Any]]:
    """The parts that a job's manifest lists: name, rows and sha256 of each.

    Args:
        job: one that has ended.
        read: the manifest's bytes; FileNotFoundError where there is none.

    Raises:
        ArtifactError: there are rows, and no manifest of them, or a damaged one.
    """
    try:
        manifest = json.loads(read())
        parts: list[dict[str, Any]] = [
            {"name": str(part["name"]), "rows": int(part["rows"]), "sha256": str(part["sha256"])}
            for part in manifest["parts"]
        ]
        # Else it is of an attempt that had lost its lease.
        if manifest["outcome"] == job.status:
            _refuse_other_count(job, sum(part["rows"] for part in parts))
            return parts
        reason = f"its {MANIFEST} is that of a job that was {manifest['outcome']}"
    except FileNotFoundError:
        reason = (
            f"there is no jobs/{job.id}/{MANIFEST} in this workspace: removed since, or the worker that did "
            "the job has another workspace"
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(job, f"its {MANIFEST} cannot be read") from error
    if job.status is JobStatus.COMPLETED or job.counts.completed:
        raise damaged(job, reason)
    return []  # it ended before any part


def _refuse_other_count(job: Job, listed: int) -> None:
    if listed != job.counts.completed:
        raise damaged(job, f"its parts hold {listed:,} rows, but {job.counts.completed:,} were counted")


def damaged(job: Job, reason: str) -> ArtifactError:
    """The error of results that are not those that were counted."""
    return ArtifactError(f"the results of job {job.id} are damaged: {reason}")


def error_lines(settings: Settings, job: Job) -> Iterator[bytes]:
    """Pieces of the lines of a job's bad rows; those found so far, while it is under way.

    Raises:
        ArtifactError: a job that is completed had some, and they are gone; before the first piece.
    """
    folder = job_folder(settings, job.id)
    whole = folder / ERRORS
    if whole.exists():
        return _pieces_of(whole)
    paths = _pieces_of_errors(folder, None)
    if job.status is JobStatus.COMPLETED and job.counts.failed and not paths:
        raise damaged(job, f"its {ERRORS} is gone, with {job.counts.failed:,} rows")
    return (line for path in paths for line, _ in read_piece(path) if line)


def _pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece


def _pieces_of_errors(folder: Path, finished: set[int] | None) -> list[Path]:
    by_shard = sorted(
        path for path in folder.glob("[0-9]*.jsonl") if finished is None or int(path.stem) in finished
    )
    return [path for path in (folder / CUT / ERRORS, *by_shard) if path.exists()]


# -- shard


def classify_shard(
    settings: Settings,
    job: Job,
    shard: int,
    rows: Callable[[OnBadRow], Iterator[pa.RecordBatch]],
    classifier: Classifier,
    check: Check,
    *,
    folder: Path | None = None,
) -> Done:
    """Write the part of one shard with these rows (id, text). A second run replaces it by an equal one.

    ``folder``: where to; the job's own where absent.
    """
    bad = BadRows(check, listing=job.counts.failed < bad_rows.MOST_LISTED)

    def scored() -> Iterator[pa.RecordBatch]:
        for batch in rows(bad):
            yield _classified(classifier, batch, job)
            check()

    return write_part(folder or job_folder(settings, job.id), job, shard, classifier.schema, scored(), bad)


def _classified(classifier: Classifier, batch: pa.RecordBatch, job: Job) -> pa.RecordBatch:
    classified = classifier.classify(batch)
    if classified.num_rows != batch.num_rows:
        raise PingtiError(f"the classifier gave {classified.num_rows} rows for {batch.num_rows}")
    return with_carried(classified, batch, job.columns)


def write_part(
    folder: Path,
    job: Job,
    shard: int,
    schema: pa.Schema,
    scored: Iterator[pa.RecordBatch],
    bad: BadRows,
    *,
    sync: bool = True,
) -> Done:
    """Write a shard's part, and its bad rows, which are all known when ``scored`` ends.

    ``schema`` is the classifier's; ``scored`` has what goes along, too.
    """
    start = time.perf_counter()
    schema = results_schema(schema, job.columns)
    schema = schema.with_metadata({**(schema.metadata or {}), b"job": job.id.encode()})
    columns = {pin.task: pin.name for pin in job.pins if not pin.hidden}  # of several one counts its rows
    asked = dict.fromkeys(columns, 0)
    by_teacher = {pin.task: 0 for pin in job.pins if pin.second is not None and not pin.hidden}
    rows = 0
    part, errors = folder / part_name(shard), folder / f"{shard:05d}.jsonl"
    with replacing(part, sync=False) as temporary:
        with results_writer(temporary, schema) as writer:
            for batch in scored:
                writer.write_batch(batch)
                rows += batch.num_rows
                for task in asked:
                    asked[task] += batch.num_rows - batch.column(columns[task]).null_count
                for task in by_teacher:
                    decider: Any = batch.column(f"{columns[task]}_by")
                    by_teacher[task] += pc.equal(decider, "teacher").true_count
        if bad.count:
            bad.write(errors, tail=True, sync=False)
        else:  # an earlier attempt may have given up rows that this one delivers
            errors.unlink(missing_ok=True)
    if sync:  # the store, not the file's name, says that a part is finished
        files.sync(part, *([errors] if bad.count else []))
    seconds = time.perf_counter() - start
    return Done(rows=rows, failed=bad.count, seconds=seconds, tasks=asked, by_teacher=by_teacher)


# -- finalize


def finalize(settings: Settings, job: Job, finished: set[int], check: Check) -> None:
    """Write errors.jsonl and the manifest of a job whose shards have ended.

    What it is made of stays (see ``tidy``): another attempt, after a crash or at the same time, makes the
    same of it.

    Args:
        settings: where the workspace is.
        job: the job as it is now.
        finished: the shards that count.
        check: called between steps.

    Raises:
        PingtiError: rows are missing, or there are too many.
    """
    folder = job_folder(settings, job.id)
    folder.mkdir(parents=True, exist_ok=True)
    pieces = _pieces_of_errors(folder, finished)
    if pieces:
        merge_errors(job, pieces, folder / ERRORS, check)
    parts = []
    for shard in sorted(finished):
        check()
        parts.append(_part_entry(folder / part_name(shard)))
    verify(job, parts)
    names = {part["name"] for part in parts}
    for path in folder.glob("*.parquet"):
        if path.name not in names:  # its worker ended between the rename and the mark
            path.unlink(missing_ok=True)
    for path in folder.glob(".*.parquet.*"):  # of attempts that died
        path.unlink(missing_ok=True)
    write_json(folder / MANIFEST, manifest_of(job, parts, errors=(folder / ERRORS).exists()), sync=False)
    # Both have their names now; they show nothing before the store says that the job has ended.
    files.sync(folder / MANIFEST, *([folder / ERRORS] if pieces else []))


def refusal(job: Job) -> str | None:
    """Why a job fails of which all rows are done: more of them are bad than its caller allows."""
    if outcome_of(job) is not JobStatus.COMPLETED:
        return None
    try:
        check_bad(job.counts.total, job.counts.failed, job.max_bad_rows)
    except InputError as error:
        return str(error)
    return None


def tidy(settings: Settings, id: str) -> None:
    """Remove what a job's results were made of; only once the store says that it has ended."""
    folder = job_folder(settings, id)
    for path in folder.glob("[0-9]*.jsonl"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / CUT, ignore_errors=True)


def merge_errors(job: Job, pieces: Sequence[Path], path: Path, check: Check) -> None:
    """Write the list of a job's bad rows, of those of its shards and of its plan.

    Raises:
        PingtiError: rows are missing.
    """
    listing, counted = Listing(), 0
    for piece in pieces:
        check()
        for line, rows in read_piece(piece):
            counted += rows
            if line:
                listing.add(line)
    if counted < job.counts.failed:  # pieces are gone: of an attempt that is late
        raise PingtiError(f"{ERRORS} would have {counted} of {job.counts.failed} bad rows")
    listing.write(path, tail=False, sync=False)


def manifest_of(job: Job, parts: list[dict[str, Any]], *, errors: bool) -> dict[str, Any]:
    """What a manifest says of a job whose shards have ended.

    Args:
        job: with its counts.
        parts: name, rows, bytes and sha256 of each.
        errors: whether there is a list of bad rows.
    """
    return {
        "format": _MANIFEST_VERSION,
        "job": job.id,
        "outcome": outcome_of(job),
        "counts": job.counts.model_dump(),
        "inputs": list(job.inputs),
        "tasks": [described(pin) for pin in job.pins],
        "parts": parts,
        "errors": ERRORS if errors else None,
        "error": job.error,
    }


def _part_entry(path: Path) -> dict[str, Any]:
    rows: int = pq.read_metadata(path).num_rows
    return {"name": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": sha256(path)}


def verify(job: Job, parts: list[dict[str, Any]]) -> None:
    """See that parts hold what was counted, and that every row is somewhere; else PingtiError."""
    written = sum(part["rows"] for part in parts)
    counts = job.counts
    if written != counts.completed:
        raise PingtiError(f"the parts hold {written} rows, but {counts.completed} were counted")
    if outcome_of(job) is JobStatus.COMPLETED and counts.total != counts.completed + counts.failed:
        raise PingtiError(
            f"of {counts.total} rows, {counts.completed} are in parts and {counts.failed} in {ERRORS}"
        )


def outcome_of(job: Job) -> JobStatus:
    """How a job ends whose shards have ended."""
    if job.status is JobStatus.CANCELLING:
        return JobStatus.CANCELLED
    return JobStatus.FAILED if job.error else JobStatus.COMPLETED


# -- all of a small job in one go


def classify_whole(
    settings: Settings,
    job: Job,
    batches: Sequence[pa.RecordBatch],
    bad: BadRows,
    classifier: Classifier,
) -> Done:
    """Write all files of a small job, its manifest too, as of a job that has ended; unsynced."""
    folder = job_folder(settings, job.id)
    scored = (_classified(classifier, batch, job) for batch in batches)
    done = write_part(folder, job, 0, classifier.schema, scored, bad, sync=False)
    if bad.count:
        (folder / "00000.jsonl").unlink()
        bad.write(folder / ERRORS, tail=False, sync=False)
    counts = Counts(total=done.rows + done.failed, completed=done.rows, failed=done.failed)
    parts = [_part_entry(folder / part_name(0))]
    job = job.model_copy(update={"counts": counts})
    job = job.model_copy(update={"error": refusal(job)})
    write_json(folder / MANIFEST, manifest_of(job, parts, errors=(folder / ERRORS).exists()), sync=False)
    return replace(done, refused=job.error)
