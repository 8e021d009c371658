"""A real S3 server on loopback (moto's) for tests, chaos and benchmarks, with a store's faults.

``python -m benchmarks.object_store --bucket bench`` serves until it is ended; with ``--faults 0.05`` one
request in twenty is refused, cut, dropped or late.
"""

import argparse
import os
import random
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pingti import remote

_ERROR = "<Error><Code>{code}</Code><Message>{message}</Message></Error>"
_ANY = ("slow down", "cut", "reset", "delay")


@dataclass
class Fault:
    """What befalls the first ``times`` requests that a pattern of "METHOD /path?query" matches."""

    pattern: str
    kind: str
    """"slow down" (503), "forbidden" (403), "cut" (the answer breaks off), "reset", or "delay"."""
    times: int = 1
    seconds: float = 0.0


class Server:
    """The server, and the faults that it has just now."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, share: float = 0.0, seed: int = 0) -> None:
        """It serves from now on, in threads of this process.

        Args:
            host: address to listen at.
            port: 0: a free one.
            share: of the requests that a fault befalls, whatever they are.
            seed: of the choice of those.
        """
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._rng, self._share = random.Random(seed), share
        self.faults: list[Fault] = []
        self.requests: Counter[str] = Counter()
        self._server = make_server(host, port, self._answer, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, pattern: str, kind: str, *, times: int = 1, seconds: float = 0.0) -> Fault:
        fault = Fault(pattern, kind, times, seconds)
        with self._lock:
            self.faults.append(fault)
        return fault

    def _fault(self, environ: dict[str, Any]) -> Fault | None:
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}"
        with self._lock:
            self.requests[environ["REQUEST_METHOD"]] += 1
            fault = next((one for one in self.faults if one.times and re.search(one.pattern, request)), None)
            if fault is not None:
                fault.times -= 1
            elif self._rng.random() < self._share:
                fault = Fault("", self._rng.choice(_ANY), seconds=self._rng.uniform(0.1, 1.0))
        return fault

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        fault = self._fault(environ)
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
        slow = fault.kind == "slow down"
        code, status = ("SlowDown", "503 Slow Down") if slow else ("AccessDenied", "403 Forbidden")
        message = "Please reduce your request rate." if slow else "Access Denied"
        body = _ERROR.format(code=code, message=message).encode()
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _cut(answer: Iterable[bytes]) -> Iterator[bytes]:
    data = b"".join(answer)
    yield data[: len(data) // 2]
    raise ConnectionResetError


def variables(url: str) -> dict[str, str]:
    """The environment by which S3's own tools find the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--faults", type=float, default=0.0, help="share of the requests that fail")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    server = Server(host=options.host, port=options.port, share=options.faults, seed=options.seed)
    os.environ.update(variables(server.url))
    filesystem, _ = remote.open_filesystem(f"s3://{options.bucket}/x")
    filesystem.mkdir(options.bucket)
    sys.stdout.write(server.url + "\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
