"""Whatever bytes anybody pushes into the broker's lists are put aside, and the work goes on."""

import base64
import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
from kombu.transport import redis as kombu_redis

from queue_worker.addresses import kombu_url
from queue_worker.celery_app import (
    CLASSIFY,
    CONTROL,
    connect,
    lists_of,
    make_celery,
    send,
)
from queue_worker.processes.channel import Transport
from queue_worker.processes.rejected import rejected
from queue_worker.settings import Settings
from queue_worker.threads import Threads
from tests.support.brokers import messages_waiting, until
from tests.support.paths import SHARED
from tests.support.service import Service, assert_every_row_once, keys, serving

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(_workspace_template, tmp_path_factory.mktemp("rejected") / "workspace") as service:
        yield service


def envelope(body: Any = None, **changes: Any) -> dict[str, Any]:
    """A message as Celery makes it, of a shard of a job that there is not."""
    content = ["job-none", 0], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    data = json.dumps(content if body is None else body).encode() if not isinstance(body, bytes) else body
    message = {
        "body": base64.b64encode(data).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": "pingti.classify",
            "id": "a/0/1",
            "root_id": "a",
            "parent_id": None,
            "group": None,
            "retries": 0,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "argsrepr": "()",
            "kwargsrepr": "{}",
        },
        "properties": {
            "correlation_id": "a",
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": CLASSIFY},
            "priority": 5,
            "body_encoding": "base64",
            "delivery_tag": os.urandom(8).hex(),
        },
    }
    return {**message, **changes}


WRONG: list[Any] = [5, -1.5, "text", "", [], {}, None, True, [1, 2, 3], {"a": 1}, "x" * 1000]


def zoo() -> Iterator[bytes]:
    """Messages of every kind that has ended a worker, or might."""
    yield from (b"", b"5", b"null", b"[]", b"{}", b'"text"', b"\x00\xff\xfe", os.urandom(300), b"{" * 5000)
    yield pickle.dumps({"task": "pingti.classify"})
    yield b"- yaml: [1, 2"
    yield b"[" * 200_000 + b"]" * 200_000
    yield json.dumps("x" * (10 << 20)).encode()
    yield json.dumps(envelope(["x" * (10 << 20), {}, {}])).encode()
    for body in (5, None, "text", [], [1], [1, 2, 3], [[], {}], {"task": "pingti.classify"}, [5, {}, {}]):
        yield json.dumps(envelope(json.dumps(body).encode())).encode()
    for data in (b"", b"\xff\xfe", b"{", b"[" * 100_000, pickle.dumps([[], {}, {}])):
        yield json.dumps(envelope(data)).encode()
    yield json.dumps(envelope(body="@@@@")).encode()
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/data", "nonsense"):
        yield json.dumps(envelope(**{"content-type": kind})).encode()
    for encoding in ("nonsense", "binary", "utf-16"):
        yield json.dumps(envelope(**{"content-encoding": encoding})).encode()
    yield json.dumps({**envelope(), "headers": {**envelope()["headers"], "task": "os.system"}}).encode()
    for changes in ({"eta": "2999-01-01T00:00:00"}, {"compression": "zlib"}):
        yield json.dumps({**envelope(), "headers": {**envelope()["headers"], **changes}}).encode()
    for name in ("callbacks", "errbacks", "chain", "chord"):
        for value in WRONG:
            yield json.dumps(envelope([["job-none", 0], {}, {name: value}])).encode()
    whole = envelope()
    for name in whole:
        for value in WRONG:
            yield json.dumps({**envelope(), name: value}).encode()
        yield json.dumps({key: value for key, value in envelope().items() if key != name}).encode()
    for part in ("headers", "properties"):
        for name in whole[part]:
            for value in WRONG:
                message = envelope()
                message[part][name] = value
                if part == "properties" or name != "id":
                    yield json.dumps(message).encode()
            message = envelope()
            del message[part][name]
            yield json.dumps(message).encode()
    for value in WRONG:
        message = envelope()
        message["properties"]["delivery_info"]["routing_key"] = value
        yield json.dumps(message).encode()


def test_any_bytes_are_put_aside_and_no_worker_ends(service: Service, texts: list[str]) -> None:
    worker = service.start_worker()
    scheduler = service.processes.latest("scheduler")
    job = service.submit(service.write("zoo.parquet", texts * 4))
    animals = list(zoo())
    if (SHARED / "cases" / "broker" / "messages.jsonl").is_file():
        lines = (SHARED / "cases" / "broker" / "messages.jsonl").read_text().splitlines()
        animals += [json.loads(line)["push"].encode() for line in lines]
    names = [*lists_of(CLASSIFY), *lists_of(CONTROL)]
    for number, animal in enumerate(animals):
        service.client.lpush(names[number % len(names)], animal)
    small = service.submit(service.write("after.parquet", texts[:10]))
    job, small = service.wait(job), service.wait(small)
    assert_every_row_once(service, job, keys("zoo", 1600))
    assert_every_row_once(service, small, keys("after", 10))
    for queue in (CLASSIFY, CONTROL):
        until(lambda queue=queue: not messages_waiting(service.client, queue), "all are taken")  # type: ignore[misc]
    assert worker.poll() is None
    assert scheduler.poll() is None

    def counted() -> tuple[int, int]:  # the last one may be taken, and not put aside yet
        return service.store.statistics.totals().rejected, len(rejected(service.client, limit=2000))

    until(lambda: counted()[1] == min(counted()[0], 1000), "each is counted and kept")
    assert counted()[0] > 150
    kept = rejected(service.client, limit=2000)
    assert {"time", "queue", "reason", "bytes", "start"} == set(kept[0])
    assert any("os.system" in message["reason"] for message in kept)
    log = (service.settings.home / "logs" / "worker.log").read_text()
    assert log.count("message put aside") > 50
    until(lambda: not service.client.hlen("unacked"), "none comes again")
    service.processes.stop(worker)
    assert worker.returncode == 0


def test_the_list_of_what_was_put_aside_has_an_end(service: Service) -> None:
    service.client.delete("pingti:rejected")
    with service.worker():
        for number in range(1100):
            service.client.lpush(CLASSIFY, f"nonsense {number}")
        until(lambda: messages_waiting(service.client) == 0, "all are taken")
        until(lambda: service.client.llen("pingti:rejected") >= 1000, "all are kept")
        time.sleep(0.5)
        assert service.client.llen("pingti:rejected") == 1000
        assert "1099" in base64.b64decode(rejected(service.client, limit=1)[0]["start"]).decode()


def test_remote_control_that_is_none_ends_no_worker(service: Service, texts: list[str]) -> None:
    """Whatever is published where all workers listen: before, one number ended all of them."""
    scheduler = service.processes.latest("scheduler")
    before = service.store.statistics.totals().rejected
    with service.worker() as worker:
        for raw in (b"5", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, json.dumps(envelope([5])).encode()):
            for channel in ("/0.celery.pidbox", "/0.celeryev"):
                service.client.publish(channel, raw)
        until(lambda: service.store.statistics.totals().rejected >= before + 10, "both put five aside")
        job = service.wait(service.submit(service.write("told.parquet", texts[:30])))
        assert_every_row_once(service, job, keys("told", 30))
        ping = make_celery(service.settings).control.ping
        until(lambda: len(ping(timeout=1)) == 2, "both listen")
        assert worker.poll() is None
        assert scheduler.poll() is None


@pytest.mark.parametrize("expires", [None, "2020-01-01T00:00:00+00:00"])
def test_a_message_that_is_revoked_or_has_expired_is_published_again(
    service: Service, texts: list[str], expires: str | None
) -> None:
    """Celery drops later messages of such an id, which all that the reaper publishes have."""
    application = make_celery(service.settings)
    job = service.submit(service.write("revoked.parquet", texts))
    lists = lists_of(CLASSIFY)
    (real,) = service.client.lrange(lists[job.priority], 0, -1)
    plan = json.loads(real)["headers"]["id"]
    service.client.delete(lists[job.priority])
    with service.worker():
        if expires is None:
            revoke = application.control.revoke
            until(lambda: plan in str(revoke(plan, reply=True, timeout=1)), "the worker knows")
            service.client.lpush(lists[job.priority], real)
        else:
            foreign = envelope()
            foreign["headers"] |= {"id": plan, "expires": expires}
            service.client.lpush(CLASSIFY, json.dumps(foreign))
        job = service.wait(job)
    assert_every_row_once(service, job, keys("revoked", 400))


@pytest.mark.parametrize("error", [ValueError("anything"), MemoryError()])
def test_what_is_raised_outside_of_a_task_is_its_failure(error: Exception) -> None:
    """Celery's own threads drop it: the message is never acknowledged, and takes a place for ever."""
    ended: list[Any] = []
    pool = Threads(1)

    def target() -> None:
        raise error

    pool.on_apply(target, (), {}, ended.append).get()
    pool.on_stop()
    ((failed, reason, _),) = ended
    assert failed
    assert type(error).__name__ in str(reason.exception)
    assert not isinstance(reason.exception, MemoryError)  # Celery would raise it again


def test_a_task_with_wrong_arguments_is_put_aside(service: Service, texts: list[str]) -> None:
    application = make_celery(service.settings)
    before = service.store.statistics.totals().rejected
    with service.worker() as worker:
        for arguments in ((), ("job-none",), ("job-none", 0, 1, 2), ("job-none", "nonsense")):
            send(application, "pingti.classify", *arguments)
        job = service.wait(service.submit(service.write("alone.parquet", texts[:30])))
        assert_every_row_once(service, job, keys("alone", 30))
        until(lambda: messages_waiting(service.client) == 0, "all are taken")
        assert service.store.statistics.totals().rejected == before + 3
        assert worker.poll() is None


def test_a_connection_that_was_taken_apart_gives_nothing_back(service: Service) -> None:
    url = str(service.settings.redis_url).rpartition("/")[0] + "/1"  # where no worker takes the message
    settings = service.settings.model_copy(update={"redis_url": url})
    app = make_celery(settings)
    send(app, "pingti.classify", "job-none", 0)
    with app.connection_for_read() as connection:
        channel = connection.channel()
        message = channel.basic_get(CLASSIFY)
        assert message is not None
        channel._disconnect_pools()  # as kombu leaves what it has collected
        transport, client = channel.connection, channel.connection.client
        channel.connection = None
        with pytest.raises(AttributeError):
            kombu_redis.QoS.ack(channel.qos, message.delivery_tag)  # type: ignore[no-untyped-call]
        channel.basic_ack(message.delivery_tag)  # the task ended after the connection
        channel.basic_reject(message.delivery_tag)
        channel.connection, transport.client = transport, None
        with pytest.raises(AttributeError):
            kombu_redis.QoS.restore_unacked(channel.qos)  # type: ignore[no-untyped-call]
        channel.qos.restore_unacked()
        transport.client = client
    with connect(settings) as store:
        assert store.hlen("unacked") == 1  # till the time-out


@pytest.mark.parametrize(
    "url", ["redis://h/0", "rediss://h/0", "unix:///run/v.sock", "unix://u:p@/v.sock?db=2"]
)
def test_every_address_has_the_guarded_channel_and_is_otherwise_as_kombu_has_it(url: str) -> None:
    with (
        make_celery(Settings(redis_url=url)).connection_for_read() as connection,
        kombu.Connection(kombu_url(url)) as plain,
    ):
        assert type(connection.transport) is type(connection.clone().transport) is Transport
        for name in ("hostname", "port", "ssl", "virtual_host", "userid", "password"):
            assert getattr(connection, name) == getattr(plain, name)
