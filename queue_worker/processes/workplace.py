"""Whether this process and the store belong together: the workspace's id, and a server that loses nothing."""

import secrets
from pathlib import Path
from typing import cast

import redis

from pingti.errors import ConflictError, UnavailableError
from queue_worker.celery_app import connect
from queue_worker.jobs.migration import migrate
from queue_worker.kept_file import kept_text
from queue_worker.settings import Settings

ID_FILE = "workspace.id"
_KEY = "pingti:workspace"


def workspace_id(home: Path) -> str:
    """The id of a workspace, made once and kept in its folder."""
    return kept_text(home / ID_FILE, lambda: f"{secrets.token_hex(16)}\n")


def check_server(client: redis.Redis) -> None:
    """See that the server keeps what it is given.

    Raises:
        UnavailableError: it may forget jobs when its memory is full.
    """
    try:
        policy = cast("dict[str, str]", client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except redis.ResponseError:  # some hosted servers have no CONFIG
        policy = cast("dict[str, str]", client.info("memory")).get("maxmemory_policy")
    if policy not in (None, "noeviction"):
        raise UnavailableError(
            f"the server's maxmemory-policy is {policy}: it would forget jobs when its memory is full; set "
            "'maxmemory-policy noeviction' there"
        )


def join(settings: Settings) -> None:
    """Check that a worker or scheduler may work on this store, and bring an older store up to date.

    Raises:
        ConflictError: the store is that of another workspace.
        UnavailableError: the server may lose jobs, or does not answer.
    """
    id = workspace_id(settings.home)
    try:
        with connect(settings) as client:
            check_server(client)
            client.set(_KEY, id, nx=True)
            there = client.get(_KEY)
            if there != id:
                raise ConflictError(
                    f"the workspace {settings.home} is another one (id {id}) than the one whose jobs this "
                    f"server keeps (id {there}): a worker needs the same files; mount them, and name their "
                    "folder by PINGTI_HOME"
                )
            migrate(client)
    except redis.RedisError as error:
        raise UnavailableError(f"Valkey does not answer: {' '.join(str(error).split())}") from error
