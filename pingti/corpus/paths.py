"""Which files a path, a folder, a pattern or an address names."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import fsspec

from pingti import remote
from pingti.corpus.formats import FORMATS, first_line
from pingti.errors import InputError
from pingti.remote import Entry

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark name the folder of rows whose value is null."""


def folder_values(path: str) -> dict[str, str | None]:
    """What the names of a table's folders say of all rows of a file (day=2025-11-03), as Hive writes them.

    Args:
        path: of the file.
    """
    parts = (folder.partition("=") for folder in path.split("/")[:-1])
    named = {unquote(name): unquote(value) for name, equals, value in parts if equals}
    return {name: None if value == NO_VALUE else value for name, value in named.items()}


def expand(pattern: str, base: Path) -> list[str]:
    """The files that a path, pattern or URL names, in order of their names.

    A folder stands for the files of rows in it and in its folders, as Spark, Hive and others write tables;
    one that a pattern matches does so if it is named as a table (a.parquet) or a partition (day=2025-11-03).
    Names in it that begin with a dot or an underscore, such as _SUCCESS, are left out.

    Raises:
        InputError: there is none, or an address cannot be read.
    """
    try:
        paths = _files_at(pattern) if "://" in pattern else _files_here(pattern, base)
    except (OSError, ValueError, ImportError) as error:  # unknown scheme, missing driver, a folder of others
        reason = (error.strerror if isinstance(error, OSError) else None) or first_line(error)
        raise InputError.in_file(pattern, f"not readable: {reason}") from error
    if not paths:
        if "://" in pattern:
            detail = "no such file, nor a folder or a pattern of files with rows; correct the address"
        else:
            detail = f"no such file (looked from {base.absolute()}); correct the path"
        raise InputError.in_file(pattern, detail)
    return paths


def _files_here(pattern: str, base: Path) -> list[str]:
    """As ``expand``, of this machine."""
    # What has that very name first: it may hold characters that mean something in a pattern.
    if (base / pattern).is_file():
        return [str(base / pattern)]
    if (base / pattern).is_dir():
        return sorted(_files_within(base / pattern))
    matched = list(_matching(pattern, base))
    tables = [path for path in matched if path.is_dir() and is_table(path.name)]
    parts = [part for table in tables for part in _files_within(table)]
    return sorted({*parts, *(str(path) for path in matched if path.is_file())})


def _matching(pattern: str, base: Path) -> Iterator[Path]:
    """Files and folders that a pattern names; ``**`` follows no links, which may lead in a circle."""
    parts = pattern.split("/")
    if "**" not in parts:  # not Path.glob: the pattern may be absolute
        yield from (base / name for name in glob.glob(pattern, root_dir=base))  # noqa: PTH207
        return
    at = parts.index("**")
    start = "/".join(parts[:at]) or ("/" if at else "")
    while parts[at + 1 : at + 2] == ["**"]:  # says no more, and would double the ways each time
        del parts[at + 1]
    for root in _matching(start, base) if start else [base]:
        for folder, names, _ in os.walk(root):
            names[:] = [name for name in names if not name.startswith(".")]
            yield from _matching("/".join(parts[at + 1 :]) or "*", Path(folder))


def _files_at(address: str) -> list[str]:
    """As ``expand``, of what fsspec knows."""
    if remote.of_store(address):
        return [entry.address for entry in objects_at(address)]
    remote.check_address(address)
    filesystem, path = fsspec.core.url_to_fs(address)
    parts: list[str] = []
    for name in sorted(filesystem.glob(path)):
        if not filesystem.isdir(name):
            parts.append(name)
        elif name.endswith(path.rstrip("/")) or is_table(name):
            parts += _rows_within(name, filesystem.find(name))
    return list(dict.fromkeys(map(filesystem.unstrip_protocol, parts)))


def objects_at(address: str) -> list[Entry]:
    """As ``expand``, of an object store: with the size and tag of each; none where nothing is named so.

    Args:
        address: of an object, of a folder, or a pattern.

    Raises:
        InputError: the address is not allowed, or the store refuses it.
        UnavailableError: the store cannot be reached.
    """
    own = None if address.endswith("/") else remote.look(address)
    if own is not None:
        return [own]
    if below := remote.entries_below(address):
        return _rows_of(address, below)
    if not glob.has_magic(address):
        return []
    entries, folders = remote.entries_matching(address)
    entries = [entry for entry in entries if not entry.address.rpartition("/")[2].startswith(".")]
    for folder in filter(is_table, folders):
        entries += _rows_of(folder, remote.entries_below(folder))
    return list({entry.address: entry for entry in sorted(entries, key=lambda entry: entry.address)}.values())


def _rows_of(folder: str, entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if holds_rows(entry.address.removeprefix(folder))]


def is_table(name: str) -> bool:
    """Whether a folder is named as a table or as a partition of one.

    Args:
        name: of the folder.
    """
    return name.lower().endswith(FORMATS) or "=" in name.rpartition("/")[2]


def _files_within(folder: Path) -> list[str]:
    return _rows_within(str(folder), (str(path) for path in folder.rglob("*") if path.is_file()))


def _rows_within(folder: str, paths: Iterable[str]) -> list[str]:
    """The files of rows of a folder, without those that its writer keeps for itself."""
    return [path for path in paths if holds_rows(path.removeprefix(folder))]


def holds_rows(path: str) -> bool:
    """Whether a file of a table is one of rows, by its name, and not one that its writer keeps for itself.

    Args:
        path: of the file, below the table's folder.
    """
    hidden = any(part.startswith((".", "_")) for part in path.split("/"))
    return path.lower().endswith(FORMATS) and not hidden


def expand_all(patterns: Iterable[str], base: Path) -> list[str]:
    """The files that several patterns name, as ``expand``; a file that two of them name comes once."""
    by_real_path: dict[str, str] = {}
    for path in (path for pattern in patterns for path in expand(pattern, base)):
        by_real_path.setdefault(path if "://" in path else os.path.realpath(path), path)
    return list(by_real_path.values())


def input_files(inputs: Sequence[str]) -> list[str]:
    """The files that inputs name: each itself, or those of a folder or a pattern, in order.

    Raises:
        InputError: a folder or a pattern of which there is no file, or an empty name.
    """
    if "" in inputs:  # as a variable that is not set gives; it would be the folder where one stands
        raise InputError("an input's name is empty; needed is a file, a folder or a pattern")
    return [path for name in inputs for path in (expand(name, Path()) if names_several(name) else [name])]


def names_several(name: str) -> bool:
    """Whether an input is a folder or a pattern, and no file's own name.

    Args:
        name: a path or address; whether one of a store does is known only there.
    """
    if "://" in name:
        return remote.of_store(name) or glob.has_magic(name)
    return Path(name).is_dir() or (glob.has_magic(name) and not Path(name).exists())
