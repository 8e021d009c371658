"""An S3 server on loopback, to which the environment of a test leads."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import pytest

from benchmarks.object_store import Server, variables
from pingti import remote
from pingti.workspace.storage import Storage, students

BUCKET = "pingti-tests"


def require_s3() -> None:
    """Skip where the server or the client is not installed; on CI that is a failure."""
    missing = [name for name in ("moto", "s3fs", "flask") if importlib.util.find_spec(name) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI needs an S3 server: {', '.join(missing)} missing")
    if missing:
        pytest.skip(f"needs an S3 server on loopback (extra dev): {', '.join(missing)} missing")


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
    environment = variables(server.url)
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    remote.forget_connections()
    try:
        filesystem, _ = remote.open_filesystem(f"s3://{BUCKET}/x")
        filesystem.mkdir(BUCKET)
        yield server
    finally:
        remote.forget_connections()
        students.forget()
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
