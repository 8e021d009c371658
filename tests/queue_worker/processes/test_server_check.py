"""Which servers can keep jobs: from what INFO tells of them, and a real one."""

from pathlib import Path
from typing import Any

import pytest
import redis

from pingti.errors import UnavailableError
from queue_worker.celery_app import connect
from queue_worker.processes.launcher import Processes
from queue_worker.processes.server_check import (
    faults_of_info,
    faults_of_server,
    require_server,
    troubles_of_info,
)
from queue_worker.settings import Settings
from tests.support.brokers import require_broker

GOOD = {
    "redis_version": "7.2.4",
    "valkey_version": "8.1.0",
    "role": "master",
    "server_mode": "standalone",
    "cluster_enabled": 0,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
}


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {**{name: value for name, value in GOOD.items() if name not in names}, **changes}


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (GOOD, []),
        ({}, []),
        (without("valkey_version", redis_version="7.2.0"), []),
        (without("valkey_version", redis_version="8.0.1"), []),
        (without("valkey_version", redis_version="10.0"), []),
        (without("valkey_version", redis_version="6.2.14"), []),
        (without("valkey_version", redis_version="6.0.16"), ["Redis 6.0.16; needed is"]),
        (without("valkey_version", redis_version="5.0"), ["Redis 5.0; needed is"]),
        (without(role="slave"), ["a replica"]),
        (without("server_mode", redis_mode="cluster"), ["a cluster"]),
        (without(cluster_enabled=1), ["a cluster"]),
        (without(server_mode="sentinel"), ["a sentinel"]),
        (without(maxmemory_policy="allkeys-lru"), ["maxmemory-policy is allkeys-lru"]),
        (without(maxmemory_policy="volatile-ttl"), ["maxmemory-policy is volatile-ttl"]),
        (without(aof_enabled=0), ["appendonly yes"]),
        (without(role="slave", maxmemory_policy="allkeys-lfu"), ["a replica", "allkeys-lfu"]),
    ],
)
def test_what_a_server_tells_of_itself(info: dict[str, Any], words: list[str]) -> None:
    faults = list(faults_of_info(info, durable=True))
    assert len(faults) == len(words)
    assert all(word in fault for word, fault in zip(words, faults, strict=True))


def test_a_file_is_needed_only_where_jobs_must_be_durable() -> None:
    assert list(faults_of_info(without(aof_enabled=0), durable=False)) == []


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (GOOD, []),
        ({}, []),
        (without(aof_last_write_status="ok"), []),
        (without(aof_last_write_status="err"), ["MISCONF"]),
        (without(maxmemory=0, used_memory=10), []),
        (without(maxmemory=11, used_memory=10), []),
        (without(maxmemory=10, used_memory=10), ["maxmemory of 10 bytes (OOM)"]),
    ],
)
def test_what_keeps_a_server_from_taking_jobs_just_now(info: dict[str, Any], words: list[str]) -> None:
    troubles = list(troubles_of_info(info))
    assert len(troubles) == len(words)
    assert all(word in trouble for word, trouble in zip(words, troubles, strict=True))
    client: Any = Asked(info, [])
    assert faults_of_server(client, durable=True, now=True) == troubles
    assert faults_of_server(client, durable=True) == []  # a worker may start: it waits


class Asked:
    """A server that says what it is told to say."""

    def __init__(self, info: Any, commands: Any, syncs: str = "everysec") -> None:
        self.answers, self.syncs = (info, commands), syncs

    def config_get(self, name: str) -> dict[str, str]:
        return {name: self.syncs}

    def info(self) -> Any:
        if isinstance(self.answers[0], Exception):
            raise self.answers[0]
        return self.answers[0]

    def execute_command(self, *names: str) -> Any:
        if isinstance(self.answers[1], Exception):
            raise self.answers[1]
        return [None if name in self.answers[1] else [name] for name in names[1:]]


def test_commands_that_are_missing_or_hidden() -> None:
    def faults(info: Any, commands: Any, *, syncs: str = "everysec", durable: bool = True) -> list[str]:
        client: Any = Asked(info, commands, syncs)
        return faults_of_server(client, durable=durable)

    assert faults(GOOD, []) == []
    (fault,) = faults(GOOD, ["waitaof"])
    assert "WAITAOF" in fault
    assert faults(GOOD, ["waitaof"], syncs="always") == []
    assert faults(GOOD, ["waitaof"], durable=False) == []
    (fault,) = faults(GOOD, ["evalsha"])
    assert "EVALSHA" in fault
    assert faults(GOOD, redis.ResponseError("unknown command 'COMMAND'")) == []
    assert faults(redis.exceptions.NoPermissionError(), []) == []


@pytest.mark.broker
def test_a_real_server_and_one_that_evicts(tmp_path: Path) -> None:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            require_server(client, durable=True)
            client.config_set("maxmemory-policy", "allkeys-lru")
            with pytest.raises(
                UnavailableError, match="cannot keep jobs: its maxmemory-policy is allkeys-lru"
            ):
                require_server(client, durable=True)
            client.config_set("maxmemory-policy", "noeviction")
            client.replicaof("127.0.0.1", "1")
            with pytest.raises(UnavailableError, match="a replica"):
                require_server(client, durable=True)
