"""Labelled texts that a task's owner hands in: JSONL with a label, and a text or the id of a row.

They are the seed that fine-tunes a teacher or starts round 1, and true labels to hold teacher and student
against.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pingti.corpus.normalize import keys_of
from pingti.corpus.reader import Columns, expand_all, read_rows
from pingti.corpus.values import string
from pingti.errors import InputError
from pingti.workspace.registry import TaskEntry


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """n texts with the class that each is of; no two have the same normalised form."""

    texts: list[str]
    labels: list[str]


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
        columns = Columns(text=section.text, id=section.id)
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
    rows = list(_rows(path, entry.definition.classes))
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
    return Labelled(texts=[text for text, _ in once], labels=[label for _, label in once])


def _rows(path: Path, classes: Sequence[str]) -> Iterator[_Row]:
    try:
        # Not splitlines(): a text may hold U+2028 and the like.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError.in_file(path, f"labels not readable: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record: Any = json.loads(line)
            label = str(record["label"])
            text = string("text", record["text"]) if "text" in record else None
            row = _Row(line=number, text=text, id="" if text is not None else str(record["id"]), label=label)
        except (ValueError, TypeError, KeyError) as error:
            raise _wrong(path, number, f"{type(error).__name__}: {error}") from error
        if label not in classes:
            known = ", ".join(classes)
            raise InputError.in_file(path, f"label {label!r} is no class; allowed are {known}", line=number)
        yield row


def _wrong(path: Path, number: int, problem: str) -> InputError:
    needed = "needed is an object with label, and text or an id of the corpus"
    return InputError.in_file(path, f"{needed} ({problem})", line=number)
