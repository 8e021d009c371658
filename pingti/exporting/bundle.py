"""Students of fixed versions in a folder that stands alone, and a classifier of such a folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pingti import files
from pingti.errors import ArtifactError
from pingti.exporting.runtime import manifest
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin, alone, described
from pingti.students import load_student, student_files
from pingti.workspace.registry import Workspace


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
    pins = alone(pins)  # whoever is asked where a student is not sure does not go along
    for pin in pins:
        source = workspace.task(pin.task).student_folder(pin.version)
        target = manifest.student_folder(folder, pin.task, pin.version)
        if target.exists():  # another operating point's
            continue
        load_student(source)  # its checksums are looked at here, not where it goes
        target.mkdir(parents=True)
        for name in student_files(source):
            shutil.copyfile(source / name, target / name)
    manifest.write(folder, [described(pin) for pin in pins], **more)
    files.sync_all(folder)


def load(folder: Path) -> Classifier:
    """Load what ``write`` wrote.

    Raises:
        ArtifactError: a file is missing, damaged, or written by a newer Pingti.
    """
    pins = [Pin(**fields) for fields in manifest.read(folder)["pins"]]
    students = {
        key: load_student(manifest.student_folder(folder, *key))
        for key in dict.fromkeys((pin.task, pin.version) for pin in pins)
    }
    try:
        return Classifier.of_students(pins, students)
    except (KeyError, ValueError, StopIteration) as error:
        raise ArtifactError.in_file(
            folder / manifest.MANIFEST, f"its pins do not fit its students: {error}"
        ) from error


def load_all(folder: Path) -> tuple[Classifier, ...]:
    """Load a folder that ``write`` wrote, or all those that lie in a folder.

    Returns:
        A classifier of each, in order of the folders' names.

    Raises:
        ArtifactError: there is none, one is damaged, or two of them answer by the same name.
    """
    if (folder / manifest.MANIFEST).is_file():
        return (load(folder),)
    folders = sorted(file.parent for file in folder.glob(f"*/{manifest.MANIFEST}"))
    if not folders:
        raise ArtifactError(
            f"{folder}: no {manifest.MANIFEST} in it, nor in a folder of it; needed is what pingti export "
            "--format sagemaker wrote, or several of them"
        )
    classifiers = tuple(map(load, folders))
    places: dict[str, Path] = {}
    for place, classifier in zip(folders, classifiers, strict=True):
        for name in (pin.name for pin in classifier.pins if not pin.hidden):
            if name in places:
                raise ArtifactError(
                    f"{folder}: {places[name].name} and {place.name} both answer {name!r}; leave one of them"
                )
            places[name] = place
    return classifiers
