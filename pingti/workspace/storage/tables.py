"""A table in a store: a folder of Parquet parts that Spark and DuckDB read, shown as whole by its end.

``part-00000.parquet`` and so on, ``_errors.jsonl`` where rows were bad, ``_manifest.json``, and an empty
``_SUCCESS`` last. ``_started.json`` says who writes it. Readers of tables pass over names with a ``_``.
"""

import json
from typing import Any

from pingti.errors import ConflictError
from pingti.workspace.storage.objects import Storage

ERRORS = "_errors.jsonl"
MANIFEST = "_manifest.json"
SUCCESS = "_SUCCESS"
_STARTED = "_started.json"


def part_name(number: int) -> str:
    """The name of a part, in whose order the rows are those of the inputs."""
    return f"part-{number:05d}.parquet"


def refuse_taken(table: Storage) -> None:
    """See that a folder is free for a table.

    Raises:
        ConflictError: there is something in it.
    """
    if taken := next(iter(table.entries("")), None):
        raise ConflictError(f"{table.address}: {taken} is there already; name another folder or remove it")


def start(table: Storage, writer: str) -> None:
    """Take a folder for a table; whoever has taken it may do so again.

    Args:
        table: the folder.
        writer: who writes it, such as a job's id.

    Raises:
        ConflictError: something is in it, or another writes it at this moment.
    """
    mark = json.dumps({"writer": writer}).encode()
    if table.get(_STARTED) == mark:
        return
    refuse_taken(table)
    if not table.create(_STARTED, mark):
        raise ConflictError(
            f"{table.address}: another writes results there at this moment; name another folder"
        )


def finish(table: Storage, manifest: dict[str, Any]) -> None:
    """Show a table all of whose parts are in place."""
    table.put_bytes(MANIFEST, (json.dumps(manifest, ensure_ascii=False, indent=2) + "\n").encode())
    table.put_bytes(SUCCESS, b"")
