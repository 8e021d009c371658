"""``pingti doctor`` and the object store: reached or not, what may be done there, and its clock."""

import re
from pathlib import Path

import pytest

from api.cli.doctor import Finding, State
from api.cli.doctor.store import look_at_store
from pingti import remote
from pingti.workspace.storage import Storage
from tests.support.object_store import BUCKET, Server

_STORE = f"s3://{BUCKET}/pingti"


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_STORE", _STORE)


def look(home: Path) -> dict[str, Finding]:
    findings = list(look_at_store(home))
    assert all(bool(finding.next_step) == (finding.state is not State.OK) for finding in findings)
    return {finding.name: finding for finding in findings}


def test_without_a_store_nothing_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINGTI_STORE")
    assert look(tmp_path) == {}


def test_all_may_be_done_and_nothing_is_left(s3: Server, tmp_path: Path) -> None:
    findings = look(tmp_path)
    assert findings["store"].says == f"{_STORE}: may be listed, written, read and deleted"
    assert findings["store's clock"].says == "agrees with this machine's"
    assert {finding.state for finding in findings.values()} == {State.OK}
    assert Storage(_STORE).entries("") == {}


@pytest.mark.parametrize(
    ("pattern", "what", "others"),
    [
        ("GET .*list-type", "list", {"store's clock"}),
        ("PUT .*doctor", "write", set[str]()),
        ("GET .*doctor/[0-9a-f]+$", "read", set[str]()),
        ("DELETE .*doctor", "delete", {"store's clock"}),
    ],
)
def test_a_missing_permission_is_named(
    s3: Server, tmp_path: Path, pattern: str, what: str, others: set[str]
) -> None:
    s3.fail(pattern, "forbidden", times=1000)
    findings = look(tmp_path)
    assert findings.keys() == {f"store, {what}", *others}
    refused = findings[f"store, {what}"]
    assert refused.state is State.FAIL
    assert refused.says.startswith(f"{_STORE}: cannot {what}: {_STORE}")
    assert "the credentials lack a permission" in refused.says
    assert refused.next_step.startswith("let the credentials read, write, list and delete")


def test_a_store_out_of_reach_is_told_once(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pingti.remote._ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    remote.forget_connections()
    findings = look(tmp_path)
    assert findings.keys() == {"store, list"}
    assert "cannot be reached" in findings["store, list"].says
    assert findings["store, list"].next_step.startswith("start the store, or mend PINGTI_STORE")


def test_a_bucket_that_is_not_there(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_STORE", "s3://nobodys/x")
    assert "no such bucket" in look(tmp_path)["store, write"].says


@pytest.mark.parametrize(
    ("moved", "says"),
    [(3600.0, r"3,(600|599) s ahead of"), (-3600.0, r"3,(600|599|598) s behind"), (0.0, "agrees with")],
)
def test_a_clock_that_goes_wrong(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: float, says: str
) -> None:
    written_at = remote.written_at
    monkeypatch.setattr(remote, "written_at", lambda address: written_at(address) + moved)
    clock = look(tmp_path)["store's clock"]
    assert re.match(says, clock.says)
    assert clock.state is (State.FAIL if moved else State.OK)
    assert bool(clock.next_step) == bool(moved)


def test_a_refusal_by_the_clock_is_told_as_one(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("The difference between the request time and the current time is too large.")

    monkeypatch.setattr(remote, "entries_below", lambda address: _speaking(address, refuse))
    assert look(tmp_path)["store, list"].next_step == "set this machine's clock, best by NTP"


def _speaking(address: str, do: object) -> list[remote.Entry]:
    with remote.speaking(address):
        do()  # type: ignore[operator]
    return []
