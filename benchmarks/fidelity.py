"""``make bench-fidelity``: how well students decide as their teachers do, beside other ways to the same end.

Prints a table per data set with the claims that it bears out or does not, and writes
``benchmarks/results/fidelity.json``. Data sets and teachers lie in ``../shared``; a part that is not there
is left out and named. The work can be split over several calls (``--data``, ``--task``, ``--method``): what
a call measures is merged into the file. ``--quick`` takes small pools, to see that everything runs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import fidelity_data, fidelity_methods, harness
from benchmarks.harness import LeftOut
from pingti import files

RESULTS: Final = Path(__file__).parent / "results" / "fidelity.json"
WORKSPACE: Final = Path(__file__).parent / "results" / "workspace"
_RESAMPLES: Final = 2000
_KEY: Final = ("data", "task", "method", "seed")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", action="append", choices=fidelity_data.NAMES, help="default: all")
    parser.add_argument("--task", action="append", help="a task's name; default: all of the data set")
    parser.add_argument("--method", action="append", choices=fidelity_methods.METHODS, help="default: all")
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
    out: Path | None = arguments.out or (None if arguments.quick else RESULTS)
    console = Console(width=132, highlight=False)
    started = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.0f} s  {line}[/dim]")

    document = _read(out)
    if not arguments.show:
        document = _measure(arguments, out, document, say)
    show(console, document)
    if out is not None and not arguments.show:
        console.print(f"written: {out}")


def _measure(
    arguments: argparse.Namespace, out: Path | None, document: Row, say: Callable[[str], None]
) -> Row:
    quick = arguments.quick
    seeds = range(arguments.seeds or (1 if quick else 3))
    workspace = arguments.workspace / "quick" if quick else arguments.workspace
    effort = fidelity_methods.Effort(epochs=2, rounds=3) if quick else fidelity_methods.Effort()
    wanted = [name for name in fidelity_methods.METHODS if name in (arguments.method or [name])]
    matched: set[str] = set()
    for data in arguments.data or fidelity_data.NAMES:
        sizes = fidelity_data.QUICK if quick else fidelity_data.SIZES[data]
        try:
            part = fidelity_data.prepare(data, workspace, sizes, pool=arguments.pool, say=say)
        except LeftOut as error:
            say(f"left out: {data}: {error}")
            document = _merge(out, document, left_out={data: str(error)})
            continue
        settings = {data: {**asdict(sizes), **asdict(effort), "quick": quick, "pool": len(part.pool)}}
        document = _merge(out, document, settings=settings)
        names = {data}
        tasks = [
            task for task in part.tasks if not arguments.task or {task.name, task.slug} & {*arguments.task}
        ]
        matched.update(name for task in tasks for name in (task.name, task.slug))
        for seed, task in ((seed, task) for seed in seeds for task in tasks):
            for method in wanted:
                key = (data, task.name, method, seed)
                if arguments.missing and key in {_key(row) for row in document["rows"]}:
                    continue
                try:
                    row, more = fidelity_methods.run(method, part, task, seed, workspace, effort)
                except (LeftOut, ImportError) as error:
                    say(f"left out: {method}: {error}")
                    names.add(method)
                    document = _merge(out, document, left_out={f"{data}: {method}": str(error)})
                    continue
                document = _merge(out, document, rows=[row], further=[more])
                say(
                    f"{data} {task.name} seed {seed} {method:16} f1 {row['f1_teacher']:.3f} (true labels "
                    f"{row['f1_truth']:.3f}, teacher {row['teacher_f1_truth']:.3f}), "
                    f"{row['teacher_rows']:,} teacher rows, {more['seconds']:.0f} s"
                )
    for name in sorted(set(arguments.task or []) - matched):
        say(f"no task {name!r} in the data sets that were measured")
    return document


# ---- the file -----------------------------------------------------------------------------------------


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)


def _read(out: Path | None) -> Row:
    empty: Row = {"format": 1, "settings": {}, "rows": [], "further": [], "left_out": {}}
    if out is None or not out.is_file():
        return empty
    return {**empty, **json.loads(out.read_text(encoding="utf-8"))}


def _merge(
    out: Path | None,
    document: Row,
    *,
    rows: Sequence[Row] = (),
    further: Sequence[Row] = (),
    settings: Row | None = None,
    left_out: Row | None = None,
) -> Row:
    """The document with what is new, written at once: what several calls measure side by side adds up."""

    def merged(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
        return sorted({_key(row): row for row in [*old, *new]}.values(), key=_order)

    def add() -> Row:
        kept = _read(out) if out is not None else document
        absent = {**kept["left_out"], **(left_out or {})}
        for row in rows:
            absent.pop(row["data"], None)
            absent.pop(f"{row['data']}: {row['method']}", None)
        return {
            "format": 1,
            "machine": harness.machine(),
            "versions": harness.versions(),
            "methods": fidelity_methods.WHAT,
            "settings": {**kept["settings"], **(settings or {})},
            "rows": merged(kept["rows"], rows),
            "further": merged(kept["further"], further),
            "left_out": absent,
        }

    if out is None:
        return add()
    with files.locked(out.with_suffix(".lock")):
        added = add()
        files.write_json(out, added)
    return added


def _order(row: Row) -> tuple[Any, ...]:
    method = fidelity_methods.METHODS.index(row["method"])
    return fidelity_data.NAMES.index(row["data"]), row["task"], row["seed"], method


# ---- what it shows ------------------------------------------------------------------------------------


def show(console: Console, document: Row) -> None:
    """The tables, and the claims with yes or no."""
    rows = document["rows"]
    accuracy = {_key(row): row for row in document["further"]}
    for data in dict.fromkeys(row["data"] for row in rows):
        for binary in (True, False):
            some = [row for row in rows if row["data"] == data and (row["task"] != "nine") == binary]
            if some:
                _table(console, data, some, accuracy, "binary tasks" if binary else "all classes, macro F1")
    for name, why in document["left_out"].items():
        console.print(f"left out: {name}: {why}")
    console.print()
    for met, claim, numbers in claims([row for row in rows if row["task"] != "nine"], accuracy):
        console.print(f"{'yes' if met else 'no ':4} {claim}: {numbers}")


def _table(console: Console, data: str, rows: list[Row], accuracy: dict[Any, Row], what: str) -> None:
    tasks = {row["task"] for row in rows}
    seeds = {row["seed"] for row in rows}
    console.print(f"\n{data}, {what}: {', '.join(sorted(tasks))}; seeds: {len(seeds)}")
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    headings = ("tasks", "F1 teacher", "95 %", "behind pingti", "95 %", "ahead", "F1 true", "acc. true")
    for heading in (*headings, "teacher rows"):
        table.add_column(heading, justify="right", no_wrap=True)
    pingti = _by_cell(rows, "pingti")
    for method in fidelity_methods.METHODS:
        cells = _by_cell(rows, method)
        if not cells:
            continue
        values = {cell: row["f1_teacher"] for cell, row in cells.items()}
        behind = {cell: pingti[cell]["f1_teacher"] - values[cell] for cell in values if cell in pingti}
        accuracies = [
            accuracy[_key(row)]["accuracy_truth"] for row in cells.values() if _key(row) in accuracy
        ]
        paired = method != "pingti" and behind
        table.add_row(
            method,
            str(len({task for _, task, _ in cells})),
            f"{_median(values):.4f}",
            _interval(values),
            f"{_median(behind):+.4f}" if paired else "",
            _interval(behind) if paired else "",
            "{}/{}".format(*_ahead(behind)) if paired else "",
            f"{statistics.median(row['f1_truth'] for row in cells.values()):.3f}",
            f"{statistics.median(accuracies):.3f}" if accuracies else "",
            f"{statistics.median(row['teacher_rows'] / row['pool_rows'] for row in cells.values()):.0%}",
        )
    teacher = statistics.median(row["teacher_f1_truth"] for row in rows)
    known = [accuracy[_key(row)]["teacher_accuracy_truth"] for row in rows if _key(row) in accuracy]
    table.add_row(
        "teacher",
        "",
        "",
        "",
        "",
        "",
        "",
        f"{teacher:.3f}",
        f"{statistics.median(known):.3f}" if known else "",
    )
    console.print(table)


Cells = dict[tuple[str, str, int], float]


def claims(rows: list[Row], accuracy: dict[Any, Row]) -> Iterable[tuple[bool, str, str]]:
    """What must be shown of binary tasks: whether it is, what, and the numbers. Without rows: nothing."""
    pingti = _by_cell(rows, "pingti")

    def behind(method: str) -> Cells:
        """F1 that the method has more than pingti, where both were measured."""
        other = _by_cell(rows, method)
        return {
            cell: other[cell]["f1_teacher"] - pingti[cell]["f1_teacher"] for cell in pingti if cell in other
        }

    def medians(method: str, cells: Cells) -> str:
        both = [
            _median({cell: of_cell[cell]["f1_teacher"] for cell in cells})
            for of_cell in (pingti, _by_cell(rows, method))
        ]
        return f"median {both[0]:.4f} and {both[1]:.4f} over {len({cell[:2] for cell in cells})} tasks"

    ceiling = behind("full_pool")
    if ceiling:
        share = max(row["teacher_rows"] / row["pool_rows"] for row in pingti.values())
        gap = _median({cell: _by_cell(rows, "full_pool")[cell]["f1_teacher"] for cell in ceiling}) - _median(
            {cell: pingti[cell]["f1_teacher"] for cell in ceiling}
        )
        yield (
            gap <= 0.01 and share <= 0.25,
            "median F1 within 1.0 point of the full pool, with at most a quarter of it",
            f"{medians('full_pool', ceiling)}; differences: median {_median(ceiling):+.4f} "
            f"{_interval(ceiling)}; at most {share:.1%} of the pool",
        )
    for method in ("random", "breaking_ties"):
        less = {cell: -value for cell, value in behind(method).items()}
        if less:
            ahead, tasks = _ahead(less)
            yield (
                ahead >= 0.8 * tasks,
                f"ahead of {method} on at least 80 % of the tasks",
                f"{ahead} of {tasks}; by {_median(less):+.4f} {_interval(less)}",
            )
    clinc = {cell: row["f1_teacher"] for cell, row in pingti.items() if cell[0] == "clinc150"}
    if clinc:
        means = _task_means(clinc)
        listed = ", ".join(f"{task[1]} {value:.3f}" for task, value in means.items())
        yield (
            min(means.values()) >= 0.96,
            "CLINC150 groups: F1 at least 0.96",
            f"median {_median(clinc):.4f} {_interval(clinc)}: {listed}",
        )
    lost = {
        cell: scores["teacher_accuracy_truth"] - scores["accuracy_truth"]
        for cell, row in pingti.items()
        if (scores := accuracy.get(_key(row))) is not None
    }
    if lost:
        yield (
            _median(lost) <= 0.01,
            "accuracy against true labels within 1 point of the teacher's, median",
            f"{_median(lost):+.4f} {_interval(lost)} lost",
        )
    for method in fidelity_methods.PEERS:
        less = {cell: -value for cell, value in behind(method).items()}
        if less:
            ours = _median({cell: pingti[cell]["f1_teacher"] for cell in less})
            theirs = _median({cell: _by_cell(rows, method)[cell]["f1_teacher"] for cell in less})
            yield (
                ours > theirs,
                f"ahead of {method} in median F1",
                f"{medians(method, less)}; differences: median {_median(less):+.4f} {_interval(less)}, "
                "ahead on {} of {}".format(*_ahead(less)),
            )


def _by_cell(rows: Iterable[Row], method: str) -> dict[tuple[str, str, int], Row]:
    return {(row["data"], row["task"], row["seed"]): row for row in rows if row["method"] == method}


def _task_means(cells: Cells) -> dict[tuple[str, str], float]:
    return {task: statistics.mean(values) for task, values in _by_task(cells).items()}


def _by_task(cells: Cells) -> dict[tuple[str, str], list[float]]:
    tasks: dict[tuple[str, str], list[float]] = {}
    for (data, task, _), value in cells.items():
        tasks.setdefault((data, task), []).append(value)
    return tasks


def _median(cells: Cells) -> float:
    """Median over the tasks of the means over the seeds."""
    return statistics.median(_task_means(cells).values())


def _ahead(differences: Cells) -> tuple[int, int]:
    """On how many tasks the mean difference is above zero, and how many tasks there are."""
    means = _task_means(differences)
    return sum(value > 0 for value in means.values()), len(means)


def _interval(cells: Cells) -> str:
    """95 % of what ``_median`` gives for tasks drawn anew, with replacement, and for each its seeds likewise.

    Percentiles of a two-stage bootstrap (Davison and Hinkley 1997, section 3.8): seeds of one task are not
    tasks of their own.
    """
    low, high = np.percentile(_resampled(cells, np.random.default_rng(0)), [2.5, 97.5])
    return f"[{low:.4f}, {high:.4f}]".replace("[", r"\[")


def _resampled(cells: Cells, rng: np.random.Generator) -> NDArray[np.float64]:
    """(resamples,): medians over the tasks of the means over the seeds, both drawn anew."""
    seeds = [np.array(values) for values in _by_task(cells).values()]
    # For every place of a resample a task is drawn, and for it as many of its seeds as it has.
    drawn = rng.integers(len(seeds), size=(_RESAMPLES, len(seeds)))
    means = np.empty(drawn.shape)
    for number, values in enumerate(seeds):
        places = drawn == number
        again = rng.integers(len(values), size=(int(places.sum()), len(values)))
        means[places] = values[again].mean(axis=1)
    medians: NDArray[np.float64] = np.median(means, axis=1)
    return medians


if __name__ == "__main__":
    main()
