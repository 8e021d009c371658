"""What one reading of a corpus counts: duplicates, lengths, days, rules, and patterns of texts."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.corpus.normalize import normalised
from pingti.corpus.reader import BadRow
from pingti.corpus.rules import matches
from pingti.workspace.definition import RulesSection
from replacement.profiling import cleaning_rules, patterns
from replacement.profiling.cleaning_rules import KINDS, Rule
from replacement.profiling.frequent import FrequentItems
from textcnn import Vocabulary

_DAY = 86_400_000_000  # microseconds
_EXAMPLES = 3
_EXAMPLE_LENGTH = 60
_LONGEST_SHAPE = 100
_CAPACITY = 200_000  # of a summary of frequent items
_BAD_EXAMPLES = 5


class RowGroup:
    """Rows that have something in common: how many, and the first few different texts."""

    def __init__(self) -> None:
        self.rows = 0
        self.unruled = 0
        """Those of them that no rule of the definition matches."""
        self.examples: dict[str, None] = {}

    def add(self, texts: pa.Array, member: NDArray[np.bool_], ruled: NDArray[np.bool_]) -> None:
        """Count the rows of a batch.

        Args:
            texts: (n,).
            member: (n,), which of them are of the group.
            ruled: (n,), which of them a rule matches.
        """
        rows = np.flatnonzero(member)
        self.rows += len(rows)
        self.unruled += int((member & ~ruled).sum())
        if len(self.examples) < _EXAMPLES and len(rows):
            # A batch of one and the same text must not be gone through row by row.
            different = pc.unique(texts.take(pa.array(rows[:1000]))).slice(0, 2 * _EXAMPLES)
            for text in different.to_pylist():
                if len(self.examples) < _EXAMPLES:
                    cut = len(text) > _EXAMPLE_LENGTH
                    self.examples[text[:_EXAMPLE_LENGTH] + ("..." if cut else "")] = None


class Counts:
    """The counts of all batches so far. Memory: 16 bytes a row, and summaries of bounded size."""

    def __init__(self, rules: RulesSection) -> None:
        self._rules = rules
        # Which tokens it knows does not change how many there are.
        self._vocabulary = Vocabulary([], buckets=1, max_tokens=1 << 30)
        self.rows = self.bad = 0
        self.bad_examples: list[str] = []
        self.hashes: list[NDArray[np.int64]] = []
        self.normalised_hashes: list[NDArray[np.int64]] = []
        self.characters: Counter[int] = Counter()
        self.tokens: Counter[int] = Counter()
        self.days: Counter[int] = Counter()
        self.rules: dict[Rule, RowGroup] = {"drop": RowGroup(), "negative": RowGroup()}
        self.kinds = {name: RowGroup() for name in KINDS}
        self.repeats = RowGroup()
        self.units = FrequentItems(_CAPACITY)
        self.whole_units = FrequentItems(_CAPACITY)
        """Units of texts that are nothing else."""
        self.emoticons = RowGroup()
        self.emoticon_units = FrequentItems(_CAPACITY)
        self.shapes = FrequentItems(_CAPACITY)

    def on_bad_row(self, row: BadRow) -> None:
        """Count a row that could not be read."""
        self.bad += 1
        if len(self.bad_examples) < _BAD_EXAMPLES:
            self.bad_examples.append(f"{row.file}: row {row.row}: {row.reason}")

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch, as ``read_rows`` yields it."""
        texts = batch["text"]
        self.rows += len(texts)
        self.hashes.append(_hashes(texts))
        self.normalised_hashes.append(_hashes(normalised(texts)))
        lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
        _tally(self.characters, lengths)
        _tally(self.tokens, np.diff(self._vocabulary.encode(texts).offsets))
        if "time" in batch.schema.names:
            _tally(self.days, batch["time"].cast(pa.int64()).to_numpy() // _DAY)
        dropped = matches(texts, self._rules.drop)
        ruled = matches(texts, self._rules.negative) | dropped
        self.rules["drop"].add(texts, dropped, ruled)
        self.rules["negative"].add(texts, ruled & ~dropped, ruled)
        # Texts that no rule, no kind and no repeated unit accounts for have a shape worth counting.
        plain = self._add_kinds(texts, ruled)
        plain &= ~self._add_repeats(texts, lengths, ruled, plain)
        self._add_emoticons(texts, ruled)
        self._add_shapes(texts.filter(pa.array(plain)))

    def _add_kinds(self, texts: pa.Array, ruled: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which texts (n,) neither a rule matches nor a kind."""
        plain = ~ruled
        for name, pattern in KINDS.items():
            member = matches(texts, [pattern])
            self.kinds[name].add(texts, member, ruled)
            plain &= ~member
        return plain

    def _add_repeats(
        self,
        texts: pa.Array,
        lengths: NDArray[np.int64],
        ruled: NDArray[np.bool_],
        plain: NDArray[np.bool_],
    ) -> NDArray[np.bool_]:
        """Which of the plain texts (n,) are one unit over and over; the first unit of a text counts."""
        repeats = patterns.repeats(texts, lengths)
        member = np.zeros(len(texts), np.bool_)
        nothing_else = np.zeros(len(texts), np.bool_)
        for row, unit, whole in repeats:
            member[row] = True
            if whole and plain[row] and not nothing_else[row]:
                self.whole_units.add([unit], [1])
                nothing_else[row] = True
        per_unit = Counter(unit for _, unit in {(row, unit) for row, unit, _ in repeats})
        self.units.add(list(per_unit), list(per_unit.values()))
        self.repeats.add(texts, member, ruled)
        return nothing_else

    def _add_emoticons(self, texts: pa.Array, ruled: NDArray[np.bool_]) -> None:
        emoticons = patterns.emoticons(texts)
        self.emoticons.add(texts, np.array([bool(of_text) for of_text in emoticons], np.bool_), ruled)
        per_emoticon = Counter(itertools.chain.from_iterable(emoticons))
        self.emoticon_units.add(list(per_emoticon), list(per_emoticon.values()))

    def _add_shapes(self, texts: pa.Array) -> None:
        shapes: Any = pc.replace_substring_regex(cleaning_rules.spaced(texts), r"\p{Nd}+", "0")
        shapes = shapes.filter(pc.less_equal(pc.utf8_length(shapes), _LONGEST_SHAPE)).value_counts()
        self.shapes.add(shapes.field("values").to_pylist(), shapes.field("counts").to_pylist())


def _hashes(texts: pa.Array) -> NDArray[np.int64]:
    """64 bits of each text: two of a billion different texts are taken for equal with a chance of 3 %."""
    return np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts))


def _tally(counter: Counter[int], values: NDArray[np.int64]) -> None:
    different, counts = np.unique(values, return_counts=True)
    for value, count in zip(different.tolist(), counts.tolist(), strict=True):
        counter[value] += count
