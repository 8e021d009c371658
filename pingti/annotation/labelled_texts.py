"""Labelled texts that a task's owner hands in: JSONL with a label, and a text or the id of a row.

They are the seed that fine-tunes a teacher or starts round 1, and true labels to hold teacher and student
against.
"""

import json
from collections.abc import Iterable
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


class TextsOfIds:
    """The texts that some ids stand for."""

    def __init__(self, entry: TaskEntry, ids: set[str], *, known: Iterable[tuple[str, str]] = ()) -> None:
        """Look ``ids`` up in ``known`` pairs of id and text, and those that are not there in the corpus."""
        self._found: dict[str, set[str]] = {}
        for identity, text in known:
            if identity in ids:
                self._found.setdefault(identity, set()).add(text)
        missing = ids - set(self._found)
        if not missing:
            return
        section = entry.definition.corpus
        paths = expand_all(section.files, entry.path.parent)
        if section.id is None and len(paths) > 1:
            # Every file counts its rows from 0: a number says nothing about the file.
            self._found.update((identity, set()) for identity in missing)
            self._why = f"the corpus has no id column and {len(paths)} files, each with rows of that number"
            return
        columns = Columns(text=section.text, id=section.id)
        for path in paths:
            for batch in read_rows(path, columns, lambda _: None):
                for identity, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                    if identity in missing:
                        self._found.setdefault(identity, set()).add(text)

    _why = "no text of the corpus has it"

    def of(self, identity: str) -> str:
        """The text of an id.

        Raises:
            ValueError: it stands for no text, or for more than one; with the reason.
        """
        texts = self._found.get(identity, set())
        if len(texts) != 1:
            problem = "several texts of the corpus have it" if texts else self._why
            raise ValueError(f"id: {identity!r}: {problem}; give the text")
        return next(iter(texts))


def read_labelled(path: Path, entry: TaskEntry) -> Labelled:
    """The labelled texts of a file; ids are those of the task's corpus.

    Of rows with one text (by its normalised form) the last counts, as of a person's labels.

    Raises:
        InputError: the file cannot be read, or a line of it cannot be used.
    """
    try:
        # Not splitlines(): a text may hold U+2028 and the like.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: labels not readable: {error}") from error
    rows: list[tuple[int, str | None, str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            label = str(row["label"])
            text = string("text", row["text"]) if "text" in row else None
            rows.append((number, text, "" if text is not None else str(row["id"]), label))
        except (ValueError, TypeError, KeyError) as error:
            raise _wrong(path, number, f"{type(error).__name__}: {error}") from error
        if label not in entry.definition.classes:
            known = ", ".join(entry.definition.classes)
            raise InputError(f"{path}: line {number}: label {label!r} is no class; allowed are {known}")
    texts = TextsOfIds(entry, {identity for _, text, identity, _ in rows if text is None})
    found: list[tuple[str, str]] = []
    for number, text, identity, label in rows:
        try:
            found.append((texts.of(identity) if text is None else text, label))
        except ValueError as error:
            raise _wrong(path, number, str(error)) from error
    # A text that came twice would be paid for twice, and could be trained on and held out at once.
    keys = keys_of([text for text, _ in found])
    once = dict(zip(keys, found, strict=True)).values()
    return Labelled(texts=[text for text, _ in once], labels=[label for _, label in once])


def _wrong(path: Path, number: int, problem: str) -> InputError:
    return InputError(
        f"{path}: line {number}: needed is an object with label, and text or an id of the corpus ({problem})"
    )
