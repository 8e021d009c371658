"""What a task's corpus holds, before anything is trained on it; and rules that would clean it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.corpus.reader import Columns, expand_all, read_rows
from pingti.corpus.rules import matches
from pingti.corpus.values import iso_date
from pingti.workspace.definition import Definition
from pingti.workspace.registry import TaskEntry
from replacement.profiling import cleaning_rules
from replacement.profiling.cleaning_rules import KINDS, Proposal, Rule
from replacement.profiling.counts import Counts, RowGroup

_PERCENTILES = (1, 25, 50, 75, 95, 99)
_SHAPES = 10
_UNITS = 30
_REPEATED_UNITS = ""  # stands for the pattern of repeated units among those of shapes


@dataclass(frozen=True, kw_only=True)
class Share:
    """Rows that have something in common."""

    rows: int
    share: float
    """Of all rows."""
    examples: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What was counted over a corpus."""

    files: int
    rows: int
    """Rows that could be read."""
    bad: int
    """Rows that could not."""
    bad_examples: tuple[str, ...]
    """A sentence each for the first of them."""
    exact_duplicates: int
    """Rows whose text was there before."""
    normalised_duplicates: int
    """The same, whatever the case, the white space and the form of its characters: see ``normalised``."""
    characters: dict[str, float]
    """Length of a text in characters: min, percentiles (p1, ...), max, mean."""
    tokens: dict[str, float]
    """Length of a text in the student's tokens."""
    days: dict[str, int]
    """Rows by day (UTC), where the corpus has a time."""
    rules: dict[Rule, Share]
    """What the definition's rules hit; a row that is dropped is not counted as negative too."""
    kinds: dict[str, Share]
    """Texts that are nothing but punctuation, emoji, ...: see ``cleaning_rules.KINDS``."""
    repeats: Share
    """Texts with a repeated pattern in them, such as 哈哈哈哈 or !!!!!"""
    units: dict[str, int]
    """What is repeated in how many rows, the most frequent units."""
    emoticons: Share
    """Texts with emoticons in them, whatever else they say; see ``patterns.emoticons``."""
    emoticon_units: dict[str, int]
    """Which emoticons are in how many rows, the most frequent."""
    shapes: dict[str, Share]
    """The most frequent shapes: texts that are equal but for case, white space and digits (a 0 each run)."""
    proposals: tuple[Proposal, ...]
    toml: str
    """The section [rules] to be pasted into the definition in place of the one that is there."""


_SAYS = {
    "empty": "nothing but white space",
    "punctuation": "only punctuation",
    "emoji": "only emoji",
    "bracketed": "only bracketed emoticons",
    "digits": "only digits",
    "urls": "only addresses",
}


def collect(
    entry: TaskEntry,
    *,
    batch_rows: int = 16_384,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Stats:
    """Count a task's corpus.

    The files are read twice, in batches: once to count, once to see how many rows the patterns hit that
    the first reading suggested. Memory: 16 bytes a row for the duplicates, and summaries of bounded size.

    Args:
        entry: the task.
        batch_rows: rows of a batch.
        progress: called with what is being done, how many files of it are done, and how many there are.

    Raises:
        InputError: a file that cannot be read.
    """
    definition = entry.definition
    section = definition.corpus
    columns = Columns(text=section.text, id=section.id, time=section.time)
    counts = Counts(definition.rules)
    files = expand_all(section.files, entry.path.parent)
    for number, path in enumerate(files, 1):
        for batch in read_rows(path, columns, counts.on_bad_row, batch_rows=batch_rows):
            counts.add(batch)
        progress("files counted", number, len(files))
    candidates = _candidates(counts)
    groups = {pattern: RowGroup() for pattern in candidates.values()}
    for number, path in enumerate(files if groups else [], 1):
        for batch in read_rows(path, columns, lambda _: None, batch_rows=batch_rows):
            texts = batch["text"]
            ruled = matches(texts, definition.rules.drop + definition.rules.negative)
            for pattern, group in groups.items():
                group.add(texts, matches(texts, [pattern]), ruled)
        progress("files searched", number, len(files))
    return _stats(
        definition, counts, len(files), {name: groups[pattern] for name, pattern in candidates.items()}
    )


def _candidates(counts: Counts) -> dict[str, str]:
    """Patterns that the first reading suggests, by shape; of repeated units by ``_REPEATED_UNITS``."""
    least = max(20, counts.rows // 1000)
    shapes = {
        shape: cleaning_rules.shaped(shape)
        for shape, count in counts.shapes.most(_SHAPES)
        if count >= least and len(shape) > 1
    }
    units = _whole_units(counts)
    return {**({_REPEATED_UNITS: cleaning_rules.repeated(units)} if units else {}), **shapes}


def _whole_units(counts: Counts) -> list[str]:
    return [unit for unit, _ in counts.whole_units.most(_UNITS)]


def _proposals(definition: Definition, counts: Counts, candidates: dict[str, RowGroup]) -> list[Proposal]:
    """Rules worth adding: those that match rows which no rule matches yet."""
    # For more than two classes the first one is a class like the others, not "nothing of the kind".
    negative: Rule = "negative" if definition.binary else "drop"

    def proposal(rule: Rule, pattern: str, what: str, group: RowGroup, *, plain: bool) -> Proposal:
        return Proposal(
            rule=rule,
            pattern=pattern,
            what=what,
            rows=group.rows,
            new=group.unruled,
            examples=tuple(group.examples),
            plain=plain,
        )

    proposals = [
        proposal(
            "drop" if name == "empty" else negative, pattern, _SAYS[name], counts.kinds[name], plain=True
        )
        for name, pattern in KINDS.items()
    ]
    for shape, group in candidates.items():
        if shape == _REPEATED_UNITS:
            pattern = cleaning_rules.repeated(_whole_units(counts))
            proposals.append(proposal(negative, pattern, "one thing over and over", group, plain=True))
        else:
            what = "a frequent shape, to be looked at before it is used"
            proposals.append(proposal(negative, cleaning_rules.shaped(shape), what, group, plain=False))
    return [proposal for proposal in proposals if proposal.new]


def _stats(definition: Definition, counts: Counts, files: int, candidates: dict[str, RowGroup]) -> Stats:
    proposals = _proposals(definition, counts, candidates)
    rules: dict[Rule, tuple[str, ...]] = {
        "drop": definition.rules.drop,
        "negative": definition.rules.negative,
    }
    return Stats(
        files=files,
        rows=counts.rows,
        bad=counts.bad,
        bad_examples=tuple(counts.bad_examples),
        exact_duplicates=counts.rows - _different(counts.hashes),
        normalised_duplicates=counts.rows - _different(counts.normalised_hashes),
        characters=_lengths(counts.characters),
        tokens=_lengths(counts.tokens),
        days={iso_date(day): counts.days[day] for day in sorted(counts.days)},
        rules={rule: _share(group, counts.rows) for rule, group in counts.rules.items()},
        kinds={name: _share(group, counts.rows) for name, group in counts.kinds.items()},
        repeats=_share(counts.repeats, counts.rows),
        units=dict(counts.units.most(_UNITS)),
        emoticons=_share(counts.emoticons, counts.rows),
        emoticon_units=dict(counts.emoticon_units.most(_UNITS)),
        shapes={
            shape: _share(group, counts.rows)
            for shape, group in candidates.items()
            if shape != _REPEATED_UNITS
        },
        proposals=tuple(proposals),
        toml=cleaning_rules.toml(rules, proposals, counts.rows),
    )


def _share(group: RowGroup, total: int) -> Share:
    return Share(rows=group.rows, share=group.rows / max(1, total), examples=tuple(group.examples))


def _different(hashes: list[NDArray[np.int64]]) -> int:
    return len(np.unique(np.concatenate(hashes))) if hashes else 0


def _lengths(counter: Counter[int]) -> dict[str, float]:
    """Smallest, percentiles (nearest rank), largest and mean."""
    if not counter:
        return {}
    values = np.array(sorted(counter))
    counts = np.array([counter[value] for value in values.tolist()])
    upto = counts.cumsum()
    ranks = {f"p{p}": int(values[np.searchsorted(upto, p / 100 * upto[-1])]) for p in _PERCENTILES}
    mean = round(float((values * counts).sum() / upto[-1]), 1)
    return {"min": int(values[0]), **ranks, "max": int(values[-1]), "mean": mean}
