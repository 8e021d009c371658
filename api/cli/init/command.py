"""The command ``pingti init``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from api.cli.console import Screen
from api.cli.tasks import WORKSPACE, Encoding, Home, Json, add_tasks
from pingti.errors import ConflictError, DefinitionError, InputError


def init(
    name: Annotated[str | None, typer.Argument(help="The task's; after label or model if absent.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of the model that labels your texts today.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="Past texts: a file, a folder or a pattern in quotes.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    time: Annotated[str | None, typer.Option(help='Column of the time; "-": there is none.')] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", help='Column of the id; "-": there is none.')
    ] = None,
    yes: Annotated[
        str | None,
        typer.Option(help="Labels of the model that are a yes, with commas; if absent all are classes."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="That the student must reach; 0.8 if absent.")] = None,
    recall: Annotated[str | None, typer.Option(help="The same of recall.")] = None,
    encoding: Encoding = None,
    add: Annotated[bool, typer.Option("--add", help="Add the task to the workspace, too.")] = False,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Write a task's definition, NAME.toml, from a model and past texts.

    What no option says is asked for. With --model and --file nothing is asked: columns are told by the
    file's header and first rows, and the classes are the model's labels.
    """
    from api.cli.init import interview
    from api.cli.init.draft import toml_of
    from api.cli.init.questions import Questions
    from pingti.workspace.registry import Workspace

    screen, workspace = Screen(as_json=as_json), Workspace(home)
    asked = model is None or file is None
    if asked and not sys.stdin.isatty():
        raise InputError(
            "give --model FOLDER and --file FILE: they are asked for on a terminal, and there is none"
        )
    questions = Questions(screen, asked=asked)
    given = interview.Given(
        name=name,
        model=model,
        file=file,
        text=text,
        time=time,
        id=id_column,
        yes=yes,
        precision=precision,
        recall=recall,
        encoding=encoding,
    )
    draft = interview.draft_of(given, questions)
    named = interview.name_of(given, draft, questions, set(workspace.task_names()))
    path = Path(f"{named}.toml")
    try:
        with path.open("x", encoding="utf-8") as target:
            target.write(toml_of(draft, workspace.tasks))
    except FileExistsError:
        raise ConflictError(f"{path} is there already; name another task, or remove the file") from None
    screen.say(f"{path}: written")
    try:
        if add or (asked and typer.confirm("Add the task to the workspace now?", default=True, err=True)):
            add_tasks(workspace, {named: path.read_text(encoding="utf-8")}, path, screen, many=False)
            return
    except DefinitionError:
        screen.note(f"mend {path}, then: pingti task add {path}")
        raise
    screen.say(f"next: look at it, then pingti task add {path}")
    screen.result({"task": named, "definition": str(path.absolute()), "classes": list(draft.classes)})
