"""Reading ``teacher.answers``: what a teacher once said, on file, with a label or a score for each label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pingti.annotation.row_ids import texts_of_ids
from pingti.corpus.normalize import keys_of
from pingti.corpus.reader import expand_all
from pingti.errors import InputError
from pingti.workspace.definition import AnswerColumnsSection
from pingti.workspace.registry import TaskEntry
from teacher.sources.stored import StoredAnswers

_SHOWN = 40  # characters of a text in a note


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadAnswers:
    """What the files hold."""

    answers: StoredAnswers
    notes: tuple[str, ...]
    """What was left out, a sentence each."""


@dataclass(kw_only=True)
class _Rows:
    """Rows of all files, one behind the other."""

    texts: list[str | None] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    where: list[tuple[str, int]] = field(default_factory=list)
    """File and row, the first being 1."""
    empty: int = 0
    """Rows without an answer."""


def read_answers(entry: TaskEntry, labels: Sequence[str] | None) -> ReadAnswers:
    """Read the stored answers of a task's own teacher.

    Args:
        entry: the task that has the teacher.
        labels: those of who answers besides; None: nobody does, and the labels are the files' own.

    Raises:
        InputError: a file cannot be read, or a row of it cannot be used.
    """
    section = entry.definition.teacher
    rows = _Rows()
    for path in expand_all(section.answers, entry.path.parent):
        _read_file(path, entry, rows)
    if not rows.where:
        raise InputError(f"{entry.path}: teacher.answers: the files hold no answer")
    texts, lost = _texts(entry, rows)
    columns = section.answer_columns
    given = tuple(columns.scores) or tuple(dict.fromkeys(sorted(rows.labels)))
    known = tuple(labels) if labels is not None else _in_order(given, entry.definition.classes)
    probabilities = _probabilities(rows, given, known)
    notes = [f"teacher.answers: {rows.empty:,} rows hold no answer and were left out"] if rows.empty else []
    if lost:
        notes.append(f"teacher.answers: {lost:,} rows have an id that stands for no text, and were left out")
    kept, disputed = _one_each(texts, probabilities, rows.times if columns.time is not None else None)
    if disputed:
        first = next(text for text in texts if text is not None and keys_of([text])[0] == disputed[0])
        notes.append(
            f"teacher.answers: {len(disputed):,} texts have several answers that differ and were left out; "
            f"the first is {first[:_SHOWN]!r} (teacher.answer_columns.time lets the newest count)"
        )
    if not kept:
        raise InputError(f"{entry.path}: teacher.answers: no answer is left; {'; '.join(notes)}")
    answers = StoredAnswers(
        labels=known,
        row_of={key: place for place, key in enumerate(kept)},
        probabilities=probabilities[list(kept.values())],
        normalise=keys_of,
    )
    return ReadAnswers(answers=answers, notes=tuple(notes))


def unmatched_note(answers: StoredAnswers, texts: Sequence[str]) -> str:
    """What is to be told of answers whose text is not asked about; empty where there are none.

    Args:
        answers: the answers.
        texts: all texts of a run.
    """
    rows = answers.find(texts)
    used = len(np.unique(rows[rows >= 0]))
    unmatched = len(answers.row_of) - used
    if not unmatched:
        return ""
    return (
        f"teacher.answers: {unmatched:,} of {len(answers.row_of):,} texts with an answer are none of the "
        "texts that this task is asked about (of the corpus, or labelled by people)"
    )


def _read_file(path: str, entry: TaskEntry, rows: _Rows) -> None:
    corpus, columns = entry.definition.corpus, entry.definition.teacher.answer_columns
    table = _table(path)
    text = _present(table, columns.text, (corpus.text, "text"))
    identity = _present(table, columns.id, (corpus.id, "id"))
    if text is None and identity is None:
        raise InputError(f"{path}: it has neither a text nor an id; {_columns(table)}")
    needed = [*columns.scores.values()] or [columns.label]
    needed += [columns.time] if columns.time is not None else []
    for name in needed:
        if name not in table.column_names:
            raise InputError(
                f"{path}: there is no column {name!r}; {_columns(table)}, and teacher.answer_columns names "
                "those of the answers"
            )
    texts = _strings(table, text)
    ids = _strings(table, identity)
    times = table.column(columns.time).to_pylist() if columns.time is not None else [None] * len(table)
    answers = _answers(path, table, columns)
    for number, answer in enumerate(answers):
        if answer is None or (texts[number] is None and ids[number] is None):
            rows.empty += 1
            continue
        if isinstance(answer, str):
            rows.labels.append(answer)
        else:
            rows.scores.append(answer)
        rows.texts.append(texts[number])
        rows.ids.append(ids[number])
        if columns.time is not None and times[number] is None:
            raise InputError(f"{path}: row {number + 1}: the time of the answer is missing")
        rows.times.append(times[number])
        rows.where.append((path, number + 1))


def _table(path: str) -> pa.Table:
    name = path.lower()
    if "://" in path:
        raise InputError(f"teacher.answers: {path}: needed is a file here, not an address")
    try:
        if name.endswith((".parquet", ".pq")):
            return pq.read_table(path)
        if name.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz")):
            delimiter = "\t" if ".tsv" in name else ","
            return pa_csv.read_csv(
                path,
                parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pa_csv.ConvertOptions(
                    strings_can_be_null=True, quoted_strings_can_be_null=False
                ),
            )
        if name.endswith((".jsonl", ".ndjson", ".jsonl.gz")):
            return pa_json.read_json(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: the answers cannot be read: {reason}") from error
    raise InputError(f"{path}: allowed are Parquet, CSV, TSV and JSONL files of answers")


def _present(table: pa.Table, named: str | None, usual: tuple[str | None, ...]) -> str | None:
    """The column of that name; else the first usual one that there is."""
    names = [named] if named is not None else usual
    return next((name for name in names if name is not None and name in table.column_names), None)


def _columns(table: pa.Table) -> str:
    return f"its columns are {', '.join(table.column_names)}"


def _strings(table: pa.Table, name: str | None) -> list[str | None]:
    if name is None:
        return [None] * len(table)
    values: list[str | None] = pc.cast(table.column(name), pa.large_string()).to_pylist()
    return values


def _answers(path: str, table: pa.Table, columns: AnswerColumnsSection) -> Iterator[str | list[float] | None]:
    """For each row a label or scores; None where it has none."""
    if not columns.scores:
        yield from (label or None for label in _strings(table, columns.label))
        return
    try:
        scores = [pc.cast(table.column(name), pa.float64()).to_pylist() for name in columns.scores.values()]
    except pa.ArrowException as error:
        raise InputError(f"{path}: a score is no number: {str(error).splitlines()[0]}") from error
    for number, row in enumerate(zip(*scores, strict=True), 1):
        if all(score is None for score in row):
            yield None
            continue
        values = np.array([np.nan if score is None else score for score in row])
        if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
            raise InputError(
                f"{path}: row {number}: its scores are {list(row)}; needed are numbers from 0 up, not all 0"
            )
        yield list(map(float, values / values.sum()))


def _texts(entry: TaskEntry, rows: _Rows) -> tuple[list[str | None], int]:
    """The text of each row, by its id where it has none; and how many rows have none so, either."""
    wanted = {
        identity
        for text, identity in zip(rows.texts, rows.ids, strict=True)
        if text is None and identity is not None
    }
    if not wanted:
        return rows.texts, 0
    by_id = texts_of_ids(entry, wanted)
    texts: list[str | None] = []
    for text, identity in zip(rows.texts, rows.ids, strict=True):
        if text is None and identity is not None:
            candidates = by_id.texts.get(identity, set())
            text = next(iter(candidates)) if len(candidates) == 1 else None
        texts.append(text)
    return texts, sum(text is None for text in texts)


def _in_order(given: tuple[str, ...], classes: Sequence[str]) -> tuple[str, ...]:
    """The labels; those that are the classes, or some of them, in the order of the classes."""
    return tuple(classes) if set(given) <= set(classes) else given


def _probabilities(rows: _Rows, given: tuple[str, ...], known: tuple[str, ...]) -> NDArray[np.float32]:
    """Answers (n, known)."""
    probabilities = np.zeros((len(rows.where), len(known)), np.float32)
    place_of = {label: number for number, label in enumerate(known)}
    strange = [label for label in given if label not in place_of]
    if strange:
        at = rows.labels.index(strange[0]) if rows.labels else 0
        path, row = rows.where[at]
        raise InputError(
            f"{path}: row {row}: {strange[0]!r} is no label of the teacher; it has {', '.join(known)}"
        )
    if rows.labels:
        places = [place_of[label] for label in rows.labels]
        probabilities[np.arange(len(places)), places] = 1.0
    else:
        probabilities[:, [place_of[label] for label in given]] = np.array(rows.scores, np.float32)
    return probabilities


def _one_each(
    texts: list[str | None], probabilities: NDArray[np.float32], times: list[Any] | None
) -> tuple[dict[str, int], list[str]]:
    """The row that counts for each text, by its normalised form; and texts whose answers differ."""
    known = [row for row, text in enumerate(texts) if text is not None]
    keys = keys_of([text for text in texts if text is not None])
    rows_of: dict[str, list[int]] = {}
    for key, row in zip(keys, known, strict=True):
        rows_of.setdefault(key, []).append(row)
    kept, disputed = {}, []
    for key, rows in rows_of.items():
        if times is not None:
            newest = max(times[row] for row in rows)
            rows = [row for row in rows if times[row] == newest]
        if all(np.array_equal(probabilities[rows[0]], probabilities[row]) for row in rows[1:]):
            kept[key] = rows[0]
        else:
            disputed.append(key)
    return kept, disputed
