"""Jobs and retrainings of the store of the last version go on after an upgrade.

``data/store_before_celery.json`` is a dump of a store that its code made (commit 98196ac).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from queue_worker.celery_app import CLASSIFY, connect
from queue_worker.jobs.migration import migrate
from queue_worker.jobs.models import FINALIZE, PLAN, Done
from queue_worker.jobs.statistics import OwnerLoad
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.retraining.runs import RunState, RunStore, runs
from queue_worker.settings import Settings
from tests.support.brokers import messages_waiting, require_broker
from tests.support.messages import Messages

pytestmark = pytest.mark.broker
DUMP = json.loads((Path(__file__).parent / "data" / "store_before_celery.json").read_text())
NAMES = {id: name for name, id in DUMP["jobs"].items()}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    require_broker()
    with Processes() as processes, connect(processes.start_valkey(Settings(home=tmp_path))) as client:
        load(client)
        yield client


def load(client: redis.Redis) -> None:
    write: dict[str, Any] = {
        "hash": lambda key, value: client.hset(key, mapping=value),
        "list": lambda key, value: client.rpush(key, *value),
        "set": lambda key, value: client.sadd(key, *value),
        "zset": lambda key, value: client.zadd(key, dict(value)),
        "string": client.set,
    }
    for key, entry in DUMP["keys"].items():
        write[entry["type"]](key, entry["value"])


def test_every_old_job_ends(client: redis.Redis) -> None:
    messages = Messages()
    store = JobStore(client, messages)
    assert messages_waiting(client) == 3  # tickets
    assert migrate(client) == 13
    assert migrate(client) == 0
    assert messages_waiting(client, CLASSIFY) == 0
    before = {name: store.get(id) for name, id in DUMP["jobs"].items()}
    assert {name: str(job.status) for name, job in before.items()} == {
        "done": "completed",
        "failed": "failed",
        "running": "running",
        "planning": "running",
        "cancelling": "cancelling",
        "finalizing": "finalizing",
        "queued": "queued",
        "small": "queued",
        "put_off": "running",
    }
    assert store.statistics.load_of("team") == OwnerLoad(jobs=1, rows=75)
    store.reap(max_attempts=5)
    units = sorted(
        f"{NAMES[message.id]}/{message.unit}"
        for level in messages.levels
        for message in level
        if message.id in NAMES
    )
    assert units == [
        "cancelling/0",
        "finalizing/finalize",
        "planning/0",
        "planning/1",
        "planning/plan",
        "put_off/0",
        "queued/plan",
        "running/1",
        "running/2",
        "running/3",
        "small/plan",
    ]
    for level in messages.levels:  # the retrainings' go to other workers
        for message in [message for message in level if message.id not in NAMES]:
            level.remove(message)
    sources = {}
    for _ in range(200):
        claim = messages.take(store)
        if claim is None:
            break
        name = NAMES[claim.job]
        if claim.unit == PLAN:
            assert claim.snapshot.shard_rows == (500 if name == "planning" else None)
            store.planned(
                claim, shards=3, total=75, failed=0, cut_input="input", sources=["", "", "[[0, 2, 3]]"]
            )
        elif claim.unit == FINALIZE:
            store.close(claim)
        else:
            sources[name, claim.unit] = claim.source
            store.finish(claim, Done(rows=25))
    ended = {name: store.get(id) for name, id in DUMP["jobs"].items()}
    assert {name: str(job.status) for name, job in ended.items()} == {
        **dict.fromkeys(DUMP["jobs"], "completed"),
        "failed": "failed",
        "cancelling": "cancelled",
    }
    assert ended["running"].counts.completed == 100  # 25 were done before
    assert [ended[name].counts.completed for name in ("queued", "small", "planning")] == [75, 75, 75]
    assert sources["running", "1"] == "[[0, 1, 2]]"
    assert sources["planning", "2"] == "[[0, 2, 3]]"
    assert store.find_idempotent("key-of-queued", "f") == ended["queued"]
    assert store.statistics.load_of("team") == OwnerLoad(jobs=0, rows=0)
    assert client.zrange("pingti:callbacks", 0, -1) == [DUMP["jobs"]["running"]]
    assert not [key for key in client.keys("pingti:job:*") if key.count(":") > 2]
    assert store.statistics.waiting() == (0,) * 10


def test_an_old_job_stands_and_rises_as_before(client: redis.Redis) -> None:
    migrate(client)
    store = JobStore(client)
    assert store.statistics.waiting()[9] == 2
    id = DUMP["jobs"]["queued"]
    assert int(client.hget(f"pingti:job:{id}", "ageing") or 0) == pytest.approx(30 * 60_000, abs=1000)


def test_old_retrainings_go_on(client: redis.Redis) -> None:
    messages = Messages()
    migrate(client)
    states = {run.id: (run.state, run.attempts, run.version) for run in runs(client, "sport")}
    assert states == {
        "sport/2025-12-05": (RunState.QUEUED, 1, None),
        "sport/2025-12-04": (RunState.MISSED, 0, None),
        "sport/2025-12-03": (RunState.MISSED, 0, None),
        "sport/2025-12-02": (RunState.REFUSED, 1, 2),
    }
    (demanded,) = runs(client, "tech")
    assert (demanded.state, demanded.who, demanded.created) == (RunState.QUEUED, "eva", 1795654463.638)
    refused = runs(client, "sport")[-1]
    assert (refused.started, refused.ended, refused.reason) == (1795654463.627, 1795654463.63, "short")
    JobStore(client, messages).reap(max_attempts=5)
    units = {message.task_id for level in messages.levels for message in level}
    assert {"sport/2025-12-05/retrain/2", f"{demanded.id}/retrain/1"} <= units
    claim = RunStore(client).claim("sport/2025-12-05", worker="", lease_seconds=60)
    assert claim is not None
    assert claim.run.attempts == 2
