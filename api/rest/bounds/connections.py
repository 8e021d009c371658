"""Connections that end: time limits for a request's head and body, and a limit of their number.

uvicorn waits without end for a client that has begun and says no more. Such clients need no key, and each
holds a descriptor; so a head must be whole within some seconds of its first byte, a body must go on, an
answer must be taken. Where there are too many connections, the one that has waited longest without a whole
request goes, so that those who ask are answered.
"""

import asyncio
import resource
import socket
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # from the connection, or the first byte of a further request, to the end of its head
BODY_SECONDS = 30.0  # in which a body must bring BODY_BYTES, or its end
BODY_BYTES = 1024
ANSWER_SECONDS = 60.0  # that a client may take nothing of an answer that waits for it
MOST_CONNECTIONS = 4096
MOST_DESCRIPTORS = 65_536
_OTHER_DESCRIPTORS = 256  # files, the store's connections

_TOO_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_LATE_PROBLEM = (
    b'{"type": "/problems#bad-request", "title": "The request cannot be read", "status": 408, '
    b'"detail": "The request\'s head was not whole within 10 seconds."}'
)


def raise_descriptor_limit() -> int:
    """Let this process open as many files as the system allows it; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    with suppress(OSError, ValueError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def most_connections(descriptors: int) -> int:
    """How many connections there may be where so many files may be open."""
    return min(MOST_CONNECTIONS, max(descriptors - _OTHER_DESCRIPTORS, descriptors // 2))


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with limits of time and number."""

    most = MOST_CONNECTIONS
    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    answer_seconds = ANSWER_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        """As of uvicorn."""
        super().__init__(*args, **options)
        self._phase = ""  # what is waited for: the head, the body, or nothing
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._slow_reader: asyncio.TimerHandle | None = None
        self._bytes = 0  # of the body, since its timer began

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None:
            with suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if len(self.connections) > self.most:
            self._make_room()
        self._wait_for("head")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._wait_for("")
        self._stop_slow_reader()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        self._bytes += len(data)
        super().data_received(data)
        self._look()

    def pause_writing(self) -> None:
        """The client takes nothing of what is written."""
        super().pause_writing()
        self._slow_reader = self.loop.call_later(self.answer_seconds, self._abort)

    def resume_writing(self) -> None:
        """It does again."""
        self._stop_slow_reader()
        super().resume_writing()

    # -- what uvicorn calls

    def on_response_complete(self) -> None:
        """Look what is waited for after an answer."""
        super().on_response_complete()
        self._look()

    # --

    def _look(self) -> None:
        """Find out what is waited for now."""
        if self.transport.is_closing():
            self._wait_for("")
        elif self.conn.their_state is h11.SEND_BODY:
            self._wait_for("body")
        elif self.conn.their_state is h11.IDLE and (self.cycle is None or self.conn.trailing_data[0]):
            self._wait_for("head")
        else:  # an answer is being made, or uvicorn waits for a further request itself
            self._wait_for("")

    def _wait_for(self, phase: str) -> None:
        """Start the timer of a phase that begins; one that goes on keeps its own."""
        if phase == self._phase:
            return
        self._phase, self._since = phase, self.loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase == "head":
            self._timer = self.loop.call_later(self.head_seconds, self._head_is_late)
        elif phase == "body":
            self._bytes = 0
            self._timer = self.loop.call_later(self.body_seconds, self._look_at_body)

    def _head_is_late(self) -> None:
        if not self.transport.is_closing():
            if self.conn.trailing_data[0]:
                self.transport.write(_TOO_LATE % (len(_LATE_PROBLEM), _LATE_PROBLEM))
            self.transport.close()

    def _look_at_body(self) -> None:
        # Where nobody reads the body here, its sender is not the one who is late.
        if self._bytes < BODY_BYTES and not self.flow.read_paused:
            self._abort()
            return
        self._bytes = 0
        self._timer = self.loop.call_later(self.body_seconds, self._look_at_body)

    def _abort(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _stop_slow_reader(self) -> None:
        if self._slow_reader is not None:
            self._slow_reader.cancel()
            self._slow_reader = None

    def _make_room(self) -> None:
        """Close the connection that has waited longest without a whole request; this one, where none has."""
        waiting = [
            other
            for other in self.connections
            if isinstance(other, BoundedProtocol) and other is not self and other.is_idle
        ]
        oldest = min(waiting, key=lambda other: other._since, default=self)
        oldest._abort()
        oldest.connections.discard(oldest)

    @property
    def is_idle(self) -> bool:
        """Whether no request of it is under way, or one whose head is not whole yet."""
        return self._phase == "head" or self.cycle is None or bool(self.cycle.response_complete)


def bounded(most: int) -> type[BoundedProtocol]:
    """The protocol of a server that may have so many connections."""
    return type("BoundedProtocol", (BoundedProtocol,), {"most": most})
