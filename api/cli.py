"""``pingti``: the command line.

Exit codes: 0 done; 1 a fault of Pingti or a damaged file; 2 wrong input, definition or usage; 3 not
found; 4 not possible in the present state; 5 the gate is not reached; 6 something needed is missing or
out of reach; 130 interrupted.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from api import cli_jobs, cli_service
from api.cli_tasks import WORKSPACE, Home, Json, TaskName, corpus_app, review_app
from api.console import Screen
from pingti import __version__
from pingti.errors import GateError, InputError, PingtiError, UnavailableError
from replacement.bulk import ERRORS, RESULTS, classify_files
from replacement.classify import Choice, Classifier, pin
from replacement.corpus import Columns
from replacement.definition import explain
from replacement.gate import shortfall
from replacement.registry import TaskEntry, Workspace

app = typer.Typer(
    name="pingti",
    help="Replace fine-tuned BERT classifiers by tiny TextCNN students, and classify in bulk on CPUs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
task_app = typer.Typer(help="Label tasks of the workspace.", no_args_is_help=True)
app.add_typer(task_app, name="task")
app.add_typer(corpus_app, name="corpus")
app.add_typer(review_app, name="review")
app.add_typer(cli_jobs.app, name="jobs")
app.add_typer(cli_service.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pingti {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@task_app.command("add")
def task_add(
    file: Annotated[Path, typer.Argument(help="A definition; its name without .toml is the task's.")],
    name: Annotated[str | None, typer.Option(help="Another name for the task.")] = None,
    home: Home = WORKSPACE,
) -> None:
    """Add a task from a definition file, or change its definition.

    Relative paths in it count from the workspace's folder tasks/ once it is there.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not readable: {error}") from error
    entry = Workspace(home).add_task(name or file.stem, text)
    Screen().say(f"{entry.path}: next is pingti replace {entry.name}")


@task_app.command("list")
def task_list(home: Home = WORKSPACE, as_json: Json = False) -> None:
    """The tasks and their promoted students."""
    workspace = Workspace(home)
    found = [_describe(workspace.task(name)) for name in workspace.task_names()]
    screen = Screen(as_json=as_json)
    screen.table(
        ["task", "classes", "priority", "promoted", "versions", "F1"],
        [
            [
                task["task"],
                ", ".join(task["classes"]),
                task["priority"],
                task["promoted"],
                len(task["versions"]),
                _figure(task["holdout"], "f1"),
            ]
            for task in found
        ],
    )
    if not found:
        screen.note(f"{workspace.tasks}: no task yet; pingti task add adds one")
    screen.result(found)


@task_app.command("show")
def task_show(task: TaskName, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """One task: its versions, their figures on the holdout, and its history."""
    entry = Workspace(home).task(task)
    described = _describe(entry)
    screen = Screen(as_json=as_json)
    rows = []
    for version in described["versions"]:
        found = entry.report(version)
        holdout = found["holdout"]
        mark = "promoted" if version == described["promoted"] else ""
        reached = "reached" if found["gate"]["passed"] else "not reached"
        rows.append([version, *(f"{holdout[k]:.3f}" for k in ("precision", "recall", "f1")), reached, mark])
    screen.table(["version", "precision", "recall", "F1", "gate", ""], rows, title=f"{task}")
    screen.table(
        ["time", "event", "version", "who", "why"],
        [[line[key] for key in ("time", "event", "version", "who", "why")] for line in entry.history()],
    )
    screen.result({**described, "history": entry.history()})


@app.command()
def replace(
    task: TaskName,
    promote: Annotated[bool, typer.Option("--promote", help="Promote the student if it passes.")] = False,
    seed: Annotated[int, typer.Option(help="Every random choice comes from it.", min=0)] = 0,
    device: Annotated[str | None, typer.Option(help="The teacher's torch device.")] = None,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Make a student for a task: rounds of asking the teacher, training and measuring.

    Ends with exit code 5 where the student falls short of the gate; its report tells by how much.
    """
    from replacement.rounds import Round, replace

    entry = Workspace(home).task(task)
    screen = Screen(as_json=as_json)

    def announce(found: Round) -> None:
        screen.note(round_line(found))

    with screen.progress():
        outcome = replace(entry, seed=seed, device=device, progress=screen.advance, announce=announce)
    folder = entry.student_folder(outcome.version)
    screen.say(f"{task}: version {outcome.version}, of round {outcome.best.round}; {outcome.stopped}")
    screen.say(f"report: {folder / 'report.html'}")
    screen.result(outcome.report)
    if not outcome.passed:
        raise GateError(f"task {task!r}: refused: {shortfall(outcome.report)}")
    if promote:
        entry.promote(outcome.version, why="passed its gate")
        screen.say(f"version {outcome.version} is promoted")
    else:
        screen.say(f"the gate is reached; next is pingti promote {task}")


@app.command("promote")
def promote_version(
    task: TaskName,
    version: Annotated[int | None, typer.Argument(help="The newest where absent.")] = None,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by hand",
    force: Annotated[bool, typer.Option("--force", help="Even if it fell short of its gate.")] = False,
    home: Home = WORKSPACE,
) -> None:
    """Make a version the one that jobs get from now on."""
    entry = Workspace(home).task(task)
    chosen = version if version is not None else max(entry.versions(), default=0)
    found = entry.report(chosen)
    if not found["gate"]["passed"] and not force:
        raise GateError(f"task {task!r}: version {chosen}: {shortfall(found)}; --force promotes it")
    entry.promote(chosen, why=why)
    Screen().say(f"{task}: version {chosen} is promoted")


@app.command()
def rollback(
    task: TaskName,
    version: Annotated[int | None, typer.Argument(help="The one promoted before, if absent.")] = None,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "rolled back by hand",
    home: Home = WORKSPACE,
) -> None:
    """Promote an earlier version again."""
    entry = Workspace(home).task(task)
    if version is None:
        version = entry.roll_back(why=why)
    else:
        entry.promote(version, why=why)
    Screen().say(f"{task}: version {version} is promoted again")


@app.command()
def classify(
    inputs: Annotated[list[str], typer.Argument(help="Parquet, JSONL, CSV or TSV files.")],
    tasks: Annotated[list[str], typer.Option("--task", "-t", help="A task, or task@scene; repeatable.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")],
    text: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the id.")] = None,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Classify files at once, in this process."""
    workspace = Workspace(home)
    screen = Screen(as_json=as_json)
    classifier = Classifier(workspace, pin(workspace, [Choice.parse(task) for task in tasks]))
    columns = Columns(text=text, id=id_column)
    counts = classify_files(
        inputs, columns, classifier, out, progress=lambda rows: screen.advance("rows", rows, sys.maxsize)
    )
    screen.say(f"{counts.completed:,} rows classified: {out / RESULTS}")
    if counts.failed:
        screen.say(f"{counts.failed:,} bad rows: {out / ERRORS}")
    screen.result({**asdict(counts), "results": str(out / RESULTS), "errors": str(out / ERRORS)})


@app.command()
def bench(task: TaskName, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """Speed of a task's promoted student and of its teacher, on the task's own texts, one core each."""
    from replacement.gold import Gold
    from replacement.speed import measure_speed
    from replacement.split import load_corpus
    from textcnn import Student

    entry = Workspace(home).task(task)
    pinned = pin(entry.workspace, [Choice(task=task)])[-1]
    gold = Gold(entry, seed=0, progress=lambda what, done, total: None)
    texts = load_corpus(entry.definition, entry.path.parent).texts.slice(0, 50_000)
    speed = measure_speed(Student.load(entry.student_folder(pinned.version)), gold.model, texts)
    screen = Screen(as_json=as_json)
    screen.table(
        ["", "texts/s on one core"],
        [["student", f"{speed.student:,.0f}"], ["teacher", f"{speed.teacher:,.1f}"]],
    )
    screen.say(f"the student is {speed.ratio:,.0f} times as fast")
    screen.result({**asdict(speed), "ratio": speed.ratio})


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="A smaller one, under three minutes.")] = False,
    home: Annotated[
        Path, typer.Option("--home", envvar="PINGTI_DEMO_HOME", help="The demo's own workspace.")
    ] = Path("demo-workspace"),
) -> None:
    """Replace a BERT on real news sentences, and classify all of them through the service."""
    from api.demo import run_demo

    run_demo(home, quick=quick, screen=Screen())


def round_line(found: Any) -> str:
    """A round in one line."""
    holdout = found.holdout
    added = ", ".join(f"{count} {kind}" for kind, count in found.added.items() if count)
    return (
        f"  round {found.round}: precision {holdout.precision:.3f}  recall {holdout.recall:.3f}  "
        f"F1 {holdout.f1:.3f}  | teacher rows asked {found.asked:,}, trained on {found.rows:,} "
        f"(+ {added}; {found.boundary} boundary rows left out)"
    )


def _describe(entry: TaskEntry) -> dict[str, Any]:
    current = entry.current()
    return {
        "task": entry.name,
        "classes": list(entry.definition.classes),
        "priority": entry.definition.priority,
        "promoted": current,
        "versions": entry.versions(),
        "holdout": entry.report(current)["holdout"] if current is not None else None,
    }


def _figure(measured: dict[str, Any] | None, name: str) -> str:
    return "" if measured is None else f"{measured[name]:.3f}"


def main() -> None:
    """Run the command line; what was foreseen ends in one sentence and an exit code, not in a traceback."""
    try:
        app()
    except PingtiError as error:
        _fail(str(error), error.exit_code)
    except ValidationError as error:  # a PINGTI_ variable
        _fail(f"settings: {explain(error)}", InputError.exit_code)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers", "faiss", "celery", "redis", "fastapi", "uvicorn"):
            raise
        extra = "teacher" if error.name in ("torch", "transformers", "faiss") else "service"
        _fail(f"{error.name} is missing: install 'pingti[{extra}]'", UnavailableError.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"pingti: {message}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
