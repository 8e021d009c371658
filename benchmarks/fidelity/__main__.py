"""``make bench-fidelity``: how well students decide as their teachers do, beside other ways to the same end.

Prints tables per data set with the claims that they bear out or do not, and writes
``benchmarks/results/fidelity.json``. Data sets and teachers lie in ``../shared``; a part that is not there
is left out and named. ``--curve`` asks about smaller parts of the pool, too. Several calls can share the
work (``--data``, ``--task``, ``--method``, ``--share``): what a call measures is merged into the file.
``--quick`` takes small pools, to see that everything runs.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.fidelity import curve, data, family, methods, results
from benchmarks.fidelity.cells import QUARTER
from benchmarks.fidelity.data import Part, Task
from benchmarks.fidelity.loops import Effort
from benchmarks.fidelity.show import show
from benchmarks.harness import LeftOut

RESULTS: Final = Path(__file__).parents[1] / "results" / "fidelity.json"
WORKSPACE: Final = Path(__file__).parents[1] / "results" / "workspace"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--data", action="append", choices=data.NAMES, help="default: all")
    parser.add_argument("--task", action="append", help="a task's name; default: all of the data set")
    parser.add_argument("--method", action="append", choices=methods.METHODS, help="default: all")
    parser.add_argument(
        "--curve", action="store_true", help="the methods of the curve, at each of its shares"
    )
    parser.add_argument(
        "--share", action="append", type=float, help=f"part of the pool to ask about (default {QUARTER})"
    )
    parser.add_argument("--seeds", type=int, help="so many seeds, from 0 (default 3; 1 if quick)")
    parser.add_argument("--pool", type=int, help="draw a pool of at most so many rows")
    parser.add_argument("--missing", action="store_true", help="only what the file has not yet")
    parser.add_argument("--show", action="store_true", help="measure nothing, show the file")
    parser.add_argument("--quick", action="store_true", help="small pools, one seed")
    parser.add_argument(
        "--workspace", type=Path, default=WORKSPACE, help="kept between runs: teachers' scores, reports"
    )
    parser.add_argument("--out", type=Path, help=f"default {RESULTS.name}; none if quick")
    arguments = parser.parse_args()
    for share in arguments.share or ():
        if not 0.0 < share <= 1.0:
            parser.error(f"--share {share}: a part of the pool is above 0 and 1 at most")
    out: Path | None = arguments.out or (None if arguments.quick else RESULTS)
    console = Console(width=132, highlight=False)
    started = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.0f} s  {line}[/dim]")

    document = results.read(out)
    if not arguments.show:
        document = _measure(arguments, out, document, say)
    show(console, document)
    if out is not None and not arguments.show:
        console.print(f"written: {out}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run: of a method on a task, or of a family on all tasks that it is for."""

    method: str
    share: float
    seed: int
    tasks: tuple[Task, ...]


def _measure(
    arguments: argparse.Namespace, out: Path | None, document: Row, say: Callable[[str], None]
) -> Row:
    quick = arguments.quick
    workspace = arguments.workspace / "quick" if quick else arguments.workspace
    effort = Effort(epochs=2, rounds=3) if quick else Effort()
    matched: set[str] = set()
    for name in arguments.data or data.NAMES:
        sizes = data.QUICK if quick else data.SIZES[name]
        try:
            part = data.prepare(name, workspace, sizes, pool=arguments.pool, say=say)
        except LeftOut as error:
            say(f"left out: {name}: {error}")
            document = results.merge(out, document, left_out={name: str(error)})
            continue
        settings = {**asdict(sizes), **asdict(effort), "quick": quick, "pool": len(part.pool)}
        del settings["share"]  # each row has its own
        document = results.merge(out, document, settings={name: settings})
        tasks = [
            task for task in part.tasks if not arguments.task or {task.name, task.slug} & {*arguments.task}
        ]
        matched.update(some for task in tasks for some in (task.name, task.slug))
        for step in steps(arguments, part, tasks):
            done = {results.key(row) for row in document["rows"]}
            of_step = [(name, task.name, step.method, step.share, step.seed) for task in step.tasks]
            if arguments.missing and done.issuperset(of_step):
                continue
            try:
                measured = _run(step, part, workspace, effort)
            except (LeftOut, ImportError) as error:
                say(f"left out: {step.method}: {error}")
                document = results.merge(out, document, left_out={f"{name}: {step.method}": str(error)})
                continue
            rows, further = ([pair[place] for pair in measured] for place in (0, 1))
            document = results.merge(out, document, rows=rows, further=further)
            for row, more in measured:
                say(_line(row, more))
    for name in sorted(set(arguments.task or []) - matched):
        say(f"no task {name!r} in the data sets that were measured")
    return document


def steps(arguments: argparse.Namespace, part: Part, tasks: list[Task]) -> Iterator[Step]:
    """All runs of a data set, seed by seed: a call that is ended early leaves whole seeds behind it."""
    of_all = methods.CURVE if arguments.curve else methods.METHODS
    wanted = [method for method in of_all if method in (arguments.method or [method])]
    shares = arguments.share or (curve.SHARES if arguments.curve else (QUARTER,))
    binary = tuple(task for task in part.tasks if task.labels)
    for seed in range(arguments.seeds or (1 if arguments.quick else 3)):
        if "family" in wanted and any(task.labels for task in tasks):
            for share in shares:
                yield Step(method="family", share=share, seed=seed, tasks=binary)
        for task in tasks:
            for method in wanted:
                if method == "family" or (method == "own" and not task.labels):
                    continue
                for share in (1.0,) if method == "full_pool" else shares:
                    yield Step(method=method, share=share, seed=seed, tasks=(task,))


def _run(step: Step, part: Part, workspace: Path, effort: Effort) -> list[tuple[Row, Row]]:
    if step.method == "family":
        return family.run(part, step.seed, workspace, replace(effort, share=step.share))
    # The full pool is compared where the others ask about a quarter: its validation rows are theirs.
    share = QUARTER if step.method == "full_pool" else step.share
    (task,) = step.tasks
    return [methods.run(step.method, part, task, step.seed, workspace, replace(effort, share=share))]


def _line(row: Row, more: Row) -> str:
    return (
        f"{row['data']} {row['task']} seed {row['seed']} {row['method']:16} {100 * row['share']:4g} % "
        f"f1 {row['f1_teacher']:.3f} (true labels {row['f1_truth']:.3f}, teacher "
        f"{row['teacher_f1_truth']:.3f}), {row['teacher_rows']:,} teacher rows, {more['seconds']:.0f} s"
    )


if __name__ == "__main__":
    main()
