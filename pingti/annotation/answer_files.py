"""The files of ``teacher.answers``, row by row: what was answered, to which text or id, and when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pingti.corpus.columns import BadRow, Columns
from pingti.corpus.fields import look_at, read_fields
from pingti.corpus.values import microseconds, spelled, string
from pingti.errors import InputError
from pingti.workspace.definition import AnswerColumnsSection, CorpusSection

_SUM_OFF = 0.05  # from 1: more than rounding leaves


@dataclass(frozen=True, kw_only=True)
class AnswerFile:
    """A file of answers, opened once to see which columns it has."""

    path: str
    text: str | None
    """The column of the text; None: there is none."""
    id: str | None
    """That of the id, likewise."""
    layout: Columns
    """How the file is written."""
    notices: tuple[str, ...]
    """What is otherwise than its name says, a sentence each."""


@dataclass
class Counted:
    """Rows of one kind: how many, and the first in words."""

    count: int = 0
    first: str = ""

    def add(self, row: str) -> None:
        """Count a row."""
        self.count += 1
        self.first = self.first or row


@dataclass(kw_only=True)
class AnswerRows:
    """Rows of all files, one behind the other, those alone that have an answer."""

    texts: list[str | None] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    """Of rows without a text."""
    labels: list[str] = field(default_factory=list)
    """Empty where there are scores."""
    scores: list[list[float]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    """Microseconds since 1970; empty where there is no column of times."""
    where: list[tuple[str, int]] = field(default_factory=list)
    """File and row, the first being 1."""
    empty: int = 0
    """Rows without an answer, or without text and id."""
    guessed: Counted = field(default_factory=Counted)
    """Files that are written otherwise than their names say."""
    bad: Counted = field(default_factory=Counted)
    """Rows that could not be read."""
    sums_off: Counted = field(default_factory=Counted)
    """Rows whose scores do not add up to 1."""

    def notes(self) -> list[str]:
        """What was left out or changed, a sentence each."""
        notes = []
        if self.guessed.count:
            notes.append(
                f"teacher.answers: {self.guessed.count:,} files are written otherwise than their names say; "
                f"the first is {self.guessed.first} (teacher.answer_columns says it otherwise)"
            )
        if self.bad.count:
            notes.append(
                f"teacher.answers: {self.bad.count:,} rows could not be read and were left out; the first is "
                f"{self.bad.first}"
            )
        if self.empty:
            notes.append(f"teacher.answers: {self.empty:,} rows hold no answer and were left out")
        if self.sums_off.count:
            notes.append(
                f"teacher.answers: the scores of {self.sums_off.count:,} rows do not add up to 1 and were "
                f"divided by their sum; the first is {self.sums_off.first} (of a model that answers each "
                "label by itself, teacher.label says which one the task asks for)"
            )
        return notes


def open_answers(path: str, columns: AnswerColumnsSection, corpus: CorpusSection) -> AnswerFile:
    """Look which columns a file of answers has.

    Args:
        path: of the file.
        columns: names them.
        corpus: names those of text and id where nothing else is said.

    Raises:
        InputError: the file cannot be opened, or has no column of text and id, or of answers.
    """
    needed = [*columns.scores.values()] or [columns.label]
    needed += [columns.time] if columns.time is not None else []
    layout = Columns(
        text=needed[0],
        delimiter=columns.delimiter,
        quoting=columns.quoting,
        escape=columns.escape,
        encoding=columns.encoding,
    )
    look = look_at(path, layout)
    names = look.names
    there = f"there are {', '.join(map(repr, names))}"
    text = _present(names, columns.text, (corpus.text, "text"))
    identity = _present(names, columns.id, (corpus.id, "id"))
    if text is None and identity is None:
        raise InputError.in_file(path, f"it has neither a text nor an id; {there}")
    for name in needed:
        if name not in names:
            raise InputError.in_file(
                path, f"no column {name!r}; {there}, and teacher.answer_columns names those of the answers"
            )
    # Beside which column a quote that is never closed is seen, the answer's or the text's.
    layout = replace(layout, text=text or needed[0], id=identity)
    return AnswerFile(path=path, text=text, id=identity, layout=layout, notices=look.notices)


def read_file(
    file: AnswerFile, columns: AnswerColumnsSection, rows: AnswerRows, *, independent: bool
) -> None:
    """Read the rows of a file behind those that were read before.

    Args:
        file: is read.
        columns: names the columns of the answers.
        rows: is added to.
        independent: whether each score is a probability of its own.

    Raises:
        InputError: a row of it cannot be used.
    """
    if file.notices:
        rows.guessed.add(f"{file.path}: {', '.join(file.notices)}")
    answers = [*columns.scores.values()] or [columns.label]
    names = [name for name in (file.text, file.id, columns.time, *answers) if name is not None]

    def on_bad_row(row: BadRow) -> None:
        rows.bad.add(f"{row.file}: row {row.row + 1}: {row.reason}")

    for number, fields in read_fields(file.path, names, file.layout, on_bad_row):
        where = (file.path, number + 1)
        try:
            text, identity = _text_and_id(file, fields)
            if columns.scores:
                answer: str | list[float] | None = _scores(fields, columns, independent, where, rows)
            else:
                answer = _label(columns.label, fields.get(columns.label))
            if answer is None or (text is None and identity is None):
                rows.empty += 1
                continue
            if columns.time is not None:
                form, unit = columns.time_format, columns.time_unit
                rows.times.append(microseconds(columns.time, fields.get(columns.time), form, unit))
        except ValueError as error:
            raise InputError.in_file(where[0], f"row {where[1]}: {error}") from error
        if isinstance(answer, str):
            rows.labels.append(answer)
        else:
            rows.scores.append(answer)
        rows.texts.append(text)
        rows.ids.append(identity)
        rows.where.append(where)


def _present(names: Sequence[str], named: str | None, usual: tuple[str | None, ...]) -> str | None:
    """The column of that name; else the first usual one that there is."""
    wanted = [named] if named is not None else usual
    return next((name for name in wanted if name is not None and name in names), None)


def _text_and_id(file: AnswerFile, fields: dict[str, Any]) -> tuple[str | None, str | None]:
    """Text of a row, or else its id; an empty text is none where there may be an id."""
    text = None if file.text is None else fields.get(file.text)
    if text is not None and file.text is not None:
        text = string(file.text, text)
        if text or file.id is None:
            return text, None
    identity = None if file.id is None else spelled(file.id, fields.get(file.id))
    if file.id is None or identity in (None, ""):
        return text, None
    return None, string(file.id, identity)


def _label(name: str, value: Any) -> str | None:
    """The label that a field holds; None where it holds none."""
    if isinstance(value, list) and len(value) < 2:  # as doccano writes it
        value = value[0] if value else None
    if isinstance(value, bool):
        return str(value).lower()
    value = spelled(name, value)
    return string(name, value) or None if value is not None else None


def _scores(
    fields: dict[str, Any],
    columns: AnswerColumnsSection,
    independent: bool,
    where: tuple[str, int],
    rows: AnswerRows,
) -> list[float] | None:
    """Probabilities of the labels; None where a row has none at all."""
    given = [fields.get(name) for name in columns.scores.values()]
    try:
        values = [math.nan if value in (None, "", b"") else float(value) for value in given]
    except (TypeError, ValueError):
        raise ValueError(f"its scores are {given}; needed are numbers") from None
    if all(map(math.isnan, values)):
        return None
    if independent:
        if not all(0 <= value <= 1 for value in values):
            raise ValueError(f"its scores are {values}; needed is a probability from 0 to 1 for each label")
        return values
    total = sum(values)
    if not math.isfinite(total) or min(values) < 0 or total <= 0:
        raise ValueError(f"its scores are {values}; needed are numbers from 0 up, not all 0")
    if abs(total - 1) > _SUM_OFF:
        rows.sums_off.add(f"{where[0]}: row {where[1]}: {values}")
    return [value / total for value in values]
