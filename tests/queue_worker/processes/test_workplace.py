"""A worker and its store belong together, and the server keeps what it is given."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pingti.errors import ConflictError, UnavailableError
from queue_worker.celery_app import connect
from queue_worker.kept_file import kept_text
from queue_worker.processes.launcher import Processes
from queue_worker.processes.workplace import ID_FILE, check_server, join, workspace_id
from queue_worker.settings import Settings
from tests.support.brokers import require_broker


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    require_broker()
    with Processes() as processes:
        yield processes.start_valkey(Settings(home=tmp_path / "home"))


def run(settings: Settings, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, **settings.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.broker
def test_a_worker_of_another_workspace_refuses_to_start(settings: Settings, tmp_path: Path) -> None:
    join(settings)
    join(settings)  # the same one, again
    other = settings.model_copy(update={"home": tmp_path / "other"})
    sentence = r"other is another one \(id [0-9a-f]{32}\) than the one whose jobs this server keeps"
    with pytest.raises(ConflictError, match=sentence):
        join(other)
    for command in (
        ["queue_worker.worker"],
        ["queue_worker.worker", "--queue", "retrain"],
        ["queue_worker.scheduler"],
    ):
        ended = run(other, *command)
        assert ended.returncode == ConflictError.exit_code, ended.stderr
        assert "is another one" in ended.stderr
        assert "Traceback" not in ended.stderr
    (other.home / ID_FILE).write_text(
        (settings.home / ID_FILE).read_text()
    )  # the same files, mounted elsewhere
    join(other)


@pytest.mark.broker
def test_a_server_that_forgets_is_refused(settings: Settings) -> None:
    with connect(settings) as client:
        check_server(client)
        for policy in ("allkeys-lru", "volatile-ttl"):
            client.config_set("maxmemory-policy", policy)
            with pytest.raises(UnavailableError, match=f"maxmemory-policy is {policy}: it would forget jobs"):
                check_server(client)
        ended = run(settings, "queue_worker.worker")
    assert ended.returncode == UnavailableError.exit_code
    assert ended.stderr.count("\n") == ended.stderr.count("maxmemory-policy is volatile-ttl") == 1


def test_what_is_made_once_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "password"
    assert kept_text(path, lambda: "first") == kept_text(path, lambda: "second") == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("")  # of a version that was killed while it wrote
    assert kept_text(path, lambda: "third") == "third"
    assert path.read_text() == "third"

    def full() -> str:
        raise OSError(28, "No space left on device")

    path.unlink()
    with pytest.raises(OSError, match="No space left"):
        kept_text(path, full)
    assert list(path.parent.iterdir()) == []
    assert kept_text(path, lambda: "again") == "again"
    assert len(workspace_id(tmp_path)) == 32


@pytest.mark.broker
def test_a_first_start_that_left_an_empty_password_goes_on(tmp_path: Path) -> None:
    require_broker()
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "password").touch()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            assert client.ping()
    assert (tmp_path / "valkey" / "password").read_text()
