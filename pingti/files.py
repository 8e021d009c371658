"""Files and folders that are either whole or absent: written under another name, synced, then renamed."""

import ctypes
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pingti.errors import ConflictError

_UNFINISHED = ".unfinished"  # suffix of a folder that is being written
_ROOM_BYTES = 1 << 20  # a disk with less is full
_LOCK = ".lock"  # in such a folder; a file, since a network file system does not lock folders


@contextmanager
def replacing(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to; on a clean exit it becomes ``path``.

    The file and its folder are synced, so that after a power loss either the old file or the new one is
    there; with ``sync`` False that is the caller's, for many files at once (see ``sync_all``). On an error
    the temporary file is removed and ``path`` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A dot first: readers that glob a folder for its parts never see an unfinished one.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
        if sync:
            _sync(temporary)
        temporary.replace(path)
        if sync:
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a whole file; see ``replacing``."""
    with replacing(path, sync=sync) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write ``value`` as indented UTF-8 JSON. NaN is refused (ValueError): it is not JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes(path, (text + "\n").encode(), sync=sync)


def link_or_copy(source: Path, path: Path) -> None:
    """Give a file a second name, and where the disk cannot have that, a copy; see ``replacing``."""
    with replacing(path) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` to write to; on a clean exit it becomes ``path``, synced.

    On an error it is removed. What killed processes left of folders beside ``path`` is removed first; a
    process that lives holds its folder's lock.

    Raises:
        ConflictError: ``path`` has come to be meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".*{_UNFINISHED}"):
        _remove_unlocked(left)
    temporary, descriptor = _locked_folder(path)
    try:
        yield temporary
        for written in [*(path for path in temporary.iterdir() if path.is_file()), temporary]:
            _sync(written)
        try:
            temporary.rename(path)
        except OSError as error:
            if not path.exists():
                raise
            raise ConflictError(f"{path}: this folder has come to be meanwhile") from error
        (path / _LOCK).unlink()
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(descriptor)


def _locked_folder(path: Path) -> tuple[Path, int]:
    """A folder to write to, and the descriptor that holds its lock."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_UNFINISHED}")
        temporary.mkdir()
        # Before the lock is held, another process may take the folder for one that was left.
        with suppress(FileNotFoundError):
            descriptor = os.open(temporary / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if (temporary / _LOCK).exists():
                return temporary, descriptor
            os.close(descriptor)


def _remove_unlocked(folder: Path) -> None:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:  # gone by now, or no folder
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, mode: int = 0o644, busy: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of the file ``path``, over all processes; the system drops it when a process dies.

    ``mode``: of the file, where it is made. ``busy`` is called where another holds the lock, before it is
    waited for; what it raises ends the waiting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if busy is not None:
                busy()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync(*paths: Path) -> None:
    """Sync files of one folder, and the folder: for those written by ``replacing(sync=False)``.

    By that time they have their names, so that one commit of the file system's journal does for all.
    """
    for path in paths:
        _sync(path)
    _sync(paths[0].parent)


def sync_all(folder: Path) -> None:
    """Sync all that was written to the folder's file system, by anybody: for many small files together.

    Raises OSError when the kernel says that some of it could not be written.
    """
    if sys.platform != "linux":
        os.sync()
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line to a log, whole or not at all; see ``append_lines``."""
    append_lines(path, [value])


def append_lines(path: Path, values: Iterable[Any]) -> None:
    """Append JSON lines to a log, all of them or none, synced; those of several processes never mix.

    A last line that broke off (a power loss) is ended first, so that the next one is whole.

    Raises:
        OSError: they cannot be written (a full disk, say); the log is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n" for value in values)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        torn = bool(size) and os.pread(descriptor, 1, size - 1) != b"\n"
        data = memoryview((b"\n" if torn else b"") + lines.encode())
        try:
            while data:  # a disk that fills up takes a part and says nothing
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a log with their numbers, from 1, without the blank ones; none where there is no file."""
    try:
        lines = path.read_bytes().split(b"\n")  # not splitlines(): a text may hold a carriage return
    except FileNotFoundError:
        return
    yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def disk_is_full(folder: Path) -> bool:
    """Whether the disk of a folder has less than 1 MiB left; False where the folder is not there."""
    try:
        return shutil.disk_usage(folder).free < _ROOM_BYTES
    except OSError:
        return False


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
