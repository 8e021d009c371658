"""``make bench-tables``: write the documentation's tables from the JSON of the last whole runs.

A table whose figures are not below ``benchmarks/results/``, or not those of a whole run, stays as it is.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.tables import fidelity, front, services, speed, students, teachers
from benchmarks.tables.blocks import BadPage, filled

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Table:
    """What makes a table, and of which files."""

    files: tuple[str, ...]
    """Names below the folder of results, without ``.json``."""
    make: Callable[..., str | None]
    """Of the files' documents: Markdown, or None where they are not those of a whole run."""


TABLES: Final = {
    "fidelity": Table(files=("fidelity",), make=fidelity.by_task),
    "fidelity-parts": Table(files=("fidelity",), make=fidelity.parts),
    "fidelity-curve": Table(files=("fidelity",), make=fidelity.along_the_curve),
    "fidelity-families": Table(files=("fidelity",), make=fidelity.families),
    "fidelity-all-labels": Table(files=("fidelity",), make=fidelity.all_labels),
    "speed": Table(files=("speed",), make=speed.one_core),
    "speed-tasks": Table(files=("speed",), make=speed.many_tasks),
    "speed-families": Table(files=("speed",), make=speed.families),
    "students": Table(files=("students",), make=students.kinds),
    "teachers": Table(files=("teacher",), make=teachers.quality),
    "teacher-speed": Table(files=("teacher",), make=teachers.speed),
    "reference": Table(files=("reference",), make=teachers.reference),
    "queue": Table(files=("queue",), make=services.queue),
    "queue-waiting": Table(files=("queue",), make=services.waiting),
    "serverless": Table(files=("serverless",), make=services.serverless),
    "readme": Table(files=("fidelity", "speed"), make=front.english),
    "readme-zh": Table(files=("fidelity", "speed"), make=front.chinese),
}


def pages(root: Path) -> list[Path]:
    """Pages that may hold tables."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").glob("**/*.md"))]


def written(page: Path, results: Path) -> str:
    """The page with its tables as the results say.

    Args:
        page: a file of Markdown.
        results: the folder of the JSON files.

    Raises:
        BadPage: the page's markers do not fit.
    """

    def make(name: str) -> str | None:
        table = TABLES[name]
        paths = [results / f"{file}.json" for file in table.files]
        if not all(path.is_file() for path in paths):
            return None
        documents: list[Any] = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        return table.make(*documents)

    return filled(page.read_text(encoding="utf-8"), page.name, make)


def main() -> int:
    results = ROOT / "benchmarks" / "results"
    try:
        texts = {page: written(page, results) for page in pages(ROOT)}
    except BadPage as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    for page, text in texts.items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
