"""What a version was trained on, kept beside it, so that the next run goes on from there.

``students/<version>/rows.json`` holds BLAKE2b-128 digests of the texts, in the order in which they were
asked about, and which of them counted as hard negatives (under the key "competing"). The texts themselves
stay in the corpus: a row that its owner has removed there is not learned from again.
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


def write(folder: Path, texts: Iterable[str], hard_negatives: NDArray[np.bool_]) -> None:
    """Write the rows of a version.

    Args:
        folder: the version's.
        texts: n texts, in the order in which they were asked about.
        hard_negatives: bool (n,), which of them were hard negatives.
    """
    document = {
        "format": _FORMAT,
        "keys": [_key(text) for text in texts],
        "competing": np.flatnonzero(hard_negatives).tolist(),
    }
    files.write_bytes(folder / FILE, (json.dumps(document) + "\n").encode())


def read(entry: TaskEntry, fingerprint: str) -> dict[str, bool]:
    """The rows of the promoted version.

    Args:
        entry: the task.
        fingerprint: that of the teacher that is asked now.

    Returns:
        By the digest of a text, whether it was a hard negative. Empty where nothing is promoted, where the
        version was made before rows were kept, where its report cannot be read, or where another teacher was
        asked: its answers would have to be paid for again.

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
        keys, hard_negatives = document["keys"], set(document["competing"])
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path}: not readable: {error}") from error
    if _report(entry).get("teacher", {}).get("fingerprint") != fingerprint:
        return {}
    return {key: index in hard_negatives for index, key in enumerate(keys)}


def seed(entry: TaskEntry) -> int:
    """The seed with which the promoted version was made; 0 where none is, or its report cannot be read.

    Args:
        entry: the task.
    """
    recorded = _report(entry).get("seed")
    return recorded if isinstance(recorded, int) else 0


def _report(entry: TaskEntry) -> dict[str, Any]:
    """The report of the promoted version; empty where there is none that can be read."""
    version = entry.current()
    if version is not None:
        with contextlib.suppress(NotFoundError, ArtifactError):
            return entry.report(version)
    return {}


def find(texts: Sequence[str], known: dict[str, bool]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the promoted version's rows among texts.

    Args:
        texts: n texts.
        known: what ``read`` gives.

    Returns:
        The m places in ``texts`` of those that are known, ascending; and bool (m,), which of them were hard
        negatives.
    """
    if not known:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    flags = [known.get(_key(text)) for text in texts]
    places = np.array([index for index, flag in enumerate(flags) if flag is not None], np.int64)
    return places, np.array([flag for flag in flags if flag is not None], np.bool_)


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
