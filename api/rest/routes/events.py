"""What the dashboard watches, as server-sent events (WHATWG HTML, section 9.2): GET /v1/events.

A client gets everything once, then what changes. One poller looks for all clients, and what it finds is
written as JSON once; a client that reads slowly gets the newest state of each topic, not every step. So the
work and the memory do not grow with the clients, but for the bytes that each one is sent.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import redis
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.rest.dependencies import Services
from api.rest.problems import ProblemError
from api.rest.routes.jobs import job_out
from api.rest.routes.system import queue_out
from api.rest.routes.tasks import task_out
from pingti.errors import PingtiError
from pingti.rest_models import TaskOut
from pingti.workspace.registry import TaskEntry
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.waiting import waits_for
from queue_worker.retraining.drift import agreement, alarms
from queue_worker.retraining.runs import runs

router = APIRouter(prefix="/v1/events", tags=["events"])

JOBS = 100  # the newest; older ones are read through GET /v1/jobs
PLACES = 10
MOST_CLIENTS = 500
PAUSE_SECONDS = 1.0  # between two looks
SLOW_SECONDS = 5.0  # between two looks at the workspace
RUNS = 20  # the newest retrainings, and alarms
HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 600.0  # then the client comes again, and its key is looked at again
_REST = 4  # a look that takes long is followed by a pause of so many times its length

_log = logging.getLogger(__name__)


@router.get("", include_in_schema=False)  # OpenAPI 3.1 has no words for a body that does not end
async def events(request: Request) -> StreamingResponse:
    """Stream what the dashboard shows.

    The events are ``jobs`` (ids, newest first), ``job`` (one of them), ``queue``, ``workers``, ``tasks``,
    ``runs``, ``alarms``, ``agreement`` (by task) and ``health``, each as the other routes answer it. A
    comment comes every 15 seconds.
    """
    feed: Feed = request.app.state.feed
    if feed.clients >= MOST_CLIENTS:
        raise ProblemError("unavailable", f"{MOST_CLIENTS} clients are watching already; try again later.")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(feed.stream(), media_type="text/event-stream", headers=headers)


class Feed:
    """The newest state of every topic, and those who wait for it to change."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._topics: dict[str, tuple[int, bytes]] = {}  # name: (step of its last change, the event)
        self._step = 0
        self._changed = asyncio.Condition()
        self._closing = False
        self._poller: asyncio.Task[None] | None = None
        self._slow = _Slow(services)
        self.clients = 0

    async def stream(self) -> AsyncIterator[bytes]:
        """Events for one client: the present state, then changes, until the server closes."""
        self.clients += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield b"retry: 2000\n\n"
            seen = 0
            end = monotonic() + LONGEST_SECONDS
            while not self._closing and monotonic() < end:
                # Without an await in between: a change after this line wakes the wait below.
                news = [event for step, event in self._topics.values() if step > seen]
                seen = self._step
                if news:
                    yield b"".join(news)
                    continue
                try:
                    await asyncio.wait_for(self._wait(seen), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield b":\n\n"
        finally:
            self.clients -= 1
            if self.clients == 0 and self._poller is not None:
                self._poller.cancel()
                self._poller = None
                self._topics.clear()  # old by the time of the next client

    async def close(self) -> None:
        """End every stream."""
        self._closing = True
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, seen: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closing or self._step > seen)

    async def _poll(self) -> None:
        while True:
            began = monotonic()
            try:
                events_now = await run_in_threadpool(self._look)
            except Exception:  # one bad look must not end the streams
                _log.exception("the look for the dashboard failed")
            else:
                await self._take(events_now)
            await asyncio.sleep(max(PAUSE_SECONDS, _REST * (monotonic() - began)))

    async def _take(self, events_now: Mapping[str, bytes]) -> None:
        step = self._step + 1
        fresh = {
            name: event for name, event in events_now.items() if self._topics.get(name, (0, b""))[1] != event
        }
        if "jobs" in events_now:
            # Jobs that are no longer among the newest are forgotten here too.
            for name in [name for name in self._topics if name.startswith("job:") and name not in events_now]:
                del self._topics[name]
        if not fresh:
            return
        for name, event in fresh.items():
            self._topics.pop(name, None)  # what changed last comes last, and "jobs" before its jobs
            self._topics[name] = (step, event)
        self._step = step
        async with self._changed:
            self._changed.notify_all()

    def _look(self) -> dict[str, bytes]:
        """Every topic's event. Where the broker is away, those that it knows keep their last state."""
        services = self._services
        health = services.look()
        events_now = {"health": _event("health", health)}
        if health.broker == "ok":
            try:
                jobs = services.store.list_jobs(limit=JOBS)[0]
                events_now["jobs"] = _event("jobs", [job.id for job in jobs])
                places = {job.id: services.store.look(job.id)[1] for job in _next_in_line(jobs)}
                for job in jobs:
                    workers = services.store.workers_of(job.id) if job.status is JobStatus.RUNNING else {}
                    lacking = waits_for(job, services.store.statistics)
                    seen = job_out(job, place=places.get(job.id), workers=workers, lacking=lacking)
                    events_now[f"job:{job.id}"] = _event("job", seen)
                events_now["queue"] = _event("queue", queue_out(services))
                events_now["workers"] = _event("workers", services.store.statistics.worker_loads())
            except (redis.RedisError, PingtiError) as error:
                _log.warning("jobs cannot be watched: %s", error)
        return events_now | self._slow.look(broker=health.broker == "ok")


class _Slow:
    """What changes seldom, looked at less often: tasks, their retrainings, alarms, agreement in use."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tasks: dict[str, tuple[tuple[int, ...], TaskOut]] = {}
        self._events: dict[str, bytes] = {}
        self._looked = float("-inf")

    def look(self, *, broker: bool) -> dict[str, bytes]:
        """The events; where the broker is away, those that it knows stay as they were."""
        now = monotonic()
        if now - self._looked >= SLOW_SECONDS:
            self._looked = now
            entries = self._services.workspace.entries()
            self._tasks = {entry.name: self._task(entry) for entry in entries}
            self._events["tasks"] = _event("tasks", [task for _, task in self._tasks.values()])
            if broker:
                try:
                    self._events |= self._watched(list(self._tasks))
                except (redis.RedisError, PingtiError) as error:
                    _log.warning("retrainings cannot be watched: %s", error)
        return self._events

    def _task(self, entry: TaskEntry) -> tuple[tuple[int, ...], TaskOut]:
        # A task is read again when a file of it has changed.
        places = (entry.path, entry.folder, entry.folder / "current", entry.folder / "students")
        stamps = tuple(map(_changed_at, places))
        known = self._tasks.get(entry.name)
        return known if known is not None and known[0] == stamps else (stamps, task_out(entry))

    def _watched(self, tasks: list[str]) -> dict[str, bytes]:
        client = self._services.store.client
        newest = [run for task in tasks for run in runs(client, task, limit=RUNS)]
        newest.sort(key=lambda run: run.created, reverse=True)
        agreed = {task: days for task in tasks if (days := agreement(client, task))}
        return {
            "runs": _event("runs", newest[:RUNS]),
            "alarms": _event("alarms", alarms(client, limit=RUNS)),
            "agreement": _event("agreement", agreed),
        }


def _next_in_line(jobs: list[Job]) -> list[Job]:
    """Those whose place in the queue is worth a question each: the queued ones that came first."""
    return [job for job in jobs if job.status is JobStatus.QUEUED][-PLACES:]


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _event(name: str, data: object) -> bytes:
    text = json.dumps(data, ensure_ascii=False, default=_plain, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else asdict(value)
