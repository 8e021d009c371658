"""Jobs and retrainings in the store as the version before Celery's own queues left them go on here.

That version kept units in lists of its own (``job:<id>:waiting``, ``:leased``, ``ready:<level>``, ``units``,
``leases``, ``rising``; ``runs:waiting``, ``runs:leases``). Nothing is lost: what was finished stays so, and
every other unit is published again. Its workers must have ended before.
"""

import json
import logging
from typing import Any, cast

import redis

from queue_worker.celery_app import CLASSIFY, lists_of
from queue_worker.jobs.models import RETRAIN_UNIT, RUN, JobStatus
from queue_worker.keys import PREFIX

_OLD = ("units", "leases", "rising", "runs:waiting", "runs:leases", "scheduler:leader")
_OLD_TASK = "pingti.work"
_LOCK_SECONDS = 60.0
_log = logging.getLogger(__name__)


def migrate(client: redis.Redis) -> int:
    """Bring an older store up to date; returns how many units wait again. Nothing to do in a newer one."""
    if not client.exists(*(f"{PREFIX}{name}" for name in _OLD)):
        return 0
    with client.lock(f"{PREFIX}migration", timeout=_LOCK_SECONDS):
        if not client.exists(*(f"{PREFIX}{name}" for name in _OLD)):
            return 0
        _drop_tickets(client)
        units = sum(_job(client, id) for id in _unfinished(client)) + _runs(client)
        client.delete(*(f"{PREFIX}{name}" for name in _OLD), f"{PREFIX}tokens")
        for key in client.scan_iter(f"{PREFIX}job:*:leased"):
            client.delete(key)
        _log.warning("the store of an older version was brought up to date units=%d", units)
        return units


def _unfinished(client: redis.Redis) -> list[str]:
    ids: list[str] = []
    for status in JobStatus:
        if not status.final:
            ids += cast("list[str]", client.zrange(f"{PREFIX}status:{status}", 0, -1))
    return ids


def _drop_tickets(client: redis.Redis) -> None:
    for name in lists_of(CLASSIFY):
        for message in cast("list[str]", client.lrange(name, 0, -1)):
            if json.loads(message).get("headers", {}).get("task") == _OLD_TASK:
                client.lrem(name, 0, message)


def _job(client: redis.Redis, id: str) -> int:
    """Every unit that waited, ran, or was put off is out; the reaper publishes it."""
    key = f"{PREFIX}job:{id}"
    fields = cast("dict[str, str]", client.hgetall(key))
    if client.exists(f"{key}:out") or "document" not in fields:
        return 0
    units = {*cast("list[str]", client.lrange(f"{key}:waiting", 0, -1))}
    units |= cast("set[str]", client.smembers(f"{key}:leased"))
    level = fields.get("level", fields.get("priority", "5"))
    cut = fields.get("shards_total", fields.get("shards_cut", "0"))
    pipe = client.pipeline()
    if units:
        pipe.hset(f"{key}:out", mapping=dict.fromkeys(units, f"{level} 0"))
        pipe.zadd(f"{PREFIX}out", {f"{id}/{unit}": 0 for unit in units})
        pipe.zadd(f"{PREFIX}ready:{level}", {id: 0}, nx=True)
        pipe.hincrby(f"{PREFIX}waiting", level, len(units))
    pipe.hset(
        key,
        mapping={
            "waiting": len(units),
            "published": cut,
            "shards_cut": cut,
            "ageing": _ageing(client, id, fields),
        },
    )
    pipe.delete(f"{key}:waiting", f"{key}:leased")
    pipe.execute()
    return len(units)


def _ageing(client: redis.Redis, id: str, fields: dict[str, str]) -> int:
    """Ms of a level: until the job's next rise, from its acceptance, where it had been told."""
    due = client.zscore(f"{PREFIX}rising", id)
    if due is None:
        return 0
    risen = int(fields.get("priority", "5")) - int(fields.get("level", "5"))
    return max(1, round((due - float(fields["at:queued"]) * 1000) / (risen + 1)))


def _runs(client: redis.Redis) -> int:
    waiting = 0
    for key in cast("list[str]", list(client.scan_iter(f"{PREFIX}run:*"))):
        fields = cast("dict[str, Any]", client.hgetall(key))
        if "state" not in fields:
            continue
        id, state = f"{RUN}{key.removeprefix(f'{PREFIX}run:')}", fields["state"]
        status = "queued" if state == "running" else state
        times = {"at:queued": fields["created"], "at:running": fields.get("started")}
        times |= {f"at:{status}": fields["ended"]} if "ended" in fields else {}
        changes = {"status": status, "priority": 5, **{name: at for name, at in times.items() if at}}
        pipe = client.pipeline()
        pipe.hset(key, mapping=cast("dict[Any, Any]", changes))
        pipe.hdel(key, "state", "created", "started", "ended", "token")
        if status == "queued":
            waiting += 1
            pipe.hset(f"{PREFIX}{id}:out", RETRAIN_UNIT, "5 0")
            pipe.hset(f"{PREFIX}{id}:attempts", RETRAIN_UNIT, fields.get("attempts", 0))
            pipe.zadd(f"{PREFIX}out", {f"{id}/{RETRAIN_UNIT}": 0})
            pipe.hset(key, "waiting", 1)
        pipe.execute()
    return waiting
