"""Whether this process and the store belong together: a workspace has an id, in its folder and in the store.

A worker that cannot see the workspace's files would fail every job that it takes.
"""

import logging
import secrets
import threading
from pathlib import Path
from typing import cast

import redis

from pingti.errors import ConflictError
from pingti.workspace.storage import Storage
from queue_worker.kept_file import kept_text
from queue_worker.keys import PREFIX
from queue_worker.processes.server_check import impatient_client
from queue_worker.settings import Settings

ID_FILE = "workspace.id"
_KEY = f"{PREFIX}workspace"
_PAUSE_SECONDS = 1.0
_log = logging.getLogger(__name__)


def workspace_id(home: Path) -> str:
    """The id of a workspace, made once and kept in its folder.

    Raises:
        UnavailableError: its file cannot be read or written.
    """
    return kept_text(home / ID_FILE, lambda: f"{secrets.token_hex(16)}\n", mode=0o644)


def kept_workspace(client: redis.Redis) -> str | None:
    """The id of the workspace whose jobs a store keeps; None where it is nobody's yet."""
    return cast("str | None", client.get(_KEY))


def _adopt(home: Path, storage: Storage, *, begins: bool) -> None:
    """Let workspaces of one object store have one id: that of the first of them.

    An empty folder is a worker's: unless it ``begins``, it waits for the one with the tasks to be the first.

    Raises:
        ConflictError: the workspace had another one before, or nobody was the first yet.
    """
    own = (home / ID_FILE).read_text(encoding="utf-8").strip() if (home / ID_FILE).exists() else None
    if storage.get(ID_FILE) is None:
        if own is None and not begins and not (home / "tasks").exists():
            raise ConflictError(
                f"the store {storage.address} is no workspace's yet, and {home} is empty: start the API, "
                "which makes it one, before this worker"
            )
        storage.create(ID_FILE, f"{own or secrets.token_hex(16)}\n".encode())
    shared = storage.read(ID_FILE).decode().strip()
    if own is None:
        own = kept_text(home / ID_FILE, lambda: f"{shared}\n", mode=0o644)
    if own != shared:
        raise ConflictError(
            f"the workspace {home} (id {own}) is another one than that of the store {storage.address} "
            f"(id {shared}): name the right store by PINGTI_STORE, or another folder by PINGTI_HOME"
        )


def require_workspace(
    client: redis.Redis, home: Path, storage: Storage | None = None, *, begins: bool = False
) -> None:
    """See that the store is that of the workspace; one that has none yet becomes it.

    Args:
        client: of the store; decodes responses.
        home: the workspace.
        storage: the object store that workspaces share, if they do; all of them have one id.
        begins: whether an empty folder may become the workspace of a store that is nobody's yet.

    Raises:
        ConflictError: the store is that of another workspace.
        UnavailableError: the id's file cannot be read or written.
        RedisError: the server does not answer, or does not do what it is asked.
    """
    if storage is not None:
        _adopt(home, storage, begins=begins)
    stored = kept_workspace(client)
    if stored is None:  # the file first: who finds an id in the store finds it in the folder, too
        client.set(_KEY, workspace_id(home), nx=True)
        stored = kept_workspace(client)
    here = workspace_id(home) if (home / ID_FILE).exists() else None
    if here != stored:
        named = f"id {here}" if here else "without an id"
        raise ConflictError(
            f"the workspace {home} ({named}) is another one than that whose jobs this server keeps "
            f"(id {stored}): all processes need the same files; name their folder by "
            f"PINGTI_HOME, or, if these are a copy of them, write that id into {home / ID_FILE}"
        )


def refuse_other_workspace(settings: Settings, stop: threading.Event | None = None) -> None:
    """Refuse to start on the store of another workspace.

    Args:
        settings: where the server is, if one is named, and the workspace.
        stop: where given, a server that does not answer yet is waited for until it is set; else such a one is
            only told in the log.

    Raises:
        ConflictError: the store is that of another workspace.
        UnavailableError: the id's file cannot be read or written.
    """
    if settings.redis_url is None:
        return
    with impatient_client(settings) as client:
        while True:
            try:
                return require_workspace(client, settings.home, settings.storage, begins=True)
            except redis.RedisError as error:
                reason = " ".join(str(error).split())
                _log.warning("whose jobs the Valkey or Redis keeps is not known yet: %s", reason)
            if stop is None or stop.wait(_PAUSE_SECONDS):
                return
