"""What tells an object from one that took its place, by what each store says of it."""

from typing import Any

import pytest

from pingti import remote


class _Store:
    def __init__(self, info: dict[str, Any]) -> None:
        self.info = lambda path: {"type": "file", "name": path, "size": 3, **info}


@pytest.mark.parametrize(
    ("says", "tag"),
    [
        ({"ETag": '"abc-2"', "LastModified": "today"}, "abc-2"),  # S3
        ({"generation": "17", "etag": "CIj", "mtime": "today"}, "17"),  # Google: not by its metadata
        ({"etag": "0x8D", "last_modified": "today"}, "0x8D"),  # Azure
        ({"created": "today"}, "today"),  # memory
        ({"created": 1.0, "mtime": 2.0, "ino": 5}, "2.0 5"),  # a local file
        ({}, ""),
    ],
)
def test_of_each_store(monkeypatch: pytest.MonkeyPatch, says: dict[str, Any], tag: str) -> None:
    monkeypatch.setattr(remote, "open_filesystem", lambda address: (_Store(says), "bucket/a"))
    entry = remote.look("gs://bucket/a")
    assert entry is not None
    assert (entry.tag, entry.size) == (tag, 3)
