"""``pingti task``: the workspace's label tasks, their versions, reports and history.

What the command line is made of is imported at the top; what a command works with, inside it: help and
completion answer at once, and a part that is not installed is missed by its own commands alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from api.cli.console import Screen, figure, wrapped_points
from pingti.errors import InputError, PingtiError

if TYPE_CHECKING:
    from pingti.workspace.registry import TaskEntry, Workspace

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
Keep = Annotated[
    list[str] | None,
    typer.Option(help="Columns that go along into the results: --keep region,day.", metavar="COLUMN,..."),
]
Version = Annotated[int | None, typer.Argument(help="The promoted one where absent, else the newest.", min=1)]


def delimiter_of(option: str | None) -> str | None:
    r"""The delimiter that an option names; ``\t`` is a tab, which is hard to type in a shell."""
    return "\t" if option == r"\t" else option


def keep_of(option: list[str] | None) -> tuple[str, ...]:
    """The columns that an option names, which may be there several times."""
    return tuple(name.strip() for names in option or () for name in names.split(","))


class _TaskCommands(TyperGroup):
    """The commands below ``task``; of one that stands beside it, it says so, where "remove" is nearest."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        beside = getattr(ctx.find_root().command, "commands", {})
        if args and args[0] not in self.commands and args[0] in beside:
            ctx.fail(f"No such command {args[0]!r} here; it is pingti {args[0]}, without 'task'.")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=_TaskCommands, help="Label tasks of the workspace.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A definition; its name without .toml is the task's. With --from-model: what tasks share."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Another name for the task.")] = None,
    from_model: Annotated[
        Path | None, typer.Option(help="A model's folder: a task is made for each of its labels.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="With --from-model: a label, LABEL=NAME to name its task, several with commas between, or "
            "all; repeatable.  [default: all]"
        ),
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="With --from-model, without FILE: past texts; repeatable.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="With --corpus: column of the text; text if absent.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="With --corpus: column of the time; the rows' order if absent.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help="With --corpus: column of the id; the row's number if absent.")
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="With --from-model: what the names that are made from labels begin with.")
    ] = "",
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Add a task from a definition file, or change its definition.

    Relative paths in it count from the workspace's folder tasks/, where it goes. All that it names is looked
    at first, but for a model on the hub: files, their columns, labels, the teacher's folder.

    With --from-model a definition is written for each label of the model; they share its answers.
    """
    from pingti.workspace.registry import Workspace

    screen, workspace = Screen(as_json=as_json), Workspace(home)
    columns = {"text": text, "time": time, "id": id_column}
    if from_model is None:
        _refuse_options(
            {"labels": labels, "corpus": corpus, "prefix": prefix, **columns}, "they go with --from-model"
        )
        if file is None:
            raise InputError(
                "FILE, a definition, is missing; or --from-model, which makes a task of each label"
            )
        add_tasks(workspace, {name or file.stem: _read(file)}, file, screen, many=False)
        return
    _refuse_options(
        {"name": name}, "with --from-model names come from the labels; --labels LABEL=NAME gives one"
    )
    if (file is None) == (not corpus):
        raise InputError(
            "--from-model goes with FILE, a definition of all that the tasks share, or with --corpus"
        )
    if file is not None:
        _refuse_options(columns, f"columns are those that {file} names; the options go with --corpus")
    base = _corpus_alone(corpus or [], columns) if file is None else _read(file)
    texts = _texts_of_model(workspace, from_model, labels or ["all"], prefix, base, file or from_model)
    add_tasks(workspace, texts, file or from_model, screen, many=True)


def _refuse_options(options: dict[str, Any], why: str) -> None:
    """Raise InputError where any of the options is given."""
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise InputError(f"{', '.join(given)}: not allowed here: {why}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: not readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}") from error


def _corpus_alone(corpus: list[str], columns: dict[str, str | None]) -> str:
    """TOML of a corpus; paths counted from where the command was given. As in init, "-" is no column."""
    import tomlkit

    files = [path if "://" in path else str(Path(path).absolute()) for path in corpus]
    named = {key: column for key, column in columns.items() if column not in (None, "-")}
    return tomlkit.dumps({"corpus": {"files": files, **named}})


def _texts_of_model(
    workspace: "Workspace", model: Path, wanted: list[str], prefix: str, base: str, source: Path
) -> dict[str, str]:
    """By the name of each task to be made from a model, its definition."""
    from replacement import tasks_of_model

    known, independent = tasks_of_model.read_labels(model)
    names = tasks_of_model.named_labels(
        model, known, wanted, prefix=prefix, taken=set(workspace.task_names())
    )
    texts = tasks_of_model.definitions(model, list(names), independent, base, source)
    return {names[label]: text for label, text in texts.items()}


def add_tasks(
    workspace: "Workspace", texts: dict[str, str], source: Path, screen: Screen, *, many: bool
) -> None:
    """Add tasks by their names, all of them or, where one does not fit, none.

    Args:
        workspace: where to.
        texts: by the name of each task its definition, in TOML.
        source: where they come from, for errors.
        screen: tells what is next.
        many: whether ``--json`` prints a list.

    Raises:
        DefinitionError: all that keeps a task from being added.
    """
    from pingti.checks.text import check_text
    from pingti.workspace import definition

    notes: dict[str, None] = {}
    for name, text in texts.items():
        definition.check_name(name)
        notes |= dict.fromkeys(check_text(name, text, workspace, source)[1])
    for note in notes:
        screen.note(note)
    entries = [workspace.add_task(name, text) for name, text in texts.items()]
    for entry in entries:
        # A label without letters of a to z gives a name that does not tell it.
        label = f"{_asked_label(entry)}; " if many else ""
        screen.say(f"{entry.path}: {label}next is pingti replace {entry.name}")
    if many and len(entries) > 1 and (family := entries[0].definition.family):
        screen.say(f"or all of them at once, read off one student: pingti replace --family {family}")
    added = [{"task": entry.name, "definition": str(entry.path)} for entry in entries]
    screen.result(added if many else added[0])


def _asked_label(entry: "TaskEntry") -> str:
    """The label of which a task made from a model asks."""
    teacher = entry.definition.teacher
    return teacher.label or next(iter(teacher.map))


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
                    "" if task["holdout"] is None else figure(task["holdout"]["f1"]),
                ]
                for task in tasks
            ],
        )
    else:
        there = workspace.root.is_dir()
        elsewhere = (
            "" if there else f"; there is no folder {workspace.root}: --home or PINGTI_HOME names another"
        )
        screen.note(f"{workspace.tasks}: no task yet; pingti task add FILE.toml adds one{elsewhere}")
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
    from pingti.workspace.report import Report, how_sure, refusal

    entry = _entry(home, task)
    if version is None:
        version = entry.current() or entry.newest()
    content = entry.report(version)
    screen = Screen(as_json=as_json)
    gate = content["gate"]
    # Of the student alone: where its teacher helps it, the verdict is another.
    sure = how_sure(Report.model_validate(content)) if gate.get("by", "student") == "student" else ""
    screen.say(
        f"{task}, version {version}: the gate (precision {gate['precision']:.2f}, recall "
        f"{gate['recall']:.2f}) is {'reached' if gate['passed'] else 'not reached'}"
    )
    if not gate["passed"]:
        lacks = refusal(content)
        for line in [lacks.headline, *wrapped_points(lacks.points)]:
            screen.say(line)
    elif sure:
        screen.say(sure)
    for note in content.get("notes", []):
        screen.note(note)
    show_teacher_quality(content, screen)
    _show_measures(content, screen)
    if not sure:  # which names the intervals
        _show_intervals(content, screen)
    show_ladder(content, screen)
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


def show_ladder(content: dict[str, Any], screen: Screen) -> None:
    """The kinds of students that the version's was chosen from, where there are several.

    Args:
        content: what report.json holds.
        screen: where it is shown.
    """
    from pingti.workspace.report import Report

    rungs = Report.model_validate(content).ladder
    if len(rungs) < 2:
        return

    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    screen.table(
        ["kind", "f1", "agreement", "texts/s on one core", "MB", "left to the teacher", "gate", ""],
        [
            [
                rung.kind,
                shown(rung.f1, ".3f"),
                shown(rung.agreement, ".3f"),
                shown(rung.texts_per_second, ",.0f"),
                shown(None if rung.bytes is None else rung.bytes / 1e6, ",.1f"),
                "" if rung.f1 is None else f"{rung.teacher_share:.1%}",
                "" if rung.f1 is None else "reached" if rung.passes else "not reached",
                "kept" if rung.kept else "",
            ]
            for rung in rungs
        ],
    )
    for rung in rungs:
        if rung.note:
            screen.note(f"{rung.kind}: {rung.note}")


def _show_measures(content: dict[str, Any], screen: Screen) -> None:
    """The student on the holdout and the validation rows, and each round's on the holdout."""
    lines = [("on the holdout", content["holdout"])]
    kept = [line for line in content["rounds"] if line["round"] == content.get("kept_round")]
    if content.get("kind", "textcnn") != "textcnn":  # the rounds' figures are those of another student
        kept = [content.get("scenes", {}).get("default", {})]
    lines += [("on the validation rows", line["calibration"]) for line in kept if line.get("calibration")]
    lines += [(f"round {line['round']}, holdout", line["holdout"]) for line in content["rounds"]]
    classes = content.get("classes", ())
    head = ["", *_FIGURES, "rows"]
    rows = [[name, *_figures(measured), f"{measured['rows']:,}"] for name, measured in lines]
    if len(classes) == 2:  # of more, none is the positive one
        head.append(f"{classes[1]} rows")
        rows = [[*row, f"{measured['positives']:,}"] for row, (_, measured) in zip(rows, lines, strict=True)]
    screen.table(head, rows)


def _show_intervals(content: dict[str, Any], screen: Screen) -> None:
    """How far chance may have moved the figures on the holdout, where the report tells."""
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
    return [figure(measured[name]) for name in ("precision", "recall", "f1")]


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
