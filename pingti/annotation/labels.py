"""People's labels: imported from a labelling tool, kept beside the task, and above the teacher's.

``tasks/<name>/labels.jsonl`` has one object a line: text, id (null where none is known), label, who (null
where the tool does not say), and when, in UTC. Lines are only ever added; the latest label of a text is
the one that counts.
"""

import datetime
import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pingti import files
from pingti.annotation import review_queue, tool_formats
from pingti.annotation.row_ids import texts_of_ids
from pingti.annotation.tool_formats import Answer, Unusable
from pingti.corpus.normalize import keys_of
from pingti.errors import Fault, InputError
from pingti.workspace.registry import TaskEntry

FILE = "labels.jsonl"


@dataclass(frozen=True, kw_only=True)
class Label:
    """What a person says about a text."""

    text: str
    id: str | None
    label: str
    who: str | None
    when: str
    """ISO 8601, UTC, with microseconds: two of them compare as text."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import changed."""

    records: int
    """Records in the file."""
    added: int
    """Texts whose label is new or another now."""
    unchanged: int
    """Texts that had this label, or one given later."""
    unanswered: int
    """Records without an answer."""
    disagreements: int
    """Texts that have different labels within the file; the latest was taken, or the last."""
    bad: tuple[str, ...]
    """Records that cannot be used, a sentence each."""


def read(entry: TaskEntry, only: Sequence[str] | None = None) -> dict[str, Label]:
    """The label that counts for each text.

    A line that is damaged (a full disk, a power loss) is left out with a warning that names it.

    Args:
        entry: the task.
        only: classes that a version has, whatever the definition says by now; texts of others are left out.

    Raises:
        InputError: a label that is no class of the task, where ``only`` is absent.
    """
    path = entry.folder / FILE
    latest: dict[str, Label] = {}
    for number, line in files.read_lines(path):
        try:
            label = Label(**json.loads(line))
            if not all(isinstance(value, str) for value in (label.text, label.label, label.when)):
                raise TypeError
        except (ValueError, TypeError):
            warnings.warn(f"{path}: line {number} is damaged and left out", stacklevel=2)
            continue
        if label.text not in latest or label.when >= latest[label.text].when:
            latest[label.text] = label
    if only is not None:
        return {text: label for text, label in latest.items() if label.label in only}
    classes = entry.definition.classes
    for label in latest.values():
        if label.label not in classes:
            raise InputError.in_file(
                path,
                f"the label {label.label!r} of {label.text[:40]!r} is no class; "
                f"allowed are {', '.join(classes)}",
            )
    return latest


def read_normalised(entry: TaskEntry, only: Sequence[str] | None = None) -> dict[str, Label]:
    """The label that counts for each text by its normalised form; of several forms the latest, or the last.

    ``only`` and errors as for ``read``.
    """
    labels = list(read(entry, only).values())
    keys = keys_of([label.text for label in labels])
    latest: dict[str, Label] = {}
    for key, label in zip(keys, labels, strict=True):
        if key not in latest or label.when >= latest[key].when:
            latest[key] = label
    return latest


def add(entry: TaskEntry, path: Path, *, now: datetime.datetime | None = None) -> Imported:
    """Import the labels of a file; a second time it changes nothing.

    Args:
        entry: the task.
        path: of a file in one of the forms of ``tool_formats``.
        now: stands for the time of a label where the file has none; the present where absent.

    Raises:
        InputError: the file cannot be read, or has bad records alone.
    """
    return add_records(entry, tool_formats.records(path), now=now, file=path)


def add_records(
    entry: TaskEntry,
    records: Iterable[tuple[str, Any]],
    *,
    now: datetime.datetime | None = None,
    file: Path | None = None,
) -> Imported:
    """Import labels.

    Args:
        entry: the task.
        records: pairs of a place, such as "record 1", and what stands there; see ``tool_formats.answers``.
        now: as in ``add``.
        file: where they come from; the sentences about bad ones then begin with it.

    Raises:
        InputError: there are bad records alone.
    """
    present = (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC)
    bad: list[tuple[str, str]] = []
    answers: list[tuple[str, Answer]] = []
    count = unanswered = 0
    for place, record in records:
        count += 1
        try:
            given = tool_formats.answers(record, entry.definition.classes)
        except Unusable as error:
            bad.append((place, str(error)))
            continue
        unanswered += not given
        answers += [(place, answer) for answer in given]
    latest, disagreeing = _latest(_labels_of(entry, answers, present, bad))
    prefix = f"{file}: " if file is not None else ""
    sentences = [f"{prefix}{place}: {problem}" for place, problem in bad]
    if bad and not latest and not unanswered:
        name = str(file) if file is not None else None
        raise InputError(
            sentences[0] + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""),
            faults=[Fault(detail=f"{place}: {problem}", file=name) for place, problem in bad],
        )
    known = read(entry)
    new = [
        label
        for text, label in latest.items()
        if text not in known or (label.label != known[text].label and label.when >= known[text].when)
    ]
    if new:
        files.append_lines(entry.folder / FILE, map(asdict, new))
    return Imported(
        records=count,
        added=len(new),
        unchanged=len(latest) - len(new),
        unanswered=unanswered,
        disagreements=len(disagreeing),
        bad=tuple(sentences),
    )


def _labels_of(
    entry: TaskEntry,
    answers: Sequence[tuple[str, Answer]],
    present: datetime.datetime,
    bad: list[tuple[str, str]],
) -> Iterator[Label]:
    """The labels of answers and their places; ids that stand for no text go to ``bad``."""
    ids = {answer.id for _, answer in answers if answer.text is None and answer.id}
    offered = ((row["id"], row["text"]) for row in review_queue.read(entry)) if ids else ()
    by_id = texts_of_ids(entry, ids, known=offered)
    present_text = present.isoformat(timespec="microseconds")
    for place, answer in answers:
        try:
            text = answer.text if answer.text is not None else by_id.of(answer.id or "")
        except ValueError as error:
            bad.append((place, str(error)))
            continue
        yield Label(
            text=text, id=answer.id, label=answer.label, who=answer.who, when=answer.when or present_text
        )


def _latest(labels: Iterable[Label]) -> tuple[dict[str, Label], set[str]]:
    """By text the latest label, or the last, and the texts that have different ones."""
    latest: dict[str, Label] = {}
    disagreeing: set[str] = set()
    for label in labels:
        before = latest.get(label.text)
        if before is not None and before.label != label.label:
            disagreeing.add(label.text)
        if before is None or label.when >= before.when:
            latest[label.text] = label
    return latest, disagreeing
