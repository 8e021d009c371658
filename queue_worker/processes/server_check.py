"""Whether a Valkey or Redis can keep jobs: its version, commands, eviction, role and mode."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis

from pingti.errors import UnavailableError
from queue_worker.addresses import open_client
from queue_worker.celery_app import store_url
from queue_worker.settings import Settings

_LOOK_SECONDS = 2.0  # that a server is waited for at the start
_OLDEST_REDIS = (6, 2)
_COMMANDS = ("evalsha", "zrangebylex", "hgetall", "brpop")
_log = logging.getLogger(__name__)


def faults_of_info(info: Mapping[str, Any], *, durable: bool) -> Iterator[str]:
    """What is wrong with a server, from its own INFO; each fault a clause that says what is needed.

    Args:
        info: what INFO tells, all sections; what a server does not tell is not judged.
        durable: whether accepted jobs must survive the server.
    """
    version = str(info.get("valkey_version") or info.get("redis_version") or "")
    # A Valkey tells the version of Redis that it is compatible with, 7.2.4, beside its own.
    if "valkey_version" not in info and version and _numbers(version) < _OLDEST_REDIS:
        yield f"it is Redis {version}; needed is Valkey, or Redis 6.2 or newer"
    if str(info.get("role", "master")) not in ("master", "primary"):
        yield "it is a replica, which takes no writes; name its primary"
    mode = str(info.get("server_mode") or info.get("redis_mode") or "standalone")
    if mode == "cluster" or str(info.get("cluster_enabled", 0)) == "1":
        yield "it is a cluster; needed is a server of its own, since a job's keys change together"
    elif mode == "sentinel":
        yield "it is a sentinel, which keeps no data; name it by sentinel://HOST:PORT/0?master=NAME"
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield f"its maxmemory-policy is {policy}, by which jobs could be lost; set it to noeviction"
    if durable and str(info.get("aof_enabled", 1)) == "0":
        yield (
            "it keeps no append-only file, so that an accepted job could be lost: set 'appendonly yes' "
            "there, or PINGTI_DURABLE=false to accept that"
        )


def troubles_of_info(info: Mapping[str, Any]) -> Iterator[str]:
    """Why a server that can keep jobs takes none just now, from its own INFO; each a clause.

    Args:
        info: what INFO tells, all sections.
    """
    if str(info.get("aof_last_write_status", "ok")) != "ok":
        yield "it cannot write its append-only file (MISCONF): its disk is full or broken"
    most = int(info.get("maxmemory", 0))
    if most and int(info.get("used_memory", 0)) >= most:
        yield f"it has used all of its maxmemory of {most:,} bytes (OOM)"


def faults_of_server(client: redis.Redis, *, durable: bool, now: bool = False) -> list[str]:
    """Ask a server, and judge its answer.

    Args:
        client: of the server; decodes responses.
        durable: whether accepted jobs must survive the server.
        now: whether what keeps it from taking any just now counts, too.

    Raises:
        RedisError: it does not answer.
    """
    try:
        info = client.info()
    except redis.exceptions.NoPermissionError:
        return []  # it will not say; what it cannot do shows when it is asked to
    faults = list(faults_of_info(info, durable=durable))
    if now:
        faults += troubles_of_info(info)
    if not faults:
        faults = [
            f"it does not know the command {name.upper()}; needed is Valkey, or Redis 6.2 or newer"
            for name in _missing(client, _COMMANDS)
        ]
    if not faults and durable and _missing(client, ("waitaof",)) and not _syncs_always(client):
        faults = [
            "it does not know the command WAITAOF, so that an accepted job could be lost: set 'appendfsync "
            "always' there, take Valkey or Redis 7.2 or newer, or set PINGTI_DURABLE=false to accept that"
        ]
    return faults


def require_server(client: redis.Redis, *, durable: bool) -> None:
    """Refuse a server that cannot keep jobs.

    Raises:
        UnavailableError: with all that is wrong.
        RedisError: it does not answer.
    """
    faults = faults_of_server(client, durable=durable)
    if faults:
        raise UnavailableError(f"the Valkey or Redis cannot keep jobs: {'; '.join(faults)}")


def impatient_client(settings: Settings) -> redis.Redis:
    """A client for a look at the start, which waits two seconds at most.

    Args:
        settings: where the server is.

    Raises:
        UnavailableError: none is named.
    """
    return open_client(
        store_url(settings),
        decode_responses=True,
        socket_timeout=_LOOK_SECONDS,
        socket_connect_timeout=_LOOK_SECONDS,
    )


def refuse_unfit_server(settings: Settings) -> None:
    """Refuse to start on a server that cannot keep jobs; one that does not answer yet may come.

    Args:
        settings: where the server is, if one is named, and whether jobs must survive it.

    Raises:
        UnavailableError: with all that is wrong.
    """
    if settings.redis_url is None:
        return
    with impatient_client(settings) as client:
        try:
            require_server(client, durable=settings.durable)
        except redis.RedisError as error:
            _log.warning("the Valkey or Redis does not answer yet: %s", error)


def _syncs_always(client: redis.Redis) -> bool:
    """Whether what the server answers is on its disk, as far as it says so."""
    try:
        return bool(client.config_get("appendfsync").get("appendfsync") == "always")
    except redis.ResponseError:  # it will not say
        return False


def _missing(client: redis.Redis, names: Sequence[str]) -> list[str]:
    try:
        known: Any = client.execute_command("COMMAND INFO", *names)  # type: ignore[no-untyped-call]
    except redis.ResponseError:  # renamed, or not allowed
        return []
    if isinstance(known, dict):
        return [name for name in names if not known.get(name)]
    return [name for name, entry in zip(names, known, strict=True) if not entry]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
