"""The texts of a run: the corpus, cleaned and split into pool and holdout by time, and labelled texts."""

import dataclasses
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.corpus.normalize import keys_of, normalised
from pingti.corpus.reader import BadRow, expand_all, read_rows, schema
from pingti.corpus.rules import matches
from pingti.errors import InputError
from pingti.students import AnyStudent
from pingti.workspace.definition import CorpusSection, Definition, RulesSection, StudentSection
from pingti.workspace.registry import TaskEntry
from replacement.reading import find_reach
from replacement.teacher_sources.stored_answers import unmatched_note
from replacement.training.dependencies import parents_hold
from replacement.training.people_labels import PeopleLabels
from replacement.training.teacher_labels import TeacherLabels
from textcnn import Encoded, Student, Vocabulary

_DAY = 86_400_000_000  # microseconds
_LEAST_ROWS = 10  # of the pool and of the holdout


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """The n rows that a model is asked about: those that no rule decides."""

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
        """The corpus with only some of its rows in pool and holdout.

        Args:
            holds: bool (n,), which rows may stay there.

        Raises:
            InputError: too few are left.
        """
        pool, holdout = self.pool[holds[self.pool]], self.holdout[holds[self.holdout]]
        _check_sizes(pool, holdout, self.counts, self.first_bad)
        left_out = len(self.pool) + len(self.holdout) - len(pool) - len(holdout)
        counts = {**self.counts, "not_asked": left_out, "pool": len(pool), "holdout": len(holdout)}
        return dataclasses.replace(self, pool=pool, holdout=holdout, counts=counts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """All texts of a run: the n of the corpus, and behind them m that people labelled."""

    corpus: Corpus
    texts: pa.Array
    """(n + m,) large_string."""
    reviewed: NDArray[np.int64]
    """Rows behind the corpus of texts that people labelled and that are not in it."""
    seed: NDArray[np.int64]
    """Rows behind those of the seed: the labelled texts that round 1 starts from."""
    vocabulary: Vocabulary
    """Of the pool."""
    encoded: Encoded
    """``texts`` as ids of the vocabulary."""
    apart: tuple[str, ...] = ()
    """Texts with true labels that are neither in the corpus nor learned from: a test set of their own."""

    def read_as_far(self, teacher: TeacherLabels) -> "Dataset":
        """The same texts, read as far as a teacher reads them."""
        reach = find_reach(self.vocabulary, self.texts, self.encoded, teacher)
        if reach is None:
            return self
        return self.encoded_by(self.vocabulary.reaching(reach))

    def encoded_by(self, vocabulary: Vocabulary) -> "Dataset":
        """The same texts as ids of another vocabulary.

        Args:
            vocabulary: the other one.
        """
        return dataclasses.replace(self, vocabulary=vocabulary, encoded=vocabulary.encode(self.texts))

    def scores(self, student: AnyStudent, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What a student says of some rows.

        Args:
            student: of any kind.
            rows: int64 (k,).

        Returns:
            float32 (k, classes), as of its ``score``.
        """
        if isinstance(student, Student) and student.vocabulary is self.vocabulary:
            return student.score_encoded(self.encoded.take(rows))
        return student.score(self.texts.take(pa.array(rows)))

    def texts_of(self, rows: NDArray[np.int64]) -> list[str]:
        """The texts of some rows, in their order.

        Args:
            rows: int64 (k,).
        """
        values: list[str] = self.texts.take(pa.array(rows)).to_pylist()
        return values


def prepare_dataset(entry: TaskEntry, people: PeopleLabels) -> Dataset:
    """Read a task's corpus, split it, and encode its texts and those that people labelled.

    Args:
        entry: the task.
        people: labels that people gave; their texts may or may not be in the corpus.

    Raises:
        InputError: a file that cannot be read, or a corpus too small to be split.
        DefinitionError: dependencies that can never hold.
    """
    corpus = load_corpus(entry.definition, entry.path.parent, apart=people.seed_texts)
    corpus = where_parents_hold(entry, corpus)

    def asked(texts: list[str]) -> list[str]:
        candidates = pa.array(texts, pa.large_string())
        values: list[str] = candidates.filter(pa.array(is_asked(entry, candidates))).to_pylist()
        return values

    return assemble(corpus, entry.definition.student, people, asked)


def assemble(
    corpus: Corpus, student: StudentSection, people: PeopleLabels, asked: Callable[[list[str]], list[str]]
) -> Dataset:
    """Encode the texts of a corpus and those that people labelled.

    Args:
        corpus: read and split.
        student: has the vocabulary's size.
        people: labels that people gave.
        asked: gives those of some texts that are asked about, in order.
    """
    seed_texts = people.seed_texts
    reviewed = asked(_outside(corpus, people.reviewed.texts, seed_texts))
    seed = asked(seed_texts)
    texts = pa.concat_arrays([corpus.texts, pa.array([*reviewed, *seed], pa.large_string())])
    vocabulary = Vocabulary.build(corpus.texts.take(pa.array(corpus.pool)), size=student.vocabulary)
    apart = asked(_outside(corpus, people.true_texts, [*seed_texts, *people.reviewed.texts]))
    behind = np.arange(len(corpus.texts), len(texts))
    return Dataset(
        corpus=corpus,
        texts=texts,
        reviewed=behind[: len(reviewed)],
        seed=behind[len(reviewed) :],
        vocabulary=vocabulary,
        encoded=vocabulary.encode(texts),
        apart=tuple(apart),
    )


def is_asked(entry: TaskEntry, texts: pa.Array, awaited: Collection[str] = ()) -> NDArray[np.bool_]:
    """About which texts a task is asked: no rule decides them, and its parents hold.

    Args:
        entry: the task.
        texts: (n,) large_string.
        awaited: as of ``parents_hold``.

    Returns:
        bool (n,).

    Raises:
        DefinitionError: dependencies that can never hold.
    """
    rules = entry.definition.rules
    asked = ~matches(texts, rules.drop + rules.negative)
    # The parents' students are asked about no more texts than need be.
    places = np.flatnonzero(asked)
    asked[places] = parents_hold(entry, texts.take(pa.array(places)), awaited)
    return asked


def load_corpus(definition: Definition, folder: Path, *, apart: list[str] | None = None) -> Corpus:
    """Read a task's corpus and split it into pool and holdout.

    Args:
        definition: names the files (relative to ``folder``), columns, rules and the length of the holdout.
        folder: the definition's folder.
        apart: labelled texts, which are learned from anyway: none of them may be in the holdout, where it
            would flatter, nor in the pool, where the validation rows are drawn.

    Raises:
        InputError: a file that cannot be read, or a corpus too small to be split.
    """
    table, bad, first_bad = _read(definition.corpus, folder)
    counts = {"read": len(table) + bad, "bad": bad}
    table, ruled = _without_ruled(table, definition.rules)
    texts = _one_chunk(table.column("text"))
    pool, holdout, split = _split(normalised(texts), _newest(definition, table), set(keys_of(apart or [])))
    counts |= ruled | split
    _check_sizes(pool, holdout, counts, first_bad)
    days = None
    if definition.corpus.time is not None:
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


def where_parents_hold(entry: TaskEntry, corpus: Corpus) -> Corpus:
    """The corpus without the rows for which a task would not be asked.

    Args:
        entry: the task, which may depend on others.
        corpus: its corpus.

    Raises:
        InputError: too few rows are left.
        DefinitionError: dependencies that can never hold.
    """
    return corpus.keep(parents_hold(entry, corpus.texts)) if entry.definition.depends_on else corpus


def within_answers(dataset: Dataset, teacher: TeacherLabels) -> tuple[Dataset, tuple[str, ...]]:
    """The dataset with those rows alone about which the teacher can be asked.

    Args:
        dataset: all of them.
        teacher: may be nothing but stored answers.

    Returns:
        The dataset, and what is to be told, a sentence each.

    Raises:
        InputError: too few rows are left.
    """
    if teacher.opened.stored is None:
        return dataset, ()
    every = [*dataset.texts.to_pylist(), *dataset.apart]
    unmatched = unmatched_note(teacher.opened.stored, every)
    notes = (unmatched,) if unmatched else ()
    if not teacher.stored_alone:
        return dataset, notes
    corpus = dataset.corpus
    known = teacher.cached(corpus.texts.to_pylist()) | teacher.is_reviewed(corpus.texts)
    try:
        kept = corpus.keep(known)
    except InputError as error:
        raise InputError(f"teacher.answers: too few texts of the corpus have an answer: {error}") from error
    left_out = kept.counts["not_asked"]
    counts = {
        **corpus.counts,
        "without_answer": left_out,
        "pool": len(kept.pool),
        "holdout": len(kept.holdout),
    }
    without = (
        f"stored answers are all there is: of {len(corpus.pool):,} rows to learn from {len(kept.pool):,} and "
        f"of {len(corpus.holdout):,} held-out rows {len(kept.holdout):,} have one; the others were neither "
        "learned from nor measured on"
    )
    return dataclasses.replace(dataset, corpus=dataclasses.replace(kept, counts=counts)), (*notes, without)


def word_vectors(encoded: Encoded, rng: np.random.Generator) -> NDArray[np.float32]:
    """Vectors of texts where no model gives any: a random projection of their bags of tokens.

    Args:
        encoded: n texts.
        rng: draws a direction for each token.

    Returns:
        float32 (n, 128).
    """
    directions = rng.standard_normal((int(encoded.ids.max(initial=0)) + 1, 128)).astype(np.float32)
    lengths = np.diff(encoded.offsets)
    vectors = np.zeros((len(encoded), 128), np.float32)
    np.add.at(vectors, np.repeat(np.arange(len(encoded)), lengths), directions[encoded.ids])
    vectors /= np.maximum(lengths, 1)[:, None].astype(np.float32)
    return vectors


def _outside(corpus: Corpus, texts: Iterable[str], known: list[str]) -> list[str]:
    """Those of ``texts`` that are neither in the corpus nor ``known``, in order.

    Texts of one normalised form are one text: none of the holdout is among them.
    """
    candidates = pa.array(sorted(texts), pa.large_string())
    if len(candidates) == 0:
        return []
    keys = {*normalised(corpus.texts).to_pylist(), *keys_of(known)}
    outside: list[str] = candidates.filter(pa.array(~_is_in(normalised(candidates), keys))).to_pylist()
    return outside


def _read(section: CorpusSection, folder: Path) -> tuple[pa.Table, int, BadRow | None]:
    """The rows of a corpus in order of time; how many could not be read, and the first of those."""
    columns = section.columns
    first_bad: BadRow | None = None
    bad = 0

    def on_bad_row(row: BadRow) -> None:
        nonlocal first_bad, bad
        first_bad, bad = first_bad or row, bad + 1

    paths = expand_all(section.files, folder)
    batches = [batch for path in paths for batch in read_rows(path, columns, on_bad_row)]
    table = pa.Table.from_batches(batches, schema=schema(columns)).combine_chunks()
    if section.time is not None:
        table = table.sort_by("time")  # stable: equal times stay in file order
    return table, bad, first_bad


def _without_ruled(table: pa.Table, rules: RulesSection) -> tuple[pa.Table, dict[str, int]]:
    """The rows that no rule decides, and how many each kind of rule decides."""
    texts = _one_chunk(table.column("text"))
    dropped = matches(texts, rules.drop)
    negative = matches(texts, rules.negative) & ~dropped
    counts = {"dropped": int(dropped.sum()), "negative_by_rule": int(negative.sum())}
    return table.filter(pa.array(~dropped & ~negative)), counts


def _newest(definition: Definition, table: pa.Table) -> NDArray[np.bool_]:
    """Which rows (n,) are so new that they are held out."""
    gate = definition.gate
    if definition.corpus.time is None:
        return np.arange(len(table)) >= round(len(table) * (1.0 - gate.holdout_fraction))
    times = table.column("time").cast(pa.int64()).to_numpy()
    if len(times) == 0:
        return np.zeros(0, np.bool_)
    return np.asarray(times > times.max() - gate.holdout_days * _DAY)


def _split(
    keys: pa.Array, newest: NDArray[np.bool_], apart: set[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, int]]:
    """Rows of pool and holdout, and what became of the others.

    ``keys`` (n,) are the normalised texts, of which those ``apart`` are in neither part.
    """
    holdout = np.flatnonzero(newest & ~_is_in(keys, apart))
    held = set(keys.filter(pa.array(newest)).to_pylist())
    older = np.flatnonzero(~newest & ~_is_in(keys, held | apart))
    # Of equal texts the first stays.
    _, first = np.unique(np.array(keys.take(pa.array(older)).to_pylist(), dtype=object), return_index=True)
    pool = older[np.sort(first)]
    labelled = int((~newest & _is_in(keys, apart)).sum())
    return (
        pool,
        holdout,
        {
            "duplicates": int((~newest).sum()) - labelled - len(pool),
            "labelled": labelled,
            "labelled_in_holdout": int(newest.sum()) - len(holdout),
            "pool": len(pool),
            "holdout": len(holdout),
        },
    )


def _check_sizes(
    pool: NDArray[np.int64], holdout: NDArray[np.int64], counts: dict[str, int], bad: BadRow | None
) -> None:
    """Raise InputError where there is too little to learn from, or to measure on."""
    if len(pool) < _LEAST_ROWS or len(holdout) < _LEAST_ROWS:
        unread = ""
        if bad is not None:
            unread = f"; {counts['bad']} could not be read, the first: {bad.file} row {bad.row}: {bad.reason}"
        repeated = ""
        if duplicates := counts.get("duplicates", 0):
            repeated = (
                f"; {duplicates} rows repeat the text of another, and each text counts once: give more texts "
                "that differ"
            )
        raise InputError(
            f"corpus: {len(pool)} rows to learn from and {len(holdout)} held out of {counts['read']} read; "
            f"at least {_LEAST_ROWS} of each are needed{repeated}{unread} (see corpus.files, "
            "gate.holdout_days, gate.holdout_fraction and depends_on)"
        )


def _is_in(keys: pa.Array, known: set[str]) -> NDArray[np.bool_]:
    member: Any = pc.is_in(keys, pa.array(sorted(known), pa.large_string()))
    return np.asarray(member.to_numpy(zero_copy_only=False), np.bool_)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
