"""Students in a store: put there once, whole, and fetched by workers that have no other way to them.

``tasks/<name>/students/<version>/`` holds the files of the workspace's folder, and ``checksums.json`` last,
which shows them. A version never changes.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pingti import files
from pingti.errors import ArtifactError, ConflictError, NotFoundError
from pingti.workspace.registry import Workspace
from pingti.workspace.storage.objects import Storage

CHECKSUMS = "checksums.json"
_known: set[str] = set()  # addresses of versions that are in their store


class Versioned(Protocol):
    """A task's version, such as a job's pin."""

    @property
    def task(self) -> str:
        """The task's name."""

    @property
    def version(self) -> int:
        """The number of its student."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A task's version."""

    task: str
    version: int


def publish(workspace: Workspace, versions: Iterable[Versioned], store: Storage) -> None:
    """Put versions into a store that are not there yet.

    Raises:
        NotFoundError: no such task or version in the workspace.
        PingtiError: as of ``Storage``.
    """
    for version in versions:
        entry, folder = workspace.task(version.task), _key(version.task, version.version)
        if store.at(folder) in _known:
            continue
        if not store.exists(f"{folder}/{CHECKSUMS}"):
            store.put_file(f"tasks/{version.task}.toml", entry.path)
            paths = sorted(path for path in entry.student_folder(version.version).iterdir() if path.is_file())
            checksums = {path.name: store.put_file(f"{folder}/{path.name}", path) for path in paths}
            store.put_bytes(f"{folder}/{CHECKSUMS}", json.dumps(checksums, indent=2).encode())
        _known.add(store.at(folder))


def fetch(workspace: Workspace, versions: Iterable[Versioned], store: Storage) -> None:
    """Have versions in a workspace, from a store where they are not there yet.

    Raises:
        NotFoundError: they are not in the store either.
        ArtifactError: what is there is damaged.
        UnavailableError: the store cannot be reached.
    """
    for version in versions:
        name, key = version.task, _key(version.task, version.version)
        folder = workspace.tasks / name / "students" / str(version.version)
        definition = workspace.tasks / f"{name}.toml"
        if not definition.exists():
            files.write_bytes(definition, store.read(f"tasks/{name}.toml"))
        if not (folder / "student.json").exists():
            # Another thread may be first: it has fetched the same.
            with suppress(ConflictError), files.new_folder(folder) as unfinished:
                _fetch_files(store, key, unfinished)


def _fetch_files(store: Storage, key: str, folder: Path) -> None:
    listed = store.get(f"{key}/{CHECKSUMS}")
    if listed is None:
        raise NotFoundError(f"{store.at(key)}: no such student in the store")
    try:
        checksums = {str(name): str(checksum) for name, checksum in json.loads(listed).items()}
        if any(Path(name).name != name for name in checksums):
            raise ValueError("a name leads out of the folder")
    except (ValueError, AttributeError) as error:
        raise ArtifactError.in_file(store.at(f"{key}/{CHECKSUMS}"), f"damaged: {error}") from error
    for name, checksum in checksums.items():
        (folder / name).write_bytes(store.read(f"{key}/{name}"))
        if files.sha256(folder / name) != checksum:
            raise ArtifactError.in_file(store.at(f"{key}/{name}"), "damaged: its bytes are not those written")


def _key(task: str, version: int) -> str:
    return f"tasks/{task}/students/{version}"
