"""Threads for what asks the job store: a number of their own, so that a store that hangs takes no others.

A route that waits for the store holds a thread meanwhile. Pages, tasks and uploads have theirs from the usual
pool; these come from a limiter beside it. While the store is silent, what finds no free thread is refused at
once, not queued behind others that will wait in vain.
"""

import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import anyio
import redis
from anyio import to_thread

from pingti.errors import UnavailableError

MOST_THREADS = 32
MOST_FETCHING = 8  # submissions whose inputs are fetched from elsewhere
LOOK_SECONDS = 0.1  # between two looks for a free thread
WAIT_SECONDS = 2.0  # that a free thread is waited for while the store answers nobody
LONGEST_SECONDS = 30.0  # and where it answers, but slowly

_P = ParamSpec("_P")
_T = TypeVar("_T")


class StoreThreads:
    """The threads of one application that may wait for the store at a time."""

    def __init__(self, most: int = MOST_THREADS) -> None:
        """``most``: threads."""
        self._most = most
        self._busy = 0
        self._fetching = anyio.CapacityLimiter(MOST_FETCHING)
        self._answered = time.monotonic()  # when a call came back from the store
        self._silent = False

    async def run(self, call: Callable[[], _T]) -> _T:
        """Run ``call`` in one of the threads; its answer.

        Raises:
            UnavailableError: none of them becomes free, as the store does not answer.
        """
        await self._wait_for_room()
        self._busy += 1
        try:
            # Counted here, where one thread runs everything; the limiter of the call is one that never waits.
            answer = await to_thread.run_sync(call, limiter=anyio.CapacityLimiter(1))
        except redis.TimeoutError:
            self._silent = True
            raise
        finally:
            self._busy -= 1
        self._answered, self._silent = time.monotonic(), False
        return answer

    async def run_fetching(self, call: Callable[[], _T]) -> _T:
        """As ``run``, for what waits for other servers more than for the store: beside those threads."""
        return await to_thread.run_sync(call, limiter=self._fetching)

    async def _wait_for_room(self) -> None:
        began = time.monotonic()
        while self._busy >= self._most:
            now = time.monotonic()
            unheard = now - max(began, self._answered)
            if self._silent or unheard > WAIT_SECONDS or now - began > LONGEST_SECONDS:
                raise UnavailableError(
                    "The broker (Valkey or Redis) does not answer, and enough requests wait for it already; "
                    "nothing was done."
                )
            await anyio.sleep(LOOK_SECONDS)


def in_store_threads(endpoint: Callable[_P, _T]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Make an endpoint, which has a parameter ``services``, run in the threads for the store."""

    @functools.wraps(endpoint)
    async def run(*args: _P.args, **values: _P.kwargs) -> _T:
        threads: StoreThreads = values["services"].store_threads  # type: ignore[attr-defined]
        return await threads.run(functools.partial(endpoint, *args, **values))

    return run
