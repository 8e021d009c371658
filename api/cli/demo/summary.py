"""What the demo shows at its end: a table of the students, their speed, and where everything is."""

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from api.cli.console import Screen, figure
from pingti.workspace.registry import Workspace
from replacement.evaluation.speed import Speed

_HEAD = ["task", "rounds", "first F1", "F1", "precision", "recall", "gate", "asked", "yes rows"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A demo that has ended."""

    reports: list[dict[str, Any]]
    """Of each task, the report of its new version."""
    speed: Speed
    job: dict[str, Any]
    rows: pa.Table
    """The job's results."""
    job_seconds: float
    """From submission to the end."""
    minutes: float
    """Of the whole demo."""


def show_summary(screen: Screen, workspace: Workspace, ended: Ended) -> None:
    """Show how the demo ended, for a person and with ``--json``."""
    counts, tasks, seconds = ended.job["counts"], len(ended.job["tasks"]), ended.job_seconds
    screen.say(
        f"   {counts['completed']:,} rows x {tasks} tasks in {seconds:.1f} s, from submission to "
        f"the end ({counts['completed'] * tasks / seconds:,.0f} labels/s); {counts['failed']} bad rows"
    )
    screen.say(
        "\nSummary: students against their teachers on the newest tenth of the corpus; asked: rows that the "
        "teacher was asked about; yes rows: of the whole corpus"
    )
    screen.table(_HEAD, [_table_row(report, ended.rows) for report in ended.reports])
    speed = ended.speed
    screen.say(
        f"speed on one core: student {speed.student:,.0f} texts/s, teacher {speed.teacher:,.0f} texts/s, "
        f"ratio {speed.ratio:,.0f}"
    )
    screen.result(_as_json(ended))
    for report in ended.reports:
        folder = workspace.task(report["task"]).student_folder(report["version"])
        screen.say(f"report of {report['task']}: {folder / 'report.html'}")
    screen.say(f"results: {workspace.root / 'results.parquet'} and {workspace.jobs / ended.job['id']}")
    screen.say(f"the demo took {ended.minutes:.1f} minutes")


def _table_row(report: dict[str, Any], rows: pa.Table) -> list[object]:
    return [
        report["task"],
        len(report["rounds"]),
        figure(report["rounds"][0]["holdout"]["f1"]),
        *(figure(report["holdout"][name]) for name in ("f1", "precision", "recall")),
        "reached" if report["gate"]["passed"] else "refused",
        f"{report['teacher']['rows_asked']:,}",
        _positives(rows, report["task"]),
    ]


def _positives(rows: pa.Table, task: str) -> str:
    if task not in rows.column_names or task == "topic":
        return ""
    return f"{pc.sum(pc.equal(rows.column(task), 'yes')).as_py():,}"


def _as_json(ended: Ended) -> dict[str, Any]:
    return {
        "tasks": [
            {
                "task": report["task"],
                "version": report["version"],
                "promoted": report["gate"]["passed"],
                "rounds": [round["holdout"]["f1"] for round in report["rounds"]],
                **{name: report["holdout"][name] for name in ("f1", "precision", "recall")},
                "rows_asked": report["teacher"]["rows_asked"],
            }
            for report in ended.reports
        ],
        "speed": {**asdict(ended.speed), "ratio": ended.speed.ratio},
        "job": {"id": ended.job["id"], **ended.job["counts"], "seconds": ended.job_seconds},
        "minutes": ended.minutes,
    }
