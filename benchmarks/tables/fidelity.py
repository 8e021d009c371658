"""Tables of ``fidelity.json``: how faithful students are."""

import statistics
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.fidelity import claims, curve, methods
from benchmarks.fidelity.cells import Cells, Row, ahead, f1, less, median, task_means
from benchmarks.fidelity.data import NAMES, TASKS
from benchmarks.tables.markdown import difference, percent, score, table

SEEDS: Final = 3
"""Of a whole run."""
_COLUMNS: Final = {
    "pingti": "Pingti", "full_pool": "all of the pool", "breaking_ties": "breaking ties", "random": "random",
    "linear_ngram": "linear n-grams", "fasttext": "fastText", "model2vec": "model2vec",
}  # fmt: skip
_CURVE: Final = {**_COLUMNS, "family": "Pingti, a family"}
_WITHOUT: Final = {
    "plain_textcnn": "the wide part and the start from the teacher's vectors",
    "hard_labels": "the teacher's soft scores, its decisions instead",
    "no_subclasses": "the teacher's own labels, learned within the classes",
    "no_diversity": "rows chosen after errors and for diversity",
    "no_boundary_rows": "boundary rows",
}
Document = dict[str, Any]


def is_whole(rows: list[Row], methods_of_a_run: Sequence[str]) -> bool:
    """Whether each of the methods was measured on every task that answers yes or no, with all seeds."""
    wanted = {
        (name, task.name, seed)
        for name in NAMES
        for task in TASKS[name]
        if task.labels
        for seed in range(SEEDS)
    }
    return all(wanted <= set(f1(rows, method)) for method in methods_of_a_run)


def by_task(document: Document) -> str | None:
    """F1 of each task at a quarter of the pool."""
    rows = claims.binary(document["rows"])
    if not is_whole(rows, tuple(_COLUMNS)):
        return None
    means = {method: task_means(f1(rows, method)) for method in _COLUMNS}
    true = task_means(claims.against_true(rows))
    lines = [
        [f"{data} {task.replace('_', ' ')}"]
        + [score(means[method][data, task]) for method in _COLUMNS]
        + [difference(true[data, task])]
        for data, task in means["pingti"]
    ]
    return table(["F1 against the teacher", *_COLUMNS.values(), "true labels"], lines)


def parts(document: Document) -> str | None:
    """What each part is worth: what is lost without it, where both were measured."""
    rows = claims.binary(document["rows"])
    lost: dict[str, Cells] = {}
    for method in methods.ABLATIONS:
        lost[method] = less(f1(rows, "pingti"), f1(rows, method))
        if {data for data, *_ in lost[method]} != set(NAMES):
            return None
    lines = [
        [_WITHOUT[method], difference(median(cells)).lstrip("+"), "{} of {}".format(*ahead(cells))]
        for method, cells in sorted(lost.items(), key=lambda item: -median(item[1]))
    ]
    return table(["without", "F1 lost, median", "tasks that lose"], lines)


def along_the_curve(document: Document) -> str | None:
    """Median F1 by the share of the pool, for each data set with several shares."""
    rows = claims.binary(document["rows"])
    measured = curve.shares(rows)
    lines = []
    for data in NAMES:
        some = [row for row in rows if row["data"] == data]
        of_data = curve.shares(some)
        cells = curve.compared(some)
        tasks, seeds = {task for _, task, _ in cells}, {seed for *_, seed in cells}
        for method, medians in curve.medians(some).items():
            known = dict(zip(of_data, medians, strict=True))
            values = [known.get(share) for share in measured]
            if len(of_data) > 2:
                what = f"{data} (tasks: {len(tasks)}, seeds: {len(seeds)})"
                lines.append(
                    [what, _CURVE[method], *("" if value is None else score(value) for value in values)]
                )
    if not lines:
        return None
    headings = [
        "data",
        "F1 against the teacher, median",
        *(percent(share, 1).replace(".0 ", " ") for share in measured),
    ]
    return table(headings, lines, left=2)


def families(document: Document) -> str | None:
    """Students of a family beside students of their own, by data set."""
    rows, lines = claims.binary(document["rows"]), []
    for data in NAMES:
        some = [row for row in rows if row["data"] == data]
        more = less(f1(some, "family"), f1(some, "own"))
        if not more:
            continue
        own, family = (
            {cell: cells[cell] for cell in more} for cells in (f1(some, "own"), f1(some, "family"))
        )
        means = task_means(more)
        worst = min(means, key=lambda task: means[task])
        seeds = len({seed for *_, seed in more})
        what = f"{data} (tasks: {len(means)}, seeds: {seeds})"
        of_worst = f"{difference(means[worst])} ({worst[1].replace('_', ' ')})"
        lines.append([what, score(median(own)), score(median(family)), difference(median(more)), of_worst])
    headings = [
        "F1 against the teacher, median",
        "students of their own",
        "a family",
        "difference",
        "worst task",
    ]
    return table(headings, lines) if lines else None


def all_labels(document: Document) -> str | None:
    """All labels of a teacher as one task: macro F1."""
    rows = claims.all_labels(document["rows"])
    columns = {method: name for method, name in _COLUMNS.items() if f1(rows, method)}
    if not {"pingti", "full_pool"} <= set(columns):
        return None
    means = {method: task_means(f1(rows, method)) for method in columns}
    lines = [
        [f"{data} {task}"]
        + [score(values[data, task]) if (data, task) in values else "" for values in means.values()]
        for data, task in means["pingti"]
    ]
    return table(["macro F1 against the teacher", *columns.values()], lines)


def medians_at_a_quarter(document: Document) -> dict[str, str] | None:
    """Of a whole run: the median F1 of each method that students are compared with."""
    rows = claims.binary(document["rows"])
    if not is_whole(rows, tuple(_COLUMNS)):
        return None
    return {method: score(statistics.median(task_means(f1(rows, method)).values())) for method in _COLUMNS}
