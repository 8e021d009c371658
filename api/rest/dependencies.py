"""What the routes are given: settings, workspace, job store, and the look at broker and workers."""

import shutil
import time
from functools import cached_property
from typing import Annotated

import redis
from fastapi import Depends, Request
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from api.keys import Caller, KeyRing, Role
from api.rest.bounds.store_threads import StoreThreads
from api.rest.online_classifier import Online
from api.rest.problems import ProblemError, full_disk, refusal_of
from api.rest.schemas.service import ReadyOut
from api.rest.uploads import Uploads
from pingti.errors import ConflictError, UnavailableError
from pingti.workspace.registry import Workspace
from queue_worker.addresses import open_client
from queue_worker.celery_app import CLASSIFY, store_url
from queue_worker.jobs.publishing import publisher
from queue_worker.jobs.store import JobStore
from queue_worker.processes.server_check import faults_of_server, require_server
from queue_worker.processes.workplace import require_workspace
from queue_worker.settings import Settings

# A file larger than this is better mounted below an input root than sent through HTTP.
UPLOAD_BYTES = 4 * 1024**3
_LOOK_SECONDS = 2.0
_CHECKED_SECONDS = 30.0  # that a broker which can keep jobs is taken for one
_PATIENCE_SECONDS = 2.0  # beyond durable_seconds, for an answer that waits for the server's disk
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
        self.store_threads = StoreThreads()
        self._checked = float("-inf")

    @cached_property
    def store(self) -> JobStore:
        """The job store.

        Raises:
            UnavailableError: no broker is set.
        """
        # Workers wait out a restart of the server; who asks over REST is told within a second. A server that
        # is there and says nothing is asked once.
        again = Retry(
            ExponentialWithJitterBackoff(base=0.05, cap=0.3),
            retries=3,
            supported_errors=(redis.exceptions.ConnectionError,),
        )
        seconds = self.settings.durable_seconds + _PATIENCE_SECONDS
        client, patient = self._client(again, _LOOK_SECONDS), self._client(again, seconds)
        return JobStore(client, publisher(self.settings, seconds=_LOOK_SECONDS), patient=patient)

    @cached_property
    def looking(self) -> JobStore:
        """The same store for those who would rather know at once that it is away."""
        return JobStore(self._client(Retry(NoBackoff(), retries=0), _LOOK_SECONDS))

    def _client(self, again: Retry, seconds: float) -> redis.Redis:
        """A client that waits so long for an answer."""
        return open_client(
            store_url(self.settings),
            decode_responses=True,
            retry=again,
            socket_connect_timeout=_LOOK_SECONDS,
            socket_timeout=seconds,
        )

    def require_server(self) -> None:
        """Refuse a broker that cannot keep jobs, or keeps those of another workspace; asked once in a while.

        Raises:
            UnavailableError: with what is wrong.
            RedisError: it does not answer.
        """
        client = self.store.client
        if time.monotonic() - self._checked > _CHECKED_SECONDS:
            require_server(client, durable=self.settings.durable)
            try:
                require_workspace(client, self.settings.home, self.settings.storage)
            except ConflictError as error:  # of who runs the service, not of who asks
                raise UnavailableError(str(error)) from error
            self._checked = time.monotonic()
        else:
            client.ping()  # one that is away or hangs is told at once; nothing is stored then

    def look(self) -> ReadyOut:
        """Whether the broker answers and can keep jobs, and a worker consumes the classify queue."""
        try:
            faults = faults_of_server(self.looking.client, durable=self.settings.durable, now=True)
            if faults:
                says = f"The broker cannot keep jobs: {'; '.join(faults)}."
                return ReadyOut(ready=False, broker=says, workers="unknown")
            require_workspace(self.looking.client, self.settings.home)
            workers = self.looking.statistics.workers(seconds=SILENT_SECONDS)
        except (ConflictError, UnavailableError) as error:
            return ReadyOut(ready=False, broker=f"{error}.", workers="unknown")
        except redis.RedisError as error:
            says = refusal_of(error) or f"The broker does not answer{full_disk(self.settings.home)}"
            return ReadyOut(ready=False, broker=f"{says}.", workers="unknown")
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
                store.close_clients()


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
