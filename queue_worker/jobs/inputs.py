"""Which files an input of a job names, below the allowed folders: its own, a folder's or a pattern's.

A folder and a pattern name the files that ``pingti.corpus.paths.expand`` finds, in the same order. Here no
step leaves the allowed folders, not by ``..`` and not by a link: what lies outside is never looked at.
"""

import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from pingti.corpus.formats import FORMATS
from pingti.corpus.paths import holds_rows, is_table
from pingti.errors import InputError
from pingti.rest_models import MOST_INPUTS
from queue_worker.settings import Settings

_MOST_LOOKED_AT = 100_000  # names of files and folders, so that none waits long for an answer
_ANY_DEPTH = "**"


def input_files(settings: Settings, given: str, *, most: int) -> list[str]:
    """The real paths of the files that an input names, in order of the names that lead to them.

    Args:
        settings: which folders are allowed; a relative path counts from ``home``.
        given: a file, a folder, or a pattern (``*``, ``?``, ``[...]``, and ``**`` for folders of any depth).
        most: files.

    Raises:
        InputError: there is none, there are too many, or something leads out of the allowed folders.
    """
    walk = _Walk(settings, given, most)
    if "://" in given or not given or "\0" in given:
        return [str(settings.allowed_input(given))]
    there = walk.allowed(settings.home / given)
    if there is not None and there.is_dir():
        paths = walk.files_within(settings.home / given)
        nothing = f"{given!r} is a folder without a file of rows ({' '.join(FORMATS)})"
    elif there is None and glob.has_magic(given):
        paths = walk.matching()
        nothing = f"{given!r} matches no file below an allowed folder ({settings.roots_text()})"
    else:
        return [str(settings.allowed_input(given))]
    if not paths:
        raise InputError(nothing)
    return [str(settings.allowed_input(path)) for path in paths]


class _Walk:
    """One look for files, bounded in what it looks at."""

    def __init__(self, settings: Settings, given: str, most: int) -> None:
        self._settings, self._given, self._most = settings, given, most
        self._roots = settings.real_roots()
        self._looked_at = 0

    def allowed(self, path: Path) -> Path | None:
        """The real path; None where there is none, or it lies outside."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        return real if any(real.is_relative_to(root) for root in self._roots) else None

    def files_within(self, folder: Path) -> list[str]:
        """The files of rows in a folder and in its folders."""
        return self._sorted(self._rows_within(folder, folder))

    def matching(self) -> list[str]:
        """The files that the pattern matches, and those of the tables that it matches."""
        parts = Path(self._given).parts
        first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
        folder, rest = self._settings.home / Path(*parts[:first]), parts[first:]
        # Before the first wildcard a path leads where it leads; behind it ".." is no name of an entry.
        if self.allowed(folder) is None:
            return []
        return self._sorted(self._matches(folder, (*rest, "*") if rest[-1] == _ANY_DEPTH else rest))

    def _sorted(self, paths: Iterator[Path]) -> list[str]:
        names: set[str] = set()
        for path in paths:
            names.add(str(path))
            if len(names) > self._most:
                raise InputError(
                    f"{self._given!r} names more than {self._most:,} files; a job may have {MOST_INPUTS:,}, "
                    "those of its other inputs among them: make several jobs of it"
                )
        return sorted(names)

    def _matches(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        part, rest = parts[0], parts[1:]
        if part == _ANY_DEPTH:
            yield from self._matches(folder, rest)
        for entry in self._entries(folder):
            path = folder / entry.name
            if entry.name.startswith(".") and not part.startswith("."):
                continue
            if part == _ANY_DEPTH:
                if self._is_new_folder(path, entry):
                    yield from self._matches(path, parts)
                continue
            if not fnmatch.fnmatchcase(entry.name, part):
                continue
            self._stay_inside(path, entry)
            if rest and entry.is_dir():
                yield from self._matches(path, rest)
            elif not rest and entry.is_file():
                yield path
            elif not rest and entry.is_dir() and is_table(entry.name):
                yield from self._rows_within(path, path)

    def _rows_within(self, table: Path, folder: Path) -> Iterator[Path]:
        for entry in self._entries(folder):
            path = folder / entry.name
            if entry.name.startswith((".", "_")):
                continue
            if self._is_new_folder(path, entry):
                yield from self._rows_within(table, path)
            elif entry.is_file() and holds_rows(str(path.relative_to(table))):
                self._stay_inside(path, entry)
                yield path

    def _entries(self, folder: Path) -> list[os.DirEntry[str]]:
        kept: list[os.DirEntry[str]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._looked_at += 1
                if self._looked_at > _MOST_LOOKED_AT:
                    raise InputError(
                        f"{self._given!r}: there are more than {_MOST_LOOKED_AT:,} files and folders to look "
                        "at; name a folder further down"
                    )
                kept.append(entry)
        return sorted(kept, key=lambda entry: entry.name)

    def _is_new_folder(self, path: Path, entry: os.DirEntry[str]) -> bool:
        """Whether it is a folder to go down into: no link back to one that the walk is in."""
        if not entry.is_symlink():
            return entry.is_dir()
        self._stay_inside(path, entry)
        return entry.is_dir() and path.resolve() not in {parent.resolve() for parent in path.parents}

    def _stay_inside(self, path: Path, entry: os.DirEntry[str]) -> None:
        """Refuse a link that leads out, before anybody asks what is there."""
        if entry.is_symlink() and self.allowed(path) is None:
            raise InputError(
                f"{self._given!r}: {path} is a link that leads nowhere, or out of the allowed folders "
                f"({self._settings.roots_text()})"
            )
