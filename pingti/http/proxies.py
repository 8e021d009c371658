"""Which proxy of the environment a request goes through; none that goes to this machine."""

import ipaddress
import socket
import urllib.request
from urllib.parse import urlsplit

import httpx

_NAMES = ("localhost", "localhost.localdomain", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback")
"""As /etc/hosts calls this machine."""


def transport_for(url: str) -> httpx.HTTPTransport:
    """How to reach an address: through the environment's proxy, or straight.

    httpx reads the environment itself, but it raises for values that other programs take (SOCKS without a
    further package, brackets in ``no_proxy``), and sends what is for this machine to the proxy, too. Here a
    proxy that cannot be used is none.

    Args:
        url: of the service, http or https.
    """
    proxy = _proxy_of(url)
    if proxy is not None:
        try:
            return httpx.HTTPTransport(proxy=proxy)
        except (ImportError, ValueError, TypeError, httpx.InvalidURL):
            pass
    return httpx.HTTPTransport()


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address is always that of the machine that asks."""
    name = host.strip("[]").rstrip(".").lower()
    if name in _NAMES or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(name))  # as in 127.1 and 0x7f000001
        except (OSError, ValueError):
            return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def _proxy_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if is_this_machine(host):
        return None
    known = urllib.request.getproxies()
    proxy = known.get(parts.scheme) or known.get("all")
    if not proxy or _is_excepted(host, port, known.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_excepted(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether ``no_proxy`` names a host: itself, a domain of it, its address, or a network of that."""
    for entry in (entry.strip().lower() for entry in no_proxy.split(",")):
        name = entry.rpartition("://")[2]
        if name == "*":
            return True
        if not name:
            continue
        if _matches(host.lower(), port, name):
            return True
    return False


def _matches(host: str, port: int | None, name: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        pass  # one of them is a name, or has a port
    parts = urlsplit(f"//{name.removeprefix('*')}") if name.count("[") == name.count("]") else None
    try:
        wanted, wanted_port = (parts.hostname or "", parts.port) if parts is not None else ("", None)
    except ValueError:
        return False
    wanted = wanted.lstrip(".")
    same = bool(wanted) and (host == wanted or host.endswith(f".{wanted}"))
    return same and wanted_port in (None, port)
