"""Labelled texts that a task's owner hands in: rows with a label, and a text or the id of a row.

Files are JSONL, CSV, TSV or Parquet; text and id may have the names that the corpus's columns have.

They are the seed that fine-tunes a teacher or starts round 1, and true labels to hold teacher and student
against.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pingti.annotation.row_ids import texts_of_ids
from pingti.annotation.tool_formats import declined
from pingti.corpus.formats import LINE_BYTES, TOO_LONG
from pingti.corpus.normalize import keys_of
from pingti.corpus.reader import BadRow, Columns, check_input, read_rows
from pingti.corpus.values import spelled, string
from pingti.errors import Fault, InputError
from pingti.workspace.definition import CorpusSection
from pingti.workspace.registry import TaskEntry

_TABLES = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
_SHOWN = 40  # characters of a text in a note
_MOST_LABELS = 20  # that are no classes and get a fault each


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """n texts with the class that each is of; no two have the same normalised form."""

    texts: list[str]
    labels: list[str]
    notes: tuple[str, ...] = ()
    """What was not taken as it stands in the file, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A line of a file of labelled texts."""

    line: int
    text: str | None
    id: str
    """Of a row without a text."""
    label: str


def read_labelled(path: Path, entry: TaskEntry) -> Labelled:
    """The labelled texts of a file; ids are those of the task's corpus.

    Of rows with one text (by its normalised form) the last counts, as of a person's labels.

    Raises:
        InputError: the file cannot be read, or a line of it cannot be used.
    """
    unanswered: list[int] = []
    rows = []
    for row in _rows_of(path, entry.definition.corpus, unanswered):
        if row.label not in entry.definition.classes:
            detail = _no_class(row.label, entry.definition.classes)
            raise InputError.in_file(path, detail, line=row.line)
        rows.append(row)
    by_id = texts_of_ids(entry, {row.id for row in rows if row.text is None})
    labelled: list[tuple[str, str]] = []
    for row in rows:
        try:
            labelled.append((by_id.of(row.id) if row.text is None else row.text, row.label))
        except ValueError as error:
            raise _wrong(path, row.line, str(error)) from error
    # A text that came twice would be paid for twice, and could be trained on and held out at once.
    keys = keys_of([text for text, _ in labelled])
    once = dict(zip(keys, labelled, strict=True)).values()
    return Labelled(
        texts=[text for text, _ in once],
        labels=[label for _, label in once],
        notes=tuple(_notes(path, keys, labelled, unanswered)),
    )


def _notes(
    path: Path, keys: list[str], labelled: list[tuple[str, str]], unanswered: list[int]
) -> Iterator[str]:
    """What is to be told of a file: texts of two labels, and lines without an answer."""
    labels_of: dict[str, list[str]] = {}
    for key, (_, label) in zip(keys, labelled, strict=True):
        labels_of.setdefault(key, []).append(label)
    disputed = [key for key, labels in labels_of.items() if len(set(labels)) > 1]
    if disputed:
        text = dict(zip(keys, labelled, strict=True))[disputed[0]][0]
        yield (
            f"{path.name}: {len(disputed)} of {len(labels_of)} texts are labelled twice differently, and the "
            f"last label was taken; the first is {text[:_SHOWN]!r}: {', then '.join(labels_of[disputed[0]])}"
        )
    if unanswered:
        yield (
            f"{path.name}: {len(unanswered)} lines hold no answer (no label, rejected, ignored) and "
            f"were left out; the first is line {unanswered[0]}"
        )


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a file of labelled texts shows by itself."""

    faults: tuple[Fault, ...]
    ids: tuple[str, ...]
    """Of the rows without a text, each once; they are still to be looked up."""


def look_at_labelled(path: Path, corpus: CorpusSection, classes: Sequence[str], *, all_needed: bool) -> Look:
    """Read a file of labelled texts to its end, without its corpus.

    Args:
        path: the file.
        corpus: its columns are also those of the file.
        classes: that a label may be of.
        all_needed: whether each class needs a text.

    Returns:
        A fault of each label that is no class, up to some, and of each class that lacks a text; or one where
        the file cannot be read to its end. And the ids.
    """
    lines_of: dict[str, _Labelled] = {}
    ids: dict[str, None] = {}
    more = 0
    faults: list[Fault] = []
    try:
        for row in _rows_of(path, corpus, []):
            if row.text is None:
                ids[row.id] = None
            if row.label in lines_of:
                lines_of[row.label].count += 1
            elif row.label in classes or len(lines_of) < _MOST_LABELS + len(classes):
                lines_of[row.label] = _Labelled(first=row.line)
            else:
                more += 1
    except InputError as error:
        detail = str(error).removeprefix(f"{path}: ")
        faults.append(Fault(detail=detail, file=str(path)))
    else:
        for name in classes if all_needed else ():
            if name not in lines_of:
                detail = f"class {name!r} has no labelled text; every class needs at least one"
                faults.append(Fault(detail=detail, file=str(path)))
    for label, lines in lines_of.items():
        if label in classes:
            continue
        others = f" (so {lines.count} in all)" if lines.count > 1 else ""
        detail = f"line {lines.first}: {_no_class(label, classes)}{others}"
        faults.append(Fault(detail=detail, file=str(path), row=lines.first))
    if more:
        detail = f"{more:,} further lines have other labels that are no classes; is 'label' the right column?"
        faults.append(Fault(detail=detail, file=str(path)))
    return Look(faults=tuple(faults), ids=tuple(ids))


@dataclass(kw_only=True)
class _Labelled:
    """The lines of one label."""

    first: int
    count: int = 1


def _no_class(label: str, classes: Sequence[str]) -> str:
    return f"label {label!r} is no class; allowed are {', '.join(classes)}"


def _rows_of(path: Path, corpus: CorpusSection, unanswered: list[int]) -> Iterator[_Row]:
    if path.name.lower().endswith(_TABLES):
        return _table_rows(path, corpus)
    return _rows(path, corpus, unanswered)


def _table_rows(path: Path, section: CorpusSection) -> Iterator[_Row]:
    """The rows of a CSV, TSV or Parquet file that has a column "label"."""
    # The reader gives two columns of strings: the label and what it is of.
    wanted = [Columns(text=name, id="label") for name in dict.fromkeys((section.text, "text"))]
    wanted += [Columns(text="label", id=name) for name in dict.fromkeys((section.id or "id", "id"))]
    if section.encoding is not None:  # the corpus's, where the file is not UTF-8
        wanted += [replace(columns, encoding=section.encoding) for columns in wanted]
    columns = next((columns for columns in wanted if _has(path, columns)), wanted[0])
    check_input(str(path), columns)

    def refuse(bad: BadRow) -> None:
        raise InputError.in_file(path, f"row {bad.row}: {bad.reason}")

    for batch in read_rows(str(path), columns, refuse):
        for number, identity, text in zip(
            batch["row"].to_pylist(), batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True
        ):
            if columns.id == "label":
                yield _Row(line=number + 2, text=text, id="", label=identity)
            else:
                yield _Row(line=number + 2, text=None, id=identity, label=text)


def _has(path: Path, columns: Columns) -> bool:
    try:
        check_input(str(path), columns)
    except InputError:
        return False
    return True


def _rows(path: Path, section: CorpusSection, unanswered: list[int]) -> Iterator[_Row]:
    """The rows of a JSONL file; numbers of lines without an answer go to ``unanswered``."""
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            record: Any = json.loads(line)
            if record["label"] in (None, "", []) or declined(record.get("answer")):
                unanswered.append(number)
                continue
            label = str(record["label"][0] if _is_only(record["label"]) else record["label"])
            column = next((name for name in (section.text, "text") if name in record), None)
            text = None if column is None else string(column, record[column])
            named = section.id if section.id is not None and section.id in record else "id"
            identity = "" if text is not None else string(named, spelled(named, record[named]))
            row = _Row(line=number, text=text, id=identity, label=label)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise _wrong(path, number, _in_words(error)) from error
        yield row


def _lines(path: Path) -> Iterator[str]:
    """The lines of a text file, one at a time: nobody knows how long it is."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number in itertools.count(1):
                line = file.readline(LINE_BYTES)
                if len(line) == LINE_BYTES and not line.endswith("\n"):
                    raise InputError.in_file(path, TOO_LONG, line=number)
                if not line:
                    return
                yield line
    except OSError as error:
        raise InputError.in_file(path, f"labels not readable: {error}") from error
    except UnicodeDecodeError as error:
        detail = f"labels not readable: not UTF-8 (byte {error.start}); needed is JSONL, CSV, TSV or Parquet"
        raise InputError.in_file(path, detail) from error


def _in_words(error: Exception) -> str:
    """What is wrong with a line, without names of Python."""
    match error:
        case json.JSONDecodeError():
            return f"the line is not JSON: {error}"
        case RecursionError():
            return "the line is nested too deeply"
        case KeyError():
            return f"field {error.args[0]!r} is missing"
        case TypeError():
            return "the line is not an object"
    return str(error)


def _is_only(value: Any) -> bool:
    """Whether it is a list of one label, as doccano writes it."""
    return isinstance(value, list) and len(value) == 1


def _wrong(path: Path, number: int, problem: str) -> InputError:
    needed = "needed is an object with label, and text or an id of the corpus"
    return InputError.in_file(path, f"{needed} ({problem})", line=number)
