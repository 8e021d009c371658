"""A real S3 server on loopback (moto's), with faults of a store's and a network's kind before it."""

import importlib.util
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest

from pingti import remote
from pingti.workspace.storage import Storage

BUCKET = "pingti-tests"
_ERROR = "<Error><Code>{code}</Code><Message>{message}</Message></Error>"


def require_s3() -> None:
    """Skip where the server or the client is not installed; on CI that is a failure."""
    missing = [name for name in ("moto", "s3fs", "flask") if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI needs an S3 server: {', '.join(missing)} missing")
    if missing:
        pytest.skip(f"needs an S3 server on loopback (extra dev): {', '.join(missing)} missing")


@dataclass
class Fault:
    """What befalls the requests that a pattern of "METHOD /path" matches, the first ``times`` of them."""

    pattern: str
    kind: str
    """"slow down" (503), "forbidden" (403), "cut" (the answer breaks off), "reset", or "delay"."""
    times: int = 1
    seconds: float = 0.0


class Server:
    """The server, and the faults that it has just now."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self.faults: list[Fault] = []
        self.requests: Counter[str] = Counter()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, pattern: str, kind: str, *, times: int = 1, seconds: float = 0.0) -> Fault:
        fault = Fault(pattern, kind, times, seconds)
        with self._lock:
            self.faults.append(fault)
        return fault

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}"
        with self._lock:
            self.requests[environ["REQUEST_METHOD"]] += 1
            fault = next((one for one in self.faults if one.times and re.search(one.pattern, request)), None)
            if fault is not None:
                fault.times -= 1
        if fault is None:
            return self._app(environ, start)
        if fault.kind == "delay":
            time.sleep(fault.seconds)
            return self._app(environ, start)
        if fault.kind == "reset":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        if fault.kind == "cut":
            return _cut(self._app(environ, start))
        code, status = (
            ("SlowDown", "503 Slow Down") if fault.kind == "slow down" else ("AccessDenied", "403 Forbidden")
        )
        message = "Please reduce your request rate." if fault.kind == "slow down" else "Access Denied"
        body = _ERROR.format(code=code, message=message).encode()
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _cut(answer: Iterable[bytes]) -> Iterator[bytes]:
    data = b"".join(answer)
    yield data[: len(data) // 2]
    raise ConnectionResetError


@lru_cache(maxsize=1)
def _running() -> Server:
    """The one server of this process: to start it takes a second."""
    return Server()


@contextmanager
def serving() -> Iterator[Server]:
    """An S3 server with an empty bucket, to which the environment of this process and its children leads."""
    require_s3()

    from moto.s3.models import s3_backends

    server = _running()
    variables = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    remote.forget_connections()
    try:
        filesystem, _ = remote.open_filesystem(f"s3://{BUCKET}/x")
        filesystem.mkdir(BUCKET)
        yield server
    finally:
        remote.forget_connections()
        server.faults.clear()
        server.requests.clear()
        s3_backends.reset()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture
def s3() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def bucket(s3: Server) -> Storage:
    """A folder of an empty bucket."""
    return Storage(f"s3://{BUCKET}/base")
