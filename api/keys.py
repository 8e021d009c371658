"""Bearer keys: made and revoked by their owner, kept as hashes, each with a name and a role.

``<home>/keys.json`` holds name, role, time and SHA-256 of each key. A plain SHA-256 is enough, and a slow
hash would be a burden: a key is 256 random bits, so that nobody can try them all, however fast one try is;
slow hashes protect passwords that people choose.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pingti.errors import ArtifactError, ConflictError, InputError, NotFoundError
from pingti.files import locked, replacing

FILE = "keys.json"
LOCAL = "local"
"""Name of the caller where no key exists: whoever reaches the loopback address."""
SETTINGS = "settings"
"""Name of the caller with the key of PINGTI_API_KEY."""

_FORMAT = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Role(StrEnum):
    """What a key may do; each role may do what the one before it may."""

    READ = "read"  # look at everything, results included
    SUBMIT = "submit"  # jobs, files, classify, labels of review rows
    ADMIN = "admin"  # tasks: definitions, promotion, roll-back, retraining; other keys' jobs and files

    def allows(self, needed: "Role") -> bool:
        """Whether this role may do what ``needed`` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key as it is stored."""

    name: str
    role: Role
    sha256: str
    """Hexadecimal hash of the token; the token itself is nowhere."""
    created: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks."""

    name: str
    role: Role


def add_key(home: Path, name: str, role: Role) -> str:
    """Make a key.

    Returns:
        Its token, which is not kept and cannot be shown again.

    Raises:
        InputError: the name is not allowed.
        ConflictError: there is a key of that name.
        ArtifactError: the file is damaged.
    """
    if not _NAME.fullmatch(name) or name in (LOCAL, SETTINGS):
        raise InputError(
            f"key {name!r}: not a name; allowed are up to 63 of a-z, 0-9, dot, hyphen and _, a letter or "
            f"digit first, but not {LOCAL} and {SETTINGS}"
        )
    token = f"pingti_{secrets.token_urlsafe(32)}"
    with locked(home / ".keys.lock", mode=0o600):
        keys = list_keys(home)
        if any(key.name == name for key in keys):
            raise ConflictError(f"key {name!r} is there already; revoke it first, or take another name")
        created = datetime.now(UTC).isoformat(timespec="seconds")
        _write(home, [*keys, Key(name=name, role=role, sha256=_hash(token.encode()), created=created)])
    return token


def list_keys(home: Path) -> list[Key]:
    """The keys in the order they were made.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = home / FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise ArtifactError(f"{path}: format {document['format']!r}; this version reads {_FORMAT}")
        return [_key(stored) for stored in document["keys"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: damaged or not readable: {error}") from error


def revoke_key(home: Path, name: str) -> None:
    """Remove a key; a running server refuses it from its next request on.

    Raises:
        NotFoundError: there is none of that name.
        ArtifactError: the file is damaged.
    """
    with locked(home / ".keys.lock", mode=0o600):
        keys = list_keys(home)
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise NotFoundError(f"key {name!r}: there is none of that name; there are: {known}")
        _write(home, kept)


class KeyRing:
    """The keys that a running server knows, read again when the file changes. Safe for threads."""

    def __init__(self, home: Path, api_key: str | None = None) -> None:
        """Nothing is read yet.

        Args:
            home: the workspace folder.
            api_key: one more key, of role admin.
        """
        self._home = home
        own = (
            []
            if api_key is None
            else [Key(name=SETTINGS, role=Role.ADMIN, sha256=_hash(api_key.encode()), created="")]
        )
        self._own: Sequence[Key] = own
        self._stored: Sequence[Key] = ()
        self._seen: tuple[int, ...] | None = None
        self._lock = threading.Lock()

    def keys(self) -> Sequence[Key]:
        """All keys that are taken now.

        Raises:
            ArtifactError: the file is damaged.
        """
        try:
            stat = (self._home / FILE).stat()
            seen: tuple[int, ...] = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except FileNotFoundError:
            seen = ()
        with self._lock:
            if seen != self._seen:
                self._stored, self._seen = list_keys(self._home), seen
            return (*self._own, *self._stored)

    def caller(self, token: bytes) -> Caller | None:
        """Whose token this is. All keys are compared, each in constant time."""
        given = _hash(token)
        caller = None
        for key in self.keys():
            if hmac.compare_digest(given, key.sha256):
                caller = Caller(name=key.name, role=key.role)
        return caller


def _hash(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def _key(stored: Any) -> Key:
    key = Key(**{**stored, "role": Role(stored["role"])})
    if not re.fullmatch("[0-9a-f]{64}", key.sha256) or not isinstance(key.name, str):
        raise ValueError(f"key {key.name!r} has no SHA-256")
    return key


def _write(home: Path, keys: Sequence[Key]) -> None:
    text = json.dumps({"format": _FORMAT, "keys": [asdict(key) for key in keys]}, indent=2)
    with replacing(home / FILE) as temporary:
        # Made for the owner alone from the first byte on, not narrowed afterwards.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
