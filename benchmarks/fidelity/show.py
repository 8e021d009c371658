"""The tables on the screen, and the claims with yes or no."""

import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.fidelity import claims, curve, methods
from benchmarks.fidelity.cells import QUARTER, Cells, Row, ahead, by_cell, f1, interval, less, median
from benchmarks.fidelity.results import key


def show(console: Console, document: Row) -> None:
    """All that the document holds."""
    rows = document["rows"]
    accuracy = {key(row): row for row in document["further"]}
    for data in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == data]
        parts = ((claims.binary(mine), "binary tasks"), (claims.all_labels(mine), "all classes, macro F1"))
        for some, what in parts:
            if any(row["share"] in (QUARTER, 1.0) for row in some):
                tasks = ", ".join(sorted({row["task"] for row in some}))
                console.print(f"\n{data}, {what}: {tasks}; seeds: {len({row['seed'] for row in some})}")
                console.print(_at_a_quarter(some, accuracy))
            if any(row["share"] < QUARTER for row in some):
                console.print(f"\n{data}, {what}: medians by the share of the pool")
                console.print(_curve(some))
        for (_, task), where, met in claims.against_ties(claims.binary(mine)):
            console.print(f"{'yes' if met else 'no ':4} {data} {task}: {where}")
    for name, why in document["left_out"].items():
        console.print(f"left out: {name}: {why}")
    console.print()
    for met, claim, numbers in claims.claims(rows, accuracy):
        console.print(f"{'yes' if met else 'no ':4} {claim}: {numbers}", markup=False)


def _at_a_quarter(rows: list[Row], accuracy: dict[Any, Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    headings = ("tasks", "F1 teacher", "95 %", "behind pingti", "95 %", "ahead", "F1 true", "acc. true")
    for heading in (*headings, "teacher rows"):
        table.add_column(heading, justify="right", no_wrap=True)
    pingti = f1(rows, "pingti")
    for method in methods.METHODS:
        cells = by_cell(rows, method)
        if not cells:
            continue
        values = f1(rows, method)
        behind = less(pingti, values)
        accuracies = [accuracy[key(row)]["accuracy_truth"] for row in cells.values() if key(row) in accuracy]
        paired = method != "pingti" and behind
        table.add_row(
            method,
            str(len({task for _, task, _ in cells})),
            f"{median(values):.4f}",
            _interval(values),
            f"{median(behind):+.4f}" if paired else "",
            _interval(behind) if paired else "",
            "{}/{}".format(*ahead(behind)) if paired else "",
            f"{statistics.median(row['f1_truth'] for row in cells.values()):.3f}",
            f"{statistics.median(accuracies):.3f}" if accuracies else "",
            f"{statistics.median(row['teacher_rows'] / row['pool_rows'] for row in cells.values()):.0%}",
        )
    teacher = statistics.median(row["teacher_f1_truth"] for row in rows)
    known = [accuracy[key(row)]["teacher_accuracy_truth"] for row in rows if key(row) in accuracy]
    of_teacher = (f"{teacher:.3f}", f"{statistics.median(known):.3f}" if known else "")
    table.add_row("teacher", *[""] * 6, *of_teacher)
    return table


def _interval(cells: Cells) -> str:
    return "[{:.4f}, {:.4f}]".format(*interval(cells)).replace("[", r"\[")


def _curve(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    shares = curve.shares(rows)
    table.add_column("", no_wrap=True)
    for share in shares:
        table.add_column(f"{100 * share:g} %", justify="right")
    for method, medians in curve.medians(rows).items():
        table.add_row(method, *("" if value is None else f"{value:.4f}" for value in medians))
    return table
