"""``pingti keys``: bearer keys of the service, kept as hashes in the workspace."""

from typing import Annotated

import typer

from api.cli.console import Screen
from api.cli.tasks import WORKSPACE, Home, Json
from api.keys import Role, add_key, list_keys, revoke_key

app = typer.Typer(
    help="Keys that open the service. With one, it may listen beyond this machine.", no_args_is_help=True
)

KeyName = Annotated[str, typer.Argument(help="Whose key it is.")]


@app.command()
def add(
    name: KeyName,
    role: Annotated[
        Role, typer.Option(help="read looks; submit also sends jobs and labels; admin also changes tasks.")
    ] = Role.SUBMIT,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once: only its hash is kept."""
    token = add_key(home, name, role)
    screen = Screen(as_json=as_json)
    screen.note(f"{name} may {role}; send it as Authorization: Bearer KEY. It is not shown again.")
    if not as_json:
        screen.say(token)
    screen.result({"name": name, "role": role.value, "key": token})


@app.command("list")
def list_all(home: Home = WORKSPACE, as_json: Json = False) -> None:
    """The keys there are, without their secrets."""
    keys = list_keys(home)
    screen = Screen(as_json=as_json)
    if keys:
        screen.table(["name", "role", "made"], [[key.name, key.role.value, key.created] for key in keys])
    else:
        screen.note("no key yet: whoever reaches the service on this machine may do everything")
    screen.result([{"name": key.name, "role": key.role.value, "made": key.created} for key in keys])


@app.command()
def revoke(name: KeyName, home: Home = WORKSPACE, as_json: Json = False) -> None:
    """Remove a key; a running service refuses it from its next request on."""
    revoke_key(home, name)
    screen = Screen(as_json=as_json)
    screen.say(f"{name}: revoked")
    screen.result({"name": name, "revoked": True})
