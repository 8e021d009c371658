"""What ids of rows stand for in a task's corpus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pingti.corpus.ids import read_ids
from pingti.corpus.reader import expand_all, read_rows
from pingti.workspace.definition import CorpusSection
from pingti.workspace.registry import TaskEntry

_SHOWN = 3  # ids in a sentence
_LONGEST = 40  # characters of one of them


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
        if ambiguous := _ambiguous(section, paths):
            why_missing, paths = ambiguous, []
        columns = replace(section.columns, time=None)
        for path in paths:
            for batch in read_rows(path, columns, lambda _: None):
                for identity, text in zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True):
                    if identity in missing:
                        texts.setdefault(identity, set()).add(text)
    return TextsOfIds(texts=texts, why_missing=why_missing)


def _ambiguous(section: CorpusSection, paths: Sequence[str]) -> str:
    """Why ids cannot be looked up in a corpus; empty where they can."""
    if section.id is None and len(paths) > 1:
        # Every file counts its rows from 0: a number says nothing about the file.
        return f"the corpus has no id column and {len(paths)} files, each with rows of that number"
    return ""


@dataclass(frozen=True, kw_only=True)
class MissingIds:
    """Ids that stand for no row of a corpus."""

    ids: frozenset[str]
    why: str
    """Of them all."""

    def told(self, ids: Sequence[str]) -> str:
        """What is said of those of ``ids`` that are missing; empty where none is."""
        absent = [identity for identity in ids if identity in self.ids]
        if not absent:
            return ""
        shown = ", ".join(repr(identity[:_LONGEST]) for identity in absent[:_SHOWN])
        more = ", ..." if len(absent) > _SHOWN else ""
        return (
            f"{len(absent):,} of {len(ids):,} ids stand for no row: {shown}{more}; {self.why}; correct them, "
            "or give the texts"
        )


def missing_ids(ids: Iterable[str], section: CorpusSection, base: Path) -> MissingIds:
    """Look up which ids no row of a corpus has.

    The corpus is read once at most, its ids alone where the format allows it, and no further than to the last
    of the ids.

    Args:
        ids: to look up.
        section: the corpus.
        base: folder from which its relative paths count.

    Raises:
        InputError: a file of the corpus cannot be read.
    """
    missing = set(ids)
    paths = expand_all(section.files, base) if missing else []
    if ambiguous := _ambiguous(section, paths):
        return MissingIds(ids=frozenset(missing), why=ambiguous)
    batches = (batch for path in paths for batch in read_ids(path, section.columns))
    while missing and (batch := next(batches, None)) is not None:
        missing.difference_update(batch)
    column = "corpus.id names no column, so that they are numbers of rows"
    why = column if section.id is None else f"they were looked for in column {section.id!r} of the corpus"
    return MissingIds(ids=frozenset(missing), why=why)
