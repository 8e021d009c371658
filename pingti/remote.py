"""Files at addresses of object stores: what may be an address, and errors in one sentence that names it.

Addresses are of fsspec. Credentials come from where the store's own tools take them (environment, profile,
role of the machine); an address that holds some is refused, without being repeated.
"""

import importlib.util
import io
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from pingti.errors import InputError, PingtiError, UnavailableError
from pingti.extras import install_hint

SCHEMES = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "abfs": ("adlfs", "azure"),
    "memory": None,
    "file": None,
}
"""Of each store's addresses, the package that reads them and the extra that brings it."""
_SECRET = re.compile(
    r"[?&](x-(amz|goog)-[a-z-]+|awsaccesskeyid|googleaccessid|signature|sig|token|access_?token|"
    r"access_?key(_?id)?|secret(_?access_?key)?|key|password|account_?key|sas_?token)=",
    re.IGNORECASE,
)
_BLOCK_BYTES = 4 << 20  # read ahead: s3fs takes 50 MiB else, for a footer of a few kilobytes
_WHOLE_BYTES = 8 << 20  # of an object that goes through the memory
_CONNECT_SECONDS, _READ_SECONDS = 5, 20
_ATTEMPTS, _READS = 4, 3
_THROTTLED = re.compile(
    r"slow ?down|service unavailable|reduce your request rate|throttl|too many requests|\b(429|503)\b",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"access ?denied|forbidden|not authorized|invalidaccesskey|signature ?does ?not ?match|\b403\b", re.I
)
_NO_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "DefaultCredentialsError",
    "ProfileNotFound",
)
_BROKEN = (
    "HTTPClientError",
    "ConnectionError",
    "ClientError",
    "BotoCoreError",
    "HttpError",
    "ServiceRequestError",
)
_MOST_LETTERS = 200
_known: dict[str, tuple[int, Any]] = {}  # by scheme: process, filesystem
_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object, as its store lists it."""

    address: str
    size: int
    """Bytes."""
    tag: str
    """Changes with the content: the store's ETag or generation, else when it was written."""


def is_address(name: str) -> bool:
    """Whether a name is an address, of a store or another, and no path."""
    return "://" in name


def of_store(name: str) -> bool:
    """Whether a name is the address of one of the stores that Pingti reads and writes."""
    return is_address(name) and name.partition("://")[0] in SCHEMES


def check_address(address: str) -> None:
    """Refuse an address that holds credentials.

    Raises:
        InputError: it does; the address is not part of the sentence.
    """
    scheme = address.partition("://")[0][:_MOST_LETTERS]
    try:
        holds = "@" in urlsplit(address).netloc
    except ValueError:
        raise InputError(f"an address of {scheme}:// cannot be read as one") from None
    if holds or _SECRET.search(address):
        raise InputError(
            f"an address of {scheme}:// holds credentials or an account, which end in logs; leave them out: "
            "they come from the environment, a profile or the machine's role, as for the store's own tools"
        )


def open_filesystem(address: str) -> tuple[Any, str]:
    """The fsspec filesystem of an address, and the path in it.

    Raises:
        InputError: the address holds credentials, or its scheme is unknown.
        UnavailableError: the package that reads it is not installed.
    """
    check_address(address)
    scheme = address.partition("://")[0]
    package, extra = SCHEMES.get(scheme) or ("", "")
    if package and not address.partition("://")[2].strip("/"):
        raise InputError.in_file(address, f"names no bucket; needed is {scheme}://bucket/key")
    if package and importlib.util.find_spec(package) is None:
        raise UnavailableError(f"{address}: {package} is missing: {install_hint(extra)}")
    options: dict[str, Any] = {"use_listings_cache": False} if package else {}  # others write, too
    if scheme == "s3":
        retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}  # waits longer before each
        timeouts = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        options["config_kwargs"] = {**timeouts, "retries": retries}
    try:
        if package:
            filesystem = _shared(scheme, options)
            return filesystem, str(filesystem._strip_protocol(address))
        filesystem, path = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:  # unknown scheme, missing driver
        raise InputError.in_file(address, f"not readable: {_first_line(error)}") from error
    return filesystem, str(path)


def _shared(scheme: str, options: dict[str, Any]) -> Any:
    """The filesystem of a scheme for all threads of this process: fsspec would connect anew for each."""
    with _lock:
        known = _known.get(scheme)
        if known is None or known[0] != os.getpid():
            filesystem = fsspec.filesystem(scheme, skip_instance_cache=True, **options)
            if (
                scheme == "s3"
            ):  # its own attempts, each of several of the client's: for answers that break off
                filesystem.retries = _READS
            known = _known[scheme] = (os.getpid(), filesystem)
        return known[1]


def forget_connections() -> None:
    """Connect anew at the next use, with the credentials and endpoint of the environment then."""
    with _lock:
        _known.clear()


def address_of(address: str, path: str) -> str:
    """The address of a path of the same filesystem.

    Args:
        address: of anything in it.
        path: as the filesystem tells it.
    """
    scheme = address.partition("://")[0]
    return f"{scheme}://{path}" if scheme == "file" else f"{scheme}://{path.lstrip('/')}"


def joined(address: str, *names: str) -> str:
    """The address of what is below another, by its names."""
    return "/".join([address.rstrip("/"), *names])


def look(address: str) -> Entry | None:
    """The object at an address, asked of its store now; None where there is none, or a folder.

    Raises:
        PingtiError: as of ``open_filesystem`` and ``speaking``.
    """
    filesystem, path = open_filesystem(address)
    with speaking(address):
        try:
            return _entry(address, filesystem.info(path))
        except FileNotFoundError as error:
            if _names_bucket(error):
                raise
            return None


def written_at(address: str) -> float:
    """When an object was written, by the clock of its store; Unix seconds, whole ones in most stores.

    Raises:
        PingtiError: as of ``open_filesystem`` and ``speaking``.
    """
    filesystem, path = open_filesystem(address)
    with speaking(address):
        return float(filesystem.modified(path).timestamp())


def entries_below(address: str) -> list[Entry]:
    """The objects below a folder's address, in order of their names; none where there is no such folder.

    Raises:
        PingtiError: as of ``look``.
    """
    filesystem, path = open_filesystem(address)
    with speaking(address):
        infos = filesystem.find(path.rstrip("/") + ("/" if "/" in path.strip("/") else ""), detail=True)
    listed = (_entry(address, infos[name]) for name in sorted(infos))
    return [entry for entry in listed if entry is not None and entry.address != address.rstrip("/")]


def entries_matching(pattern: str) -> tuple[list[Entry], list[str]]:
    """The objects and the addresses of the folders that a pattern matches, in order of their names.

    Raises:
        PingtiError: as of ``look``.
    """
    filesystem, path = open_filesystem(pattern)
    with speaking(pattern):
        infos = filesystem.glob(path, detail=True)
    folders = [address_of(pattern, name) for name in sorted(infos) if infos[name]["type"] == "directory"]
    listed = (_entry(pattern, infos[name]) for name in sorted(infos))
    return [entry for entry in listed if entry is not None], folders


def read_bytes(address: str) -> bytes:
    """A whole object.

    Raises:
        PingtiError: as of ``open_filesystem`` and ``speaking``.
    """
    data = bytes_at(address)
    if data is None:
        raise InputError.in_file(address, "no such file")
    return data


def bytes_at(address: str) -> bytes | None:
    """A whole object, in one request; None where there is none.

    Raises:
        PingtiError: as of ``open_filesystem`` and ``speaking``.
    """
    filesystem, path = open_filesystem(address)
    # s3fs would ask for the size first, to read more than 50 MiB in pieces.
    options = {"max_concurrency": 1} if address.startswith("s3://") else {}
    with speaking(address):
        try:
            return bytes(filesystem.cat_file(path, **options))
        except FileNotFoundError as error:
            if _names_bucket(error):
                raise
            return None


def copy_to(address: str, path: Path, size: int) -> None:
    """Write an object of about ``size`` bytes to a local file; large ones go through in pieces.

    Raises:
        PingtiError: as of ``open_filesystem`` and ``speaking``.
    """
    if size <= _WHOLE_BYTES:
        path.write_bytes(read_bytes(address))
        return
    filesystem, remote_path = open_filesystem(address)
    with speaking(address):
        filesystem.get_file(remote_path, str(path))


def open_binary(address: str) -> io.RawIOBase:
    """An object to read from, at any place; errors while it is read are those of ``speaking``, too.

    Raises:
        PingtiError: as of ``read_bytes``.
    """
    filesystem, path = open_filesystem(address)
    with speaking(address):
        return _Guarded(address, filesystem.open(path, "rb", block_size=_BLOCK_BYTES))


class _Guarded(io.RawIOBase):
    """A file of fsspec whose errors are Pingti's: a broken connection is no damaged file."""

    def __init__(self, address: str, file: Any) -> None:
        self._address, self._file = address, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        with speaking(self._address):
            return bytes(self._file.read(size))

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def speaking(address: str) -> Iterator[None]:
    """Turn what a store's library raises into one sentence with the address.

    The libraries have tried again by then, waiting longer each time, where that can help.

    Raises:
        InputError: what is asked for is not there or not allowed; asking again does not help.
        UnavailableError: the store cannot be reached, breaks off, or asks for less.
    """
    try:
        yield
    except PingtiError:
        raise
    except Exception as error:
        raise _spoken(address, error) from error


def _spoken(address: str, error: Exception) -> PingtiError:
    first_line, names = _first_line(error)[:_MOST_LETTERS], _class_names(error)
    if isinstance(error, FileNotFoundError):
        return InputError.in_file(address, "no such bucket" if _names_bucket(error) else "no such file")
    if isinstance(error, IsADirectoryError):
        return InputError.in_file(address, "is a folder; a file is needed")
    if not names.isdisjoint(_NO_CREDENTIALS):
        detail = (
            "no credentials for this store; give them by the environment, a profile or the machine's role"
        )
        return InputError.in_file(address, detail)
    if "FileExpired" in names:  # s3fs asks for the content that it saw first
        return InputError.in_file(
            address, "another object took its place while it was read; start again once nobody writes it"
        )
    if isinstance(error, PermissionError) or _REFUSED.search(first_line):
        return InputError.in_file(
            address, f"the store refuses it: the credentials lack a permission ({first_line})"
        )
    if _THROTTLED.search(first_line):
        return UnavailableError.in_file(
            address, f"the store asks for fewer requests; try again later ({first_line})"
        )
    if isinstance(error, OSError) or not names.isdisjoint(_BROKEN):  # with time-outs
        return UnavailableError.in_file(address, f"the store cannot be reached, or broke off: {first_line}")
    return InputError.in_file(address, f"not readable: {first_line}")


def _class_names(error: BaseException) -> set[str]:
    names: set[str] = set()
    cause: BaseException | None = error
    while cause is not None:
        names.update(kind.__name__ for kind in type(cause).__mro__)
        cause = cause.__cause__
    return names


def _names_bucket(error: FileNotFoundError) -> bool:
    return "bucket does not exist" in str(error).lower()


def _entry(address: str, info: dict[str, Any]) -> Entry | None:
    if info["type"] != "file":
        return None
    # By store: S3, Google (whose etag changes with what is said of an object, too), Azure.
    tags = (info.get(name) for name in ("ETag", "generation", "etag"))
    tag = next((str(value) for value in tags if value), "")
    if not tag and "mtime" in info:  # a local file: when it was made says nothing
        tag = f"{info['mtime']} {info.get('ino', '')}"
    elif not tag:
        tag = str(info.get("created") or "")  # memory
    return Entry(address=address_of(address, info["name"]), size=int(info["size"]), tag=tag.strip('"'))


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
