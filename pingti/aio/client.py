"""The asynchronous twin of ``pingti.Client``: the same methods, to be awaited.

    from pingti import AsyncClient

    async with AsyncClient("http://127.0.0.1:8080") as client:
        job = await client.submit("titles.csv", ["sport"])
        await client.wait(job.id)
        frame = await client.results(job.id, form="polars")

Each method is the client's own, run in a thread. Waiting for a job holds no thread.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from pingti.calls.watching import Watch
from pingti.client import Client
from pingti.rest_models import JobOut
from pingti.task_models import ReviewRowOut

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def _in_thread(
    method: Callable[Concatenate[Client, _Given], _Answer],
) -> Callable[Concatenate["AsyncClient", _Given], Awaitable[_Answer]]:
    """The method of the twin that runs the client's in a thread."""

    async def twin(self: "AsyncClient", /, *args: _Given.args, **options: _Given.kwargs) -> _Answer:
        return await asyncio.to_thread(method, self.client, *args, **options)

    functools.update_wrapper(twin, method)
    return twin


class AsyncClient:
    """A connection to a service, for asyncio; an ``async with`` block closes it.

    ``client`` is the connection itself. Arguments, answers and errors are those of ``pingti.Client``. A call
    that is cancelled ends here at once; what it sent may still be done there.

    Examples:
        >>> import asyncio
        >>> from pingti import AsyncClient
        >>> async def sports(texts):
        ...     async with AsyncClient() as client:  # of PINGTI_URL and PINGTI_API_KEY
        ...         answer = await client.classify(texts, "sport")
        ...     return [decided["sport"].label for decided in answer.results]
        >>> asyncio.run(sports(["the goal match team coach", "the bread garden"]))
        ['yes', 'no']
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, timeout: float = 60.0) -> None:
        """As of ``Client``."""
        self.client = Client(url, key, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    close = _in_thread(Client.close)
    upload = _in_thread(Client.upload)
    submit = _in_thread(Client.submit)
    job = _in_thread(Client.job)
    cancel = _in_thread(Client.cancel)
    delete = _in_thread(Client.delete)
    results = _in_thread(Client.results)
    download = _in_thread(Client.download)
    download_errors = _in_thread(Client.download_errors)
    errors = _in_thread(Client.errors)
    classify = _in_thread(Client.classify)
    tasks = _in_thread(Client.tasks)
    task = _in_thread(Client.task)
    definition = _in_thread(Client.definition)
    define = _in_thread(Client.define)
    check_definition = _in_thread(Client.check_definition)
    delete_task = _in_thread(Client.delete_task)
    versions = _in_thread(Client.versions)
    report = _in_thread(Client.report)
    history = _in_thread(Client.history)
    promote = _in_thread(Client.promote)
    roll_back = _in_thread(Client.roll_back)
    label = _in_thread(Client.label)
    retrain = _in_thread(Client.retrain)
    runs = _in_thread(Client.runs)
    cancel_run = _in_thread(Client.cancel_run)

    async def jobs(
        self, *, status: str | None = None, task: str | None = None, owner: str | None = None
    ) -> AsyncIterator[JobOut]:
        """All jobs, newest first, page by page; as of ``Client.jobs``."""
        jobs = self.client.jobs(status=status, task=task, owner=owner)
        while (job := await asyncio.to_thread(next, jobs, None)) is not None:
            yield job

    async def review(self, task: str) -> AsyncIterator[ReviewRowOut]:
        """Rows that a person should label, the least clear first; as of ``Client.review``."""
        rows = self.client.review(task)
        while (row := await asyncio.to_thread(next, rows, None)) is not None:
            yield row

    async def wait(
        self,
        id: str,
        *,
        timeout: float | None = None,
        progress: bool | Callable[[JobOut], None] | None = None,
    ) -> JobOut:
        """Wait until a job is completed; as of ``Client.wait``."""
        with Watch(self.client.job, id, timeout=timeout, progress=progress) as watch:
            while (pause := await asyncio.to_thread(watch.look)) is not None:
                await asyncio.sleep(pause)
            return watch.job
