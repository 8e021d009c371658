"""The Python client against a real service."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pyarrow as pa
import pytest

from api.keys import Role, add_key
from api.rest.schemas.jobs import JOB_EXAMPLE, JobOut
from pingti.client import DeniedError, JobFailedError, LimitError, Pingti
from pingti.errors import ConflictError, GateError, InputError, NotFoundError, UnavailableError
from pingti.workspace.registry import Workspace
from queue_worker.settings import Settings
from tests.support.http_servers import server
from tests.support.rest import Door, home, idle, running, serving, texts

__all__ = ["home", "idle", "running"]  # fixtures


@pytest.mark.broker
def test_from_a_file_to_a_table(running: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "titles.csv"
    path.write_bytes(texts(120) + b"one field only\n")
    looks: list[JobOut] = []
    with Pingti(str(running.client.base_url)) as pingti:
        job = pingti.submit(
            [path], ["sport", "topic"], id="key", metadata={"team": "search"}, idempotency_key="client-1"
        )
        assert pingti.submit([job.inputs[0]], ["sport"], priority=1).priority == 1  # a path on the server
        ended = pingti.wait(job.id, timeout=60, progress=looks.append)
        assert (ended.status, ended.counts.completed) == ("completed", 120)
        assert looks[-1] == ended
        table = pingti.results(job.id)
        assert isinstance(table, pa.Table)
        assert table["id"].to_pylist() == [f"k{n}" for n in range(120)]
        assert [row["row"] for row in pingti.errors(job.id)] == [120]
        assert (
            pingti.download(job.id, tmp_path / "out.jsonl", "jsonl")
            == (tmp_path / "out.jsonl").stat().st_size
        )
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 120
        assert job.id in [each.id for each in pingti.jobs(task="topic")]
        assert pingti.wait(job.id, progress=True) == pingti.job(job.id)
        assert "120/120" not in capsys.readouterr().out  # the bar goes to standard error
        found = pingti.classify(["the match was won"], ["sport"])
        assert found.results[0]["sport"].label in ("no", "yes")
        assert [task.name for task in pingti.tasks()] == ["sport", "tech", "topic"]
        assert pingti.task("sport").current == 1
        with pytest.raises(ConflictError, match="completed"):
            pingti.cancel(job.id)
        pingti.delete(job.id)
        with pytest.raises(NotFoundError, match="no job"):
            pingti.job(job.id)


@pytest.mark.broker
def test_what_went_wrong_has_a_class(idle: Door, tmp_path: Path) -> None:
    url, home = str(idle.client.base_url), idle.settings.home
    path = tmp_path / "a.csv"
    path.write_text("text\nx\n")
    one, read = add_key(home, "one", Role.SUBMIT), add_key(home, "reader", Role.READ)
    with Pingti(url, one) as pingti:
        with pytest.raises(InputError, match="spotr"):
            pingti.submit([path], ["spotr"])
        with pytest.raises(InputError, match=r"nowhere\.csv"):
            pingti.submit([tmp_path / "nowhere.csv"], ["sport"])
        with pytest.raises(InputError, match="not readable"):
            pingti.upload(tmp_path / "nowhere.csv")
        jobs = [pingti.submit([path], ["sport"]) for _ in range(2)]
        with pytest.raises(LimitError, match="limit of 2") as limited:
            pingti.submit([path], ["sport"])
        assert limited.value.retry_after > 0
        with pytest.raises(UnavailableError, match="is queued after"):
            pingti.wait(jobs[0].id, timeout=0.2, progress=False)
        pingti.cancel(jobs[0].id)
        with pytest.raises(JobFailedError, match="is cancelled") as failed:
            pingti.wait(jobs[0].id)
        assert failed.value.job.status == "cancelled"
        assert pingti.results(jobs[0].id).num_rows == 0
    with Pingti(url, read) as pingti, pytest.raises(DeniedError, match="needs submit"):
        pingti.submit([path], ["sport"])
    with Pingti(url, "wrong") as pingti, pytest.raises(DeniedError, match="asks for a key"):
        pingti.tasks()


def test_its_url_and_key_come_from_the_environment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Settings(home=workspace.root, api_key="schlüssel")) as client:
        monkeypatch.setenv("PINGTI_URL", str(client.base_url))
        monkeypatch.setenv("PINGTI_API_KEY", "schlüssel")
        with Pingti() as pingti:
            assert len(pingti.tasks()) == 3


@pytest.mark.parametrize("key", ["hush\nhush", "hush\0", "hush\udcff", "\r\n"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="PINGTI_API_KEY or key: the key") as refused:
        Pingti("http://127.0.0.1:9", key)
    assert "hush" not in str(refused.value)
    monkeypatch.setenv("PINGTI_API_KEY", " schl\u00fcssel\r\n")  # as out of a file
    with Pingti("http://127.0.0.1:9") as pingti:
        assert pingti._client.headers.raw[-1] == (b"Authorization", "Bearer schl\u00fcssel".encode())


def test_a_redirect_is_no_success(tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "https://elsewhere.example/v1")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with server(answer) as url, Pingti(url, "k") as pingti:
        for ask in (
            lambda: pingti.errors("job-1"),
            lambda: pingti.delete("job-1"),
            lambda: pingti.tasks(),
            lambda: pingti.download("job-1", tmp_path / "out.parquet"),
        ):
            with pytest.raises(InputError, match=r"redirects to https://elsewhere\.example/v1; give"):
                ask()
    assert list(tmp_path.iterdir()) == []


def test_nobody_there() -> None:
    with Pingti("http://127.0.0.1:9") as pingti, pytest.raises(UnavailableError, match="pingti up"):
        pingti.tasks()


def test_who_waits_outlasts_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logic alone: the answers are made up."""
    running = JobOut.model_validate(JOB_EXAMPLE)
    away = UnavailableError("no answer")
    answers: list[JobOut | Exception] = [
        running,
        away,
        away,
        running.model_copy(update={"status": "completed"}),
    ]

    def answer(_: Pingti, __: str) -> JobOut:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Pingti, "job", answer)
    with Pingti("http://127.0.0.1:9") as pingti:
        assert pingti.wait("job-1", progress=False).status == "completed"
        monkeypatch.setattr("pingti.client._AWAY_SECONDS", 0.0)
        for given in ([away], [running, away]):  # never there; away for too long
            answers[:] = given
            with pytest.raises(UnavailableError, match="no answer"):
                pingti.wait("job-1", progress=False)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        Pingti("http://127.0.0.1:9") as pingti,
        pytest.raises(UnavailableError, match=f"pip install {package}"),
    ):
        pingti.results("job-1", form=package)  # type: ignore[arg-type]


def test_a_gate_that_is_not_reached(workspace: Workspace) -> None:
    import json

    path = workspace.task("sport").student_folder(1) / "report.json"
    report = json.loads(path.read_text())
    report["gate"]["passed"], report["holdout"]["recall"] = False, 0.1
    path.write_text(json.dumps(report))
    with (
        serving(Settings(home=workspace.root)) as client,
        Pingti(str(client.base_url)) as pingti,
        pytest.raises(GateError, match="recall"),
    ):
        pingti._ask("POST", "/v1/tasks/sport/promote", json={})


def test_importing_it_imports_no_server() -> None:
    heavy = "{'fastapi', 'celery', 'redis', 'numba', 'torch'}"
    program = f"import sys, pingti.client; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
