"""Callbacks with a real Valkey and a real receiver: signed, tried again, given up, never into the house."""

import base64
import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, tzinfo
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import standardwebhooks.webhooks

from pingti.corpus.reader import Columns
from pingti.errors import InputError
from pingti.inference.pins import Pin
from queue_worker.celery_app import connect
from queue_worker.jobs.callbacks import (
    Callbacks,
    CallbackState,
    CallbackStatus,
    secret,
    sign,
    status,
    verify,
)
from queue_worker.jobs.models import Job
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import require_broker
from tests.support.http_servers import server

pytestmark = pytest.mark.broker
PINS = (Pin(task="sport", scene="default", version=3, threshold=0.25),)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    require_broker()
    with Processes() as processes:
        yield processes.start_valkey(Settings(home=tmp_path_factory.mktemp("callbacks")))


@pytest.fixture
def settings(broker: Settings) -> Settings:
    return broker.model_copy(
        update={
            "private_networks": ("127.0.0.0/8",),
            "callback_pauses": (0.05, 0.05),
            "callback_seconds": 20.0,
        }
    )


@pytest.fixture
def store(broker: Settings) -> Iterator[JobStore]:
    with connect(broker) as client:
        client.flushdb()
        yield JobStore(client)


def ended(store: JobStore, url: str | None) -> Job:
    """A job that is over at once: cancelled before anybody began it."""
    job = store.create(
        inputs=["/a.csv"],
        columns=Columns(text="t"),
        pins=PINS,
        priority=5,
        metadata={"night": "七"},
        settings=Settings(),
        callback=url,
    ).job
    return store.cancel(job.id)


class Receiver:
    """Keeps what comes, and answers with the statuses that it was given, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        self.got.append(({name.lower(): value for name, value in handler.headers.items()}, body))
        handler.send_response(self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])
        handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()


def tick(callbacks: Callbacks) -> int:
    """What the periodic task and its callbacks' tasks do, one after the other."""
    return sum(callbacks.attempt(id) for id in callbacks.take_due())


def drain(callbacks: Callbacks, store: JobStore) -> None:
    deadline = time.monotonic() + 30
    while store.client.zcard("pingti:callbacks") and time.monotonic() < deadline:
        tick(callbacks)
        time.sleep(0.02)


def state(store: JobStore, job: Job) -> CallbackStatus:
    callback = status(store.client, job)
    assert callback is not None
    return callback


class Clock(datetime):
    """The clock of the package that checks signatures."""

    at = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "Clock":
        return cls.fromtimestamp(cls.at, tz)


def test_the_example_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worked example of the Standard Webhooks reference libraries."""
    body = b'{"test": 2432232314}'
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    id, at = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(key, id, at, body) == signature
    headers = {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": f"v1,x {signature}"}
    monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Clock)
    monkeypatch.setattr(Clock, "at", at + 10)
    verify(key, headers, body)
    verify(key, {name.title(): value for name, value in headers.items()}, body)
    for lost in headers:
        with pytest.raises(InputError):
            verify(key, {name: value for name, value in headers.items() if name != lost}, body)
    for changed, when in [(body + b" ", at), (body + b"\xff", at), (body, at + 301), (body, at - 301)]:
        monkeypatch.setattr(Clock, "at", when)
        with pytest.raises(InputError):
            verify(key, headers, changed)


def test_an_end_is_told_and_signed(store: JobStore, settings: Settings) -> None:
    receiver = Receiver(204)
    with server(receiver) as url:
        job = ended(store, f"{url}/hook?x=1")
        ended(store, None)
        assert state(store, job).state is CallbackState.WAITING
        drain(Callbacks(settings, store), store)
    ((headers, body),) = receiver.got
    assert headers["webhook-id"] == f"{job.id}-cancelled"
    verify(secret(settings), headers, body)
    sent = json.loads(body)
    assert sent["type"] == "job.cancelled"
    assert sent["data"]["id"] == job.id
    assert sent["data"]["metadata"] == {"night": "七"}
    assert state(store, job).model_dump() == {
        "url": f"{url}/hook?x=1",
        "state": "delivered",
        "attempts": 1,
        "error": None,
    }


def test_a_failure_is_tried_again_as_the_same_message(store: JobStore, settings: Settings) -> None:
    receiver = Receiver(500, 302, 200)
    with server(receiver) as url:
        job = ended(store, url)
        drain(Callbacks(settings, store), store)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    assert (state(store, job).state, state(store, job).attempts) == (CallbackState.DELIVERED, 3)


@pytest.mark.parametrize(
    ("statuses", "attempts"), [((500,), 3), ((410,), 1)], ids=["after the last pause", "gone"]
)
def test_it_is_given_up_and_that_is_written_down(
    store: JobStore, settings: Settings, statuses: tuple[int, ...], attempts: int
) -> None:
    receiver = Receiver(*statuses)
    with server(receiver) as url:
        job = ended(store, url)
        drain(Callbacks(settings, store), store)
    callback = state(store, job)
    assert (callback.state, callback.attempts) == (CallbackState.GIVEN_UP, attempts)
    assert str(statuses[0]) in str(callback.error)
    assert len(receiver.got) == attempts


def test_an_address_of_this_house_is_never_asked(store: JobStore, settings: Settings) -> None:
    receiver = Receiver(200)
    with server(receiver) as url:
        job = ended(store, url)
        drain(Callbacks(settings.model_copy(update={"private_networks": ()}), store), store)
    assert receiver.got == []
    callback = state(store, job)
    assert callback.state is CallbackState.GIVEN_UP
    assert "is not allowed" in str(callback.error)


def test_two_schedulers_send_it_once(store: JobStore, settings: Settings) -> None:
    receiver = Receiver(200)
    with server(receiver) as url:
        jobs = [ended(store, url) for _ in range(12)]
        threads = [threading.Thread(target=drain, args=(Callbacks(settings, store), store)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(headers["webhook-id"] for headers, _ in receiver.got) == [f"{j.id}-cancelled" for j in jobs]


def test_a_slow_address_does_not_hold_up_the_others(store: JobStore, settings: Settings) -> None:
    answer, stop = threading.Event(), threading.Event()
    slow, fast = Receiver(200), Receiver(200)

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        if answer.wait(20):
            slow(handler)

    def until(done: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 15
        while not done() and time.monotonic() < deadline:
            time.sleep(0.02)
        return done()

    with server(slowly) as slow_url, server(fast) as url, ThreadPoolExecutor(8) as pool:
        jobs = [ended(store, slow_url) for _ in range(10)]
        callbacks = Callbacks(settings, store)

        def work() -> None:
            while not stop.is_set():
                for id in callbacks.take_due():
                    pool.submit(callbacks.attempt, id)
                time.sleep(0.02)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert until(lambda: callbacks._busy.total() == 2)
            late = ended(store, url)
            assert until(lambda: state(store, late).state is CallbackState.DELIVERED)
            assert slow.got == []
            assert callbacks._busy.total() == 2  # of one host
            answer.set()
            assert until(lambda: all(state(store, job).state is CallbackState.DELIVERED for job in jobs))
            assert all(state(store, job).attempts == 1 for job in jobs)
        finally:
            answer.set()
            stop.set()
            thread.join()


def test_one_that_was_taken_by_a_process_that_died_comes_back(store: JobStore, settings: Settings) -> None:
    receiver = Receiver(200)
    with server(receiver) as url:
        job = ended(store, url)
        callbacks = Callbacks(settings, store)
        assert callbacks.take_due(lease_seconds=0.3) == [job.id]  # and nothing more is heard of it
        assert tick(callbacks) == 0
        time.sleep(0.4)
        assert tick(callbacks) == 1
    assert state(store, job).state is CallbackState.DELIVERED


def test_a_job_that_is_deleted_meanwhile_stays_deleted(store: JobStore, settings: Settings) -> None:
    jobs: list[Job] = []

    def delete_meanwhile(handler: BaseHTTPRequestHandler) -> None:
        store.delete(jobs[0].id)
        Receiver(500)(handler)

    with server(delete_meanwhile) as url:
        jobs.append(ended(store, url))
        drain(Callbacks(settings, store), store)
    assert store.client.keys(f"*{jobs[0].id}*") == []
    assert store.client.zcard("pingti:callbacks") == 0


def test_the_secret_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new")
    new = secret(settings)
    assert secret(settings) == new
    assert len(base64.b64decode(new.removeprefix("whsec_"))) == 32
    (path,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    own = "whsec_" + base64.b64encode(b"x" * 24).decode()
    assert secret(Settings(home=tmp_path, callback_secret=own)) == own


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_???", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and 24 to 64 bytes"):
        Settings(callback_secret=text)
