"""Connections that never end a request, over raw sockets."""

import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn

from api.rest.app import create_app
from api.rest.bounds import connections
from api.rest.server import Server, configured, listen
from queue_worker.settings import Settings

HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@contextmanager
def served(config: uvicorn.Config) -> Iterator[tuple[str, int]]:
    listener = listen(Settings(port=0))
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


PATIENCE = 200
"""Bytes or lines that a slow client sends at most, one every tenth of a second."""


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server whose patience is short."""
    monkeypatch.setattr(connections.BoundedProtocol, "head_seconds", 0.5)
    monkeypatch.setattr(connections.BoundedProtocol, "body_seconds", 0.5)
    monkeypatch.setattr(connections.BoundedProtocol, "answer_seconds", 0.5)
    with served(configured(create_app(Settings(home=tmp_path)), log_level="critical")) as address:
        yield address


def said(client: socket.socket) -> bytes:
    """All that comes until the other side closes, which must be soon."""
    client.settimeout(20)
    pieces = []
    while True:
        try:
            piece = client.recv(65_536)
        except ConnectionError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0", b"G"])
def test_a_head_that_does_not_end_ends_the_connection(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as client:
        client.sendall(sent)
        answer = said(client)
    assert answer.startswith(b"HTTP/1.1 408") if sent else answer == b""


def test_dripping_does_not_help(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):  # the server ends it, before the client has enough
            for _ in range(PATIENCE):
                client.sendall(b"X-A: b\r\n")
                time.sleep(0.1)


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"Content-Length: 1000\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nff",
        b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 100000\r\n\r\n--x\r\n",
        # Refused without a look at the body: what comes of it afterwards is not waited for without end.
        b"POST /v1/jobs HTTP/1.1\r\nHost: other.example\r\nContent-Length: 1000\r\n\r\n{",
    ],
    ids=["length", "chunked", "in a chunk's size", "upload", "refused"],
)
def test_a_body_that_does_not_go_on_ends_the_connection(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as client:
        client.sendall(sent)
        with pytest.raises(ConnectionError):  # a byte now and then is not enough
            for _ in range(PATIENCE):
                client.sendall(b" ")
                time.sleep(0.1)


def test_a_second_request_has_its_own_time_and_a_good_one_is_not_cut(address: tuple[str, int]) -> None:
    ask = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(address) as client:
        for _ in range(3):
            client.sendall(ask[:20])
            time.sleep(0.2)
            client.sendall(ask[20:])
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.7)  # longer than a head may take: nothing has begun
        client.sendall(ask[:20])
        assert said(client).startswith(b"HTTP/1.1 408")


def test_a_slow_body_that_goes_on_is_taken(address: tuple[str, int]) -> None:
    body = b'{"inputs": ["a.csv"], "tasks": []' + b" " * 20_000 + b"}"
    with socket.create_connection(address) as client:
        client.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 2500):
            client.sendall(body[start : start + 2500])
            time.sleep(0.15)
        assert said(client).startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize("path", [b"/v1/jobs", b"/v1/files", b"/v1/classify"])
@pytest.mark.parametrize("order", [0, 1])
def test_two_lengths_are_refused(address: tuple[str, int], path: bytes, order: int) -> None:
    lengths = [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
    first, second = lengths if order else lengths[::-1]
    smuggled = b"GET /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(address) as client:
        client.sendall(
            b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n" % path + first + second + b"\r\n0\r\n\r\n" + smuggled
        )
        answer = said(client)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"both Content-Length and Transfer-Encoding" in answer
    assert answer.count(b"HTTP/1.1 ") == 1  # what came behind it is no request


def test_half_open_connections_do_not_silence_the_server(tmp_path: Path) -> None:
    config = configured(create_app(Settings(home=tmp_path)), log_level="critical")
    config.http = connections.bounded(20)
    with served(config) as address, ExitStack() as stack:
        for number in range(100):
            client = stack.enter_context(socket.create_connection(address))
            client.sendall(b"GET /healthz HTTP/1.1\r\n" if number % 2 else b"")
        for _ in range(3):
            with socket.create_connection(address) as client:
                client.sendall(ALIVE)
                assert said(client).startswith(b"HTTP/1.1 200")


def test_connections_whose_requests_are_under_way_are_kept(tmp_path: Path) -> None:
    config = configured(create_app(Settings(home=tmp_path)), log_level="critical")
    config.http = connections.bounded(3)
    body = b'{"inputs": []}'
    with served(config) as address, ExitStack() as stack:
        busy = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
        for client in busy:
            client.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        time.sleep(0.3)
        with socket.create_connection(address) as client:
            assert said(client) == b""  # one too many
        for client in busy:
            client.sendall(body)
            assert said(client).startswith(b"HTTP/1.1 422")


def test_descriptors_are_raised_to_what_the_system_allows() -> None:
    program = (
        "import resource\n"
        "from api.rest.bounds.connections import most_connections, raise_descriptor_limit\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))\n"
        "raised = raise_descriptor_limit()\n"
        "print(raised, resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    raised, soft, hard = map(int, answer.stdout.split())
    assert raised == soft
    if hard == resource.RLIM_INFINITY:
        hard = connections.MOST_DESCRIPTORS
    assert soft == min(hard, connections.MOST_DESCRIPTORS)


@pytest.mark.parametrize(
    ("descriptors", "most"), [(64, 32), (1024, 768), (4096, 3840), (65_536, connections.MOST_CONNECTIONS)]
)
def test_the_limit_leaves_room_for_files(descriptors: int, most: int) -> None:
    assert connections.most_connections(descriptors) == most
