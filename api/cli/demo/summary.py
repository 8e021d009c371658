"""What the demo shows at its end: a table of the students, their speed, and where everything is."""

from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from api.cli.console import Screen, figure
from api.cli.demo.picture import rounds_picture
from pingti.workspace.registry import Workspace
from replacement.evaluation.speed import Speed

_MANY = 100_000_000  # texts for which is said what is saved
_CORE_HOUR = 0.04  # dollars, about what clouds ask for a core of a general machine
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
    picture = rounds_picture(ended.reports)
    if picture:
        screen.say("\nF1 by round; ┊: the gate")
        for line in picture:
            screen.say(line)
        screen.say()
    speed = ended.speed
    screen.say(
        f"speed on one core: student {speed.student:,.0f} texts/s, teacher {speed.teacher:,.0f} texts/s, "
        f"ratio {speed.ratio:,.0f}"
    )
    screen.say(saved(speed))
    screen.result(_as_json(ended))
    for report in ended.reports:
        folder = workspace.task(report["task"]).student_folder(report["version"])
        screen.say(f"report of {report['task']}: {folder / 'report.html'}")
    screen.say(f"results: {workspace.root / 'results.parquet'} and {workspace.jobs / ended.job['id']}")
    screen.say(f"the demo took {ended.minutes:.1f} minutes")


def saved(speed: Speed) -> str:
    """What the student saves on a hundred million texts, at the measured speeds.

    Args:
        speed: of student and teacher, texts a second of one core.
    """
    hours = {name: _MANY / pace / 3600 for name, pace in asdict(speed).items()}
    teacher, student = hours["teacher"], hours["student"]
    return (
        f"saved on {_MANY // 1_000_000} million such texts: {_long(teacher - student)} of a core, "
        f"{_money(teacher - student)} (teacher {_long(teacher)}, student {_long(student)}; "
        f"{_money(1)} an hour of a core)"
    )


def _long(hours: float) -> str:
    if hours >= 72:
        return f"{hours / 24:,.0f} days"
    if hours >= 2:
        return f"{hours:.0f} hours"
    return f"{hours * 60:.0f} minutes" if hours >= 1 / 30 else f"{hours * 3600:.0f} seconds"


def _money(hours: float) -> str:
    return f"${hours * _CORE_HOUR:,.2f}"


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
