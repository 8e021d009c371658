"""Proxies of the environment: none for this machine, and no value of them that raises."""

from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from pingti.client import Client
from pingti.errors import UnavailableError
from pingti.http.proxies import is_this_machine, transport_for
from tests.support.http_servers import server

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def uses_proxy(url: str) -> bool:
    return "Proxy" in type(transport_for(url)._pool).__name__  # what httpx makes of it


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "127.0.0.1:9", "nonsense://x"]
)
def test_this_machine_is_never_asked_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", "[::1]")

    def tasks(handler: BaseHTTPRequestHandler) -> None:
        body = b'{"items": []}'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with server(tasks) as url, Client(url) as client:
        assert client.tasks() == ()


@pytest.mark.parametrize(
    "environment",
    [
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"ALL_PROXY": "socks5h://127.0.0.1:9"},
        {"https_proxy": "http://[::1:9"},
        {"https_proxy": "ftp://127.0.0.1:9"},
        {"https_proxy": "http://127.0.0.1:9", "no_proxy": "[::1],::1,[,],:,127.0.0.0/8,[::1]:80"},
        {"https_proxy": "http://127.0.0.1:9", "no_proxy": "http://[::1"},
    ],
)
def test_no_value_raises(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for url in ("https://pingti.invalid", "http://[::1]:9", "https://192.0.2.1"):
        Client(url).close()


@pytest.mark.parametrize(
    ("url", "no_proxy", "through"),
    [
        ("http://pingti.example", "", True),
        ("http://pingti.example", "*", False),
        ("http://pingti.example", "example", False),
        ("http://pingti.example", ".example, other", False),
        ("http://pingti.example", "*.example", False),
        ("http://pingti.example", "pingti.example:8080", True),
        ("http://pingti.example:8080", "pingti.example:8080", False),
        ("http://notpingti.example", "pingti.example", True),
        ("http://10.1.2.3:80", "10.0.0.0/8", False),
        ("http://10.1.2.3:80", "192.168.0.0/16", True),
        ("http://[fd00::5]:80", "[fd00::5]", False),
        ("http://[fd00::5]:80", "fd00::/8", False),
        ("http://127.9.9.9", "", False),
        ("http://localhost:8080", "", False),
        ("http://api.localhost:8080", "", False),
        ("http://[::1]:8080", "", False),
        ("http://[::ffff:127.0.0.1]:8080", "", False),
        ("http://0.0.0.0:8080", "", False),
    ],
)
def test_no_proxy_is_kept_to(monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str, through: bool) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert uses_proxy(url) is through


def test_another_machine_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def proxy(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        handler.send_response(502)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with server(proxy) as url:
        monkeypatch.setenv("http_proxy", url)
        with httpx.Client(transport=transport_for("http://pingti.invalid")) as client:
            assert client.get("http://pingti.invalid/healthz").status_code == 502
    assert asked == ["http://pingti.invalid/healthz"]


def test_a_service_that_is_away_is_said_so_whatever_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with Client("http://127.0.0.1:9") as client, pytest.raises(UnavailableError, match="no answer"):
        client.tasks()


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "a.localhost", "localhost.localdomain", "ip6-localhost"),
        *("127.0.0.1", "::1", "[::1]", "0.0.0.0", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0"),
    ],
)
def test_names_of_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    ["", "localhost.example", "128.0.0.1", "fd00::1", "127.0.0.1.example", "128.1", "a b", "谁", "1.2.3.4.5"],
)
def test_names_of_others(host: str) -> None:
    assert not is_this_machine(host)
