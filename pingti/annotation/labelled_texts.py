"""Labelled texts that a task's owner hands in: rows with a label, and a text or the id of a row.

Files are JSONL, CSV, TSV or Parquet; text and id may have the names that the corpus's columns have.

They are the seed that fine-tunes a teacher or starts round 1, and true labels to hold teacher and student
against.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pingti.annotation.tool_formats import DECLINED
from pingti.corpus.normalize import keys_of
from pingti.corpus.reader import BadRow, Columns, check_input, expand_all, read_rows
from pingti.corpus.values import spelled, string
from pingti.errors import Fault, InputError
from pingti.workspace.definition import CorpusSection
from pingti.workspace.registry import TaskEntry

_TABLES = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
_SHOWN = 40  # characters of a text in a note


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """n texts with the class that each is of; no two have the same normalised form."""

    texts: list[str]
    labels: list[str]
    notes: tuple[str, ...] = ()
    """What was not taken as it stands in the file, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class TextsOfIds:
    """The texts that some ids stand for."""

    texts: dict[str, set[str]]
    """Of an id all the texts that have it."""
    why_missing: str
    """What is said of an id that stands for no text."""

    def of(self, identity: str) -> str:
        """The text of an id.

        Raises:
            ValueError: it stands for no text, or for more than one; with the reason.
        """
        texts = self.texts.get(identity, set())
        if len(texts) != 1:
            problem = "several texts of the corpus have it" if texts else self.why_missing
            raise ValueError(f"id: {identity!r}: {problem}; give the text")
        return next(iter(texts))


def texts_of_ids(entry: TaskEntry, ids: set[str], *, known: Iterable[tuple[str, str]] = ()) -> TextsOfIds:
    """Look up what some ids stand for.

    Args:
        entry: the task, in whose corpus they are looked for.
        ids: the ids.
        known: pairs of id and text that go before the corpus.
    """
    texts: dict[str, set[str]] = {}
    for identity, text in known:
        if identity in ids:
            texts.setdefault(identity, set()).add(text)
    missing = ids - set(texts)
    why_missing = "no text of the corpus has it"
    if missing:
        section = entry.definition.corpus
        paths = expand_all(section.files, entry.path.parent)
        if section.id is None and len(paths) > 1:
            # Every file counts its rows from 0: a number says nothing about the file.
            why_missing = f"the corpus has no id column and {len(paths)} files, each with rows of that number"
            paths = []
        columns = replace(section.columns, time=None)
        for path in paths:
            for batch in read_rows(path, columns, lambda _: None):
                for identity, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                    if identity in missing:
                        texts.setdefault(identity, set()).add(text)
    return TextsOfIds(texts=texts, why_missing=why_missing)


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


def labelled_faults(
    path: Path, corpus: CorpusSection, classes: Sequence[str], *, all_needed: bool
) -> list[Fault]:
    """What is wrong with a file of labelled texts, as far as the file alone can tell; ids are not looked up.

    Args:
        path: the file.
        corpus: its columns are also those of the file.
        classes: that a label may be of.
        all_needed: whether each class needs a text.

    Returns:
        A fault of each label that is no class, and of each class that lacks a text; or one where the file
        cannot be read to its end.
    """
    lines_of: dict[str, list[int]] = {}
    faults: list[Fault] = []
    try:
        for row in _rows_of(path, corpus, []):
            lines_of.setdefault(row.label, []).append(row.line)
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
        others = f" (so {len(lines)} in all)" if len(lines) > 1 else ""
        detail = f"line {lines[0]}: {_no_class(label, classes)}{others}"
        faults.append(Fault(detail=detail, file=str(path), row=lines[0]))
    return faults


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
    try:
        # Not splitlines(): a text may hold U+2028 and the like.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError.in_file(path, f"labels not readable: {error}") from error
    except UnicodeDecodeError as error:
        detail = f"labels not readable: not UTF-8 (byte {error.start}); needed is JSONL, CSV, TSV or Parquet"
        raise InputError.in_file(path, detail) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record: Any = json.loads(line)
            if record["label"] in (None, "", []) or record.get("answer") in DECLINED:
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
