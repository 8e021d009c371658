"""The way out: which addresses it takes, and what a hostile server can do to it."""

import ipaddress
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pingti.errors import InputError, PingtiError, UnavailableError
from pingti.http.outbound import Outbound, is_reachable
from tests.support.http_servers import server

LOCAL = ("127.0.0.0/8",)


def fine(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5")
    handler.end_headers()
    handler.wfile.write(b"text\n")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.0.170",
        "192.0.0.255",
        "192.88.99.1",
        "::ffff:192.0.0.8",
        "64:ff9b::c000:8",
        "2001:10::1",
        "3fff::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_reachable(ipaddress.ip_address(address), [])


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_reachable(ipaddress.ip_address(address), [])


def test_networks_that_are_allowed() -> None:
    ten = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert is_reachable(ipaddress.ip_address(address), ten)
    assert not is_reachable(ipaddress.ip_address("127.0.0.1"), ten)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:ffff:7f00:1]/",
        "http://0/",
    ],
)
def test_every_way_to_write_this_machine_is_refused(url: str) -> None:
    for act in (Outbound(seconds=5).check, lambda url: Outbound(seconds=5).post(url, b"", {})):
        with pytest.raises(PingtiError, match=r"^host '[^']*' (is not allowed$|cannot be resolved)"):
            act(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http:///a",
        "http://user:pw@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nX: y",
        "http://example.com/ a",
        "http://exämple.com/",
        "http://[::1/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "https://8.8.8.8:00/",
    ],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InputError, match="not an address that can be used"):
        Outbound(seconds=5).check(url)


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    with pytest.raises(InputError, match=r"^host 'rebind.example' is not allowed$"):
        Outbound(seconds=5).check("http://rebind.example/")


def test_a_refusal_does_not_tell_which_names_are_known_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def resolve(host: str, *_: Any, **__: Any) -> Any:
        if host == "none.internal":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.20.30.40", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    refusals = []
    for name in ("none.internal", "payroll.internal"):
        with pytest.raises(InputError) as refusal:
            Outbound(seconds=5).check(f"http://{name}/")
        refusals.append(str(refusal.value).replace(name, "X"))
        with pytest.raises(PingtiError) as refusal:
            Outbound(seconds=5).post(f"http://{name}/", b"", {})
        assert "10.20" not in str(refusal.value)
    assert refusals == ["host 'X' is not allowed"] * 2
    assert "10.20.30.40" in caplog.text  # for whoever runs the server
    assert "none.internal" in caplog.text


def test_a_name_that_changes_its_mind_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What connects is the address that was looked at, not the name once more."""
    answers = iter(["127.0.0.2", "127.0.0.1"])
    asked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host == "rebind.example":
            address = next(answers)
            asked.append(address)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]
        return real(host, port, *rest, **named)

    with server(fine) as url:
        port = url.rpartition(":")[2]
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        out = Outbound(private_networks=("127.0.0.2/32",), seconds=5)
        # Nobody listens on 127.0.0.2; the second answer, where the server is, is never asked for.
        with pytest.raises(UnavailableError):
            out.post(f"http://rebind.example:{port}/", b"", {})
        assert asked == ["127.0.0.2"]
        with pytest.raises(InputError, match=r"^host 'rebind.example' is not allowed$"):
            out.post(f"http://rebind.example:{port}/", b"", {})


def test_what_is_there_is_fetched(tmp_path: Path) -> None:
    with server(fine) as url:
        out = Outbound(private_networks=LOCAL, seconds=5)
        assert out.fetch(f"{url}/a.csv?x=1", tmp_path / "a", limit=5) == 5
        assert (tmp_path / "a").read_bytes() == b"text\n"
        with pytest.raises(InputError, match="larger than the limit of 4 bytes"):
            out.fetch(url, tmp_path / "b", limit=4)


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    asked: list[str] = []

    def away(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        handler.send_response(302)
        handler.send_header("Location", "/secret")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with server(away) as url:
        out = Outbound(private_networks=LOCAL, seconds=5)
        with pytest.raises(InputError, match="302; redirects are not followed"):
            out.fetch(f"{url}/a", tmp_path / "a", limit=5)
        assert out.post(f"{url}/b", b"{}", {}).status == 302
    assert asked == ["/a", "/b"]


def test_a_server_that_drips_is_left_at_the_deadline() -> None:
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        while not over.wait(0.05):
            try:
                handler.wfile.write(b"H")
            except OSError:
                return

    with server(drip) as url:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="no answer"):
            Outbound(private_networks=LOCAL, seconds=0.5).post(url, b"", {})
        over.set()
        assert time.monotonic() - began < 30  # without the deadline it would never end


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(fine) as url:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert Outbound(private_networks=LOCAL, seconds=5).post(url, b"", {}).status == 200


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnavailableError, match="no answer"):
        Outbound(private_networks=LOCAL, seconds=5).post(f"http://127.0.0.1:{port}/", b"", {})
