"""Artifacts of students of every kind: which kind a folder holds, and which files make it."""

from collections.abc import Callable
from pathlib import Path

from pingti.errors import ArtifactError
from pingti.students.interface import AnyStudent
from textcnn.plain.artifact import LAYOUT, read_document


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
