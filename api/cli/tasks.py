"""``pingti task``: the workspace's label tasks, their versions, reports and history.

What the command line is made of is imported at the top; what a command works with, inside it: help and
completion answer at once, and a part that is not installed is missed by its own commands alone.
"""

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.console import Screen
from pingti.errors import InputError, PingtiError

if TYPE_CHECKING:
    from pingti.workspace.definition import Definition
    from pingti.workspace.registry import TaskEntry

WORKSPACE = Path("workspace")


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
Version = Annotated[int | None, typer.Argument(help="The promoted one where absent, else the newest.", min=1)]

app = typer.Typer(help="Label tasks of the workspace.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A definition; its name without .toml is the task's.")],
    name: Annotated[str | None, typer.Option(help="Another name for the task.")] = None,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Add a task from a definition file, or change its definition.

    Relative paths in it count from the workspace's folder tasks/, where it goes.
    """
    from pingti.workspace import definition
    from pingti.workspace.registry import Workspace

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: not readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}") from error
    workspace = Workspace(home)
    _check_places(definition.parse(text, file), file, workspace.tasks)
    entry = workspace.add_task(name or file.stem, text)
    screen = Screen(as_json=as_json)
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
    head = ["precision", "recall", "F1", "rows"]
    rows = [["on the holdout", *_figures(content["holdout"]), f"{content['holdout']['rows']:,}"]]
    rows += [
        [f"round {line['round']}", *_figures(line["holdout"]), f"{line['holdout']['rows']:,}"]
        for line in content["rounds"]
    ]
    screen.table(["", *head], rows)
    operating_points = content.get("scenes", {})
    if operating_points:
        screen.table(
            ["operating point", "threshold", *head[:3]],
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


def _check_places(definition: "Definition", file: Path, tasks: Path) -> None:
    """Refuse a path that leads somewhere from where the definition is, and nowhere from where it goes."""
    for (section, key, *number), path in definition.paths.items():
        if ":" not in path and not _leads(tasks, path) and _leads(file.parent, path):
            there = os.path.relpath(file.parent.resolve() / path, tasks.resolve())
            raise InputError(
                f"{file}: {section}.{key}{number or ''}: {path!r} counts from {tasks}, where the definition "
                f"goes; write {there!r}"
            )


def _leads(base: Path, path: str) -> bool:
    return (base / path).exists() or bool(glob.glob(path, root_dir=base, recursive=True))  # noqa: PTH207


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
