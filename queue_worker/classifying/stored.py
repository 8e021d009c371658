"""What workers of one job give each other through the store: files cut from the inputs, and finished parts.

``jobs/<id>/`` in the store holds

    input/NNNNN.arrow, input/errors.jsonl     as in the workspace's folder of the job
    parts/NNNNN-<token>.parquet, .jsonl       of an attempt each; its claim's end says which one counts
    errors.jsonl, manifest.json               by the job's end

Without a store each function does nothing: all of it is in the workspace's folder.
"""

import json
from pathlib import Path
from typing import Any

from pingti import files
from pingti.workspace.storage import Storage
from queue_worker.classifying.shards import CUT
from queue_worker.jobs.models import Claim, Done
from queue_worker.settings import Settings

PARTS = "parts"


def key_of(job: str, *names: str) -> str:
    """The key of something of a job's."""
    return "/".join(["jobs", job, *names])


def put_cut(settings: Settings, job: str, path: Path) -> None:
    """Move a file that was cut from the inputs, or the list of bad rows of that, into the store."""
    if settings.storage is not None:
        settings.storage.put_file(key_of(job, CUT, path.name), path)
        path.unlink()


def fetch_cut(settings: Settings, job: str, path: Path) -> None:
    """Have such a file here, if the store has it."""
    if settings.storage is None or path.exists():
        return
    data = settings.storage.get(key_of(job, CUT, path.name))
    if data is not None:
        files.write_bytes(path, data, sync=False)


def put_part(storage: Storage, claim: Claim, folder: Path) -> str:
    """Put what an attempt has written into the store, under names of its own.

    Args:
        storage: of the settings.
        claim: of the attempt.
        folder: holds its part, and the list of bad rows where there are some.

    Returns:
        JSON for ``Done.part``: name, bytes and sha256 of the part, and whether there is a list of bad rows.
    """
    stem = f"{int(claim.unit):05d}"
    name = f"{stem}-{claim.token}"
    part, errors = folder / f"{stem}.parquet", folder / f"{stem}.jsonl"
    if errors.exists():
        storage.put_file(key_of(claim.job, PARTS, f"{name}.jsonl"), errors)
    entry: dict[str, Any] = {"name": name, "bytes": part.stat().st_size, "errors": errors.exists()}
    entry["sha256"] = storage.put_file(key_of(claim.job, PARTS, f"{name}.parquet"), part)
    return json.dumps(entry)


def part_entry(part: str, done: Done) -> str:
    """``put_part``'s answer with the rows of the part."""
    return json.dumps({**json.loads(part), "rows": done.rows})
