"""Serve the REST API and the dashboard with uvicorn, from the settings."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import cast

import uvicorn
import uvicorn.config
from fastapi import FastAPI

from api.keys import KeyRing
from api.rest.app import create_app
from api.rest.bounds.connections import bounded, most_connections, raise_descriptor_limit
from api.rest.dependencies import api_key
from api.rest.middleware import is_loopback
from pingti.errors import InputError, PingtiError, UnavailableError
from queue_worker.celery_app import shorten_pauses
from queue_worker.processes.server_check import refuse_unfit_server
from queue_worker.processes.workplace import refuse_other_workspace
from queue_worker.settings import Settings
from queue_worker.telemetry import logs, traces


def listen(settings: Settings) -> socket.socket:
    """Bind the address of ``settings`` (port 0: a free one).

    Raises:
        InputError: the host is not a loopback address and there is no key.
        UnavailableError: the address cannot be bound.
    """
    if not is_loopback(settings.host) and not KeyRing(settings.home, api_key(settings)).keys():
        raise InputError(
            f"The server would listen on {settings.host} without an API key; make one by pingti keys add, "
            "set PINGTI_API_KEY, or listen on 127.0.0.1."
        )
    return bind(
        settings.host,
        settings.port,
        refusal="The server cannot listen on",
        hint="if that is not Pingti already, name another port by --port or PINGTI_PORT",
    )


def bind(host: str, port: int, *, refusal: str, hint: str) -> socket.socket:
    """Bind an address (port 0: a free one).

    Args:
        host: a name or an address.
        port: of it.
        refusal: how the error begins, before the address.
        hint: what to do then.

    Raises:
        UnavailableError: it cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # Connections take it over. Without it an answer in two pieces waits 40 ms for the client's receipt;
        # asyncio sets it for sockets of its own making alone.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        # The system's own words: Python's add which address it was at, which is said here anyway.
        number = error.errno or 0  # below 0 where a name is not resolved
        reason = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise UnavailableError(f"{refusal} {host}, port {port}: {reason}; {hint}.") from error


def url(listener: socket.socket) -> str:
    """Where a browser on this machine reaches ``listener``."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(settings: Settings, listener: socket.socket | None = None, *, log_level: str = "warning") -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: host, port, keys, and what is served.
        listener: a socket from ``listen``; bound here where absent.
        log_level: of uvicorn's log.

    SIGINT leaves as KeyboardInterrupt and SIGTERM as SystemExit(143), after the last answer, so that a
    caller's ``with`` blocks end what they started.
    """
    refuse_unfit_server(settings)
    refuse_other_workspace(settings)
    listener = listener or listen(settings)
    app = create_app(settings)
    if traces.start("pingti-api"):
        traces.trace_requests(app)
    config = configured(app, log_level=log_level, json_logs=settings.log_format == "json")
    host, port = listener.getsockname()[:2]
    locked = KeyRing(settings.home, api_key(settings)).keys()
    key = "with an API key" if locked else "without an API key, this machine only"
    sys.stderr.write(f"Pingti listens on {host}, port {port} ({key}): {url(listener)}\n")
    sys.stderr.flush()
    with listener, sigterm_as_exit():
        Server(config).run(sockets=[listener])


def configured(app: FastAPI, *, log_level: str = "warning", json_logs: bool = False) -> uvicorn.Config:
    """How ``app`` is served: with limits of time and number for its connections.

    Args:
        app: what answers.
        log_level: of uvicorn's log.
        json_logs: whether all of this process's logs are JSON.
    """
    if json_logs:
        logs.configure("json", logging.WARNING)
    return uvicorn.Config(
        app,
        log_config=None if json_logs else uvicorn.config.LOGGING_CONFIG,
        http=bounded(most_connections(raise_descriptor_limit())),
        ws="none",
        log_level=log_level,
        access_log=False,
        server_header=False,
        # Downloads that still run at the end get this many seconds.
        timeout_graceful_shutdown=5,
    )


class Server(uvicorn.Server):
    """uvicorn's, without its long pauses at work and at the end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then answers come without a pause."""
        await super().startup(sockets)
        shorten_pauses()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, after the event streams have ended."""
        # The event streams first: uvicorn waits for every answer, and theirs have no end of their own.
        app = cast("FastAPI", self.config.app)
        if hasattr(app.state, "feed"):
            await app.state.feed.close()
        await super().shutdown(sockets)


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """SIGTERM raises SystemExit(143) in the block, so that what it started ends in order."""
    # uvicorn sends itself the signal again when it has ended; the default action would end the process there.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(run: Callable[[], None]) -> int:
    """Run a server to its end; what was foreseen ends in a sentence on standard error and an exit code."""
    try:
        run()
    except PingtiError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def main() -> int:
    """``python -m api.rest.server``: serve with the settings of the environment."""
    return exit_code(lambda: serve(Settings.of_environment()))


if __name__ == "__main__":
    sys.exit(main())
