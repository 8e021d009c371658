"""The asynchronous client: the same methods, of the same code."""

import asyncio
import inspect
import threading

import pyarrow as pa
import pytest

from pingti import AsyncClient, Client
from pingti.errors import NotFoundError, UnavailableError
from pingti.rest_models import JOB_EXAMPLE, JobOut
from tests.support.rest import Door, home, idle, running

__all__ = ["home", "idle", "running"]  # fixtures


def test_it_has_every_method_of_the_client_with_its_parameters() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_"):
            continue
        twin = getattr(AsyncClient, name)
        assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin), name
        assert list(inspect.signature(twin).parameters) == list(inspect.signature(method).parameters)
        assert twin.__doc__


@pytest.mark.broker
def test_from_a_frame_to_a_table(running: Door) -> None:
    frame = pa.table({"post": ["goal match team coach", "bread garden"], "key": ["a", "b"], "other": [1, 2]})

    async def run() -> None:
        async with AsyncClient(str(running.client.base_url)) as client:
            job = await client.submit(frame, "sport", text="post", id="key")
            looks: list[JobOut] = []
            ended = await client.wait(job.id, timeout=60, progress=looks.append)
            assert (ended.status, looks[-1]) == ("completed", ended)
            table = await client.results(job.id)
            assert table.select(["id", "sport"]).to_pylist() == [
                {"id": "a", "sport": "yes"},
                {"id": "b", "sport": "no"},
            ]
            assert job.id in [listed.id async for listed in client.jobs(task="sport")]
            assert [task.name for task in await client.tasks()] == ["sport", "tech", "topic"]
            with pytest.raises(NotFoundError):
                await client.job("none")

    asyncio.run(run())


def test_many_wait_without_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logic alone: a hundred jobs end only once all of them have been looked at."""
    job = JobOut.model_validate(JOB_EXAMPLE)
    seen: set[str] = set()
    lock = threading.Lock()

    def answer(_: Client, id: str) -> JobOut:
        with lock:
            seen.add(id)
            return job.model_copy(update={"id": id, "status": "completed" if len(seen) == 100 else "running"})

    monkeypatch.setattr(Client, "job", answer)

    async def run() -> list[str]:
        async with AsyncClient("http://127.0.0.1:9") as client:
            waits = [client.wait(f"job-{number}", progress=False) for number in range(100)]
            return [ended.status for ended in await asyncio.gather(*waits)]

    assert asyncio.run(run()) == ["completed"] * 100


def test_nobody_there() -> None:
    async def run() -> None:
        async with AsyncClient("http://127.0.0.1:9") as client:
            await client.wait("job-1")

    with pytest.raises(UnavailableError, match="pingti up"):
        asyncio.run(run())
