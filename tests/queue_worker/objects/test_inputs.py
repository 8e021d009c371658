"""Inputs and outputs of jobs in stores: below the allowed addresses only."""

from pathlib import Path

import pytest

from pingti.errors import InputError
from pingti.workspace.storage import Storage
from queue_worker.objects.inputs import allowed_objects, allowed_output, fetch, local_input
from queue_worker.settings import FileStamp, Settings

_PREFIX = "memory://texts/open"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, input_urls=(_PREFIX,), output_urls=("memory://results/",))


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    storage = Storage("memory://texts")
    storage.delete_below("")
    for key in (
        "open/b.csv",
        "open/t/day=1/a.csv",
        "open/t/_SUCCESS",
        "open/t/.x.csv",
        "secret/a.csv",
        "openly.csv",
    ):
        storage.put_bytes(key, b"text\nhello\n")
    return storage


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (f"{_PREFIX}/b.csv", ["open/b.csv"]),
        (_PREFIX, ["open/b.csv", "open/t/day=1/a.csv"]),
        (f"{_PREFIX}/t", ["open/t/day=1/a.csv"]),
        (f"{_PREFIX}/t/", ["open/t/day=1/a.csv"]),
        (f"{_PREFIX}/t/day=*", ["open/t/day=1/a.csv"]),
        (f"{_PREFIX}/**/*.csv", ["open/b.csv", "open/t/day=1/a.csv"]),
    ],
)
def test_an_object_a_folder_and_a_pattern(
    settings: Settings, store: Storage, given: str, names: list[str]
) -> None:
    entries = allowed_objects(settings, given, most=10)
    assert [entry.address.removeprefix("memory://texts/") for entry in entries] == names
    assert all(entry.size == 11 for entry in entries)


@pytest.mark.parametrize(
    "given",
    [
        "memory://texts/secret/a.csv",
        "memory://texts/openly.csv",
        "memory://texts/open*/a.csv",
        "memory://texts/*/a.csv",
        f"{_PREFIX}/../secret/a.csv",
        f"{_PREFIX}/./b.csv",
        f"{_PREFIX}//b.csv",
        "memory://texts",
        "s3://texts/open/b.csv",
        "file:///etc/passwd",
    ],
)
def test_nothing_leads_out(settings: Settings, store: Storage, given: str) -> None:
    with pytest.raises(
        InputError, match="is not below an allowed address; a job's inputs are files below memory://"
    ):
        allowed_objects(settings, given, most=10)


def test_without_a_setting_nothing_is_allowed(tmp_path: Path, store: Storage) -> None:
    with pytest.raises(InputError, match="below none: PINGTI_INPUT_URLS names them"):
        allowed_objects(Settings(home=tmp_path), f"{_PREFIX}/b.csv", most=10)
    with pytest.raises(InputError, match="below none: PINGTI_OUTPUT_URLS names them"):
        allowed_output(Settings(home=tmp_path), "memory://results/a")


def test_credentials_are_not_repeated(settings: Settings) -> None:
    with pytest.raises(InputError, match="holds credentials") as raised:
        allowed_objects(settings, "s3://key:hunter2@texts/open/b.csv", most=10)
    assert "hunter2" not in str(raised.value)


def test_too_many_and_none(settings: Settings, store: Storage) -> None:
    with pytest.raises(InputError, match="names 2 objects; a job may have 10,000"):
        allowed_objects(settings, f"{_PREFIX}/**/*.csv", most=1)
    with pytest.raises(InputError, match="names no object of rows"):
        allowed_objects(settings, f"{_PREFIX}/nothing/*.csv", most=2)


def test_an_output_is_below_its_own_addresses(settings: Settings) -> None:
    assert allowed_output(settings, "memory://results/today/") == "memory://results/today"
    for given in ("memory://results", "memory://texts/open/x", "memory://results/../texts", "s3://results/x"):
        with pytest.raises(
            InputError, match="is not below an allowed address; results go below memory://results"
        ):
            allowed_output(settings, given)


def test_what_is_large_is_read_where_it_is(settings: Settings, store: Storage) -> None:
    (entry,) = allowed_objects(settings, f"{_PREFIX}/b.csv", most=1)
    small = settings.model_copy(update={"cache_bytes": 40})
    assert local_input(small, entry.address, FileStamp.of_object(entry)) == entry.address
    fetch(small, [(entry.address, FileStamp.of_object(entry))] * 3)
    assert not settings.copies.folder.exists()
    assert (
        Path(local_input(settings, entry.address, FileStamp.of_object(entry))).read_bytes()
        == b"text\nhello\n"
    )
    store.put_bytes("open/b.csv", b"text\nworld\n")
    with pytest.raises(InputError, match="was changed or replaced after the job was accepted"):
        local_input(small, entry.address, FileStamp.of_object(entry))


@pytest.mark.parametrize("name", ["store", "input_urls", "output_urls"])
def test_a_setting_with_credentials_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds credentials") as raised:
        Settings(**{"home": tmp_path, name: "s3://key:hunter2@bucket/x"})
    assert "hunter2" not in str(raised.value)
