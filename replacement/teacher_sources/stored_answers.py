"""``teacher.answers``: what a teacher once said, on file, as the answers of a teacher."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.annotation.labelled_texts import texts_of_ids
from pingti.corpus.normalize import keys_of
from pingti.corpus.reader import expand_all
from pingti.errors import InputError
from pingti.workspace.definition import TeacherSection
from pingti.workspace.registry import TaskEntry
from replacement.teacher_sources.answer_files import AnswerRows, Counted, open_answers, read_file
from teacher.sources.stored import StoredAnswers

_SHOWN = 40  # characters of a text in a note


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadAnswers:
    """What the files hold."""

    answers: StoredAnswers
    independent: bool
    """Whether each label is answered by itself."""
    notes: tuple[str, ...]
    """What was left out or changed, a sentence each."""


def answered_alone(section: TeacherSection) -> bool:
    """Whether stored answers that are all there is answer each label by itself.

    Args:
        section: of the task that has the teacher. One score alone is read as a model of one output is, and
            ``teacher.label`` asks for one of several.
    """
    return section.label is not None or len(section.answer_columns.scores) == 1


def read_answers(entry: TaskEntry, labels: Sequence[str] | None, *, independent: bool = False) -> ReadAnswers:
    """Read the stored answers of a task's own teacher.

    Args:
        entry: the task that has the teacher.
        labels: those of who answers besides; None: nobody does, and the labels are the files' own.
        independent: whether who answers besides answers each label by itself.

    Raises:
        InputError: a file cannot be read, or a row of it cannot be used.
    """
    section = entry.definition.teacher
    columns = section.answer_columns
    if labels is None:
        independent = answered_alone(section)
    rows = AnswerRows()
    for path in expand_all(section.answers, entry.path.parent):
        file = open_answers(path, columns, entry.definition.corpus)
        read_file(file, columns, rows, independent=independent)
    notes = rows.notes()
    if not rows.where:
        raise InputError(f"{entry.path}: teacher.answers: the files hold no answer{_joined(notes)}")
    texts, lost = _texts(entry, rows)
    given = tuple(columns.scores) or tuple(dict.fromkeys(sorted(rows.labels)))
    if labels is not None:
        known = tuple(labels)
    else:
        known = given if independent else _in_order(given, entry.definition.classes)
    probabilities = _probabilities(rows, given, known, entry)
    notes += lost
    kept, disputed = _one_each(texts, probabilities, rows.times)
    if disputed:
        first = texts[disputed[0]] or ""
        notes.append(
            f"teacher.answers: {len(disputed):,} texts have several answers that differ and were left out; "
            f"the first is {first[:_SHOWN]!r} (teacher.answer_columns.time lets the newest count)"
        )
    if not kept:
        raise InputError(f"{entry.path}: teacher.answers: no answer is left{_joined(notes)}")
    answers = StoredAnswers(
        labels=known,
        row_of={key: place for place, key in enumerate(kept)},
        probabilities=probabilities[list(kept.values())],
        normalise=keys_of,
    )
    return ReadAnswers(answers=answers, independent=independent, notes=tuple(notes))


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


def _joined(notes: Sequence[str]) -> str:
    """Notes behind a sentence."""
    return "".join(f"; {note}" for note in notes)


def _texts(entry: TaskEntry, rows: AnswerRows) -> tuple[list[str | None], list[str]]:
    """The text of each row, by its id where it has none; None where that leads to no one text, and a note."""
    wanted = {identity for identity in rows.ids if identity is not None}
    if not wanted:
        return rows.texts, []
    by_id = texts_of_ids(entry, wanted)
    texts: list[str | None] = []
    lost = Counted()
    for text, identity in zip(rows.texts, rows.ids, strict=True):
        if identity is not None:
            try:
                text = by_id.of(identity)
            except ValueError as error:
                lost.add(str(error))
        texts.append(text)
    if not lost.count:
        return texts, []
    return texts, [
        f"teacher.answers: {lost.count:,} rows have an id that stands for no text, or for several, and were "
        f"left out; the first: {lost.first}"
    ]


def _in_order(given: tuple[str, ...], classes: Sequence[str]) -> tuple[str, ...]:
    """The labels; those that are the classes, or some of them, in the order of the classes."""
    return tuple(classes) if set(given) <= set(classes) else given


def _probabilities(
    rows: AnswerRows, given: tuple[str, ...], known: tuple[str, ...], entry: TaskEntry
) -> NDArray[np.float32]:
    """Answers (n, known)."""
    probabilities = np.zeros((len(rows.where), len(known)), np.float32)
    place_of = {label: number for number, label in enumerate(known)}
    strange = [label for label in given if label not in place_of]
    if strange:
        path, row = rows.where[rows.labels.index(strange[0]) if rows.labels else 0]
        raise InputError(
            f"{path}: row {row}: {strange[0]!r} is no label of the teacher; it has {', '.join(known)}"
        )
    if rows.labels:
        places = [place_of[label] for label in rows.labels]
        probabilities[np.arange(len(places)), places] = 1.0
        return probabilities
    missing = [label for label in known if label not in given]
    if missing:
        raise InputError(
            f"{entry.path}: teacher.answer_columns.scores: there is no column for {', '.join(missing)}; each "
            "label of the teacher needs one"
        )
    probabilities[:, [place_of[label] for label in given]] = np.array(rows.scores, np.float32)
    return probabilities


def _one_each(
    texts: list[str | None], probabilities: NDArray[np.float32], times: list[int]
) -> tuple[dict[str, int], list[int]]:
    """The row that counts for each text, by its normalised form; and a row of each whose answers differ."""
    known = [row for row, text in enumerate(texts) if text is not None]
    keys = keys_of([text for text in texts if text is not None])
    rows_of: dict[str, list[int]] = {}
    for key, row in zip(keys, known, strict=True):
        rows_of.setdefault(key, []).append(row)
    kept, disputed = {}, []
    for key, rows in rows_of.items():
        if times:
            newest = max(times[row] for row in rows)
            rows = [row for row in rows if times[row] == newest]
        if all(np.array_equal(probabilities[rows[0]], probabilities[row]) for row in rows[1:]):
            kept[key] = rows[0]
        else:
            disputed.append(rows[0])
    return kept, disputed
