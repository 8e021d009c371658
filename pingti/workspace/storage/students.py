"""Students in a store: put there once, whole, and fetched by workers that have no other way to them.

``tasks/<name>/students/<version>/`` holds the files of the workspace's folder, and ``checksums.json`` last,
which shows them. A version never changes.
"""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pingti import files
from pingti.errors import ArtifactError, ConflictError, NotFoundError
from pingti.students import version_files
from pingti.workspace.registry import Workspace
from pingti.workspace.storage.objects import Storage
from textcnn.plain.artifact import LAYOUT

CHECKSUMS = "checksums.json"
_KNOWN_SECONDS = 60.0
_known: dict[tuple[str, int], float] = {}  # address and time of a student: until when nobody looks again


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
        ConflictError: the store has another student by that name.
        PingtiError: as of ``Storage``.
    """
    for version in versions:
        entry, key = workspace.task(version.task), _key(version.task, version.version)
        folder = entry.student_folder(version.version)
        known = (store.at(key), (folder / LAYOUT.json).stat().st_mtime_ns)
        if time.monotonic() < _known.get(known, 0.0):
            continue
        checksums = _checksums(store, key)
        if checksums is None:
            store.put_file(f"tasks/{version.task}.toml", entry.path)
            paths = sorted(path for path in folder.iterdir() if path.is_file())
            written = {path.name: store.put_file(f"{key}/{path.name}", path) for path in paths}
            store.put_bytes(f"{key}/{CHECKSUMS}", json.dumps(written, indent=2).encode())
        elif not _fits(folder, checksums):  # a task that was removed, and made again by the same name
            raise ConflictError(
                f"{store.at(key)}: the store has another student of that name and version; remove it there"
            )
        _known[known] = time.monotonic() + _KNOWN_SECONDS


def forget() -> None:
    """Look into the store again at the next ``publish``."""
    _known.clear()


def fetch(workspace: Workspace, versions: Iterable[Versioned], store: Storage) -> None:
    """Have versions in a workspace, from a store where they are not there yet.

    The tensors of students of one network are one file with several names, as where they were made: it is
    read from the store once, and is one in memory.

    Raises:
        NotFoundError: they are not in the store either.
        ArtifactError: what is there is damaged.
        UnavailableError: the store cannot be reached.
    """
    tensors: dict[str, Path] = {}
    for version in versions:
        name, key = version.task, _key(version.task, version.version)
        folder = workspace.tasks / name / "students" / str(version.version)
        definition = workspace.tasks / f"{name}.toml"
        if not definition.exists():
            files.write_bytes(definition, store.read(f"tasks/{name}.toml"))
        checksums = _checksums(store, key)
        if checksums is None:
            raise NotFoundError(f"{store.at(key)}: no such student in the store")
        if not folder.exists():
            # Another thread may be first: it has fetched the same.
            with suppress(ConflictError), files.new_folder(folder) as unfinished:
                _fetch_files(store, key, checksums, unfinished, tensors)
        if not _fits(folder, checksums):
            raise ArtifactError.in_file(
                folder, f"is not the student that the store has as {store.at(key)}; remove the folder"
            )
        if LAYOUT.tensors in checksums:
            tensors.setdefault(checksums[LAYOUT.tensors], folder / LAYOUT.tensors)


def _checksums(store: Storage, key: str) -> dict[str, str] | None:
    """SHA-256 of each file of a student in the store; None where it is not there, or not whole yet."""
    listed = store.get(f"{key}/{CHECKSUMS}")
    if listed is None:
        return None
    try:
        checksums = {str(name): str(checksum) for name, checksum in json.loads(listed).items()}
        if any(Path(name).name != name for name in checksums):
            raise ValueError("a name leads out of the folder")
    except (ValueError, AttributeError) as error:
        raise ArtifactError.in_file(store.at(f"{key}/{CHECKSUMS}"), f"damaged: {error}") from error
    return checksums


def _fits(folder: Path, checksums: dict[str, str]) -> bool:
    """Whether a student is the one of the checksums; its report may have come later."""
    return all(files.sha256(folder / name) == checksums.get(name) for name in version_files(folder))


def _fetch_files(
    store: Storage, key: str, checksums: dict[str, str], folder: Path, tensors: dict[str, Path]
) -> None:
    """Write a student's files into a folder; ``tensors`` are files here that others have, by checksum."""
    for name, checksum in checksums.items():
        if name == LAYOUT.tensors and checksum in tensors:
            files.link_or_copy(tensors[checksum], folder / name)
            continue
        (folder / name).write_bytes(store.read(f"{key}/{name}"))
        if files.sha256(folder / name) != checksum:
            raise ArtifactError.in_file(store.at(f"{key}/{name}"), "damaged: its bytes are not those written")


def _key(task: str, version: int) -> str:
    return f"tasks/{task}/students/{version}"
