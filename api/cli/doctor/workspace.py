"""The workspace: its folder, its label tasks and their students."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from api.cli.doctor.findings import Finding, State, in_gigabytes
from pingti.errors import PingtiError

_ROOM_WARN = 5 << 30
_ROOM_FAIL = 500 << 20


def look_at_workspace(home: Path) -> Iterator[Finding]:
    """The workspace's folder, and the room on its disk."""
    home = home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not place.is_dir():
        yield Finding(
            name="workspace",
            state=State.FAIL,
            says=f"{place}: not a folder",
            next_step="name another by --home",
        )
        return
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"pingti")
    except OSError as error:
        yield Finding(
            name="workspace",
            state=State.FAIL,
            says=f"{place}: cannot be written: {error.strerror}",
            next_step="change its owner or mode, or name another by --home or PINGTI_HOME",
        )
    else:
        says = f"{home}: writable" if place == home else f"{home}: is made when it is first needed"
        yield Finding(name="workspace", state=State.OK, says=says)
    free = shutil.disk_usage(place).free
    state = State.FAIL if free < _ROOM_FAIL else State.WARN if free < _ROOM_WARN else State.OK
    yield Finding(
        name="disk",
        state=state,
        says=f"{in_gigabytes(free)} free",
        next_step="" if state is State.OK else "remove old jobs/ and uploads/, or move the workspace",
    )


def look_at_tasks(home: Path) -> Iterator[Finding]:
    """Every definition and every promoted student."""
    from pingti.students import load_second, load_student
    from pingti.workspace.registry import Workspace

    workspace = Workspace(home)
    names = workspace.task_names()
    if not names:
        yield Finding(
            name="tasks",
            state=State.WARN,
            says="none yet",
            next_step="pingti task add FILE.toml, or pingti demo",
        )
        return
    bad, promoted = [], 0
    for name in names:
        entry = workspace.task(name)
        try:
            _ = entry.definition
            version = entry.current()
            if version is not None:
                folder = entry.student_folder(version)
                load_second(folder, load_student(folder).metadata)
                promoted += 1
        except PingtiError as error:
            bad.append(str(error))
    if bad:
        for says in bad:
            yield Finding(
                name="tasks", state=State.FAIL, says=says, next_step="mend it; pingti task list then works"
            )
    else:
        yield Finding(
            name="tasks",
            state=State.OK if promoted else State.WARN,
            says=f"{len(names)}, of which {promoted} have a promoted student that loads",
            next_step="" if promoted else f"pingti replace {names[0]} --promote",
        )
