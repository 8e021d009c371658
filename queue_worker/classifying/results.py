"""A job's results, wherever they are: in the workspace's folder, or in the store.

What is in the store comes as local copies, checked by their checksums.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from pingti.corpus.formats import readable_parquet
from pingti.errors import ConflictError, NotFoundError, PingtiError
from pingti.workspace.storage import Storage, tables
from pingti.workspace.storage.objects import at_once
from queue_worker.classifying import shards
from queue_worker.classifying.bad_rows import Check, read_piece
from queue_worker.classifying.shards import CUT, ERRORS, MANIFEST
from queue_worker.classifying.stored import PARTS, key_of
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.settings import Settings


def results(settings: Settings, job: Job) -> list[Path]:
    """Part files of a job that has ended, in the order of its rows; errors as of ``shards.results``."""
    storage = _storage_of(settings, job)
    if storage is None:
        return shards.results(settings, job)
    if not job.status.final:
        raise ConflictError(f"job {job.id} is {job.status}; its results are there when it has ended")

    def manifest() -> bytes:
        data = storage.get(key_of(job.id, MANIFEST))
        if data is None:
            raise FileNotFoundError
        return data

    paths: list[Path] = []
    for part in shards.listed_parts(job, manifest):
        try:
            path = settings.copies.object(storage, key_of(job.id, part["name"]), part["sha256"])
        except NotFoundError:
            raise shards.damaged(job, f"its part {part['name']} is gone") from None
        with readable_parquet(str(path)):
            rows = pq.read_metadata(path).num_rows
        if rows != part["rows"]:
            raise shards.damaged(job, f"its part {part['name']} holds {rows:,} rows, not {part['rows']:,}")
        paths.append(path)
    return paths


def error_lines(settings: Settings, job: Job) -> Iterator[bytes]:
    """Pieces of the lines of a job's bad rows; those found so far, while it is under way.

    Raises:
        ArtifactError: a job that is completed had some, and they are gone; before the first piece.
    """
    storage = _storage_of(settings, job)
    if storage is None:
        return shards.error_lines(settings, job)
    whole = storage.get(key_of(job.id, ERRORS))
    if whole is not None:
        return iter([whole])
    if job.status is JobStatus.COMPLETED and job.counts.failed:
        raise shards.damaged(job, f"its {ERRORS} is gone, with {job.counts.failed:,} rows")
    return _lines_so_far(storage, job)


def _storage_of(settings: Settings, job: Job) -> Storage | None:
    """The store, where it has the job's results: not those of a job of before there was one."""
    here = (shards.job_folder(settings, job.id) / MANIFEST).exists()
    return None if here else settings.storage


def _lines_so_far(storage: Storage, job: Job) -> Iterator[bytes]:
    pieces = [key_of(job.id, CUT, ERRORS)] if storage.exists(key_of(job.id, CUT, ERRORS)) else []
    by_shard: dict[str, str] = {}  # one attempt of each
    for key in storage.entries(key_of(job.id, PARTS)):
        if key.endswith(".jsonl"):
            by_shard[key.rpartition("/")[2].partition("-")[0]] = key
    with TemporaryDirectory() as folder:
        for number, key in enumerate([*pieces, *by_shard.values()]):
            path = Path(folder) / str(number)
            path.write_bytes(storage.get(key) or b"")
            yield from (line for line, _ in read_piece(path) if line)


def delete_job(settings: Settings, store: JobStore, id: str) -> None:
    """Forget a job that has ended and remove its files; errors as of ``JobStore.delete``."""
    store.delete(id)
    remove_files(settings, id)


def remove_files(settings: Settings, id: str) -> None:
    """Remove the files of a job that is forgotten; its ``output`` is its owner's."""
    shutil.rmtree(shards.job_folder(settings, id), ignore_errors=True)
    if settings.storage is not None:
        settings.storage.delete_below(key_of(id))


# -- the end of a job


def finalize(settings: Settings, job: Job, store: JobStore, check: Check) -> None:
    """Write the list of bad rows and the manifest of a job whose shards have ended; publish its output.

    Args:
        settings: where the workspace and the store are.
        job: the job as it is now.
        store: knows which shards count.
        check: called between steps.

    Raises:
        PingtiError: rows are missing, or there are too many; or its output is taken.
    """
    storage = settings.storage
    if storage is None:
        shards.finalize(settings, job, store.finished_shards(job.id), check=check)
    else:
        _finalize_stored(storage, job, store.finished_parts(job.id), check)
    if job.output is not None and shards.outcome_of(job) is JobStatus.COMPLETED:
        _publish(settings, job, Storage(job.output), check)


def _finalize_stored(storage: Storage, job: Job, finished: Mapping[int, str], check: Check) -> None:
    entries = {shard: json.loads(finished[shard]) for shard in sorted(finished)}
    listed = storage.entries(key_of(job.id))
    parts: list[dict[str, Any]] = []
    for entry in entries.values():
        name = f"{PARTS}/{entry['name']}.parquet"
        there = listed.get(key_of(job.id, name))
        if there is None or there.size != entry["bytes"]:
            raise PingtiError(f"{storage.at(key_of(job.id, name))}: a finished part is gone or cut short")
        parts.append({"name": name, **{field: entry[field] for field in ("rows", "bytes", "sha256")}})
    shards.verify(job, parts)
    pieces = [f"{PARTS}/{entry['name']}.jsonl" for entry in entries.values() if entry["errors"]]
    if key_of(job.id, CUT, ERRORS) in listed:
        pieces.insert(0, f"{CUT}/{ERRORS}")
    if pieces:
        with TemporaryDirectory() as name:
            folder = Path(name)
            paths = [folder / f"{number}.jsonl" for number in range(len(pieces))]
            datas = at_once(lambda piece: storage.read(key_of(job.id, piece)), pieces)
            for path, data in zip(paths, datas, strict=True):
                check()
                path.write_bytes(data)
            shards.merge_errors(job, paths, folder / ERRORS, check)
            storage.put_file(key_of(job.id, ERRORS), folder / ERRORS)
    check()
    manifest = shards.manifest_of(job, parts, errors=bool(pieces))
    storage.put_bytes(key_of(job.id, MANIFEST), json.dumps(manifest, ensure_ascii=False, indent=2).encode())


def tidy(settings: Settings, id: str) -> None:
    """Remove what a job's results were made of; only once the store says that it has ended."""
    shards.tidy(settings, id)
    storage = settings.storage
    if storage is None:
        return
    shutil.rmtree(shards.job_folder(settings, id), ignore_errors=True)
    manifest = storage.get(key_of(id, MANIFEST))
    kept = {part["name"] for part in json.loads(manifest)["parts"]} if manifest is not None else set()
    prefix = key_of(id, "")
    left = [key for key in storage.entries(key_of(id)) if key.removeprefix(prefix).startswith((CUT, PARTS))]
    for _ in at_once(storage.delete, [key for key in left if key.removeprefix(prefix) not in kept]):
        pass


def _publish(settings: Settings, job: Job, table: Storage, check: Check) -> None:
    """Copy a completed job's results into its output; another attempt writes the same over it."""
    tables.start(table, job.id)
    storage = settings.storage
    folder = shards.job_folder(settings, job.id)
    data = storage.read(key_of(job.id, MANIFEST)) if storage else (folder / MANIFEST).read_bytes()
    manifest = json.loads(data)
    parts = [
        {**part, "name": tables.part_name(number), "source": part["name"]}
        for number, part in enumerate(manifest["parts"])
    ]

    def copy(name: str, to: str) -> None:
        check()
        if storage is None:
            table.put_file(to, folder / name)
        else:
            storage.copy(key_of(job.id, name), table.at(to))

    sources = {part["name"]: part.pop("source") for part in parts}
    for _ in at_once(lambda name: copy(sources[name], name), sources):
        pass
    if manifest["errors"]:
        copy(ERRORS, tables.ERRORS)
    tables.finish(
        table, {**manifest, "parts": parts, "errors": tables.ERRORS if manifest["errors"] else None}
    )
