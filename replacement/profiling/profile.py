"""What a task's corpus holds, before anything is trained on it; and rules that would clean it."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.corpus.normalize import normalised
from pingti.corpus.reader import BadRow, Columns, expand_all, read_rows
from pingti.corpus.rules import matches
from pingti.corpus.values import iso_date
from pingti.workspace.definition import Definition
from pingti.workspace.registry import TaskEntry
from replacement.profiling import cleaning_rules, patterns
from replacement.profiling.cleaning_rules import KINDS, Proposal, Rule
from textcnn import Vocabulary

_DAY = 86_400_000_000  # microseconds
_PERCENTILES = (1, 25, 50, 75, 95, 99)
_EXAMPLES = 3
_EXAMPLE_LENGTH = 60
_SHAPES = 10
_LONGEST_SHAPE = 100
_UNITS = 30
_FREQUENT = 200_000  # entries of a summary of frequent items
_BAD = 5


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
    """The same, whatever the case, the white space, and the form of its characters; see ``folding``."""
    characters: dict[str, float]
    """Length of a text in characters: min, percentiles (p1, ...), max, mean."""
    tokens: dict[str, float]
    """Length of a text in the student's tokens."""
    days: dict[str, int]
    """Rows by day (UTC), where the corpus has a time."""
    rules: dict[Rule, Share]
    """What the definition's rules hit; a row that is dropped is not counted as negative too."""
    kinds: dict[str, Share]
    """Texts that are nothing but punctuation, emoji, ...: see ``cleaning.KINDS``."""
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
        progress: told what is being done, how many files of it are done, and how many there are.

    Raises:
        InputError: a file that cannot be read.
    """
    definition = entry.definition
    section = definition.corpus
    columns = Columns(text=section.text, id=section.id, time=section.time)
    counts = _Counts(definition)
    files = expand_all(section.files, entry.path.parent)
    for number, path in enumerate(files, 1):
        for batch in read_rows(path, columns, counts.on_bad_row, batch_rows=batch_rows):
            counts.add(batch)
        progress("files counted", number, len(files))
    candidates = counts.candidates()
    groups = {pattern: _Group() for pattern in candidates.values()}
    for number, path in enumerate(files if groups else [], 1):
        for batch in read_rows(path, columns, lambda _: None, batch_rows=batch_rows):
            texts = batch["text"]
            ruled = matches(texts, definition.rules.drop + definition.rules.negative)
            for pattern, group in groups.items():
                group.add(texts, matches(texts, [pattern]), ruled)
        progress("files searched", number, len(files))
    return counts.finish(len(files), {name: groups[pattern] for name, pattern in candidates.items()})


class _Group:
    """Rows of one kind: how many, and the first few different texts."""

    def __init__(self) -> None:
        self.rows = 0
        self.new = 0
        self.examples: dict[str, None] = {}

    def add(self, texts: pa.Array, hit: NDArray[np.bool_], ruled: NDArray[np.bool_]) -> None:
        """``hit`` (n,): which texts are of it; ``ruled`` (n,): which a rule matches already."""
        rows = np.flatnonzero(hit)
        self.rows += len(rows)
        self.new += int((hit & ~ruled).sum())
        if len(self.examples) < _EXAMPLES and len(rows):
            # A batch of one and the same text must not be gone through row by row.
            different = pc.unique(texts.take(pa.array(rows[:1000]))).slice(0, 2 * _EXAMPLES)
            for text in different.to_pylist():
                if len(self.examples) < _EXAMPLES:
                    cut = len(text) > _EXAMPLE_LENGTH
                    self.examples[text[:_EXAMPLE_LENGTH] + ("..." if cut else "")] = None

    def share(self, total: int) -> Share:
        return Share(rows=self.rows, share=self.rows / max(1, total), examples=tuple(self.examples))


class _Frequent:
    """Counts of the most frequent of many items in bounded memory (Misra and Gries 1982).

    A count is exact as long as there were never more than ``capacity`` different items; then it is too low
    by at most 1 in ``capacity`` of all that was added, and an item more frequent than that is never lost.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.counts: Counter[str] = Counter()

    def add(self, items: Sequence[str], counts: Sequence[int]) -> None:
        for item, count in zip(items, counts, strict=True):
            self.counts[item] += count
        if len(self.counts) > 2 * self.capacity:
            self._shrink()

    def _shrink(self) -> None:
        values = np.fromiter(self.counts.values(), np.int64, len(self.counts))
        least = int(np.partition(values, -self.capacity - 1)[-self.capacity - 1])
        self.counts = Counter({item: count - least for item, count in self.counts.items() if count > least})

    def most(self, number: int) -> list[tuple[str, int]]:
        """The most frequent, equal counts in order of the items."""
        return sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))[:number]


class _Counts:
    """What the first reading counts."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.rows = self.bad = 0
        self.bad_examples: list[str] = []
        self.hashes: list[NDArray[np.int64]] = []
        self.normalised_hashes: list[NDArray[np.int64]] = []
        self.characters: Counter[int] = Counter()
        self.tokens: Counter[int] = Counter()
        self.days: Counter[int] = Counter()
        self.rules: dict[Rule, _Group] = {"drop": _Group(), "negative": _Group()}
        self.kinds = {name: _Group() for name in KINDS}
        self.repeats = _Group()
        self.units = _Frequent(_FREQUENT)
        self.emoticons = _Group()
        self.emoticon_units = _Frequent(_FREQUENT)
        self.whole_units = _Frequent(_FREQUENT)
        self.shapes = _Frequent(_FREQUENT)
        # Which tokens it knows does not change how many there are.
        self.vocabulary = Vocabulary([], buckets=1, max_tokens=1 << 30)

    def on_bad_row(self, row: BadRow) -> None:
        self.bad += 1
        if len(self.bad_examples) < _BAD:
            self.bad_examples.append(f"{row.file}: row {row.row}: {row.reason}")

    def add(self, batch: pa.RecordBatch) -> None:
        texts = batch["text"]
        self.rows += len(texts)
        self.hashes.append(_hashes(texts))
        self.normalised_hashes.append(_hashes(normalised(texts)))
        lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
        _tally(self.characters, lengths)
        _tally(self.tokens, np.diff(self.vocabulary.encode(texts).offsets))
        if "time" in batch.schema.names:
            _tally(self.days, batch["time"].cast(pa.int64()).to_numpy() // _DAY)
        dropped = matches(texts, self.definition.rules.drop)
        ruled = matches(texts, self.definition.rules.negative) | dropped
        self.rules["drop"].add(texts, dropped, ruled)
        self.rules["negative"].add(texts, ruled & ~dropped, ruled)
        plain = ~ruled
        for name, pattern in KINDS.items():
            hit = matches(texts, [pattern])
            self.kinds[name].add(texts, hit, ruled)
            plain &= ~hit
        repeats = patterns.repeats(texts, lengths)
        hit = np.zeros(len(texts), np.bool_)
        for row, unit, whole in repeats:
            hit[row] = True
            if whole and plain[row]:
                self.whole_units.add([unit], [1])
                plain[row] = False
        per_unit = Counter(unit for _, unit in {(row, unit) for row, unit, _ in repeats})
        self.units.add(list(per_unit), list(per_unit.values()))
        self.repeats.add(texts, hit, ruled)
        emoticons = patterns.emoticons(texts)
        self.emoticons.add(texts, np.array([bool(each) for each in emoticons], np.bool_), ruled)
        per_emoticon = Counter(itertools.chain.from_iterable(emoticons))
        self.emoticon_units.add(list(per_emoticon), list(per_emoticon.values()))
        shapes: Any = pc.replace_substring_regex(
            cleaning_rules.spaced(texts.filter(pa.array(plain))), r"\p{Nd}+", "0"
        )
        shapes = shapes.filter(pc.less_equal(pc.utf8_length(shapes), _LONGEST_SHAPE)).value_counts()
        self.shapes.add(shapes.field("values").to_pylist(), shapes.field("counts").to_pylist())

    def candidates(self) -> dict[str, str]:
        """Patterns that the first reading suggests, by the shape; those of repeated units by ""."""
        least = max(20, self.rows // 1000)
        found = {
            shape: cleaning_rules.shaped(shape)
            for shape, count in self.shapes.most(_SHAPES)
            if count >= least and len(shape) > 1
        }
        units = [unit for unit, _ in self.whole_units.most(_UNITS)]
        return {**({"": cleaning_rules.repeated(units)} if units else {}), **found}

    def finish(self, files: int, candidates: dict[str, _Group]) -> Stats:
        proposals = []
        # For more than two classes the first one is a class like the others, not "nothing of the kind".
        negative: Rule = "negative" if self.definition.binary else "drop"

        def propose(rule: Rule, pattern: str, what: str, group: _Group, *, plain: bool) -> None:
            if group.new:
                examples = tuple(group.examples)
                proposals.append(
                    Proposal(
                        rule=rule,
                        pattern=pattern,
                        what=what,
                        rows=group.rows,
                        new=group.new,
                        examples=examples,
                        plain=plain,
                    )
                )

        for name, pattern in KINDS.items():
            propose(
                "drop" if name == "empty" else negative, pattern, _SAYS[name], self.kinds[name], plain=True
            )
        for shape, group in candidates.items():
            if shape == "":
                units = [unit for unit, _ in self.whole_units.most(_UNITS)]
                propose(
                    negative, cleaning_rules.repeated(units), "one thing over and over", group, plain=True
                )
            else:
                what = "a frequent shape, to be looked at before it is used"
                propose(negative, cleaning_rules.shaped(shape), what, group, plain=False)
        return Stats(
            files=files,
            rows=self.rows,
            bad=self.bad,
            bad_examples=tuple(self.bad_examples),
            exact_duplicates=self.rows - _different(self.hashes),
            normalised_duplicates=self.rows - _different(self.normalised_hashes),
            characters=_lengths(self.characters),
            tokens=_lengths(self.tokens),
            days={iso_date(day): self.days[day] for day in sorted(self.days)},
            rules={rule: group.share(self.rows) for rule, group in self.rules.items()},
            kinds={name: group.share(self.rows) for name, group in self.kinds.items()},
            repeats=self.repeats.share(self.rows),
            units=dict(self.units.most(_UNITS)),
            emoticons=self.emoticons.share(self.rows),
            emoticon_units=dict(self.emoticon_units.most(_UNITS)),
            shapes={shape: group.share(self.rows) for shape, group in candidates.items() if shape},
            proposals=tuple(proposals),
            toml=cleaning_rules.toml(
                {"drop": self.definition.rules.drop, "negative": self.definition.rules.negative},
                proposals,
                self.rows,
            ),
        )


_SAYS = {
    "empty": "nothing but white space",
    "punctuation": "only punctuation",
    "emoji": "only emoji",
    "bracketed": "only bracketed emoticons",
    "digits": "only digits",
    "urls": "only addresses",
}


def _hashes(texts: pa.Array) -> NDArray[np.int64]:
    """64 bits of each text: two of a billion different texts are taken for equal with a chance of 3 %."""
    return np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts))


def _different(hashes: list[NDArray[np.int64]]) -> int:
    return len(np.unique(np.concatenate(hashes))) if hashes else 0


def _tally(counter: Counter[int], values: NDArray[np.int64]) -> None:
    found, counts = np.unique(values, return_counts=True)
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        counter[value] += count


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
