"""What a version was trained on, kept beside it, so that the next run goes on from there.

``students/<version>/rows.json`` holds BLAKE2b-128 digests of the texts, in the order in which they were
asked about, and which of them counted as hard negatives (under the key "competing"); and, under "validation",
those of the validation rows with their weights. The texts themselves stay in the corpus: a row that its owner
has removed there is not learned from again.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti import files
from pingti.errors import ArtifactError, NotFoundError
from pingti.workspace.registry import TaskEntry

FILE = "rows.json"
_FORMAT = 1
NEWEST = 16
"""So many of the pool's last rows are kept: by them the next run knows where newer ones begin."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnValidation:
    """The m validation rows of a version, and the pool that they stand for."""

    texts: Sequence[str]
    weights: NDArray[np.float64]
    """(m,): how many rows each stands for, in proportion."""
    pool: int
    """Rows of the pool."""
    newest: Sequence[str]
    """Texts at the pool's end, the newest last."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EarlierValidation:
    """Those m of the promoted version's validation rows that are still in the pool."""

    places: NDArray[np.int64]
    """(m,): their places in the pool, ascending."""
    stands_for: NDArray[np.float64]
    """(m,): how many rows of the earlier pool each stands for."""
    first_new: int
    """Place in the pool from which on rows are newer than that version."""


def write(
    folder: Path,
    texts: Iterable[str],
    hard_negatives: NDArray[np.bool_],
    validation: DrawnValidation | None = None,
) -> None:
    """Write the rows of a version.

    Args:
        folder: the version's.
        texts: n texts, in the order in which they were asked about.
        hard_negatives: bool (n,), which of them were hard negatives.
        validation: the rows that chose threshold and round.
    """
    document: dict[str, Any] = {
        "format": _FORMAT,
        "keys": [_key(text) for text in texts],
        "competing": np.flatnonzero(hard_negatives).tolist(),
    }
    if validation is not None:
        document["validation"] = {
            "keys": [_key(text) for text in validation.texts],
            "weights": validation.weights.tolist(),
            "pool": validation.pool,
            "newest": [_key(text) for text in validation.newest[-NEWEST:]],
        }
    files.write_bytes(folder / FILE, (json.dumps(document) + "\n").encode())


def read(entry: TaskEntry, fingerprint: str, version: int | None = None) -> dict[str, bool]:
    """The rows of a version.

    Args:
        entry: the task.
        fingerprint: that of the teacher that is asked now.
        version: the promoted one where absent.

    Returns:
        By the digest of a text, whether it was a hard negative. Empty where nothing is promoted, where the
        version was made before rows were kept, where its report cannot be read, or where another teacher was
        asked: its answers would have to be paid for again.

    Raises:
        ArtifactError: the file is damaged or of a newer format.
    """
    document = _document(entry, fingerprint, version)
    if document is None:
        return {}
    hard_negatives = set(document["competing"])
    return {key: index in hard_negatives for index, key in enumerate(document["keys"])}


def find_validation(
    entry: TaskEntry, fingerprint: str, texts: Sequence[str], version: int | None = None
) -> EarlierValidation | None:
    """Find a version's validation rows in the pool.

    Args:
        entry: the task.
        fingerprint: that of the teacher that is asked now.
        texts: of the pool, in order of time.
        version: the promoted one where absent.

    Returns:
        The rows; None where ``read`` would know none, or the version was made before they were kept.

    Raises:
        ArtifactError: the file is damaged or of a newer format.
    """
    document = _document(entry, fingerprint, version)
    if document is None or "validation" not in document:
        return None
    drawn = document["validation"]
    weights = np.array(drawn["weights"], np.float64)
    stands_for = dict(zip(drawn["keys"], weights / max(weights.sum(), 1e-12) * drawn["pool"], strict=True))
    learned, newest = set(document["keys"]), set(drawn["newest"])
    places: list[int] = []
    first_new = 0
    for place, key in enumerate(map(_key, texts)):
        if key in stands_for:
            places.append(place)
        if key in stands_for or key in learned or key in newest:
            first_new = place + 1
    return EarlierValidation(
        places=np.array(places, np.int64),
        stands_for=np.array([stands_for[_key(texts[place])] for place in places], np.float64),
        first_new=first_new,
    )


def _document(entry: TaskEntry, fingerprint: str, version: int | None) -> dict[str, Any] | None:
    """What is kept of a version, or the promoted one; None where ``read`` knows no rows of it."""
    version = version or entry.current()
    if version is None or version not in entry.versions():
        return None
    path = entry.student_folder(version) / FILE
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ArtifactError(f"{path}: its format is {document['format']} and this Pingti reads {_FORMAT}")
        _check(document)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path}: not readable: {error}") from error
    if _report(entry, version).get("teacher", {}).get("fingerprint") != fingerprint:
        return None
    return document


def _check(document: dict[str, Any]) -> None:
    """Raise ValueError, TypeError or KeyError where a part is missing or of another kind."""
    lists = [document["keys"], document["competing"]]
    if "validation" in document:
        drawn = document["validation"]
        lists += [drawn["keys"], drawn["weights"], drawn["newest"]]
        if len(drawn["keys"]) != len(drawn["weights"]) or not isinstance(drawn["pool"], int):
            raise ValueError("validation: not a weight for every row")
    if not all(isinstance(value, list) for value in lists):
        raise TypeError("a list is needed")


def seed(entry: TaskEntry) -> int:
    """The seed with which the promoted version was made; 0 where none is, or its report cannot be read.

    Args:
        entry: the task.
    """
    recorded = _report(entry, entry.current()).get("seed")
    return recorded if isinstance(recorded, int) else 0


def _report(entry: TaskEntry, version: int | None) -> dict[str, Any]:
    """The report of a version; empty where there is none that can be read."""
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
