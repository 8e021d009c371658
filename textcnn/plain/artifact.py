"""The files of a student: a JSON document, and tensors in the safetensors format, with checksums of both."""

import hashlib
import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pingti import files
from pingti.errors import ArtifactError


@dataclass(frozen=True)
class Layout:
    """Names and version of an artifact's files."""

    format: int = 5
    """Raised when an older program can no longer read the files."""
    format_with_readout: int = 4
    """Of a TextCNN with a readout and a table of int16: what knows of no other can read it."""
    format_without_readout: int = 3
    """Of a TextCNN with such a table and without a readout: it can be read by what knows of none."""
    json: str = "student.json"
    tensors: str = "student.safetensors"


LAYOUT = Layout()
_KINDS: dict[str, np.dtype[Any]] = {"I8": np.dtype("i1"), "I16": np.dtype("<i2"), "F32": np.dtype("<f4")}
TENSORS = ("table", "step", "bias", "head", "head_bias", "wide")
"""Names of the tensors, those of ``textcnn.fold.Folded``; the table first: it wants to be aligned."""


def checksum(document: Mapping[str, Any]) -> str:
    """Hash an artifact's JSON document: SHA-256 over its canonical form without its own checksum."""
    checksums = {name: value for name, value in document["sha256"].items() if name != LAYOUT.json}
    text = json.dumps({**document, "sha256": checksums}, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_document(path: Path, document: Mapping[str, Any], checksums: Mapping[str, str]) -> None:
    """Write an artifact's JSON document with the checksums of the files beside it and its own."""
    sealed = {**document, "sha256": dict(checksums)}
    sealed["sha256"][LAYOUT.json] = checksum(sealed)  # whatever the name: of a second one, too
    files.write_json(path, sealed)


def read_document(path: Path) -> dict[str, Any]:
    """Read an artifact's JSON document.

    Args:
        path: the file, ``LAYOUT.json`` of a student's folder, or that of a second one in it.

    Raises:
        ArtifactError: it is missing, damaged, or written by a newer Pingti.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path.parent}: no {path.name} in it; a student's folder has one") from None
    except OSError as error:  # a folder of that name, say
        raise ArtifactError(f"{path}: not readable: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise ArtifactError(f"{path}: no format number in it; this is not a student's file")
    if document["format"] > LAYOUT.format:
        raise ArtifactError(
            f"{path}: format {document['format']} is newer than {LAYOUT.format}, the newest read here"
        )
    checksums = document.get("sha256")
    if not isinstance(checksums, dict) or checksums.get(LAYOUT.json) != checksum(document):
        raise ArtifactError(f"{path}: its checksum does not fit its content; it was damaged or edited")
    return document


def write_tensors(file: IO[bytes], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write the safetensors format, padded so that the first tensor starts at a multiple of 64 bytes.

    The library's own writer gives 8, and the kernel's vectors would each lie across two cache lines.

    Args:
        file: open for writing.
        tensors: int8, int16 or float32 arrays by name, in the order in which they are written.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, values in tensors.items():
        start, end = end, end + values.nbytes
        kind = next(key for key, dtype in _KINDS.items() if values.dtype == dtype)
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    file.write(len(text).to_bytes(8, "little") + text)
    for values in tensors.values():
        file.write(np.ascontiguousarray(values).data)


_MAPPED: "weakref.WeakValueDictionary[tuple[int | str, ...], np.memmap[Any, Any]]" = (
    weakref.WeakValueDictionary()
)
"""Files in use, by what they are on the disk: students of one network have one file with several names."""


def _mapped(path: Path, expected: str | None) -> "np.memmap[Any, Any]":
    """The file's bytes, once for all its names while one of them is used; its checksum is looked at once."""
    status = path.stat()
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, str(expected))
    mapped = _MAPPED.get(key)
    if mapped is None:
        if files.sha256(path) != expected:
            raise ArtifactError(f"{path}: its checksum does not fit; it was damaged or exchanged")
        # The file is what save() wrote, so its header can be trusted from here on.
        mapped = np.memmap(path, np.uint8, "r")
        _MAPPED[key] = mapped
    return mapped


def map_tensors(path: Path, expected: str | None) -> dict[str, NDArray[Any]]:
    """Map the arrays of a safetensors file.

    Args:
        path: the file.
        expected: its SHA-256.

    Returns:
        By name read-only views of the mapped file.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    try:
        mapped = _mapped(path, expected)
    except OSError as error:
        raise ArtifactError(f"{path}: not readable: {error.strerror}") from error
    length = int(mapped[:8].view("<u8")[0])
    header = json.loads(bytes(mapped[8 : 8 + length]))
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            values = mapped[8 + length + start : 8 + length + end].view(_KINDS[entry["dtype"]])
            tensors[name] = np.asarray(values).reshape(entry["shape"])
    return tensors
