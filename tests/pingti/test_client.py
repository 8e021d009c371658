"""The Python client against a real service."""

import json
import subprocess
import sys
from datetime import date
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pyarrow as pa
import pytest

from api.keys import Role, add_key
from pingti.client import Client, DeniedError, JobFailedError, LimitError
from pingti.errors import ConflictError, GateError, InputError, NotFoundError, UnavailableError
from pingti.rest_models import JOB_EXAMPLE, JobOut
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
    with Client(str(running.client.base_url)) as client:
        job = client.submit(
            [path], ["sport", "topic"], id="key", metadata={"team": "search"}, idempotency_key="client-1"
        )
        assert client.submit([job.inputs[0]], ["sport"], priority=1).priority == 1  # a path on the server
        ended = client.wait(job.id, timeout=60, progress=looks.append)
        assert (ended.status, ended.counts.completed) == ("completed", 120)
        assert looks[-1] == ended
        table = client.results(job.id)
        assert isinstance(table, pa.Table)
        assert table["id"].to_pylist() == [f"k{n}" for n in range(120)]
        assert [row["row"] for row in client.errors(job.id)] == [120]
        assert (
            client.download(job.id, tmp_path / "out.jsonl", "jsonl")
            == (tmp_path / "out.jsonl").stat().st_size
        )
        assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 120
        assert job.id in [listed.id for listed in client.jobs(task="topic")]
        assert client.wait(job.id, progress=True) == client.job(job.id)
        assert "120/120" not in capsys.readouterr().out  # the bar goes to standard error
        classified = client.classify(["the match was won"], ["sport"])
        assert classified.results[0]["sport"].label in ("no", "yes")
        some = [float("nan"), "the match was won", None]
        gaps = [decided["sport"].label for decided in client.classify(some, ["sport"]).results]
        assert gaps == [None, classified.results[0]["sport"].label, None]
        assert [task.name for task in client.tasks()] == ["sport", "tech", "topic"]
        assert client.task("sport").current == 1
        with pytest.raises(ConflictError, match="completed"):
            client.cancel(job.id)
        client.delete(job.id)
        with pytest.raises(NotFoundError, match="no job"):
            client.job(job.id)


@pytest.mark.broker
def test_columns_of_a_frame_go_along_in_their_types(running: Door, tmp_path: Path) -> None:
    days = [date(2025, 1, day) for day in (1, 2)]
    frame = pa.table(
        {"likes": [5, 6], "key": [7, 8], "day": days, "text": ["a match", "b"], "more": ["x", "y"]}
    )
    with Client(str(running.client.base_url)) as client:
        job = client.submit(frame, "sport", id="key", keep=["day", "likes"])
        client.wait(job.id, timeout=60)
        table = client.results(job.id)
        assert isinstance(table, pa.Table)
        assert table.column_names == ["id", "sport", "sport_score", "day", "likes"]
        assert table.select(["id", "day", "likes"]).equals(
            pa.table({"id": [7, 8], "day": days, "likes": [5, 6]})
        )
        client.download(job.id, tmp_path / "out.jsonl", "jsonl")
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [(row["id"], row["day"], row["likes"]) for row in rows] == [
            (7, "2025-01-01", 5),
            (8, "2025-01-02", 6),
        ]
        with pytest.raises(InputError, match=r"^keep: the results have a column 'sport' of their own"):
            client.submit(frame.append_column("sport", pa.array([1, 2])), "sport", keep=["sport"])
        with pytest.raises(InputError, match=r"no column 'dya'; keep\[0\]=\.\.\. names one of"):
            client.submit(frame, "sport", keep=["dya"])


@pytest.mark.broker
def test_folders_and_patterns_here_are_sent_and_those_there_are_named(
    running: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = running.settings.home
    for root, rows in ((tmp_path / "here", 1), (home / "there", 5)):
        for name in ("b.csv", "deep/a.csv", "_own.csv", "notes.txt"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(texts(rows))
    monkeypatch.chdir(tmp_path)
    with Client(str(running.client.base_url)) as client:

        def names(*given: str | Path, **options: bool) -> list[str]:
            return [Path(path).name for path in client.submit(given, "sport", **options).inputs]

        assert names("here") == ["b.csv", "a.csv"]
        assert names(tmp_path / "here" / "*.csv", "there/deep") == ["_own.csv", "b.csv", "a.csv"]
        assert names("there/**/?.csv") == ["b.csv", "a.csv"]  # matches nothing here
        job = client.submit("there", "sport", upload=False)
        assert job.inputs == (str(home / "there" / "b.csv"), str(home / "there" / "deep" / "a.csv"))
        (tmp_path / "there").mkdir()
        with pytest.raises(InputError, match="there: no such file"):
            client.submit("there", "sport")
        many = tmp_path / "many"
        many.mkdir()
        for number in range(1001):
            (many / f"{number}.csv").touch()
        with pytest.raises(InputError, match="1,001 were given; a job may have 1,000"):
            client.submit("many", "sport")


@pytest.mark.broker
def test_what_went_wrong_has_a_class(idle: Door, tmp_path: Path) -> None:
    url, home = str(idle.client.base_url), idle.settings.home
    path = tmp_path / "a.csv"
    path.write_text("text\nx\n")
    one, read = add_key(home, "one", Role.SUBMIT), add_key(home, "reader", Role.READ)
    with Client(url, one) as client:
        with pytest.raises(InputError, match="spotr"):
            client.submit([path], ["spotr"])
        with pytest.raises(InputError, match=r"nowhere\.csv") as missing:
            client.submit([tmp_path / "nowhere.csv"], ["sport"])
        assert [fault.pointer for fault in missing.value.faults] == ["/inputs/0"]
        with pytest.raises(InputError, match="not readable"):
            client.upload(tmp_path / "nowhere.csv")
        jobs = [client.submit([path], ["sport"]) for _ in range(2)]
        with pytest.raises(LimitError, match="limit of 2") as limited:
            client.submit([path], ["sport"])
        assert limited.value.retry_after > 0
        with pytest.raises(UnavailableError, match="is queued after"):
            client.wait(jobs[0].id, timeout=0.2, progress=False)
        client.cancel(jobs[0].id)
        with pytest.raises(JobFailedError, match="is cancelled") as failed:
            client.wait(jobs[0].id)
        assert failed.value.job.status == "cancelled"
        assert client.results(jobs[0].id).num_rows == 0
    with Client(url, read) as client, pytest.raises(DeniedError, match="needs submit"):
        client.submit([path], ["sport"])
    with Client(url, "wrong") as client, pytest.raises(DeniedError, match="asks for a key"):
        client.tasks()


def test_its_url_and_key_come_from_the_environment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Settings(home=workspace.root, api_key="schlüssel")) as server_client:
        monkeypatch.setenv("PINGTI_URL", str(server_client.base_url))
        monkeypatch.setenv("PINGTI_API_KEY", "schlüssel")
        with Client() as client:
            assert len(client.tasks()) == 3


@pytest.mark.parametrize("key", ["hush\nhush", "hush\0", "hush\udcff", "\r\n"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="PINGTI_API_KEY or key: the key") as refused:
        Client("http://127.0.0.1:9", key)
    assert "hush" not in str(refused.value)
    monkeypatch.setenv("PINGTI_API_KEY", " schl\u00fcssel\r\n")  # as out of a file
    with Client("http://127.0.0.1:9") as client:
        assert client._http.headers.raw[-1] == (b"Authorization", "Bearer schl\u00fcssel".encode())


def test_what_a_request_cannot_hold_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "a\udcff.csv"  # as Linux gives a name that is not UTF-8
    file.write_text("text\na\n")

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(404)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with server(answer) as url, Client(url) as client:
        for ask in (
            lambda: client.upload(file),
            lambda: client.submit(str(file), ["sport"]),
            lambda: client.submit("a.csv", ["\ud800"]),
            lambda: client.submit("a.csv", ["sport"], metadata={"a": "\udcff"}),
            lambda: list(client.jobs(task="\udcff")),
            lambda: client.classify(["a"], ["\udcff"]),
        ):
            with pytest.raises(InputError, match="cannot be sent: needed is text that UTF-8 can spell"):
                ask()
        with pytest.raises(InputError, match="'谁' cannot be sent: needed is letters of ASCII"):
            client.submit("a.csv", ["sport"], idempotency_key="谁")
        for place in (client.job, client.task, client.cancel):
            with pytest.raises(NotFoundError):
                place("\udcff\ud800")


def test_a_redirect_is_no_success(tmp_path: Path) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "https://elsewhere.example/v1")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with server(answer) as url, Client(url, "k") as client:
        for ask in (
            lambda: client.errors("job-1"),
            lambda: client.delete("job-1"),
            lambda: client.tasks(),
            lambda: client.download("job-1", tmp_path / "out.parquet"),
        ):
            with pytest.raises(InputError, match=r"redirects to https://elsewhere\.example/v1; give"):
                ask()
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_none_are_told_before_anything_is_sent() -> None:
    frame = pa.table({"post": ["a"]})
    with Client("http://127.0.0.1:9") as client:
        with pytest.raises(InputError, match=r"^inputs: int \(5\) was given; needed are paths or frames"):
            client.submit(5, "sport")
        with pytest.raises(InputError, match=r"no column 'text'; text=\.\.\. names one of 'post'"):
            client.submit(frame, "sport")
        with pytest.raises(InputError, match="a Table with the columns 'post' was given"):
            client.classify(frame, "sport")
        with pytest.raises(InputError, match=r"row 1 cannot be sent: .* is not UTF-8"):
            client.classify(["a", "b\ud800"], "sport")


def test_nobody_there() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(UnavailableError, match="pingti up"):
        client.tasks()


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

    def answer(_: Client, __: str) -> JobOut:
        next_answer = answers.pop(0)
        if isinstance(next_answer, Exception):
            raise next_answer
        return next_answer

    monkeypatch.setattr(Client, "job", answer)
    with Client("http://127.0.0.1:9") as client:
        assert client.wait("job-1", progress=False).status == "completed"
        monkeypatch.setattr("pingti.calls.watching._AWAY_SECONDS", 0.0)
        for given in ([away], [running, away]):  # never there; away for too long
            answers[:] = given
            with pytest.raises(UnavailableError, match="no answer"):
                client.wait("job-1", progress=False)


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(UnavailableError, match=f"pip install {package}"),
    ):
        client.results("job-1", form=package)  # type: ignore[arg-type]


def test_a_gate_that_is_not_reached(workspace: Workspace) -> None:
    import json

    path = workspace.task("sport").student_folder(1) / "report.json"
    report = json.loads(path.read_text())
    report["gate"]["passed"], report["holdout"]["recall"] = False, 0.1
    path.write_text(json.dumps(report))
    with (
        serving(Settings(home=workspace.root)) as server_client,
        Client(str(server_client.base_url)) as client,
        pytest.raises(GateError, match="recall"),
    ):
        client._ask("POST", "/v1/tasks/sport/promote", json={})


def test_importing_it_imports_no_server_and_no_training() -> None:
    """A user's own project may hold packages of those names, and has no need of what they need."""
    rooms = {"api", "queue_worker", "replacement", "teacher", "sampling"}
    heavy = {"fastapi", "celery", "redis", "pydantic_settings", "numba", "torch", "transformers", "faiss"}
    program = (
        "import sys, pingti.client\n"
        "imported = {name.partition('.')[0] for name in sys.modules}\n"
        f"print(sorted({rooms | heavy} & imported))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_it_works_beside_foreign_packages_of_the_rooms_names(tmp_path: Path) -> None:
    """Where the server is not installed, and somebody's own ``api`` is."""
    for name in ("api", "queue_worker", "teacher", "sampling", "replacement"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a foreign package was executed')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from pingti.client import Client; Client()"
    subprocess.run([sys.executable, "-c", program], check=True)
