"""What ``make bench-students`` shall show, and whether its rows bear it out."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.fidelity.cells import Cells, interval, less, median, task_means
from benchmarks.kinds.runs import AGREEMENT

Row = dict[str, Any]
Claim = tuple[bool, str, str]
"""Whether it is borne out, what it is, and by which numbers."""


def figures(rows: Iterable[Row], kind: str, name: str) -> Cells:
    """A figure of a kind, by data set, task and seed."""
    return {(row["data"], row["task"], row["seed"]): row[name] for row in rows if row["kind"] == kind}


def claims(rows: Sequence[Row], further: Sequence[Row]) -> list[Claim]:
    """All claims of kinds that were measured.

    Args:
        rows: of the results.
        further: what else is known of each.
    """
    measured = {row["kind"] for row in rows}
    every = {
        "cascade": _cascade,
        "transformer": _transformer,
        "ngram": _ngram,
        "search_cheap": _search_cheap,
        "search_good": _search_good,
    }
    return [claim for kind, show in every.items() if kind in measured for claim in show(rows, further)]


def _cascade(rows: Sequence[Row], _: Sequence[Row]) -> list[Claim]:
    agreement = figures(rows, "cascade", "agreement").values()
    share = figures(rows, "cascade", "teacher_share")
    held = sum(value >= AGREEMENT for value in agreement) / len(agreement)
    low, high = interval(share)
    return [
        (held >= 0.95, f"a cascade agrees on {AGREEMENT} in 95 % of runs", f"in {held:.1%} of {len(share)}"),
        (
            median(share) < 0.2,
            "it asks the teacher about less than 20 % in the median",
            f"{median(share):.1%} [{low:.1%}, {high:.1%}]",
        ),
    ]


def _transformer(rows: Sequence[Row], further: Sequence[Row]) -> list[Claim]:
    default = task_means(figures(rows, "default", "f1_teacher"))
    gained = task_means(
        less(figures(rows, "transformer", "f1_teacher"), figures(rows, "default", "f1_teacher"))
    )
    hard = [gain for task, gain in gained.items() if default[task] < 0.9]
    teacher = figures(further, "transformer", "teacher_texts_per_second")
    rates = figures(rows, "transformer", "texts_per_second")
    times = [rates[cell] / rate for cell, rate in teacher.items() if rate and cell in rates]
    slowest = min(times, default=0.0)
    return [
        *_one_layer(further, default, teacher),
        (
            bool(hard) and min(hard) > 0.0,
            "a transformer student is nearer to the teacher than the default on every task below .90",
            f"on {sum(gain > 0.0 for gain in hard)} of {len(hard)}",
        ),
        (
            slowest >= 20.0,
            "it is 20 times as fast as the teacher or more",
            f"{slowest:.1f} times at least, {statistics.median(times):.1f} in the median" if times else "–",
        ),
    ]


def _one_layer(further: Sequence[Row], default: Mapping[Any, float], teacher: Cells) -> list[Claim]:
    """The same of one layer, which was trained beside it."""
    known = [row for row in further if row.get("one_layer")]
    f1, rates = (
        {(row["data"], row["task"], row["seed"]): row["one_layer"][name] for row in known}
        for name in ("f1_teacher", "texts_per_second")
    )
    hard = [mean - default[task] for task, mean in task_means(f1).items() if default[task] < 0.9]
    times = [rate / teacher[cell] for cell, rate in rates.items() if teacher.get(cell)]
    if not hard or not times:
        return []
    says = f"on {sum(gain > 0.0 for gain in hard)} of {len(hard)}; {min(times):.1f} times at least"
    met = min(hard) > 0.0 and min(times) >= 20.0
    return [(met, "one of a single layer is both: nearer there, and 20 times as fast", says)]


def _ngram(rows: Sequence[Row], _: Sequence[Row]) -> list[Claim]:
    ratio = figures(rows, "ngram", "ratio_to_default")
    low, high = interval(ratio)
    says = f"{median(ratio):.2f} times [{low:.2f}, {high:.2f}]"
    return [(median(ratio) >= 3.0, "an n-gram student is 3 times as fast as the default or more", says)]


def _search_cheap(rows: Sequence[Row], _: Sequence[Row]) -> list[Claim]:
    return [_of_half(rows, "search_cheap", gain=0.0, ratio=2.0, says="twice as cheap at no loss of F1")]


def _search_good(rows: Sequence[Row], _: Sequence[Row]) -> list[Claim]:
    says = "better by .01 of F1 at four times the cost or less"
    return [_of_half(rows, "search_good", gain=0.01, ratio=0.25, says=says)]


def _of_half(rows: Sequence[Row], kind: str, *, gain: float, ratio: float, says: str) -> Claim:
    """Whether a kind is so much better and so fast on half of the tasks or more."""
    gained = task_means(less(figures(rows, kind, "f1_teacher"), figures(rows, "default", "f1_teacher")))
    ratios = task_means(figures(rows, kind, "ratio_to_default"))
    met = sum(gained[task] >= gain and ratios[task] >= ratio for task in gained)
    return 2 * met >= len(gained) > 0, f"{kind}: {says} on half of the tasks", f"on {met} of {len(gained)}"
