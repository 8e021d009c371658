"""What a job cannot go on without: a worker that has the teacher, where its students ask one."""

from typing import cast

import redis

from queue_worker.celery_app import HAVE_TEACHERS
from queue_worker.jobs.models import RUN, Job, JobStatus
from queue_worker.jobs.statistics import Statistics
from queue_worker.keys import PREFIX

_WANTED = "a worker that has the teacher, for rows of which the student is not sure"
_START = "pingti worker --queue teach starts one that does no retraining"


def waits_for(job: Job, statistics: Statistics) -> str | None:
    """What a job cannot go on without; None where nothing is missing, or its turn will come in minutes.

    Args:
        job: as it is now.
        statistics: know the workers.
    """
    if not job.asks_teacher or job.status.final:
        return None
    client = statistics.client
    teachers = [load for load in statistics.worker_loads() if load.queue in HAVE_TEACHERS]
    if not teachers:
        return f"{_WANTED}: none is running; {_START}"
    if job.status is not JobStatus.RUNNING or client.hlen(f"{PREFIX}job:{job.id}:held"):
        return None  # somebody is at it
    learning = _learning(client)
    if any(load.name not in learning for load in teachers):
        return None  # one is free, or will be when it has done a shard
    kept = "; ".join(f"{load.name} is at the retraining {learning[load.name]}" for load in teachers)
    return f"{_WANTED}: {kept}; {_START}"


def _learning(client: redis.Redis) -> dict[str, str]:
    """The retraining that each worker is at, with the time that it has taken so far, in words."""
    leases = cast("list[str]", client.hkeys(f"{PREFIX}tokens"))
    runs = [name.rpartition("/")[0] for name in leases if name.startswith(RUN)]
    pipe = client.pipeline(transaction=False)
    pipe.time()
    for run in runs:
        pipe.hvals(f"{PREFIX}{run}:held")
        pipe.hget(f"{PREFIX}{run}", "at:running")
    (now, _), *known = pipe.execute()
    learning = {}
    for run, holders, since in zip(runs, known[::2], known[1::2], strict=True):
        minutes = max(0, int((now - float(since or now)) // 60))
        learning.update(dict.fromkeys(holders, f"{run.removeprefix(RUN)}, for {minutes} min so far"))
    return learning
