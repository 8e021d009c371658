from pathlib import Path

import pytest

from pingti import files
from pingti.workspace.registry import TaskEntry, Workspace

_DEFINITION = 'classes = ["no", "yes"]\ncorpus.files = ["x.csv"]\nteacher.model = "m"\n'


@pytest.fixture
def task(tmp_path: Path) -> TaskEntry:
    """A task with finished students 1, 2, 3 and 10."""
    entry = Workspace(tmp_path / "home").add_task("praise", _DEFINITION)
    for version in (1, 2, 3, 10):
        files.write_json(entry.folder / "students" / str(version) / "student.json", {})
        report = {"version": version, "gate": {"passed": True}, "holdout": {}}
        files.write_json(entry.folder / "students" / str(version) / "report.json", report)
    return entry
