"""Google's and Azure's stores by their own packages, against emulators; where both are installed."""

import importlib.util
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pingti import remote
from pingti.errors import InputError
from pingti.workspace.storage import Cache, Storage

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours
AZURITES_ACCOUNT = "devstoreaccount1"
AZURITES_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Known to all: it stands in the emulator's documentation."""


def missing(*packages: str) -> bool:
    return any(importlib.util.find_spec(name) is None for name in packages)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def google(monkeypatch: pytest.MonkeyPatch, _: Path) -> Iterator[str]:
    from gcp_storage_emulator import server as emulator  # type: ignore[import-not-found]

    # It looks for one by default, and says so with a traceback: the client closes a connection first.
    logging.getLogger("gcsfs").setLevel(logging.ERROR)
    port = free_port()
    server: Any = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bench")
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    try:
        yield "gs://bench/pingti"
    finally:
        server.stop()


@contextmanager
def azure(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[str]:
    from azure.storage.blob import BlobServiceClient  # type: ignore[import-not-found]

    port = free_port()
    options = ["--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    server = subprocess.Popen(["azurite-blob", *options, "--disableTelemetry"])
    account = f"AccountName={AZURITES_ACCOUNT};AccountKey={AZURITES_KEY}"
    endpoint = f"BlobEndpoint=http://127.0.0.1:{port}/{AZURITES_ACCOUNT}"
    connection = f"DefaultEndpointsProtocol=http;{account};{endpoint};"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    try:
        until_listening(port)
        BlobServiceClient.from_connection_string(connection).create_container("bench")
        yield "abfs://bench/pingti"
    finally:
        server.kill()
        server.wait()


def until_listening(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the emulator does not listen")


@pytest.fixture(
    params=[
        pytest.param(
            google,
            marks=pytest.mark.skipif(
                missing("gcsfs", "gcp_storage_emulator"), reason="needs gcsfs and gcp-storage-emulator"
            ),
            id="gs",
        ),
        pytest.param(
            azure,
            marks=pytest.mark.skipif(
                missing("adlfs") or shutil.which("azurite-blob") is None,
                reason="needs adlfs, and azurite-blob on the PATH",
            ),
            id="abfs",
        ),
    ]
)
def bucket(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Storage]:
    with request.param(monkeypatch, tmp_path_factory.mktemp("emulator")) as address:
        remote.forget_connections()
        try:
            yield Storage(address)
        finally:
            remote.forget_connections()


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
