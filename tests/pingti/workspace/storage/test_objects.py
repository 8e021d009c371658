"""The interface over stores: the same on a folder, in memory and on a real S3 server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pingti import remote
from pingti.errors import InputError, NotFoundError, UnavailableError
from pingti.workspace.storage import Storage
from tests.support.object_store import BUCKET, Server, serving


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "s3":
        with serving():
            yield Storage(f"s3://{BUCKET}/base")
        return
    yield Storage(f"file://{tmp_path}/base" if request.param == "file" else f"memory://{tmp_path.name}/base")


def test_an_object_is_read_as_it_was_put(store: Storage, tmp_path: Path) -> None:
    assert store.get("a/b.bin") is None
    store.put_bytes("a/b.bin", b"first")
    store.put_bytes("a/b.bin", b"second")
    assert store.read("a/b.bin") == b"second"
    (tmp_path / "c").write_bytes(b"file")
    checksum = store.put_file("a/c.bin", tmp_path / "c")
    assert checksum == "3b9c358f36f0a31b6ad3e14f309c7cf198ac9246e8316f9ce543d5b19ac02b80"
    assert {key: entry.size for key, entry in store.entries("a").items()} == {"a/b.bin": 6, "a/c.bin": 4}
    store.delete("a/b.bin")
    store.delete("a/b.bin")
    assert list(store.entries("")) == ["a/c.bin"]
    with pytest.raises(NotFoundError, match=r"a/b\.bin: no such object"):
        store.read("a/b.bin")


def test_a_listing_is_of_the_folder_alone(store: Storage) -> None:
    for key in ("jobs/1/a", "jobs/1/b/c", "jobs/11/a"):
        store.put_bytes(key, b"x")
    assert list(store.entries("jobs/1")) == ["jobs/1/a", "jobs/1/b/c"]
    assert store.delete_below("jobs/1") == 2
    assert list(store.entries("jobs")) == ["jobs/11/a"]
    assert store.entries("nowhere") == {}


def test_one_of_many_creates_an_object(store: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda number: store.create("mark", b"%d" % number), range(8)))
    assert sum(created) == 1
    assert store.read("mark") == b"%d" % created.index(True)


def test_s3_itself_refuses_the_second(bucket: Storage) -> None:
    bucket.put_bytes("mark", b"1")
    filesystem, path = remote.open_filesystem(bucket.at("mark"))
    with pytest.raises(FileExistsError):
        filesystem.pipe_file(path, b"2", mode="create")
    assert bucket.read("mark") == b"1"


def test_a_copy_holds_the_same(store: Storage) -> None:
    store.put_bytes("a", b"bytes")
    store.copy("a", store.at("other/b"))
    assert store.read("other/b") == b"bytes"


def test_another_object_has_another_tag(store: Storage) -> None:
    store.put_bytes("a", b"12345")
    before = remote.look(store.at("a"))
    store.put_bytes("a", b"54321")
    after = remote.look(store.at("a"))
    assert before is not None
    assert after is not None
    assert (before.size, before.address) == (after.size, after.address)
    assert before.tag != after.tag


# -- what a store and a network do


@pytest.mark.parametrize("kind", ["slow down", "cut", "reset"])
def test_what_passes_is_waited_out(s3: Server, bucket: Storage, kind: str) -> None:
    data = bytes(range(256)) * 4000
    bucket.put_bytes("a", data)
    fault = s3.fail("GET .*base/a", kind, times=2)
    assert bucket.read("a") == data
    assert fault.times == 0


@pytest.mark.parametrize("kind", ["slow down", "reset"])
def test_a_put_is_tried_again(s3: Server, bucket: Storage, kind: str) -> None:
    fault = s3.fail("PUT .*base/a", kind, times=2)
    bucket.put_bytes("a", b"x" * 100_000)
    assert fault.times == 0
    assert len(bucket.read("a")) == 100_000


def test_a_read_that_breaks_off_in_the_middle_goes_on(s3: Server, bucket: Storage) -> None:
    data = bytes(range(256)) * 40_000
    bucket.put_bytes("a", data)
    fault = s3.fail("GET .*base/a", "cut", times=2)
    with remote.open_binary(bucket.at("a")) as file:
        file.seek(5000)
        assert file.read(100) == data[5000:5100]
        assert file.read() == data[5100:]
    assert fault.times == 0


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("slow down", UnavailableError, "the store asks for fewer requests"),
        ("reset", UnavailableError, "the store cannot be reached, or broke off"),
        ("forbidden", InputError, "the store refuses it: the credentials lack a permission"),
    ],
)
def test_what_stays_is_one_sentence(
    s3: Server,
    bucket: Storage,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    error: type[Exception],
    words: str,
) -> None:
    monkeypatch.setattr("pingti.remote._ATTEMPTS", 1)
    remote.forget_connections()
    bucket.put_bytes("a", b"x")
    s3.fail("base/a", kind, times=1000)
    with pytest.raises(error, match=f"s3://{BUCKET}/base/a: {words}") as raised:
        bucket.read("a")
    assert "\n" not in str(raised.value)
    assert type(raised.value) is error
    with pytest.raises(error, match=words):
        bucket.put_bytes("a", b"y")


def test_a_slow_listing_is_waited_for(s3: Server, bucket: Storage) -> None:
    bucket.put_bytes("a", b"x")
    fault = s3.fail(r"GET /[^/]+\?.*list-type", "delay", seconds=1.5)
    assert list(bucket.entries("")) == ["a"]
    assert fault.times == 0


def test_a_missing_bucket_and_server_are_told(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="s3://nobodys/a: no such bucket"):
        Storage("s3://nobodys").put_bytes("a", b"x")
    with pytest.raises(InputError, match="s3://nobodys/a: no such bucket"):
        Storage("s3://nobodys").get("a")
    monkeypatch.setattr("pingti.remote._ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    remote.forget_connections()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        Storage(f"s3://{BUCKET}").get("a")


def test_without_credentials_the_sentence_says_where_they_come_from(
    s3: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    remote.forget_connections()
    with pytest.raises(InputError, match="no credentials for this store; give them by the environment"):
        Storage(f"s3://{BUCKET}").get("a")


# -- addresses


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIASECRET:hunter2@bucket/x",
        "s3://AKIASECRET@bucket/x",
        "s3://bucket/x.csv?X-Amz-Signature=hunter2",
        "gs://bucket/x?access_token=hunter2",
        "abfs://container@account.dfs.core.windows.net/x?sig=hunter2",
        "https://host/x.csv?AWSAccessKeyId=AKIASECRET&Signature=hunter2",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(InputError, match="holds credentials") as raised:
        remote.open_filesystem(address)
    assert "hunter2" not in str(raised.value)
    assert "AKIASECRET" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "package", "extra"), [("gs://b/x", "gcsfs", "gcs"), ("abfs://b/x", "adlfs", "azure")]
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str, package: str, extra: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=rf"{package} is missing: install .*pip install .*\[{extra}\]"):
        remote.open_filesystem(address)


@pytest.mark.parametrize("address", ["", "bucket/x", "nosuch://bucket", "s3://", "http://host/x"])
def test_what_is_no_store_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="is no address of a store"):
        Storage(address)


def test_an_object_is_read_in_one_request_and_copied_in_two(s3: Server, bucket: Storage) -> None:
    bucket.put_bytes("a", b"one")
    for ask, requests in (
        (lambda: bucket.read("a"), {"GET": 1}),
        (lambda: bucket.get("none"), {"GET": 1}),
        (lambda: bucket.copy("a", bucket.at("b")), {"HEAD": 1, "PUT": 1}),
    ):
        s3.requests.clear()
        ask()
        assert dict(s3.requests) == requests
    assert bucket.read("b") == b"one"


def test_an_object_that_changes_while_it_is_read_is_said(bucket: Storage) -> None:
    bucket.put_bytes("a.csv", bytes(12 << 20))
    with remote.open_binary(bucket.at("a.csv")) as file:
        assert len(file.read(1000)) == 1000
        bucket.put_bytes("a.csv", b"x" * (12 << 20))
        file.seek(11 << 20)
        with pytest.raises(InputError, match=r"a\.csv: another object took its place while it was read"):
            file.read(1000)
