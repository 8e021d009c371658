"""Local copies of objects: once for each content, checked, and bounded."""

import os
import time
from pathlib import Path

import pytest

from pingti import remote
from pingti.errors import ArtifactError, InputError
from pingti.remote import Entry
from pingti.workspace.storage import Cache, Storage
from tests.support.object_store import Server

_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"  # of b"test"


def _entry(store: Storage, key: str) -> Entry:
    entry = remote.look(store.at(key))
    assert entry is not None
    return entry


def test_an_input_is_fetched_once_and_again_when_it_has_changed(
    s3: Server, bucket: Storage, tmp_path: Path
) -> None:
    cache = Cache(tmp_path, 1 << 30)
    bucket.put_bytes("t/day=2025-11-03/a.csv", b"one")
    first = _entry(bucket, "t/day=2025-11-03/a.csv")
    path = cache.input(first)
    assert path.read_bytes() == b"one"
    assert path.parts[-2:] == ("day=2025-11-03", "a.csv")
    gets = s3.requests["GET"]
    assert cache.input(first) == path
    assert s3.requests["GET"] == gets
    bucket.put_bytes("t/day=2025-11-03/a.csv", b"two")
    assert cache.input(_entry(bucket, "t/day=2025-11-03/a.csv")).read_bytes() == b"two"


def test_an_input_that_was_replaced_is_refused(bucket: Storage, tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1 << 30)
    bucket.put_bytes("a.csv", b"one")
    accepted = _entry(bucket, "a.csv")
    bucket.put_bytes("a.csv", b"two")
    with pytest.raises(InputError, match=r"a\.csv: was changed or replaced after the job was accepted"):
        cache.input(accepted)
    bucket.delete("a.csv")
    with pytest.raises(InputError, match=r"a\.csv: no such file"):
        cache.input(accepted)


def test_a_tag_that_is_no_checksum_is_compared_with_the_store(bucket: Storage, tmp_path: Path) -> None:
    memory = Storage(f"memory://{tmp_path.name}")
    memory.put_bytes("a.csv", b"one")
    accepted = _entry(memory, "a.csv")
    assert Cache(tmp_path, 1 << 30).input(accepted).read_bytes() == b"one"
    memory.put_bytes("a.csv", b"two")
    with pytest.raises(InputError, match="was changed or replaced"):
        Cache(tmp_path / "other", 1 << 30).input(accepted)


def test_a_damaged_object_is_refused(bucket: Storage, tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1 << 30)
    bucket.put_bytes("student.bin", b"tost")
    with pytest.raises(ArtifactError, match=r"student\.bin: damaged"):
        cache.object(bucket, "student.bin", _SHA)
    bucket.put_bytes("student.bin", b"test")
    assert cache.object(bucket, "student.bin", _SHA).read_bytes() == b"test"
    bucket.delete("student.bin")
    assert cache.object(bucket, "student.bin", _SHA).read_bytes() == b"test"


def test_the_oldest_make_room_and_what_was_just_used_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingti.workspace.storage.cache._LOOK_BYTES", 1)
    store, cache = Storage(f"memory://{tmp_path.name}"), Cache(tmp_path, 2500)
    paths = []
    for number in range(4):
        store.put_bytes(f"{number}.csv", b"x" * 1000)
        paths.append(cache.input(_entry(store, f"{number}.csv")))
        if number != 1:
            os.utime(paths[-1], (time.time() - 1000 + number,) * 2)
    store.put_bytes("last.csv", b"x" * 1000)
    paths.append(cache.input(_entry(store, "last.csv")))
    assert [path.exists() for path in paths] == [False, True, False, False, True]
