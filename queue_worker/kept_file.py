"""Small files that are made once and kept: a signing secret, the id of a workspace."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from pingti.errors import UnavailableError
from pingti.files import locked, sync


def kept_text(path: Path, make: Callable[[], str], *, mode: int = 0o600) -> str:
    """The text of a file, which is made where it is missing or empty.

    It is whole from its first moment, whoever makes it at the same time and whenever a process dies.

    Args:
        path: the file.
        make: gives the text of a new one.
        mode: of a new one, less the umask.

    Raises:
        UnavailableError: it cannot be read or written.
    """
    try:
        return _kept(path, make, mode)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read or written: {error.strerror or error}") from error


def _kept(path: Path, make: Callable[[], str], mode: int) -> str:
    known = _text(path)
    while not known:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(make())
                file.flush()
                os.fsync(descriptor)  # before it has its name: whole after a power loss, too
            _place(temporary, path, mode)
            sync(path)
        finally:
            temporary.unlink(missing_ok=True)
        known = _text(path)
    return known


def _text(path: Path) -> str:
    """What is kept, "" where there is nothing: no file, or one of a version that did not write it whole."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def _place(temporary: Path, path: Path, mode: int) -> None:
    """Give a file its name, unless another process was the first."""
    try:
        os.link(temporary, path)
    except OSError:  # a file is there, or the file system has no hard links
        with locked(path, mode=mode):
            if not _text(path):
                temporary.replace(path)
