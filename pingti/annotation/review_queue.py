"""The review file: rows on which the teacher itself is unsure, for a person to label in a tool of theirs."""

import enum
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from pingti import files
from pingti.corpus.normalize import keys_of
from pingti.errors import ArtifactError, ConflictError, Fault, NotFoundError
from pingti.workspace.registry import TaskEntry

FILE = "review.jsonl"
QUESTION = "label"
"""Name of the question in the labelling tools: Label Studio's control tag, Argilla's question."""


class Format(enum.StrEnum):
    """What the rows are written as for a person."""

    LABEL_STUDIO = "label-studio"  # a JSON array of tasks, with the teacher's choice as a prediction
    ARGILLA = "argilla"  # a JSON array of records as Dataset.records.from_json reads it, with suggestions
    JSONL = "jsonl"  # one object a line, with an empty label to fill in


def write(
    entry: TaskEntry,
    version: int,
    ids: list[str | None],
    texts: list[str],
    probabilities: NDArray[np.float32],
    margins: NDArray[np.float32],
) -> int:
    """Write n boundary rows into the task's ``review.jsonl``, the least clear first.

    Args:
        entry: the task.
        version: the one for which the teacher was asked.
        ids: of the rows; None where a row has none.
        texts: of the rows.
        probabilities: (n, classes), the teacher's.
        margins: (n,), how far the likeliest class leads the next.

    Returns:
        n.
    """
    lines, least = [], entry.definition.teacher.margin
    for row in np.argsort(margins, kind="stable").tolist():
        scores = zip(entry.definition.classes, probabilities[row].tolist(), strict=True)
        line = {
            "id": ids[row],
            "text": texts[row],
            "task": entry.name,
            "version": version,
            "teacher": {name: round(score, 4) for name, score in scores},
            "reason": f"the teacher's margin of {margins[row]:.3f} is below {least}",
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    files.write_bytes(entry.folder / FILE, "".join(lines).encode())
    return len(lines)


def read(entry: TaskEntry) -> list[dict[str, Any]]:
    """The rows of the review file, as ``write`` wrote them; none where there is no file.

    Raises:
        ArtifactError: a line of it is damaged.
    """
    path = entry.folder / FILE
    rows: list[dict[str, Any]] = []
    for number, line in files.read_lines(path):
        try:
            row = json.loads(line)
            if not isinstance(row["text"], str):
                raise TypeError
            rows.append({**row, "id": row["id"], "reason": row["reason"], "teacher": dict(row["teacher"])})
        except (ValueError, TypeError, KeyError) as error:
            detail = f"line {number} is damaged; the next run writes it anew"
            place = Fault(detail=detail, file=str(path), row=number)
            raise ArtifactError(f"{path}: {detail}", faults=[place]) from error
    return rows


def unlabelled(entry: TaskEntry, labelled: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of ``read`` but for texts that are ``labelled`` already, in whichever form."""
    rows, done = read(entry), set(keys_of(list(labelled)))
    keys = keys_of([row["text"] for row in rows])
    return [row for row, key in zip(rows, keys, strict=True) if key not in done]


def export(entry: TaskEntry, form: Format, out: Path, *, labelled: Sequence[str] = ()) -> int:
    """Write the review file's rows for a labelling tool.

    Args:
        entry: the task.
        form: what the tool reads.
        out: the file to write.
        labelled: texts that are left out, in whichever form.

    Returns:
        How many rows were written.

    Raises:
        NotFoundError: the task has no review file.
        ConflictError: ``out`` is there; a person may have worked on it.
    """
    if not (entry.folder / FILE).exists():
        raise NotFoundError(
            f"task {entry.name!r}: no {FILE} yet; pingti replace {entry.name} writes the unclear rows there"
        )
    if out.exists():
        raise ConflictError(f"{out}: is there already; name another file or remove it")
    rows = unlabelled(entry, labelled)
    records = [_RECORD[form](entry.name, row) for row in rows]
    # One record a line in either case: an array in which a person finds a text too.
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    whole = "\n".join([*lines, ""]) if form is Format.JSONL else "[\n" + ",\n".join(lines) + "\n]\n"
    files.write_bytes(out, whole.encode())
    return len(rows)


def label_studio_config(classes: Sequence[str]) -> str:
    """The labelling interface that a Label Studio project needs for exported tasks."""
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    return (
        '<View><Text name="text" value="$text"/>'
        f'<Choices name="{QUESTION}" toName="text" choice="single">{choices}</Choices></View>'
    )


def argilla_settings(classes: Sequence[str]) -> str:
    """The settings, in Python, that an Argilla dataset needs for exported records."""
    return (
        f'rg.Settings(fields=[rg.TextField(name="text")], '
        f'questions=[rg.LabelQuestion(name="{QUESTION}", labels={list(classes)!r})])'
    )


def _label_studio(task: str, row: dict[str, Any]) -> dict[str, Any]:
    label, score = _likeliest(row)
    result = {"from_name": QUESTION, "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    return {
        "data": {"text": row["text"], "id": row["id"], "task": task, "reason": row["reason"]},
        "predictions": [{"model_version": _agent(task), "score": score, "result": [result]}],
    }


def _argilla(task: str, row: dict[str, Any]) -> dict[str, Any]:
    label, score = _likeliest(row)
    return {
        # A record of the same id is replaced, and the numbers of rows of several files are not unique.
        "id": hashlib.blake2b(row["text"].encode(), digest_size=16).hexdigest(),
        "fields": {"text": row["text"]},
        "metadata": {},
        "suggestions": {QUESTION: {"value": label, "score": score, "agent": _agent(task)}},
        "responses": {},
        "vectors": {},
    }


def _jsonl(task: str, row: dict[str, Any]) -> dict[str, Any]:
    named = {"id": row["id"], "text": row["text"], QUESTION: ""}
    return {**named, "task": task, "teacher": row["teacher"], "reason": row["reason"]}


_RECORD = {Format.LABEL_STUDIO: _label_studio, Format.ARGILLA: _argilla, Format.JSONL: _jsonl}


def _likeliest(row: dict[str, Any]) -> tuple[str, float]:
    label, score = max(row["teacher"].items(), key=lambda pair: float(pair[1]))
    return str(label), float(score)


def _agent(task: str) -> str:
    return f"teacher of {task}"
