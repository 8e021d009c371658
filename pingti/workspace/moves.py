"""A label task's files removed or renamed: its definition and its folder together, whatever ends the process.

No system moves two names at once. So what is to be done is written down first (``.move.json``, whole and
synced): until then nothing has happened, from then on it is done. Who was killed in between leaves it to the
next who looks at the tasks, who finishes it before anything else is seen.
"""

import json
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pingti import files
from pingti.errors import ArtifactError, ConflictError

_WRITTEN, _LOCK = ".move.json", ".move.lock"


@dataclass(frozen=True, kw_only=True)
class Move:
    """What is to be done with a task's files."""

    task: str
    to: str | None = None
    """Its new name; it is removed where absent."""
    aside: str = field(default_factory=lambda: f".{secrets.token_hex(6)}.removed")
    """Name of the folder while it is being removed."""


def do(tasks: Path, move: Move, *, before: Callable[[], None] = lambda: None) -> None:
    """Remove or rename a task's definition and folder.

    Args:
        tasks: folder of the label tasks.
        move: what to do; the new name is free.
        before: called when no other move can come in between; what it raises leaves all as it was.

    Raises:
        ArtifactError: an earlier move was written down and cannot be read.
        OSError: the folder cannot be written to.
    """
    with files.locked(tasks / _LOCK):
        _finish(tasks)
        before()
        files.write_json(tasks / _WRITTEN, asdict(move))
        _finish(tasks)


def settle(tasks: Path) -> None:
    """Finish a move that was cut off; one that is under way is waited for.

    Args:
        tasks: folder of the label tasks.

    Raises:
        ArtifactError: what was written down cannot be read.
        ConflictError: there is one, and the folder cannot be written to.
    """
    if not (tasks / _WRITTEN).exists():
        return
    try:
        with files.locked(tasks / _LOCK):
            _finish(tasks)
    except OSError as error:
        raise ConflictError(
            f"{tasks / _WRITTEN}: a task is half removed or renamed, and that cannot be finished here "
            f"({error.strerror}); pingti task list does it where the workspace may be written to"
        ) from error


def _finish(tasks: Path) -> None:
    """Each step may have been done before."""
    move = _read(tasks / _WRITTEN)
    if move is None:
        return
    definition, folder = tasks / f"{move.task}.toml", tasks / move.task
    if move.to is None:
        with suppress(FileNotFoundError):
            folder.rename(tasks / move.aside)
        definition.unlink(missing_ok=True)
        files.sync(tasks)
        # What cannot be removed now is no task's any more.
        shutil.rmtree(tasks / move.aside, ignore_errors=True)
    else:
        for old, new in ((folder, tasks / move.to), (definition, tasks / f"{move.to}.toml")):
            if not new.exists():
                with suppress(FileNotFoundError):
                    old.rename(new)
        files.sync(tasks)
    (tasks / _WRITTEN).unlink()


def _read(path: Path) -> Move | None:
    try:
        return Move(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ArtifactError.in_file(path, f"holds no move of a task: {error}") from error
