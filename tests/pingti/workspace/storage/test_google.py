"""Google's store by its own package, against an emulator of it; where both are installed."""

import importlib.util
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pingti import remote
from pingti.errors import InputError
from pingti.workspace.storage import Cache, Storage

pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("gcsfs", "gcp_storage_emulator")),
        reason="needs gcsfs and gcp-storage-emulator",
    ),
    pytest.mark.filterwarnings("ignore"),  # of packages that are not ours
]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    from gcp_storage_emulator import server as emulator  # type: ignore[import-not-found]

    # It looks for one by default, and says so with a traceback: the client closes a connection first.
    logging.getLogger("gcsfs").setLevel(logging.ERROR)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server: Any = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bench")
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    remote.forget_connections()
    try:
        yield Storage("gs://bench/pingti")
    finally:
        remote.forget_connections()
        server.stop()


def test_what_pingti_does_with_a_store(bucket: Storage, tmp_path: Path) -> None:
    bucket.put_bytes("a/b.csv", b"text\nhi\n")
    (tmp_path / "f").write_bytes(b"x" * 1000)
    bucket.put_file("a/f", tmp_path / "f")
    bucket.copy("a/f", bucket.at("a/g"))
    assert (bucket.read("a/b.csv"), bucket.get("a/none"), len(bucket.read("a/g"))) == (
        b"text\nhi\n",
        None,
        1000,
    )
    assert [bucket.create("a/c", b"1"), bucket.create("a/c", b"2"), bucket.read("a/c")] == [True, False, b"1"]
    assert list(bucket.entries("a")) == ["a/b.csv", "a/c", "a/f", "a/g"]
    assert [entry.address for entry in remote.entries_matching(bucket.at("a/*.csv"))[0]] == [
        bucket.at("a/b.csv")
    ]
    bucket.delete("a/g")
    bucket.delete("a/g")
    assert bucket.delete_below("a") == 3
    assert bucket.entries("") == {}


def test_an_input_that_was_replaced_is_refused(bucket: Storage, tmp_path: Path) -> None:
    bucket.put_bytes("a.csv", b"one")
    accepted = remote.look(bucket.at("a.csv"))
    assert accepted is not None
    assert Cache(tmp_path, 1 << 20).input(accepted).read_bytes() == b"one"
    bucket.put_bytes("a.csv", b"two")
    with pytest.raises(InputError, match="was changed or replaced"):
        Cache(tmp_path / "other", 1 << 20).input(accepted)
