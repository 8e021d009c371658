"""The faults of a chaos schedule: what falls on the service, and what must follow."""

import base64
import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import redis
from kombu import Connection
from kombu.exceptions import OperationalError

from benchmarks.chaos.jobs import Expected, Wrong
from benchmarks.chaos.service import LEASE_SECONDS, Service, marked

_PAUSE_SECONDS = 60.0
_HAVE_TEACHERS = ("retrain", "teach")  # parts
_RUN_SECONDS = 15.0  # that a cancelled retraining's process has to be gone

Later = list[tuple[float, Callable[[], Any]]]
"""What a fault has to do afterwards, with the seconds after which it is due; it may have more to do then."""


class Faults:
    """Each method is a fault; it returns what is to follow."""

    def __init__(self, service: Service, jobs: list[Expected], rng: random.Random) -> None:
        self.service, self.jobs, self.rng = service, jobs, rng
        self.cancelled: list[str] = []  # retrainings

    def _signal(self, part: str, number: signal.Signals) -> int | None:
        pids = self.service.pids(part)
        if not pids:  # it is just being started again
            return None
        pid = self.rng.choice(pids)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def kill_worker(self) -> Later:
        self._signal("worker", signal.SIGKILL)
        return []

    def kill_teaching(self) -> Later:
        """Kill a worker that does shards which ask a teacher."""
        self._signal(self.rng.choice(_HAVE_TEACHERS), signal.SIGKILL)
        return []

    def term_teaching(self) -> Later:
        self._signal(self.rng.choice(_HAVE_TEACHERS), signal.SIGTERM)
        return []

    def kill_teacher(self) -> Later:
        """Kill a process that asks a teacher."""
        return self._kill_one_of(self.service.teachers)

    def kill_shard_process(self) -> Later:
        """Kill the process in which a shard waits for its teacher."""
        return self._kill_one_of(self.service.waiting_for_teachers)

    def _kill_one_of(self, processes: Callable[[], Sequence[int]], tries: int = 40) -> Later:
        """Kill one of the processes that are there; where there is none, look again for a while."""
        pids = processes()
        if not pids:
            return [(0.25, lambda: self._kill_one_of(processes, tries - 1))] if tries else []
        with suppress(ProcessLookupError):
            os.kill(self.rng.choice(pids), signal.SIGKILL)
        return []

    def kill_valkey(self) -> Later:
        self._signal("valkey", signal.SIGKILL)
        return []

    def kill_scheduler(self) -> Later:
        self._signal("scheduler", signal.SIGKILL)
        return []

    def kill_api(self) -> Later:
        self._signal("api", signal.SIGKILL)
        return []

    def kill_everything(self) -> Later:
        up = self.service.up
        assert up is not None
        up.kill()
        up.wait()
        return [(0.5, self.service.start)]

    def term_worker(self) -> Later:
        self._signal("worker", signal.SIGTERM)
        return []

    def term_valkey(self) -> Later:
        self._signal("valkey", signal.SIGTERM)
        return []

    def pause_worker(self) -> Later:
        pid = self._signal("worker", signal.SIGSTOP)

        def wake() -> None:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        return [(LEASE_SECONDS + 1.5, wake)]

    def second_scheduler(self) -> Later:
        """Beat, and a worker of what it publishes, besides those that there are."""
        return self._run_beside("scheduler", "--home", str(self.service.home))

    def second_beat(self) -> Later:
        """Celery's own beat alone."""
        return self._run_beside("beat")

    def _run_beside(self, *arguments: str) -> Later:
        environment = self.service.worker_environment()
        if environment is not None:
            self.service.others.append(self.service.run_beside(environment, *arguments))
        return []

    def soft_shutdown(self) -> Later:
        """Celery's SIGQUIT: what runs ends within seconds, or is handed back."""
        self._signal("worker", signal.SIGQUIT)
        return []

    def pause_broker(self) -> Later:
        """What keeps the messages stands still for a minute, and every client's connection with it."""
        pids = self.service.broker_pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

        def wake() -> None:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        return [(_PAUSE_SECONDS, wake)]

    def kill_rabbitmq(self) -> Later:
        """Kill the other broker, where there is one, and start it again."""
        if self.service.rabbitmq is None:
            return []
        self.service.kill_rabbitmq()
        return [(1.0, self.service.start_rabbitmq)]

    def bad_messages(self) -> Later:
        """What is no task of ours, into the queues."""
        environment = self.service.worker_environment()
        if environment is not None:
            # Killed or paused a moment ago: nobody can push.
            with suppress(redis.RedisError, OperationalError, OSError):
                if self.service.rabbitmq is not None:
                    _publish_nonsense(self.service.rabbitmq.url)
                else:
                    _push_nonsense(environment["PINGTI_REDIS_URL"])
        return []

    def revoke_retraining(self) -> Later:
        """Start one, and cancel it when it runs."""
        answer = self.service.ask_once("POST", "/v1/tasks/sport/retrain")
        if answer is None:  # a fault that waited would keep others from ending: the disk stays full
            return [(1.0, self.revoke_retraining)]
        if answer.status_code != 202:
            raise Wrong(f"no retraining was started: {answer.status_code} {answer.text}")

        def cancel() -> Later:  # every one: a request that was repeated may have made another
            runs = self.service.ask_once("GET", "/v1/tasks/sport/runs")
            if runs is None:
                return [(1.0, cancel)]
            for run in runs.json()["items"]:
                if run["state"] in ("queued", "running"):
                    number = run["id"].rpartition("/")[2]
                    outcome = self.service.ask_once("POST", f"/v1/tasks/sport/runs/{number}/cancel")
                    if outcome is None:
                        return [(1.0, cancel)]
                    if outcome.status_code not in (200, 409):  # 409: this answers a repeated request
                        raise Wrong(f"{number} was not cancelled: {outcome.status_code} {outcome.text}")
                    self.cancelled.append(number)
            return []

        return [(self.rng.uniform(0.5, 6.0), cancel)]

    def check_retrainings(self) -> None:
        """Those that were cancelled are, and none of their processes is left."""
        if not self.cancelled:
            return
        shown = self.service.ask("GET", "/v1/tasks/sport/runs").json()["items"]
        states = {run["id"].rpartition("/")[2]: run["state"] for run in shown}
        wrong = {run: states.get(run) for run in self.cancelled if states.get(run) != "cancelled"}
        if wrong:
            raise Wrong(f"cancelled retrainings are {wrong}")
        deadline = time.monotonic() + _RUN_SECONDS
        while left := [line for line in marked(self.service.mark).values() if "replacement.retrain" in line]:
            if time.monotonic() > deadline:
                raise Wrong(f"a cancelled retraining still runs: {left[0]}")
            time.sleep(0.2)

    def full_disk(self) -> Later:
        stuffing = self.service.home / "stuffing"
        with suppress(OSError), stuffing.open("wb") as file:
            while True:
                file.write(b"\0" * (1 << 16))
                file.flush()
        return [(2.0, lambda: stuffing.unlink(missing_ok=True))]

    def replace_input(self) -> Later:
        job = next(job for job in self.jobs if job.path.name == "replaced.parquet")
        new = job.path.with_suffix(".new")
        pq.write_table(pa.table({"key": ["another"], "text": ["goal"]}), new)
        new.replace(job.path)
        return []

    def truncate_input(self) -> Later:
        job = next(job for job in self.jobs if job.path.name == "truncated.parquet")
        os.truncate(job.path, job.path.stat().st_size // 2)
        return []


def _nonsense() -> list[bytes]:
    """A few of the animals that have ended workers; ``tests`` have the whole zoo."""
    headers = {"task": "pingti.classify", "id": "a", "timelimit": "text"}
    properties = {
        "delivery_tag": "tag",
        "delivery_info": {"exchange": "", "routing_key": "classify"},
        "body_encoding": "base64",
    }
    envelope: dict[str, Any] = {
        "body": base64.b64encode(b"[[], {}, {}]").decode(),
        "headers": headers,
        "properties": properties,
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }
    number = {**envelope, "body": base64.b64encode(b"5").decode()}
    unknown = {**envelope, "headers": {"task": "os.system", "id": "a"}}
    whole = [json.dumps(message).encode() for message in (envelope, number, unknown)]
    return [b"5", b"[]", b"\x00\xff", b"{" * 5000, b"x" * 100_000, *whole]


def _push_nonsense(url: str) -> None:
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        for name in ("classify", "classify:5", "classify:7", "retrain", "teach", "control"):
            client.lpush(name, *_nonsense())


def _publish_nonsense(url: str) -> None:
    with Connection(url, connect_timeout=2) as connection, connection.Producer() as producer:
        for queue in ("classify", "retrain", "teach", "control"):
            for body in _nonsense():
                producer.publish(
                    body,
                    routing_key=queue,
                    exchange="",
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers={"task": "pingti.classify", "id": "a"},
                    retry=False,
                )
