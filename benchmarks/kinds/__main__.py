"""``make bench-students``: kinds of students on the same rows, by quality and by cost.

Prints a table per data set with the claims that the figures bear out or do not, and writes
``benchmarks/results/students.json``. Data sets and teachers are those of ``make bench-fidelity``. Several
calls can share the work (``--data``, ``--task``, ``--seeds``); ``--missing`` goes on where one was ended.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.fidelity import data
from benchmarks.fidelity.cells import interval, median
from benchmarks.fidelity.loops import Effort
from benchmarks.harness import LeftOut
from benchmarks.kinds import results
from benchmarks.kinds.claims import claims, figures
from benchmarks.kinds.runs import HERE, KINDS, run

RESULTS: Final = Path(__file__).parents[1] / "results" / "students.json"
WORKSPACE: Final = Path(__file__).parents[1] / "results" / "workspace"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__)
    parser.add_argument("--data", action="append", choices=data.NAMES, help="default: all")
    parser.add_argument("--task", action="append", help="a task's name; default: all of the data set")
    parser.add_argument("--kinds", action="append", choices=KINDS, help="default: all that there are")
    parser.add_argument("--seeds", type=int, help="so many seeds, from 0 (default 3; 1 if quick)")
    parser.add_argument("--pool", type=int, help="draw a pool of at most so many rows")
    parser.add_argument("--missing", action="store_true", help="only what the file has not yet")
    parser.add_argument("--show", action="store_true", help="measure nothing, show the file")
    parser.add_argument("--quick", action="store_true", help="small pools, one seed")
    parser.add_argument("--workspace", type=Path, default=WORKSPACE, help="kept between runs")
    parser.add_argument("--out", type=Path, help=f"default {RESULTS.name}; none if quick")
    arguments = parser.parse_args()
    out: Path | None = arguments.out or (None if arguments.quick else RESULTS)
    console = Console(width=132, highlight=False)
    started = time.monotonic()

    def say(line: str) -> None:
        console.print(f"{time.monotonic() - started:5.0f} s  {line}", style="dim", markup=False)

    document = results.read(out)
    if not arguments.show:
        document = _measure(arguments, out, document, say)
    _show(console, document)
    if out is not None and not arguments.show:
        console.print(f"written: {out}")


def _measure(
    arguments: argparse.Namespace, out: Path | None, document: Row, say: Callable[[str], None]
) -> Row:
    quick = arguments.quick
    workspace = arguments.workspace / "quick" if quick else arguments.workspace
    effort = Effort(epochs=2, rounds=3) if quick else Effort()
    wanted = [kind for kind in KINDS if kind in (arguments.kinds or KINDS)]
    kinds = [kind for kind in wanted if kind in HERE]
    absent = {kind: "not of the loop: measured elsewhere" for kind in wanted if kind not in HERE}
    document = results.merge(out, document, left_out=absent)
    for name in arguments.data or data.NAMES:
        sizes = data.QUICK if quick else data.SIZES[name]
        try:
            part = data.prepare(name, workspace, sizes, pool=arguments.pool, say=say)
        except LeftOut as error:
            say(f"left out: {name}: {error}")
            document = results.merge(out, document, left_out={name: str(error)})
            continue
        settings = {**asdict(sizes), **asdict(effort), "quick": quick, "pool": len(part.pool)}
        document = results.merge(out, document, settings={name: settings})
        tasks = [
            task for task in part.tasks if not arguments.task or {task.name, task.slug} & {*arguments.task}
        ]
        for seed in range(arguments.seeds or (1 if quick else 3)):
            for task in tasks:
                done = {results.key(row) for row in document["rows"]}
                of_run = [(name, task.name, seed, kind) for kind in {"default", *kinds}]
                if arguments.missing and done.issuperset(of_run):
                    continue
                measured, missing = run(part, task, seed, kinds, workspace, effort)
                document = results.merge(
                    out,
                    document,
                    rows=[row for row, _ in measured],
                    further=[more for _, more in measured],
                    left_out={f"{name}: {kind}": why for kind, why in missing.items()},
                )
                for row, more in measured:
                    say(_line(row, more))
    return document


def _line(row: Row, more: Row) -> str:
    return (
        f"{row['data']} {row['task']} seed {row['seed']} {row['kind']:12} f1 {row['f1_teacher']:.3f}, "
        f"agreement {row['agreement']:.3f}, {row['texts_per_second']:,.0f} texts/s "
        f"({row['ratio_to_default']:.2f}), teacher {row['teacher_share']:.1%}, {more['seconds']:.0f} s"
    )


def _show(console: Console, document: Row) -> None:
    """All that the document holds, and the claims with yes or no."""
    rows = document["rows"]
    for name in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == name]
        tasks, seeds = ({row[key] for row in mine} for key in ("task", "seed"))
        console.print(f"\n{name}: {len(tasks)} tasks, {len(seeds)} seeds; medians over tasks, 95 %")
        table = Table(box=None, pad_edge=False)
        for heading in ("", "F1 teacher", "agreement", "ratio to default", "teacher share", "texts/s"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for kind in KINDS:
            if any(row["kind"] == kind for row in mine):
                table.add_row(kind, *_cells(mine, kind))
        console.print(table)
    for name, why in document["left_out"].items():
        console.print(f"left out: {name}: {why}", markup=False)
    console.print()
    for met, claim, numbers in claims(rows, document["further"]):
        console.print(f"{'yes' if met else 'no ':4} {claim}: {numbers}", markup=False)


def _cells(rows: list[Row], kind: str) -> list[str]:
    shown = []
    names = {"f1_teacher": ".4f", "agreement": ".4f", "ratio_to_default": ".2f", "teacher_share": ".3f"}
    for name, form in names.items():
        values = figures(rows, kind, name)
        low, high = interval(values)
        shown.append(f"{median(values):{form}} ({low:{form}} to {high:{form}})")
    return [*shown, f"{median(figures(rows, kind, 'texts_per_second')):,.0f}"]


if __name__ == "__main__":
    main()
