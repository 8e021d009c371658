"""The corpus of a task: its rows in order of time, cleaned, and split into pool and holdout."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.corpus.normalize import keys_of, normalised
from pingti.corpus.reader import BadRow, Columns, expand_all, read_rows, schema
from pingti.corpus.rules import matches
from pingti.errors import DefinitionError, InputError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.definition import Definition
from pingti.workspace.dependencies import promoted_circle
from pingti.workspace.registry import TaskEntry
from textcnn import Student

_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """The rows that a model is asked about: those that no rule decides."""

    ids: pa.Array
    """(n,) string."""
    texts: pa.Array
    """(n,) large_string, in order of time."""
    pool: NDArray[np.int64]
    """Rows that may be learned from; no two have the same text, and none has a text of the holdout."""
    holdout: NDArray[np.int64]
    """The newest rows, which only measure."""
    days: NDArray[np.int64] | None
    """(n,): days since 1970 (UTC); None where the corpus has no times."""
    counts: dict[str, int]
    """What happened to the rows that were read: read, bad, dropped, negative by rule, duplicates, ..."""
    first_bad: BadRow | None = None
    """The first row that could not be read."""

    def keep(self, holds: NDArray[np.bool_]) -> "Corpus":
        """The corpus with only those rows in pool and holdout for which ``holds`` (n,) is true.

        Raises:
            InputError: too few are left.
        """
        pool, holdout = self.pool[holds[self.pool]], self.holdout[holds[self.holdout]]
        _check_sizes(pool, holdout, self.counts, self.first_bad)
        left_out = len(self.pool) + len(self.holdout) - len(pool) - len(holdout)
        counts = {**self.counts, "not_asked": left_out, "pool": len(pool), "holdout": len(holdout)}
        return dataclasses.replace(self, pool=pool, holdout=holdout, counts=counts)


def load_corpus(definition: Definition, folder: Path, *, apart: list[str] | None = None) -> Corpus:
    """Read a task's corpus.

    Args:
        definition: names the files (relative to ``folder``), columns, rules and the length of the holdout.
        folder: the definition's folder.
        apart: labelled texts, which are learned from anyway: none of them may be in the holdout, where it
            would flatter, nor in the pool, where the calibration rows are drawn.

    Raises:
        InputError: a file that cannot be read, or a corpus too small to be split.
    """
    section = definition.corpus
    columns = Columns(text=section.text, id=section.id, time=section.time)
    first_bad: BadRow | None = None
    bad = 0

    def on_bad_row(row: BadRow) -> None:
        nonlocal first_bad, bad
        first_bad, bad = first_bad or row, bad + 1

    paths = expand_all(section.files, folder)
    batches = [batch for path in paths for batch in read_rows(path, columns, on_bad_row)]
    table = pa.Table.from_batches(batches, schema=schema(columns)).combine_chunks()
    read = len(table) + bad
    if section.time is not None:
        table = table.sort_by("time")  # stable: equal times stay in file order
    texts = _one_chunk(table.column("text"))
    dropped = matches(texts, definition.rules.drop)
    negative = matches(texts, definition.rules.negative) & ~dropped
    table = table.filter(pa.array(~dropped & ~negative))
    texts = _one_chunk(table.column("text"))
    newest = _newest(definition, table)
    keys = normalised(texts)
    known = set(keys_of(apart or []))
    holdout = np.flatnonzero(newest & ~_is_in(keys, known))
    held = set(keys.filter(pa.array(newest)).to_pylist())
    older = np.flatnonzero(~newest & ~_is_in(keys, held | known))
    # Of equal texts the first stays.
    _, first = np.unique(np.array(keys.take(pa.array(older)).to_pylist(), dtype=object), return_index=True)
    pool = older[np.sort(first)]
    labelled = int((~newest & _is_in(keys, known)).sum())
    counts = {
        "read": read,
        "bad": bad,
        "dropped": int(dropped.sum()),
        "negative_by_rule": int(negative.sum()),
        "duplicates": int((~newest).sum()) - labelled - len(pool),
        "labelled": labelled,
        "labelled_in_holdout": int(newest.sum()) - len(holdout),
        "pool": len(pool),
        "holdout": len(holdout),
    }
    _check_sizes(pool, holdout, counts, first_bad)
    days = None
    if section.time is not None:
        days = table.column("time").cast(pa.int64()).to_numpy() // _DAY
    return Corpus(
        ids=_one_chunk(table.column("id")),
        texts=texts,
        pool=pool,
        holdout=holdout,
        days=days,
        counts=counts,
        first_bad=first_bad,
    )


def outside(corpus: Corpus, texts: Iterable[str], known: list[str]) -> list[str]:
    """Those of ``texts`` that are neither in the corpus nor ``known``, in order.

    Texts of one normalised form are one text: none of the holdout is among them.
    """
    found = pa.array(sorted(texts), pa.large_string())
    if len(found) == 0:
        return []
    keys = {*normalised(corpus.texts).to_pylist(), *keys_of(known)}
    values: list[str] = found.filter(pa.array(~_is_in(normalised(found), keys))).to_pylist()
    return values


def asked(entry: TaskEntry, texts: list[str]) -> list[str]:
    """Those of ``texts`` that the task is asked about, in order: no rule decides them, its parents hold."""
    rules = entry.definition.rules
    found = pa.array(texts, pa.large_string())
    found = found.filter(pa.array(~matches(found, rules.drop + rules.negative)))
    values: list[str] = found.filter(pa.array(_parents_hold(entry, found))).to_pylist()
    return values


def where_parents_hold(entry: TaskEntry, corpus: Corpus) -> Corpus:
    """The corpus without the rows for which the task would not be asked."""
    return corpus.keep(_parents_hold(entry, corpus.texts)) if entry.definition.depends_on else corpus


def _parents_hold(entry: TaskEntry, texts: pa.Array) -> NDArray[np.bool_]:
    """Of which texts (n,) the promoted parents say what ``depends_on`` asks for."""
    holds = np.ones(len(texts), np.bool_)
    dependencies = entry.definition.depends_on
    if not dependencies or len(texts) == 0:
        return holds
    _check_dependencies(entry)
    parents = [Choice(task=dependency.partition("=")[0]) for dependency in dependencies]
    classifier = Classifier.load(entry.workspace, pin(entry.workspace, parents))
    found = classifier.classify(pa.record_batch({"id": pa.nulls(len(texts), pa.string()), "text": texts}))
    for dependency in dependencies:
        task, _, label = dependency.partition("=")
        holds &= np.array(found.column(task).to_pylist(), dtype=object) == label
    return holds


def _check_dependencies(entry: TaskEntry) -> None:
    """Raise DefinitionError for dependencies that can never hold, or not all of them at once."""
    way = promoted_circle(entry, entry.definition.depends_on)
    if way:
        raise DefinitionError(
            f"{entry.path}: depends_on: a circle by the versions promoted now: {way}; a task may not come to "
            "depend on itself"
        )
    parents: set[str] = set()
    for dependency in entry.definition.depends_on:
        task, _, label = dependency.partition("=")
        parent = entry.workspace.task(task)
        # The promoted student decides, whatever the definition says by now.
        version = parent.current()
        promoted = None if version is None else parent.student_folder(version)
        classes = Student.read_classes(promoted) if promoted else parent.definition.classes
        problem = ""
        if task in parents:
            problem = f"task {task!r} is named twice; a text is of one of its classes alone"
        elif label not in classes:
            problem = f"{dependency!r}: task {task!r} has no class {label!r}; it has {', '.join(classes)}"
        if problem:
            raise DefinitionError(f"{entry.path}: depends_on: {problem}")
        parents.add(task)


def _check_sizes(
    pool: NDArray[np.int64], holdout: NDArray[np.int64], counts: dict[str, int], bad: BadRow | None
) -> None:
    if len(pool) < 10 or len(holdout) < 10:
        unread = ""
        if bad is not None:
            unread = f"; {counts['bad']} could not be read, the first: {bad.file} row {bad.row}: {bad.reason}"
        raise InputError(
            f"corpus: {len(pool)} rows to learn from and {len(holdout)} held out of {counts['read']} read; "
            "at least 10 of each are needed (see corpus.files, gate.holdout_days, gate.holdout_fraction and "
            f"depends_on){unread}"
        )


def _newest(definition: Definition, table: pa.Table) -> NDArray[np.bool_]:
    gate = definition.gate
    if definition.corpus.time is None:
        return np.arange(len(table)) >= round(len(table) * (1.0 - gate.holdout_fraction))
    times = table.column("time").cast(pa.int64()).to_numpy()
    if len(times) == 0:
        return np.zeros(0, np.bool_)
    return np.asarray(times > times.max() - gate.holdout_days * _DAY)


def _is_in(keys: pa.Array, known: set[str]) -> NDArray[np.bool_]:
    found: Any = pc.is_in(keys, pa.array(sorted(known), pa.large_string()))
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
