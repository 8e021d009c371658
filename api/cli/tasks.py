"""``pingti task``: the workspace's label tasks, their versions, reports and history.

What the command line is made of is imported at the top; what a command works with, inside it: help and
completion answer at once, and a part that is not installed is missed by its own commands alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli.console import Screen, wrapped_points
from pingti.errors import InputError, PingtiError

if TYPE_CHECKING:
    from pingti.workspace.registry import TaskEntry

WORKSPACE = Path("workspace")
_FIGURES = ("precision", "recall", "F1")


def complete_task(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the workspace's tasks, for the shell."""
    home = Path(ctx.params.get("home") or WORKSPACE)
    return sorted(path.stem for path in (home / "tasks").glob("*.toml") if path.stem.startswith(incomplete))


Home = Annotated[Path, typer.Option("--home", envvar="PINGTI_HOME", help="The workspace.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
TaskName = Annotated[str, typer.Argument(help="Name of the task.", autocompletion=complete_task)]
TaskChoices = Annotated[
    list[str],
    typer.Option(
        "--task",
        "-t",
        help="A task, or TASK@NAME for an operating point of it; repeatable.",
        autocompletion=complete_task,
    ),
]
Delimiter = Annotated[
    str | None, typer.Option(help="CSV, TSV: between fields; by name and header where absent.")
]
Quoting = Annotated[
    Literal["auto", "quoted", "none"],
    typer.Option(help="CSV, TSV: whether fields stand in quotes. auto: in CSV they do."),
]
Escape = Annotated[
    str | None, typer.Option(help="CSV, TSV: what stands before a quote in quotes, as a backslash.")
]
Encoding = Annotated[str | None, typer.Option(help="Of text files; UTF-8 where absent.")]
Version = Annotated[int | None, typer.Argument(help="The promoted one where absent, else the newest.", min=1)]


def delimiter_of(option: str | None) -> str | None:
    r"""The delimiter that an option names; ``\t`` is a tab, which is hard to type in a shell."""
    return "\t" if option == r"\t" else option


app = typer.Typer(help="Label tasks of the workspace.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A definition; its name without .toml is the task's.")],
    name: Annotated[str | None, typer.Option(help="Another name for the task.")] = None,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Add a task from a definition file, or change its definition.

    Relative paths in it count from the workspace's folder tasks/, where it goes. All that it names is looked
    at first, but for a model on the hub: files, their columns, labels, the teacher's folder.
    """
    from pingti.workspace import definition
    from pingti.workspace.registry import Workspace
    from replacement.task_checks import check_task

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: not readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}") from error
    workspace = Workspace(home)
    name = name or file.stem
    definition.check_name(name)
    screen = Screen(as_json=as_json)
    for note in check_task(name, definition.parse(text, file), workspace, file):
        screen.note(note)
    entry = workspace.add_task(name, text)
    screen.say(f"{entry.path}: next is pingti replace {entry.name}")
    screen.result({"task": entry.name, "definition": str(entry.path)})


@app.command("list")
def list_tasks(home: Home = WORKSPACE, as_json: Json = False) -> None:
    """The tasks and their promoted students."""
    from pingti.workspace.registry import Workspace

    workspace = Workspace(home)
    tasks = [_describe(workspace.task(name)) for name in workspace.task_names()]
    screen = Screen(as_json=as_json)
    if tasks:
        for task in tasks:
            if task["fault"]:
                screen.note(f"{task['task']}: {task['fault']}")
        screen.table(
            ["task", "classes", "priority", "promoted", "versions", "F1"],
            [
                [
                    task["task"],
                    ", ".join(task["classes"]),
                    task["priority"],
                    task["promoted"],
                    len(task["versions"]),
                    "" if task["holdout"] is None else f"{task['holdout']['f1']:.3f}",
                ]
                for task in tasks
            ],
        )
    else:
        screen.note(f"{workspace.tasks}: no task yet; pingti task add FILE.toml adds one")
    screen.result(tasks)


@app.command()
def show(task: TaskName, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """One task: its versions, their figures on the holdout, and its history."""
    entry = _entry(home, task)
    described = _describe(entry)
    screen = Screen(as_json=as_json)
    if described["fault"]:
        screen.note(f"{task}: {described['fault']}")
    rows = []
    for version in described["versions"]:
        mark = "promoted" if version == described["promoted"] else ""
        try:
            measured = entry.report(version)
        except PingtiError:
            rows.append([version, "", "", "", "no report", mark])
            continue
        reached = "reached" if measured["gate"]["passed"] else "not reached"
        rows.append([version, *_figures(measured["holdout"]), reached, mark])
    if rows:
        screen.table(["version", "precision", "recall", "F1", "gate", ""], rows, title=f"{task}")
    else:
        screen.say(f"{task}: no version yet; next is pingti replace {task}")
    _show_history(entry, screen)
    screen.result({**described, "history": entry.history()})


@app.command()
def history(task: TaskName, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """What was promoted, refused or rolled back: when, by whom, and why."""
    entry = _entry(home, task)
    screen = Screen(as_json=as_json)
    if not entry.history():
        screen.note(f"{task}: nothing was promoted or refused yet; next is pingti replace {task}")
    _show_history(entry, screen)
    screen.result(entry.history())


@app.command()
def report(task: TaskName, version: Version = None, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """How far a version can be trusted: its figures, rounds and operating points, and where its page is."""
    from pingti.workspace.report import refusal

    entry = _entry(home, task)
    if version is None:
        version = entry.current() or entry.newest()
    content = entry.report(version)
    screen = Screen(as_json=as_json)
    gate = content["gate"]
    screen.say(
        f"{task}, version {version}: the gate (precision {gate['precision']:.2f}, recall "
        f"{gate['recall']:.2f}) is {'reached' if gate['passed'] else 'not reached'}"
    )
    if not gate["passed"]:
        lacks = refusal(content)
        for line in [lacks.headline, *wrapped_points(lacks.points)]:
            screen.say(line)
    for note in content.get("notes", []):
        screen.note(note)
    show_teacher_quality(content, screen)
    _show_measures(content, screen)
    operating_points = content.get("scenes", {})
    if operating_points:
        screen.table(
            ["operating point", "threshold", *_FIGURES],
            [
                [
                    name,
                    "" if point["threshold"] is None else f"{point['threshold']:.4f}",
                    *(_figures(point["holdout"]) if point["holdout"] else ["", "", ""]),
                ]
                for name, point in operating_points.items()
            ],
        )
    page = entry.student_folder(version) / "report.html"
    if page.is_file():
        screen.say(f"the whole report: {page}")
    screen.result(content)


def show_teacher_quality(content: dict[str, Any], screen: Screen) -> None:
    """How often the teacher itself is right, where people's labels tell.

    Args:
        content: what report.json holds.
        screen: where it is shown.
    """
    from pingti.workspace.report import Report

    if (quality := Report.model_validate(content).teacher.quality) is not None:
        screen.say(f"teacher: {quality.says}")


def _show_measures(content: dict[str, Any], screen: Screen) -> None:
    """The student on the holdout and the validation rows, and each round's on the holdout."""
    lines = [("on the holdout", content["holdout"])]
    kept = content.get("kept_round")
    lines += [
        ("on the validation rows", line["calibration"])
        for line in content["rounds"]
        if line["round"] == kept and line.get("calibration")
    ]
    lines += [(f"round {line['round']}, holdout", line["holdout"]) for line in content["rounds"]]
    classes = content.get("classes", ())
    head = ["", *_FIGURES, "rows"]
    rows = [[name, *_figures(measured), f"{measured['rows']:,}"] for name, measured in lines]
    if len(classes) == 2:  # of more, none is the positive one
        head.append(f"{classes[1]} rows")
        rows = [[*row, f"{measured['positives']:,}"] for row, (_, measured) in zip(rows, lines, strict=True)]
    screen.table(head, rows)
    spans = content.get("holdout_intervals", {})
    intervals = [
        f"{name} {spans[name][0]:.3f} to {spans[name][1]:.3f}"
        for name in ("precision", "recall")
        if name in spans
    ]
    if intervals:
        screen.say(f"95 % interval on the holdout: {', '.join(intervals)}")


def _entry(home: Path, task: str) -> "TaskEntry":
    from pingti.workspace.registry import Workspace

    return Workspace(home).task(task)


def _show_history(entry: "TaskEntry", screen: Screen) -> None:
    rows = [
        [line["time"][:16].replace("T", " "), line["event"], line["version"], line["who"], line["why"]]
        for line in entry.history()
    ]
    screen.table(["time (UTC)", "event", "version", "who", "why"], rows)


def _figures(measured: dict[str, Any]) -> list[str]:
    return [f"{measured[name]:.3f}" for name in ("precision", "recall", "f1")]


def _describe(entry: "TaskEntry") -> dict[str, Any]:
    """What is damaged stands in ``fault``, and does not hide the others."""
    described: dict[str, Any] = {
        "task": entry.name,
        "classes": [],
        "priority": None,
        "promoted": None,
        "versions": entry.versions(),
        "holdout": None,
        "fault": None,
    }
    try:
        definition = entry.definition
        described |= {"classes": list(definition.classes), "priority": definition.priority}
        described["promoted"] = current = entry.current()
        described["holdout"] = entry.report(current)["holdout"] if current is not None else None
    except PingtiError as error:
        described["fault"] = str(error)
    return described
