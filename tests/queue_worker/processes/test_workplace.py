"""A process and its store belong together: the id of the workspace."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.rest.dependencies import Services
from pingti.errors import ConflictError, UnavailableError
from queue_worker.celery_app import connect
from queue_worker.kept_file import kept_text
from queue_worker.processes.launcher import Processes
from queue_worker.processes.workplace import (
    ID_FILE,
    refuse_other_workspace,
    require_workspace,
    workspace_id,
)
from queue_worker.settings import Settings
from tests.support.brokers import require_broker, until

SENTENCE = "is another one than that whose jobs this server keeps"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    require_broker()
    with Processes() as processes:
        yield processes.start_valkey(Settings(home=tmp_path / "home"))


@pytest.mark.broker
def test_a_workspace_without_an_id_gets_one_and_another_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    assert not (settings.home / ID_FILE).exists()
    refuse_other_workspace(settings)
    refuse_other_workspace(settings)  # the same one, again
    other = settings.model_copy(update={"home": tmp_path / "other"})
    with pytest.raises(ConflictError, match=rf"other \(without an id\) {SENTENCE} \(id [0-9a-f]{{32}}\)"):
        refuse_other_workspace(other)
    assert not other.home.exists()  # it is left alone
    workspace_id(other.home)
    with pytest.raises(ConflictError, match=rf"other \(id [0-9a-f]{{32}}\) {SENTENCE}"):
        refuse_other_workspace(other)
    (other.home / ID_FILE).write_text((settings.home / ID_FILE).read_text())  # the same files, elsewhere
    refuse_other_workspace(other)
    with connect(settings) as client:
        client.flushdb()
        require_workspace(client, settings.home)
        assert client.get("pingti:workspace") == workspace_id(settings.home)


@pytest.mark.broker
@pytest.mark.parametrize(
    "command",
    [
        ["queue_worker.worker"],
        ["queue_worker.worker", "--queue", "retrain"],
        ["queue_worker.scheduler"],
        ["api.rest.server"],
        ["api.cli.main", "up"],
    ],
)
def test_nothing_of_another_workspace_starts(settings: Settings, tmp_path: Path, command: list[str]) -> None:
    refuse_other_workspace(settings)
    other = settings.model_copy(update={"home": tmp_path / "other", "port": 0})
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, **other.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == ConflictError.exit_code, ended.stderr
    assert ended.stderr.count(SENTENCE) == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.broker
@pytest.mark.parametrize("queue", ["classify", "retrain", "scheduler"])
def test_a_server_that_comes_later_is_asked_then(tmp_path: Path, queue: str) -> None:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path / "home"))
        refuse_other_workspace(settings)
        port = int(str(settings.redis_url).rpartition(":")[2].partition("/")[0])
        processes.stop(processes.latest("valkey"))
        other, log = settings.model_copy(update={"home": tmp_path / "other"}), tmp_path / "log"
        if queue == "scheduler":
            process = processes.start_scheduler(other, log=log)
        else:
            process = processes.start_worker(other, queue=queue, log=log, wait=False)
        until(lambda: log.exists() and "not known yet" in log.read_text(), "it waits")
        assert process.poll() is None
        processes.start_valkey(Settings(home=settings.home), port=port)
        until(lambda: process.poll() is not None, "it ends")
        assert process.returncode == ConflictError.exit_code
        assert SENTENCE in log.read_text()


@pytest.mark.broker
def test_the_api_takes_no_job_and_is_not_ready(settings: Settings, tmp_path: Path) -> None:
    refuse_other_workspace(settings)
    services = Services(settings.model_copy(update={"home": tmp_path / "other"}))
    with pytest.raises(UnavailableError, match=SENTENCE):
        services.require_server()
    assert SENTENCE in services.look().broker
    services.close()


def test_a_server_that_never_comes_is_waited_for_until_the_stop(tmp_path: Path) -> None:
    stop = threading.Event()
    settings = Settings(home=tmp_path, redis_url="redis://127.0.0.1:1/0")
    refuse_other_workspace(settings)  # told in the log alone
    waiting = threading.Thread(target=refuse_other_workspace, args=(settings, stop))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    stop.set()
    waiting.join(10)
    assert not waiting.is_alive()


def test_what_is_made_once_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "secret"
    assert kept_text(path, lambda: "first") == kept_text(path, lambda: "second") == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("")  # of a version that was killed while it wrote
    assert kept_text(path, lambda: "third") == "third"
    assert path.read_text() == "third"

    def full() -> str:
        raise OSError(28, "No space left on device")

    path.unlink()
    with pytest.raises(UnavailableError, match="secret cannot be read or written: No space left"):
        kept_text(path, full)
    assert list(path.parent.iterdir()) == []

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert kept_text(path, lambda: "again") == "again"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("left", [None, b"", b"\n", b" \r\n"])
def test_all_who_make_it_at_once_read_the_same(tmp_path: Path, left: bytes | None) -> None:
    path = tmp_path / "secret"
    together = threading.Barrier(8)

    def make(number: int) -> str:
        together.wait()
        return kept_text(path, lambda: f"of {number}")

    for _ in range(20):
        path.unlink(missing_ok=True)
        if left is not None:
            path.write_bytes(left)
        with ThreadPoolExecutor(8) as pool:
            texts = set(pool.map(make, range(8)))
        assert texts == {path.read_text()}
        assert list(tmp_path.iterdir()) == [path]


def test_an_id_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    assert workspace_id(tmp_path) == workspace_id(tmp_path)
    assert len(workspace_id(tmp_path)) == 32
    (tmp_path / "file").touch()
    with pytest.raises(
        UnavailableError, match=r"file/workspace\.id cannot be read or written: Not a directory"
    ):
        workspace_id(tmp_path / "file")
