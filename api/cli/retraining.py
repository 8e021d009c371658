"""``pingti retrain``: retrainings of the running service, by the Python client of its REST door."""

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.console import Screen
from api.cli.jobs import LOCAL, Key, Url
from api.cli.tasks import Json

if TYPE_CHECKING:
    from pingti.rest_models import RunOut

app = typer.Typer(help="Retrainings of the running service.", no_args_is_help=True)
Task = Annotated[str, typer.Argument(help="The task's name.")]


@app.command()
def start(task: Task, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """Retrain a task as soon as a retrain worker is free."""
    from pingti.client import Client

    with Client(url, key) as pingti:
        _show(pingti.retrain(task), Screen(as_json=as_json))


@app.command("list")
def list_runs(task: Task, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """A task's retrainings, the newest first."""
    from pingti.client import Client

    screen = Screen(as_json=as_json)
    with Client(url, key) as pingti:
        runs = pingti.runs(task)
    if not runs:
        screen.note(f"none yet; pingti retrain start {task} asks for one")
    screen.table(
        ["retraining", "state", "asked for", "by", "version", "reason"],
        [
            [
                run.id,
                run.state,
                f"{run.created:%Y-%m-%d %H:%M}",
                run.who,
                run.version or "-",
                run.reason or "",
            ]
            for run in runs
        ],
    )
    screen.result([run.model_dump(mode="json") for run in runs])


@app.command()
def cancel(
    run: Annotated[str, typer.Argument(help='Its id, "TASK/NAME"; pingti retrain list TASK shows it.')],
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """End a retraining at once; what it has learnt is not used."""
    from pingti.client import Client

    with Client(url, key) as pingti:
        _show(pingti.cancel_run(run), Screen(as_json=as_json))


def _show(run: "RunOut", screen: Screen) -> None:
    screen.say(f"{run.id}: {run.state}" + (f": {run.reason}" if run.reason else ""))
    if run.state in ("queued", "running"):
        screen.say(f"pingti retrain list {run.task} shows how far it is")
        screen.say(f"pingti retrain cancel {run.id} ends it")
    screen.result(run.model_dump(mode="json"))
