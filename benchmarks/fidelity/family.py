"""One run of ``pingti replace --family`` for all tasks of a data set that answer yes or no."""

from pathlib import Path
from typing import Any

from benchmarks.fidelity.data import Part
from benchmarks.fidelity.loops import Effort
from benchmarks.harness import LeftOut

Row = dict[str, Any]


def run(part: Part, seed: int, workspace: Path, effort: Effort) -> list[tuple[Row, Row]]:
    """A row of the results, and what else there is to say about it, for each task of the family.

    Raises:
        LeftOut: the product makes no families.
    """
    raise LeftOut("pingti replace --family is not there")
