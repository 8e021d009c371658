"""The embedded server's file after a power loss: noticed, mended after a copy, nothing lost in silence."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli.doctor import State, examine, repair
from pingti.errors import ArtifactError, ConflictError, UnavailableError
from queue_worker.celery_app import connect
from queue_worker.processes import append_only, launcher
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import require_broker

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n%d\r\n"
MULTI = b"*1\r\n$5\r\nMULTI\r\n"
EXEC = b"*1\r\n$4\r\nEXEC\r\n"
NOTE = b"#TS:1700000000\r\n"
MANIFEST = "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"


def stored(valkey: Path, commands: bytes, *, manifest: str | None = MANIFEST) -> Path:
    folder = valkey / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.1.base.rdb").write_bytes(b"VALKEY")
    (folder / "appendonly.aof.1.incr.aof").write_bytes(commands)
    if manifest is not None:
        (folder / "appendonly.aof.manifest").write_text(manifest)
    return folder / "appendonly.aof.1.incr.aof"


@pytest.mark.parametrize(
    ("whole", "broken"),
    [
        (SET % 1, b"\0" * 4096),
        (SET % 1 + SET % 2, b"\0"),
        (SET % 1, (SET % 2)[:-1]),
        (SET % 1, (SET % 2)[:9] + b"\0" * 4000),
        (SET % 1, MULTI + SET % 2),
        (MULTI + SET % 1 + EXEC, MULTI + b"\0" * 100),
        (NOTE + SET % 1, b"#TS:17"),
        (b"", b"\0" * 4096),
        (SET % 1, b"*3\r\n$99999999999\r\n"),
        (SET % 1, b"garbage"),
    ],
)
def test_what_is_no_whole_command_is_cut_off_after_a_copy(
    tmp_path: Path, whole: bytes, broken: bytes
) -> None:
    path = stored(tmp_path, whole + broken)
    copied, cut = append_only.repair(tmp_path)
    assert path.read_bytes() == whole
    assert f"cut {len(broken):,} bytes" in cut
    (copy,) = tmp_path.glob("appendonlydir.*.copy")
    assert str(copy) in copied
    assert (copy / path.name).read_bytes() == whole + broken
    assert list(append_only.repair(tmp_path)) == []  # and nothing is wrong then


def test_whole_files_are_left_alone(tmp_path: Path) -> None:
    path = stored(tmp_path, NOTE + SET % 1 + MULTI + SET % 2 + EXEC)
    before = path.stat().st_mtime_ns
    assert append_only.fault_of(tmp_path) == ""
    assert list(append_only.repair(tmp_path)) == []
    assert path.stat().st_mtime_ns == before
    assert list(append_only.repair(tmp_path / "nothing")) == []


def test_damage_in_the_middle_is_not_cut_off(tmp_path: Path) -> None:
    path = stored(tmp_path, SET % 1 + b"\0" * 100 + SET % 2 * 100_000)
    with pytest.raises(ArtifactError, match="restore it from a backup"):
        list(append_only.repair(tmp_path))
    assert path.stat().st_size > 100_000
    (finding,) = repair(tmp_path.parent / "none")
    assert (finding.state, finding.says) == (State.OK, "nothing to mend")


def test_a_missing_manifest_is_made_again(tmp_path: Path) -> None:
    stored(tmp_path, SET % 1, manifest=None)
    (tmp_path / "appendonlydir" / "appendonly.aof.2.incr.aof").write_bytes(SET % 2 + b"\0")
    assert "is missing" in append_only.fault_of(tmp_path)
    assert len(list(append_only.repair(tmp_path))) == 3
    made = (tmp_path / "appendonlydir" / "appendonly.aof.manifest").read_text()
    assert made == MANIFEST + "file appendonly.aof.2.incr.aof seq 2 type i\n"
    assert (tmp_path / "appendonlydir" / "appendonly.aof.2.incr.aof").read_bytes() == SET % 2
    assert append_only.fault_of(tmp_path) == ""


def test_a_manifest_that_could_be_another_is_not_guessed(tmp_path: Path) -> None:
    stored(tmp_path, SET % 1, manifest=None)
    (tmp_path / "appendonlydir" / "appendonly.aof.2.base.rdb").write_bytes(b"VALKEY")
    with pytest.raises(ArtifactError, match="which of several bases counts"):
        list(append_only.repair(tmp_path))


def zeros(folder: Path) -> None:
    with (folder / "appendonly.aof.1.incr.aof").open("ab") as file:
        file.write(b"\0" * 4096)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (zeros, "ends in zeros.*pingti doctor --repair"),
        (lambda folder: (folder / "appendonly.aof.manifest").unlink(), "is missing.*pingti doctor --repair"),
    ],
)
def test_a_real_store_is_refused_then_mended(
    tmp_path: Path, damage: Callable[[Path], Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_broker()
    for name in ("PINGTI_REDIS_URL", "PINGTI_URL"):
        monkeypatch.delenv(name, raising=False)
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            for number in range(50):
                client.set(f"key{number}", number)
        with pytest.raises(ConflictError, match="stop it first"):
            list(append_only.repair(tmp_path / "valkey"))
    damage(tmp_path / "valkey" / "appendonlydir")
    with Processes() as processes, pytest.raises(UnavailableError, match=words):
        processes.start_valkey(Settings(home=tmp_path))
    (finding,) = [finding for finding in examine(tmp_path) if finding.name == "valkey"]
    assert (finding.state, finding.next_step) == (State.FAIL, "pingti doctor --repair")
    assert {finding.state for finding in repair(tmp_path)} == {State.OK}
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            assert client.dbsize() == 50


@pytest.mark.broker
@pytest.mark.parametrize("left", [b"", b"\n"])
def test_an_empty_password_of_a_start_that_was_killed_is_made_again(tmp_path: Path, left: bytes) -> None:
    require_broker()
    path = tmp_path / "valkey" / "password"
    path.parent.mkdir()
    path.write_bytes(left)
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            assert client.ping()
    password = path.read_text()
    assert len(password) > 20
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.glob(".password*")) == []
    with Processes() as processes:
        processes.start_valkey(Settings(home=tmp_path))
    assert path.read_text() == password


def test_a_full_disk_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "valkey.log").write_text(
        "Can't open or create append-only dir: No space left on device\nend\n"
    )
    assert launcher._reason(tmp_path).startswith("the disk is full")
    (tmp_path / "valkey.log").write_text("something else\n")
    free = os.statvfs(tmp_path)
    assert free.f_bavail
    assert launcher._reason(tmp_path) == "its log ends with: something else"
