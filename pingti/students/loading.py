"""Artifacts of students of every kind: which kind a folder holds, and which files make it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pingti.errors import ArtifactError, InputError
from pingti.students.interface import AnyStudent
from textcnn.plain.artifact import LAYOUT, checksum, read_document

SECOND = "second.json"
"""The JSON of the student that answers where the folder's own is not sure; its other files lie beside."""


def load_student(folder: Path | str) -> AnyStudent:
    """Load a student of whatever kind.

    Args:
        folder: that ``save`` of a student wrote.

    Raises:
        ArtifactError: a file is missing, damaged, or written by a newer Pingti.
        UnavailableError: a package is missing that this kind computes with.
    """
    folder = Path(folder)
    kind = read_document(folder / LAYOUT.json).get("kind", "textcnn")
    if kind == "similarity":
        raise ArtifactError(
            f"{folder}: a similarity student, which gives vectors and decides nothing; "
            "pingti.SimilarityStudent.load takes it"
        )
    if kind not in _LOADERS:
        raise ArtifactError(
            f"{folder}: a student of kind {kind!r}; known are {', '.join(sorted(_LOADERS))}; a newer Pingti "
            "may know it"
        )
    return _LOADERS[kind](folder)


def student_files(folder: Path | str) -> tuple[str, ...]:
    """Name the files of an artifact, the JSON last; errors as of ``load_student``.

    Args:
        folder: of the student.

    Returns:
        Paths below ``folder``.
    """
    names = read_document(Path(folder) / LAYOUT.json)["sha256"]
    return (*(name for name in names if name != LAYOUT.json), LAYOUT.json)


def save_second(student: AnyStudent, folder: Path | str) -> str:
    """Write the student that answers where another, whose artifact is in the same folder, is not sure.

    Args:
        student: of the kind "transformer".
        folder: of the version.

    Returns:
        What the other's metadata hold of it as ``cascade.second_sha256``.

    Raises:
        InputError: a student of another kind.
    """
    from pingti.students.transformer import TransformerStudent

    if not isinstance(student, TransformerStudent):
        raise InputError(f"a student of kind {student.kind!r} cannot be a second; only a transformer can")
    student.save(folder, document_name=SECOND)
    return checksum(read_document(Path(folder) / SECOND))


def load_second(folder: Path | str, metadata: Mapping[str, Any]) -> AnyStudent | None:
    """Load what ``save_second`` wrote; None where a version's cascade has the teacher asked, or it has none.

    Args:
        folder: of the version.
        metadata: of its student.

    Raises:
        ArtifactError: it is missing, damaged, or another version's.
        UnavailableError: a package is missing that it computes with.
    """
    cascade = metadata.get("cascade", {})
    if cascade.get("second", "teacher") == "teacher":
        return None
    path = Path(folder) / SECOND
    if not path.exists():
        raise ArtifactError(
            f"{path}: it is not there; the student of this version has a {cascade['second']} answer where it "
            "is not sure"
        )
    if checksum(read_document(path)) != cascade.get("second_sha256"):
        raise ArtifactError(f"{path}: it is not the second of this version; it was exchanged")
    from pingti.students.transformer import TransformerStudent

    return TransformerStudent.load(folder, document_name=SECOND)


def version_files(folder: Path | str) -> tuple[str, ...]:
    """Name the files of a version: its student's, and those of its second where it has one.

    Args:
        folder: of the version.

    Returns:
        Paths below ``folder``.
    """
    own = student_files(folder)
    path = Path(folder) / SECOND
    if not path.exists():
        return own
    names = read_document(path)["sha256"]
    return (*(name for name in names if name != LAYOUT.json), SECOND, *own)


def _folded(folder: Path) -> AnyStudent:
    from textcnn import Student  # the compiled kernels only where they score

    return Student.load(folder)


def _transformer(folder: Path) -> AnyStudent:
    from pingti.students.transformer import TransformerStudent

    return TransformerStudent.load(folder)


_LOADERS: dict[str, Callable[[Path], AnyStudent]] = {
    "ngram": _folded,
    "textcnn": _folded,
    "transformer": _transformer,
}
"""Of each kind what reads its folder."""
