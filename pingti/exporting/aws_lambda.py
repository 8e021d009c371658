"""A zip for AWS Lambda: handler, students, NumPy. It answers ``lambda_function.lambda_handler``.

A function's files may have 250 MB, and Numba with LLVM and Arrow have 380: so the student scores there in
NumPy alone (``textcnn.plain``). Nothing is compiled at a cold start, Python's own modules neither: their
byte code goes along, and is taken without a look at the source's time, which a zip does not keep.
"""

import platform
import py_compile
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pingti
import textcnn
from pingti import files
from pingti.errors import ConflictError
from pingti.exporting import bundle, dependencies
from pingti.exporting.runtime.decisions import Decisions
from pingti.inference.pins import Pin
from pingti.workspace.registry import Workspace
from textcnn.plain.artifact import LAYOUT, read_document

MOST_BYTES = 250 * 1024 * 1024
"""AWS Lambda's limit on a function's files, unpacked and with its layers ("Lambda quotas" in its manual)."""

_OWN = (
    "pingti/__init__.py",
    "pingti/errors.py",
    "pingti/exporting/__init__.py",
    "pingti/exporting/runtime/*.py",
    "pingti/files.py",
    "pingti/lazy.py",
    "pingti/rooms.py",
    "textcnn/__init__.py",
    "textcnn/characters.bin",
    "textcnn/plain/*.py",
)
"""The modules of Pingti that go along."""
_KINDS = ("ngram", "textcnn")
"""Kinds of students that are computed there."""
_TOP = "lambda_function.py"
_DATE = (1980, 1, 1, 0, 0, 0)  # the same students make the same zip


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of a function's files, in bytes."""

    unpacked: int
    zipped: int


def write(workspace: Workspace, pins: Sequence[Pin], path: Path, *, packages: bool = True) -> Sizes:
    """Write the zip of a function.

    Args:
        workspace: where the students are.
        pins: of ``pingti.inference.pins.pin``.
        path: the zip.
        packages: whether NumPy (and pyarrow, where a task has rules) go along; else a layer of the function
            has them.

    Raises:
        ConflictError: more than AWS Lambda takes, packages of another system than Linux, or a student of a
            kind that NumPy alone does not compute.
        NotFoundError: a task or a version is gone.
        ArtifactError: a student is damaged.
        UnavailableError: a package's installation does not list its files.
    """
    if packages and sys.platform != "linux":
        raise ConflictError(
            f"a function of AWS Lambda runs on Linux, and the packages here are for {sys.platform}; export "
            "on Linux, or leave them to a layer (--no-packages)"
        )
    for pin in pins:
        _check_kind(workspace, pin)
    with tempfile.TemporaryDirectory(prefix="pingti-export-") as temporary:
        folder = Path(temporary)
        _fill(folder, workspace, pins, packages=packages)
        unpacked = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        check_size(unpacked, packages=packages)
        with files.replacing(path) as unfinished:
            _zip(folder, unfinished)
    return Sizes(unpacked=unpacked, zipped=path.stat().st_size)


def _check_kind(workspace: Workspace, pin: Pin) -> None:
    document = read_document(workspace.task(pin.task).student_folder(pin.version) / LAYOUT.json)
    if document.get("kind", "textcnn") not in _KINDS:
        raise ConflictError(
            f"task {pin.task!r}, version {pin.version}: a student of kind {document['kind']!r}, and a "
            "function of AWS Lambda scores in NumPy alone, where there is none; export it for sagemaker, or "
            "a TextCNN of the task"
        )


def check_size(unpacked: int, *, packages: bool) -> None:
    """Refuse what AWS Lambda would refuse.

    Args:
        unpacked: bytes of all files.
        packages: whether NumPy is among them.

    Raises:
        ConflictError: they are too many.
    """
    if unpacked > MOST_BYTES:
        way = "fewer tasks, or packages in a layer (--no-packages)" if packages else "fewer tasks"
        raise ConflictError(
            f"the function would have {unpacked / 2**20:,.0f} MB unpacked; AWS Lambda takes "
            f"{MOST_BYTES / 2**20:,.0f} MB; the way on is {way}"
        )


def _fill(folder: Path, workspace: Workspace, pins: Sequence[Pin], *, packages: bool) -> None:
    """Put all files of the function into a folder."""
    here = {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "machine": platform.machine()}
    model = folder / "model"
    bundle.write(workspace, pins, model, runtime=here if packages else None)
    for package in (pingti, textcnn):
        root = Path(str(package.__file__)).parent.parent
        for pattern in _OWN:
            if pattern.startswith(f"{package.__name__}/"):
                for source in root.glob(pattern):
                    target = folder / source.relative_to(root)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
    (folder / "pingti" / "exporting" / "runtime" / _TOP).rename(folder / _TOP)
    if packages:
        ruled = any(task.rules("drop") or task.rules("negative") for task in Decisions.load(model).tasks)
        dependencies.copy(["numpy", "pyarrow"] if ruled else ["numpy"], folder)
    for source in folder.rglob("*.py"):
        py_compile.compile(
            str(source),
            dfile=str(source.relative_to(folder)),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            quiet=2,  # a package may hold a template that is no Python
        )


def _zip(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for source in sorted(file for file in folder.rglob("*") if file.is_file()):
            entry = zipfile.ZipInfo(source.relative_to(folder).as_posix(), _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16  # the function runs as another user
            with source.open("rb") as content, archive.open(entry, "w") as packed:
                shutil.copyfileobj(content, packed)
