"""What the routes are given: settings, workspace, job store, and the look at broker and workers."""

import shutil
from functools import cached_property
from typing import Annotated

import redis
from fastapi import Depends, Request
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from api.keys import Caller, KeyRing, Role
from api.rest.online_classifier import Online
from api.rest.problems import ProblemError
from api.rest.schemas.service import ReadyOut
from api.rest.uploads import Uploads
from pingti.errors import UnavailableError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import CLASSIFY, broker_url, connect
from queue_worker.jobs.publishing import publisher
from queue_worker.jobs.store import JobStore
from queue_worker.settings import Settings

# A file larger than this is better mounted below an input root than sent through HTTP.
UPLOAD_BYTES = 4 * 1024**3
_LOOK_SECONDS = 2.0
SILENT_SECONDS = 10.0  # a worker gives a sign of life every three seconds


class Services:
    """One of these lives as long as the application; connections are made when they are first needed."""

    def __init__(self, settings: Settings, *, upload_bytes: int = UPLOAD_BYTES) -> None:
        self.settings = settings
        self.upload_bytes = upload_bytes
        self.workspace = Workspace(settings.home)
        self.uploads = Uploads(settings.home / "uploads")
        self.online = Online(settings)
        self.keys = KeyRing(settings.home, api_key(settings))

    @cached_property
    def store(self) -> JobStore:
        """The job store.

        Raises:
            UnavailableError: no broker is set.
        """
        client = connect(self.settings)
        # Workers wait out a restart of the server; who asks over REST is told within a second.
        client.set_retry(Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.3), retries=3))
        return JobStore(client, publisher(self.settings))

    @cached_property
    def looking(self) -> JobStore:
        """The same store for those who would rather know at once that it is away."""
        client = redis.Redis.from_url(
            broker_url(self.settings),
            decode_responses=True,
            retry=Retry(NoBackoff(), retries=0),
            socket_connect_timeout=_LOOK_SECONDS,
            socket_timeout=_LOOK_SECONDS,
        )
        return JobStore(client)

    def look(self) -> ReadyOut:
        """Whether the broker answers and a worker consumes the classify queue."""
        try:
            workers = self.looking.statistics.workers(seconds=SILENT_SECONDS)
        except UnavailableError as error:
            return ReadyOut(ready=False, broker=f"{error}.", workers="unknown")
        except redis.RedisError:
            return ReadyOut(ready=False, broker="The broker does not answer.", workers="unknown")
        # Named queue@host-process by queue_worker.worker.
        if not any(name.startswith(f"{CLASSIFY}@") for name in workers):
            return ReadyOut(ready=False, broker="ok", workers="No worker consumes the classify queue.")
        return ReadyOut(ready=True, broker="ok", workers="ok")

    def upload_room(self, who: Caller, size: int = 1) -> int:
        """Most bytes that a file may have.

        Args:
            who: whose file it is.
            size: its size in bytes, as far as it is known.

        Raises:
            ProblemError: there is no room for the key, or on the disk.
        """
        folder, most = self.uploads.folder, self.settings.key_bytes
        folder.mkdir(parents=True, exist_ok=True)
        if size > shutil.disk_usage(folder).free:
            raise ProblemError("no-space", "The server's disk has no room for this file; nothing was stored.")
        if most >= 1 << 62 or who.role is Role.ADMIN:
            return self.upload_bytes
        used = self.uploads.bytes_of(who.name)
        if used + min(size, self.upload_bytes) > most:
            raise ProblemError(
                "too-many",
                f"The key {who.name!r} has {used:,} bytes of files here; the limit is {most:,}. Delete files "
                "that are no longer needed.",
                headers={"Retry-After": "60"},
            )
        return min(self.upload_bytes, most - used)

    def close(self) -> None:
        """End the connections that were made."""
        for name in ("store", "looking"):
            store = self.__dict__.get(name)
            if store is not None:
                store.client.close()


# Both are coroutines only so that FastAPI calls them where it is: a plain function costs a trip to a thread.
async def _services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _caller_of(request: Request) -> Caller:
    # Left there by middleware.Guard.
    caller: Caller = request.state.caller
    return caller


CurrentServices = Annotated[Services, Depends(_services_of)]
"""A route's parameter: the application's services."""
CurrentCaller = Annotated[Caller, Depends(_caller_of)]
"""A route's parameter: who asks."""


def api_key(settings: Settings) -> str | None:
    """The key of PINGTI_API_KEY."""
    return settings.api_key.get_secret_value() if settings.api_key is not None else None
