"""Copies of a store's objects in a local folder, each known by what it holds; the oldest make room."""

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pingti import files, remote
from pingti.errors import ArtifactError, InputError
from pingti.remote import Entry
from pingti.workspace.storage.objects import Storage

_LOOK_BYTES = 64 << 20  # that are written between two looks at how much there is
_KEPT_SECONDS = 600.0  # after its last use a copy may be being opened
_MD5_LETTERS = 32


class Cache:
    """Local copies of objects. Any number of threads and processes may use one folder."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Nothing is written yet.

        Args:
            folder: of the copies.
            most_bytes: that the copies may take, about; what was used in the last minutes stays.
        """
        self.folder, self._most = folder, most_bytes
        self._lock = threading.Lock()
        self._written = _LOOK_BYTES

    def input(self, entry: Entry) -> Path:
        """A copy of an object as it was listed, below those of its folders that hold values (day=2025-11-03).

        Raises:
            InputError: the object is gone, or is another one by now.
            UnavailableError: the store cannot be reached.
        """
        key = hashlib.sha256(f"{entry.address}\n{entry.size}\n{entry.tag}".encode()).hexdigest()
        *folders, name = entry.address.partition("://")[2].split("/")
        values = [folder for folder in folders if "=" in folder]

        def write(path: Path) -> None:
            remote.copy_to(entry.address, path, entry.size)
            if not _is_entry(entry, path):
                raise changed(entry.address)

        return self._kept(self.folder.joinpath("inputs", key[:40], *values, name), write)

    def object(self, store: Storage, key: str, sha256: str) -> Path:
        """A copy of an object of a known checksum.

        Args:
            store: where the object is.
            key: of the object.
            sha256: of its bytes, hexadecimal.

        Raises:
            NotFoundError: there is no such object.
            ArtifactError: it holds other bytes.
            UnavailableError: the store cannot be reached.
        """

        def write(path: Path) -> None:
            data = store.read(key)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise ArtifactError.in_file(
                    store.at(key), "damaged: its bytes are not those that were written"
                )
            path.write_bytes(data)

        return self._kept(self.folder / "objects" / sha256[:40] / key.rpartition("/")[2], write)

    def _kept(self, path: Path, write: Callable[[Path], None]) -> Path:
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
            return path
        with files.replacing(path, sync=False) as temporary:
            write(temporary)
            size = temporary.stat().st_size
        with self._lock:
            self._written += size
            look = self._written >= _LOOK_BYTES
            if look:
                self._written = 0
        if look:
            self._make_room()
        return path

    def _make_room(self) -> None:
        """Remove what was not used for longest, until there are few enough bytes."""
        copies = sorted(self._copies(), key=lambda copy: copy[1])
        size = sum(copy[2] for copy in copies)
        for folder, used, bytes in copies:
            if size <= self._most or used > time.time() - _KEPT_SECONDS:
                return
            shutil.rmtree(folder, ignore_errors=True)
            size -= bytes

    def _copies(self) -> Iterator[tuple[Path, float, int]]:
        """Folder, time of the last use (Unix seconds) and bytes of each copy."""
        for folder in (*self.folder.glob("inputs/*"), *self.folder.glob("objects/*")):
            with contextlib.suppress(FileNotFoundError):  # another process was first
                stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
                used = max((stat.st_mtime for stat in stats), default=0.0)
                yield folder, used, sum(stat.st_size for stat in stats)


def changed(address: str) -> InputError:
    """The error of an object that is not the one that was accepted."""
    return InputError(f"{address}: was changed or replaced after the job was accepted; submit it again")


def _is_entry(entry: Entry, path: Path) -> bool:
    """Whether a file holds what an entry does: by its tag where that is its MD5, else by another look."""
    if path.stat().st_size != entry.size:
        return False
    if len(entry.tag) == _MD5_LETTERS:
        with path.open("rb") as file:
            if (
                hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
                == entry.tag
            ):
                return True
    return remote.look(entry.address) == entry
