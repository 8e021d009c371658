"""One small interface over the stores: puts that are whole or absent, conditional creation, lists."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pingti import files, remote
from pingti.errors import InputError, NotFoundError
from pingti.remote import Entry, speaking

VARIABLE = "PINGTI_STORE"
"""The environment variable that names the store of what several machines share."""
_AT_ONCE = 16
_EXISTS = ("PreconditionFailed", "precondition", "already exists", "BlobAlreadyExists", "412", "File exists")


class Storage:
    """The objects below an address; a key is the rest of one, such as ``jobs/job-1/manifest.json``.

    A reader sees an object whole or not at all: stores show one when all of it has come; a local file is
    written under another name and renamed. Errors are those of ``remote.speaking``.

    Examples:
        >>> from pingti.workspace.storage import Storage
        >>> store = Storage("memory://bucket/pingti")
        >>> store.put_bytes("tasks/sport/current", b"3")
        >>> store.create("tasks/sport/current", b"4")
        False
        >>> store.read("tasks/sport/current")
        b'3'
    """

    def __init__(self, address: str) -> None:
        """Nothing is asked of the store yet.

        Args:
            address: of the folder that holds everything.

        Raises:
            InputError: it is of no store, or holds credentials.
        """
        remote.check_address(address)
        if not remote.of_store(address) or not address.partition("://")[2].strip("/"):
            known = ", ".join(f"{scheme}://" for scheme in remote.SCHEMES)
            raise InputError(f"{address!r} is no address of a store; needed is one of {known} with a bucket")
        self.address = address.rstrip("/")

    @classmethod
    def of_environment(cls) -> Self | None:
        """The store that PINGTI_STORE names; None where it names none."""
        address = os.environ.get(VARIABLE)
        return cls(address) if address else None

    def at(self, key: str) -> str:
        """The address of a key; "" is that of the folder."""
        return remote.joined(self.address, key) if key else self.address

    # -- reading

    def read(self, key: str) -> bytes:
        """An object.

        Raises:
            NotFoundError: there is none.
        """
        data = self.get(key)
        if data is None:
            raise NotFoundError(f"{self.at(key)}: no such object")
        return data

    def get(self, key: str) -> bytes | None:
        """An object, or None where there is none."""
        return remote.bytes_at(self.at(key))

    def exists(self, key: str) -> bool:
        """Whether there is an object."""
        return remote.look(self.at(key)) is not None

    def entries(self, prefix: str) -> dict[str, Entry]:
        """The objects below a folder, by their keys, in order."""
        below = remote.entries_below(self.at(prefix.rstrip("/")))
        return {entry.address.removeprefix(f"{self.address}/"): entry for entry in below}

    # -- writing

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write an object, in place of one that is there."""
        address = self.at(key)
        filesystem, path = remote.open_filesystem(address)
        with speaking(address):
            if address.startswith("file://"):
                files.write_bytes(Path(path), data)
            else:
                filesystem.pipe_file(path, data)

    def put_file(self, key: str, source: Path) -> str:
        """Write an object with the bytes of a local file; returns their hexadecimal SHA-256."""
        address, checksum = self.at(key), files.sha256(source)
        filesystem, path = remote.open_filesystem(address)
        with speaking(address):
            if address.startswith("file://"):
                files.write_bytes(Path(path), source.read_bytes())
            elif address.startswith("memory://"):
                filesystem.pipe_file(path, source.read_bytes())
            else:
                filesystem.put_file(str(source), path)
        return checksum

    def create(self, key: str, data: bytes) -> bool:
        """Write an object if there is none; returns whether it was written.

        The store itself decides between two that ask at the same time (S3: If-None-Match).
        """
        address = self.at(key)
        filesystem, path = remote.open_filesystem(address)
        with speaking(address):
            if address.startswith("file://"):
                return _create_file(Path(path), data)
            if filesystem.exists(path):
                return False
            try:
                filesystem.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            except Exception as error:
                if any(word in f"{type(error).__name__} {error}" for word in _EXISTS):
                    return False
                raise
        return True

    def copy(self, key: str, address: str) -> None:
        """Copy an object to an address, in the store itself where both are in the same one."""
        source, path = remote.open_filesystem(self.at(key))
        target, to = remote.open_filesystem(address)
        with speaking(address):
            if type(source) is type(target) and not address.startswith("file://"):
                source.cp_file(path, to)
                return
        folder, _, name = address.rpartition("/")
        Storage(folder).put_bytes(name, self.read(key))

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""
        filesystem, path = remote.open_filesystem(self.at(key))
        with speaking(self.at(key)), suppress(FileNotFoundError):
            filesystem.rm_file(path)

    def delete_below(self, prefix: str) -> int:
        """Remove the objects below a folder; returns how many there were."""
        keys = list(self.entries(prefix))
        for _ in at_once(self.delete, keys):
            pass
        return len(keys)


def at_once(do: Callable[[str], Any], items: Iterable[str]) -> Iterator[Any]:
    """What ``do`` gives for each item, in order; several are asked of the store at the same time."""
    items = list(items)
    if len(items) < 2:
        yield from map(do, items)
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(items)), thread_name_prefix="store") as pool:
        yield from pool.map(do, items)


def _create_file(path: Path, data: bytes) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        temporary.write_bytes(data)
        os.link(temporary, path)  # whole at once, and refused where the name is taken
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
