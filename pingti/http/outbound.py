"""HTTP to addresses that somebody names: inputs, callbacks, teachers' endpoints. Never into private networks.

A server that asks wherever it is told can be sent to what only it can reach (server-side request forgery).
So a name is resolved here, every address that it has must be public, and the connection goes to one of the
addresses that were looked at: a name that changes its mind between the look and the connection gains
nothing. Redirects are not followed, proxies of the environment are not used, and one deadline holds for all
of an exchange, however slowly the other side drips.
"""

import dataclasses
import functools
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpcore

from pingti.errors import InputError, UnavailableError

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_V4_COMPATIBLE = ipaddress.ip_network("::/96")
# Not for the public by IANA's registries, whatever the interpreter's own table says of them.
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))
_log = logging.getLogger(__name__)
_CHUNK_BYTES = 256 * 1024
_ANSWER_BYTES = 64 * 1024  # of a callback's answer, read so that the connection ends in order


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the other side said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    """Where the caller wants it."""


class TooLargeError(InputError):
    """An answer is larger than its reader takes."""


class Outbound:
    """The one way out. Safe for threads."""

    def __init__(self, *, private_networks: Sequence[str] = (), seconds: float) -> None:
        """``private_networks``: reachable although not public. ``seconds``: for a whole exchange."""
        self._allowed = [ipaddress.ip_network(network) for network in private_networks]
        self._seconds = seconds

    def check(self, url: str) -> None:
        """Look at an address without going there.

        Whoever gave the address learns nothing of the names that are known here: an internal one and one
        that there is not are refused in the same words. The log has the reason.

        Raises:
            InputError: it is not an http(s) URL, its host's name cannot be resolved, or an address of it is
                not public.
        """
        host, port = _host(url)
        try:
            self._resolve(host, port)
        except UnavailableError as error:
            _log.warning("%s", error)
            raise _not_allowed(host) from None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send ``body``.

        Raises:
            InputError: as of ``check``.
            UnavailableError: as of ``check``, and where nobody answers in time.
        """
        with self._exchange("POST", url, headers, body) as response:
            read = 0
            for chunk in response.iter_stream():
                read += len(chunk)
                if read > _ANSWER_BYTES:
                    break
            return _answer(response)

    def ask(self, url: str, body: bytes, headers: Mapping[str, str], *, limit: int) -> Answer:
        """Send ``body``, and read what comes back.

        Raises:
            InputError: as of ``check``.
            TooLargeError: the answer is larger than ``limit`` bytes.
            UnavailableError: as of ``post``.
        """
        with self._exchange("POST", url, headers, body) as response:
            read = bytearray()
            for chunk in response.iter_stream():
                read += chunk
                if len(read) > limit:
                    raise TooLargeError(f"{url}: an answer larger than the limit of {limit:,} bytes")
            return dataclasses.replace(_answer(response), body=bytes(read))

    def fetch(self, url: str, target: Path, *, limit: int) -> int:
        """Write what is at ``url`` into ``target``; its size.

        Raises:
            InputError: as of ``post``, and where the answer is not 200 or larger than ``limit`` bytes.
            UnavailableError: as of ``post``.
        """
        with self._exchange("GET", url, {"Accept-Encoding": "identity"}, b"") as response:
            if response.status != 200:
                moved = "; redirects are not followed" if 300 <= response.status < 400 else ""
                raise InputError(f"{url}: the server answers {response.status}{moved}")
            size = 0
            with target.open("wb") as file:
                for chunk in response.iter_stream():
                    size += len(chunk)
                    if size > limit:
                        raise InputError(f"{url}: larger than the limit of {limit:,} bytes")
                    file.write(chunk)
            return size

    @contextmanager
    def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Any:
        _host(url)
        backend = _Backend(self._resolve, monotonic() + self._seconds)
        try:
            with (
                httpcore.ConnectionPool(
                    ssl_context=_ssl_context(), network_backend=backend, retries=0
                ) as pool,
                pool.stream(
                    method,
                    url,
                    headers=[("Host", urlsplit(url).netloc), ("User-Agent", "Pingti"), *headers.items()],
                    content=body or None,
                ) as response,
            ):
                yield response
        except httpcore.LocalProtocolError:  # it shows the header, and so a key
            raise UnavailableError(f"{url}: no answer: the request cannot be written as HTTP") from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            reason = str(error) or type(error).__name__
            raise UnavailableError(f"{url}: no answer: {reason}") from error

    def _resolve(self, host: str, port: int) -> list[str]:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UnavailableError(f"host {host!r} cannot be resolved: {error}") from error
        addresses = [str(entry[4][0]) for entry in entries]
        for address in addresses:
            if not is_reachable(ipaddress.ip_address(address), self._allowed):
                _log.warning(
                    "host %r has the address %s, which is not public; private networks are reached only "
                    "where the setting private_networks names them",
                    host,
                    address,
                )
                raise _not_allowed(host)
        return addresses


def is_reachable(address: _Address, allowed: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    """Whether ``address`` is public or in a network that is ``allowed``.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, NAT64) is judged by that one.
    """
    networks = list(allowed)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in _NAT64):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_reachable(inner, networks)
    if any(address in network for network in networks):
        return True
    if isinstance(address, ipaddress.IPv6Address) and (
        address.teredo is not None or address in _V4_COMPATIBLE or address.is_site_local
    ):
        return False
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _not_allowed(host: str) -> InputError:
    return InputError(f"host {host!r} is not allowed")


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads all certificates of the system: some 20 ms


def _host(url: str) -> tuple[str, int]:
    """Host and port of ``url``; InputError where it is not a plain http(s) URL."""
    try:
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("only printable ASCII is allowed; write other characters as %XX or xn--")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("allowed are http and https")
        if not parts.hostname:
            raise ValueError("it names no host")
        if "@" in parts.netloc or "\\" in url:
            raise ValueError("it must hold no user name, password or backslash")
        if parts.port == 0:
            raise ValueError("there is no port 0")
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise InputError(f"{url[:200]!r} is not an address that can be used: {error}") from None


def _answer(response: httpcore.Response) -> Answer:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return Answer(status=response.status, headers=headers)


class _Backend(httpcore.NetworkBackend):
    """Connects to the addresses that were looked at, and to nothing else."""

    def __init__(self, resolve: Any, deadline: float) -> None:
        self._resolve, self._deadline = resolve, deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        error: Exception | None = None
        for address in self._resolve(host, port):
            try:
                stream = self._plain.connect_tcp(address, port, timeout=_left(self._deadline))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
                continue
            return _Timed(stream, self._deadline)
        raise error or httpcore.ConnectError(f"{host} has no address")


class _Timed(httpcore.NetworkStream):
    """A stream whose every operation ends at one deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max(max_bytes, 1), _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Timed(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for the whole exchange is over")
    return left
