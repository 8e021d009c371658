"""The shape of a student: numbers that both the network and its folded tables need."""

from dataclasses import dataclass
from typing import Self

from pingti.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Shape of a student.

    Raises:
        InputError: a number out of range.
    """

    embedding: int = 128
    """Numbers per token."""
    filters: int = 128
    """Filters per width."""
    widths: tuple[int, ...] = (2, 3, 4)
    """Window lengths in tokens, each once, ascending; none of a bag of n-grams, which has no network."""
    wide: int = 0
    """Buckets of the wide part: tokens and pairs of neighbours, hashed, each with a row of logits of its own
    (Cheng et al. 2016, "Wide & Deep Learning"). 0: none; else a power of two."""

    @classmethod
    def of_ngrams(cls, buckets: int) -> Self:
        """The shape of a student without a network: n-grams are all that counts.

        Args:
            buckets: as ``wide``, not 0.

        Raises:
            InputError: no power of two.
        """
        return cls(embedding=0, filters=0, widths=(), wide=buckets)

    def __post_init__(self) -> None:
        bag = self.wide > 0 and (self.embedding, self.filters, self.widths) == (0, 0, ())
        if not bag and (self.embedding < 1 or self.filters < 1):
            raise InputError(
                f"student: embedding={self.embedding}, filters={self.filters}; allowed is 1 or more, "
                "or no network at all beside a wide part"
            )
        if not bag and (
            not self.widths or min(self.widths) < 1 or list(self.widths) != sorted(set(self.widths))
        ):
            raise InputError(f"student: widths={list(self.widths)}; allowed are ascending lengths from 1")
        if self.wide and (self.wide < 2 or self.wide & (self.wide - 1)):
            raise InputError(f"student: wide={self.wide}; allowed are 0 and the powers of two from 2")

    @property
    def positions(self) -> int:
        """Filter positions of all widths together: the blocks of a folded table's row."""
        return sum(self.widths)
