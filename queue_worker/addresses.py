"""Addresses of the server that keeps the jobs: as redis-py takes them, and as kombu spells them.

``redis://``, ``rediss://`` and ``unix://`` are redis-py's. With Redis Sentinel it is
``sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/DATABASE?master=NAME``: the account is the server's, whose
sentinels ask for none.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

if TYPE_CHECKING:
    import redis

SCHEMES = ("redis://", "rediss://", "unix://", "sentinel://")
_SENTINEL_PORT = 26379


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A server that sentinels watch over."""

    sentinels: tuple[tuple[str, int], ...]  # host, port
    master: str  # its name among them
    database: int
    username: str | None
    password: str | None


def watched(url: str) -> Watched | None:
    """What a ``sentinel://`` address says; None for another scheme.

    Raises:
        ValueError: it is none, in a clause that says what is needed.
    """
    parts = urlsplit(url)
    if parts.scheme != "sentinel":
        return None
    account, _, hosts = parts.netloc.rpartition("@")
    username, _, password = account.partition(":")
    master = dict(parse_qsl(parts.query)).get("master", "")
    database = parts.path.strip("/") or "0"
    try:
        sentinels = tuple(
            (place.hostname or "", place.port or _SENTINEL_PORT)
            for place in (urlsplit(f"//{host}") for host in hosts.split(","))
        )
    except ValueError:
        sentinels = ()
    if not master or not database.isdigit() or not sentinels or not all(host for host, _ in sentinels):
        raise ValueError("needed is sentinel://HOST:PORT,HOST:PORT/DATABASE?master=NAME")
    return Watched(
        sentinels=sentinels,
        master=master,
        database=int(database),
        username=unquote(username) or None,
        password=unquote(password) or None,
    )


def open_client(url: str, **options: Any) -> "redis.Redis":
    """A client of the server; it connects when it is first used.

    Args:
        url: of one of ``SCHEMES``.
        **options: of redis-py's client.
    """
    import redis  # not with the settings, which are read where there is no redis-py
    from redis.sentinel import Sentinel

    server = watched(url)
    if server is None:
        return redis.Redis.from_url(url, **options)
    # The sentinels answer at once or are passed over.
    seconds = {name: options[name] for name in ("socket_connect_timeout",) if name in options}
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        server.sentinels, sentinel_kwargs={**seconds, "socket_timeout": seconds.get("socket_connect_timeout")}
    )
    client: redis.Redis = sentinel.master_for(
        server.master, db=server.database, username=server.username, password=server.password, **options
    )
    return client


def kombu_url(url: str) -> str:
    """The server's address as kombu spells it.

    Kombu knows no ``unix://[USER:PASSWORD@]PATH?db=NUMBER``, and wants an address for every sentinel.
    """
    server = watched(url)
    if server is not None:
        account = f"{quote(server.username or '', safe='')}:{quote(server.password or '', safe='')}@"
        before = account if server.password else ""
        return ";".join(
            f"sentinel://{before}{f'[{host}]' if ':' in host else host}:{port}/{server.database}"
            for host, port in server.sentinels
        )
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    options = dict(parse_qsl(parts.query))
    database = options.get("db", "0")
    password = unquote(parts.password or "") or options.get("password", "")
    user = unquote(parts.username or "") or options.get("username", "")
    account = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
    return f"redis+socket://{account}{parts.path}?virtual_host={database}"
