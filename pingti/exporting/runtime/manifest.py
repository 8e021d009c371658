"""The file that says which students a folder holds, and by which thresholds they decide.

pingti.json                        format, pins, and for AWS Lambda the Python that it was made for
students/<task>/<version>/         student.json and the files that it names
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pingti import files
from pingti.errors import ArtifactError

MANIFEST = "pingti.json"
FORMAT = 1
"""Raised when an older program can no longer read the folder."""

_PIN = {"task": str, "scene": str, "version": int, "hidden": bool}


def write(folder: Path, pins: Sequence[dict[str, Any]], **more: Any) -> None:
    """Write the file.

    Args:
        folder: where.
        pins: the fields of ``pingti.inference.pins.Pin``, each.
        more: further keys, in values that JSON has.
    """
    files.write_json(folder / MANIFEST, {"format": FORMAT, "pins": list(pins), **more})


def read(folder: Path) -> dict[str, Any]:
    """Read the file.

    Raises:
        ArtifactError: it is missing, damaged, or written by a newer Pingti.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST} in it; needed is what pingti export wrote") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError.in_file(path, f"not readable as JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise ArtifactError.in_file(path, "no format number in it; needed is what pingti export wrote")
    if document["format"] > FORMAT:
        raise ArtifactError.in_file(
            path, f"format {document['format']} is newer than {FORMAT}, the newest read here"
        )
    pins = document.get("pins")
    if not isinstance(pins, list) or not pins or not all(map(_is_pin, pins)):
        raise ArtifactError.in_file(path, "its pins are damaged; export the tasks again")
    return document


def student_folder(folder: Path, task: str, version: int) -> Path:
    """Where the folder holds a student."""
    return folder / "students" / task / str(version)


def _is_pin(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {*_PIN, "threshold", "column"}
        and all(isinstance(value[key], kind) for key, kind in _PIN.items())
        and isinstance(value["threshold"], int | float | None)
        and isinstance(value["column"], str | None)
    )
