"""Tables in Markdown, and figures as the documentation writes them."""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table whose first ``left`` columns are aligned to the left, the others to the right."""
    lines = [headings, ["---" if column < left else "--:" for column in range(len(headings))]]
    first = _line(headings)
    rule = "|" + "|".join(lines[1]) + "|"
    return "\n".join([first, rule, *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def rounded(value: float, digits: int) -> str:
    """Half up by the figure's shortest decimal form, as people round what they read: .9525 to .953."""
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))


def score(value: float) -> str:
    """A share of one, such as F1: .877."""
    return rounded(value, 3).replace("0.", ".", 1)


def difference(value: float) -> str:
    """Of two scores: +.009, -.013, .000."""
    text = score(abs(value))
    return text if float(text) == 0 else f"{'-' if value < 0 else '+'}{text}"


def rate(value: float) -> str:
    """Three digits that count: 829,000, 45,400, 450, 24."""
    if value < 100:
        return rounded(value, 0)
    step = 10 ** (math.floor(math.log10(value)) - 2)
    return f"{math.floor(value / step + 0.5) * step:,}"


def times(value: float) -> str:
    """A ratio, to two digits that count below 100, and one below .1: 117, 39, 5.6, 0.60, 0.02."""
    if value >= 9.95:
        return rounded(value, 0)
    if value >= 0.995:
        return rounded(value, 1)
    if value >= 0.095:
        return rounded(value, 2)
    return f"{value:.1g}"


def percent(value: float, digits: int = 0) -> str:
    return f"{rounded(100 * value, digits)} %"
