"""``pingti doctor``: what it finds right, what it finds wrong, and what it says to do."""

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from api.cli.doctor import Finding, State, examine, installation
from api.cli.doctor.findings import version_of
from api.keys import Role, add_key
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import connect
from queue_worker.processes.launcher import Processes
from queue_worker.processes.workplace import ID_FILE, require_workspace
from queue_worker.settings import Settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No service and no broker of this machine plays a part."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PINGTI_PORT", str(free.getsockname()[1]))
    for name in ("PINGTI_URL", "PINGTI_REDIS_URL", "PINGTI_API_KEY", "PINGTI_HOST", "PINGTI_STORE"):
        monkeypatch.delenv(name, raising=False)


def look(home: Path) -> dict[str, Finding]:
    findings = list(examine(home))
    assert all(finding.next_step or finding.state is State.OK for finding in findings)
    return {finding.name: finding for finding in findings}


def test_a_healthy_workspace(workspace: Workspace) -> None:
    findings = look(workspace.root)
    assert {"python", "service extra", "cores", "instructions", "kernels", "disk"} <= findings.keys()
    assert findings["workspace"].says == f"{workspace.root}: writable"
    assert findings["tasks"].says == "3, of which 3 have a promoted student that loads"
    assert findings["kernels"].state is State.OK
    assert findings["valkey"].says == "embedded, started by pingti up"
    assert findings["service"].next_step == "pingti up starts it"
    assert not [finding for finding in findings.values() if finding.state is State.FAIL]
    assert not list(workspace.root.glob("tmp*"))


@pytest.mark.slow
def test_kernels_that_had_to_be_compiled_are_told_from_those_that_were_there(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from api.cli.doctor.installation import look_at_kernels\n"
        "print(next(look_at_kernels(Path())).says)"
    )
    says = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert [sentence.partition(",")[0] for sentence in says] == ["compiled just now", "compiled"]


def test_a_workspace_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    assert look(tmp_path / "home")["workspace"].state is State.FAIL


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_workspace_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written" in look(tmp_path)["workspace"].says


def test_what_is_missing_is_named_with_its_extra(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        installation, "version_of", lambda name: None if name == "torch" else version_of(name)
    )
    teacher = look(workspace.root)["teacher extra"]
    assert teacher.state == State.WARN
    assert teacher.next_step == (
        "install Pingti with its extra 'teacher' (pip install '/path/to/pingti[teacher]')"
    )
    assert teacher.says == "missing: torch; no replacing and retraining here"


def test_a_damaged_student_and_a_damaged_definition_fail(workspace: Workspace) -> None:
    student = workspace.task("sport").student_folder(1) / "student.safetensors"
    student.write_bytes(student.read_bytes()[:-1] + b"?")
    findings = [finding for finding in examine(workspace.root) if finding.name == "tasks"]
    assert [finding.state for finding in findings] == [State.FAIL]
    assert "student.safetensors" in findings[0].says


def test_a_wrong_setting_is_named_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_PORT", "abc")
    findings = [finding for finding in examine(workspace.root) if finding.state is State.FAIL]
    assert [finding.name for finding in findings] == ["settings"]
    assert findings[0].says.startswith("port: 'abc' is not allowed")


def test_little_room_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.doctor.workspace._ROOM_FAIL", 1 << 62)
    assert look(workspace.root)["disk"].state is State.FAIL


def test_a_look_that_breaks_is_a_finding(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: 1 / 0)
    findings = look(workspace.root)
    assert findings["workspace"].says == "division by zero"
    assert "service" in findings


def test_a_broker_out_of_reach_fails(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_REDIS_URL", "redis://127.0.0.1:1/0")
    assert look(workspace.root)["valkey"].next_step == "start it, or mend PINGTI_REDIS_URL"


@pytest.mark.broker
def test_a_broker_that_keeps_a_file_is_fine(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root))
        assert settings.redis_url
        monkeypatch.setenv("PINGTI_REDIS_URL", settings.redis_url)
        assert look(workspace.root)["valkey"].says.endswith("with an append-only file")


@pytest.mark.broker
def test_a_broker_of_another_workspace_or_without_room_is_told(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path / "other"))
        assert settings.redis_url
        monkeypatch.setenv("PINGTI_REDIS_URL", settings.redis_url)
        assert look(workspace.root)["workspace id"].says == "the server keeps no workspace's jobs yet"
        assert not (workspace.root / ID_FILE).exists()  # a look makes nobody's server this workspace's
        with connect(settings) as client:
            require_workspace(client, settings.home)
            other = look(workspace.root)["workspace id"]
            assert (other.state, "is another one than that" in other.says) == (State.FAIL, True)
            assert look(settings.home)["workspace id"].state is State.OK
            client.config_set("maxmemory", 1)
            full = look(settings.home)["valkey"]
            assert (full.state, "(OOM)" in full.says) == (State.FAIL, True)


def test_something_else_at_the_port_is_told_from_the_service(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<p>hello")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        monkeypatch.setenv("PINGTI_URL", f"http://127.0.0.1:{other.server_port}")
        assert look(workspace.root)["service"].says.endswith("something else answers there")
        other.shutdown()


def test_keys_are_counted_and_never_shown(workspace: Workspace) -> None:
    token = add_key(workspace.root, "duty", Role.READ)
    findings = look(workspace.root)
    assert findings["keys"].says == "1 in the workspace"
    assert token not in json.dumps([finding.says for finding in findings.values()])
