"""People's labels as requests of a bounded size."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pingti.errors import Fault, InputError
from pingti.frames.tables import columns_of
from pingti.frames.texts import is_frame, shown

_ROWS, _BYTES = 1000, 512 * 1024  # of a request
_KEYS = ("text", "id", "label")


def label_records(
    labels: Any, classes: Sequence[str], *, text: str, id: str | None, label: str
) -> list[dict[str, str]]:
    """Each label as REST takes it: text or id, and the class.

    Args:
        labels: a frame, or mappings with "label" and "text" or "id".
        classes: the task's.
        text: of a frame, the column of the texts.
        id: of a frame, the column of the ids, in the place of the texts.
        label: of a frame, the column of the labels.

    Raises:
        InputError: one that cannot be sent; all are looked at before one is.
    """
    if is_frame(labels):
        named = text if id is None else id
        table = columns_of(labels, text=named, others={"label": label})
        key = "text" if id is None else "id"
        columns = (table.column(name).to_pylist() for name in (named, label))
        records = [{key: row, "label": said} for row, said in zip(*columns, strict=True)]
    else:
        records = _mappings(labels)
    for row, record in enumerate(records):
        if problem := _problem(record, classes):
            raise InputError(f"labels: row {row}: {problem}", faults=[Fault(detail=problem, row=row)])
    return records


def in_requests(records: Iterable[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    """The records in parts that a request may hold.

    Args:
        records: as ``label_records`` gives them.
    """
    part: list[dict[str, str]] = []
    size = 0
    for record in records:
        length = len(json.dumps(record))
        if part and (len(part) == _ROWS or size + length > _BYTES):
            yield part
            part, size = [], 0
        part.append(record)
        size += length
    if part:
        yield part


def _mappings(labels: Any) -> list[dict[str, Any]]:
    try:
        records = list(labels)
    except TypeError:
        records = [labels]
    for row, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise InputError(
                f"labels: row {row} is {shown(record)}; needed is a frame, or mappings with the keys label "
                "and text or id"
            )
    return [{key: record[key] for key in _KEYS if record.get(key) is not None} for record in records]


def _problem(record: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Why a label cannot be sent; empty where it can."""
    for key in _KEYS:
        value = record.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            return f"{key} is {shown(value)}; needed is a string that is not empty"
    if record.get("label") is None:
        return "there is no label"
    if record["label"] not in classes:
        return f"{record['label']!r} is no class; allowed are {', '.join(classes)}"
    return "" if record.get("text") or record.get("id") else "needed is a text or an id"
