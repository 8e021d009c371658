"""The embedded server's append-only file after a power loss: what is wrong with it, and its repair.

``valkey/appendonlydir/`` holds a base (RDB) and increments (commands as RESP); a manifest names their order.
https://valkey.io/topics/persistence/
"""

import mmap
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from pingti.errors import ArtifactError, ConflictError
from pingti.files import locked, replacing, write_bytes

COMMAND = "pingti doctor --repair"
_MANIFEST = "appendonly.aof.manifest"
_FILE = re.compile(r"appendonly\.aof\.(\d+)\.(base|incr)\.(?:rdb|aof)")
_LINE = re.compile(r"file (\S+) seq (\d+) type ([bhi])")
_MOST_BROKEN = 1 << 20  # bytes of commands that broke off, beside zeros


def fault_of(valkey: Path) -> str:
    """What keeps the server from its data, as far as a quick look tells; "" where nothing does.

    Args:
        valkey: the server's folder in the workspace.
    """
    folder = valkey / "appendonlydir"
    files = _files(folder)
    if is_lost(valkey):
        return f"{folder / _MANIFEST} is missing, without which the server would begin with an empty store"
    for path in files[-1:]:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size and file.seek(size - 1) >= 0 and file.read(1) == b"\0":
                return f"{path} ends in zeros, as after a power loss"
    return ""


def is_lost(valkey: Path) -> bool:
    """Whether there are data that the server would pass over, as their manifest is missing."""
    folder = valkey / "appendonlydir"
    return bool(_files(folder)) and not (folder / _MANIFEST).is_file()


def repair(valkey: Path) -> Iterator[str]:
    """Mend the files of a server that does not run; a copy of the folder is made first.

    Args:
        valkey: the server's folder in the workspace.

    Yields:
        What was done, sentence by sentence; nothing where nothing is wrong.

    Raises:
        ConflictError: the server runs.
        ArtifactError: more is wrong than an end that broke off or a manifest that is missing.
    """
    folder = valkey / "appendonlydir"
    if not _files(folder):
        return

    def busy() -> None:
        raise ConflictError(f"a server uses {valkey}; stop it first")

    with locked(valkey / "lock", mode=0o600, busy=busy):
        manifest = folder / _MANIFEST
        lines = None if manifest.is_file() else _manifest_of(_files(folder))
        last = _last_file(folder, manifest, lines)
        end, size = (0, 0) if last is None else _end_of_commands(last)
        if lines is None and end == size:
            return
        copy = valkey / f"appendonlydir.{time.strftime('%Y%m%dT%H%M%S')}.copy"
        shutil.copytree(folder, copy)
        yield f"copied {folder} to {copy}"
        if lines is not None:
            write_bytes(manifest, lines.encode())
            yield f"made {manifest} anew from the files beside it"
        if last is not None and end < size:
            with replacing(last) as temporary:
                shutil.copyfile(last, temporary)
                with temporary.open("r+b") as file:
                    file.truncate(end)
            yield f"cut {size - end:,} bytes that are no whole commands off the end of {last}"


def _files(folder: Path) -> list[Path]:
    """Bases, then increments, each in their order."""
    named = [
        (match, path) for path in folder.glob("appendonly.aof.*") if (match := _FILE.fullmatch(path.name))
    ]
    return [path for _, path in sorted(named, key=lambda entry: (entry[0][2], int(entry[0][1])))]


def _manifest_of(files: list[Path]) -> str:
    """The manifest of files whose order can only be one."""
    matches = [match for path in files if (match := _FILE.fullmatch(path.name))]
    if sum(match[2] == "base" for match in matches) > 1:
        raise ArtifactError(
            f"{files[0].parent}: the manifest is missing, and which of several bases counts is not known; "
            "restore it from a backup"
        )
    return "".join(f"file {match[0]} seq {match[1]} type {match[2][0]}\n" for match in matches)


def _last_file(folder: Path, manifest: Path, lines: str | None) -> Path | None:
    """The increment that was written to last; None where there is none."""
    entries = _LINE.findall(manifest.read_text(errors="replace") if lines is None else lines)
    names = [name for name, _, kind in entries if kind == "i"]
    path = folder / Path(names[-1]).name if names else None
    return path if path is not None and path.is_file() else None


def _end_of_commands(path: Path) -> tuple[int, int]:
    """Where the last whole command (or transaction) of an increment ends, and the file's size."""
    size = path.stat().st_size
    if not size:
        return 0, 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = _walk(data)
        broken = data[end : end + _MOST_BROKEN + 1]
        if len(broken.rstrip(b"\0")) > _MOST_BROKEN:
            raise ArtifactError(
                f"{path} is damaged {size - end:,} bytes before its end, not only at its end; restore it "
                "from a backup"
            )
        for start in range(end + len(broken), size, 1 << 24):
            if data[start : start + (1 << 24)].strip(b"\0"):
                raise ArtifactError(
                    f"{path} is damaged {size - end:,} bytes before its end; restore a backup"
                )
    return end, size


def _walk(data: mmap.mmap) -> int:
    """The offset behind the last whole command that is in no unfinished transaction."""
    position = whole = 0
    transaction = False
    while True:
        if data[position : position + 1] == b"#":  # a note of the time
            after, name = _line_end(data, position), b""
        else:
            after, name = _command(data, position)
        if after < 0:
            return whole
        position = after
        if name == b"MULTI":
            transaction = True
        elif name == b"EXEC":
            transaction = False
        if not transaction:
            whole = position


def _command(data: mmap.mmap, position: int) -> tuple[int, bytes]:
    """Where the command at ``position`` ends, and its name; below 0 where it is not whole."""
    count, position = _number(data, position, b"*")
    name = b""
    for index in range(count):
        length, position = _number(data, position, b"$")
        after = position + length + 2
        if length < 0 or data[after - 2 : after] != b"\r\n":
            return -1, b""
        if index == 0:
            name = data[position : after - 2].upper()
        position = after
    return (position, name) if count > 0 else (-1, b"")


def _number(data: mmap.mmap, position: int, mark: bytes) -> tuple[int, int]:
    """The number of a line that begins with ``mark``, and where the next begins; (-1, -1) for another."""
    if position < 0 or data[position : position + 1] != mark:
        return -1, -1
    after = _line_end(data, position)
    digits = data[position + 1 : after - 2] if after > 0 else b""
    return (int(digits), after) if digits.isdigit() else (-1, -1)


def _line_end(data: mmap.mmap, position: int) -> int:
    end = data.find(b"\r\n", position, position + 64)
    return end + 2 if end >= 0 else -1
