"""Students of fixed versions in a folder that stands alone, and a classifier of such a folder."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pingti import files
from pingti.errors import ArtifactError
from pingti.exporting.runtime import manifest
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin
from pingti.workspace.registry import Workspace
from textcnn.plain.artifact import LAYOUT
from textcnn.student import Student


def write(workspace: Workspace, pins: Sequence[Pin], folder: Path, **more: Any) -> None:
    """Copy the students of some pins; neither definitions nor reports, which hold texts, go along.

    Args:
        workspace: where they are.
        pins: of ``pingti.inference.pins.pin``, which adds what tasks depend on.
        folder: where they go; the file that names them comes last.
        more: further keys of that file.

    Raises:
        NotFoundError: a task or a version is gone.
        ArtifactError: a student is damaged.
    """
    for pin in pins:
        source = workspace.task(pin.task).student_folder(pin.version)
        target = manifest.student_folder(folder, pin.task, pin.version)
        if target.exists():  # another operating point's
            continue
        Student.load(source)  # its checksums are looked at here, not where it goes
        target.mkdir(parents=True)
        for name in (LAYOUT.tensors, LAYOUT.json):
            shutil.copyfile(source / name, target / name)
    manifest.write(folder, [dataclasses.asdict(pin) for pin in pins], **more)
    files.sync_all(folder)


def load(folder: Path) -> Classifier:
    """Load what ``write`` wrote.

    Raises:
        ArtifactError: a file is missing, damaged, or written by a newer Pingti.
    """
    pins = [Pin(**fields) for fields in manifest.read(folder)["pins"]]
    students = {
        key: Student.load(manifest.student_folder(folder, *key))
        for key in dict.fromkeys((pin.task, pin.version) for pin in pins)
    }
    try:
        return Classifier.of_students(pins, students)
    except (KeyError, ValueError, StopIteration) as error:
        raise ArtifactError.in_file(
            folder / manifest.MANIFEST, f"its pins do not fit its students: {error}"
        ) from error
