"""What a version was trained on, kept beside it, so that the next run goes on from there.

``students/<version>/rows.json`` holds BLAKE2b-128 digests of the texts, in the order in which they were
asked about, and which of them counted as competing negatives. The texts themselves stay in the corpus: a
row that its owner has removed there is not learned from again.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti import files
from pingti.errors import ArtifactError, NotFoundError
from pingti.workspace.registry import TaskEntry

FILE = "rows.json"
_FORMAT = 1


def write(folder: Path, texts: Iterable[str], competing: NDArray[np.bool_]) -> None:
    """Write the rows of a version, n ``texts`` and which of them (n,) were competing negatives."""
    document = {
        "format": _FORMAT,
        "keys": [_key(text) for text in texts],
        "competing": np.flatnonzero(competing).tolist(),
    }
    files.write_bytes(folder / FILE, (json.dumps(document) + "\n").encode())


def read(entry: TaskEntry, fingerprint: str) -> dict[str, bool]:
    """By the digest of a text, whether it was a competing negative, for the promoted version's rows.

    Empty where nothing is promoted, where the version was made before rows were kept, where its report
    cannot be read, or where another teacher (by ``fingerprint``) was asked: its answers would have to be paid
    for again.

    Raises:
        ArtifactError: the file is damaged or of a newer format.
    """
    version = entry.current()
    if version is None or version not in entry.versions():
        return {}
    path = entry.student_folder(version) / FILE
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ArtifactError(f"{path}: its format is {document['format']} and this Pingti reads {_FORMAT}")
        keys, competing = document["keys"], set(document["competing"])
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path}: not readable: {error}") from error
    if _report(entry).get("teacher", {}).get("fingerprint") != fingerprint:
        return {}
    return {key: index in competing for index, key in enumerate(keys)}


def seed(entry: TaskEntry) -> int:
    """The seed with which the promoted version was made; 0 where none is, or its report cannot be read."""
    found = _report(entry).get("seed")
    return found if isinstance(found, int) else 0


def _report(entry: TaskEntry) -> dict[str, Any]:
    """The report of the promoted version; empty where there is none that can be read."""
    version = entry.current()
    if version is not None:
        with contextlib.suppress(NotFoundError, ArtifactError):
            return entry.report(version)
    return {}


def find(texts: Sequence[str], known: dict[str, bool]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which of n ``texts`` are ``known``: their m places in order, and the m flags."""
    if not known:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    found = [known.get(_key(text)) for text in texts]
    places = np.array([index for index, flag in enumerate(found) if flag is not None], np.int64)
    return places, np.array([flag for flag in found if flag is not None], np.bool_)


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
