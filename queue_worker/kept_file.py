"""Small files that are made once and kept: a password, a signing secret, the id of a workspace."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def kept_text(path: Path, make: Callable[[], str]) -> str:
    """The text of a file for its owner alone, which is made where it is missing or empty.

    It is whole from its first moment, whoever makes it at the same time and whenever a process dies.

    Args:
        path: The file.
        make: Gives the text of a new one.

    Raises:
        OSError: it cannot be read or written.
    """
    for _ in range(3):
        try:
            known = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            known = ""
        if known:
            return known
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(make())
                file.flush()
                os.fsync(descriptor)
            try:
                os.link(temporary, path)  # only once
            except FileExistsError:
                if path.stat().st_size == 0:  # of a version that did not write it whole
                    temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    raise OSError(f"{path} is empty again and again")
