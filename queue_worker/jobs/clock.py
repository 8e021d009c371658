"""The server's clock, where it is set back: leases end when they would have, not when it has caught up."""

from typing import Any

import redis

from queue_worker.jobs.transactions import transact
from queue_worker.keys import PREFIX

_CLOCK = f"{PREFIX}clock"
"""The server's time (ms) as it was last seen here."""
_DUE = (f"{PREFIX}out", f"{PREFIX}callbacks")
"""What is due at the server's time: leases and messages, and callbacks."""


def follow_clock(client: redis.Redis) -> int:
    """Look at the server's clock, as the reaper does all the time.

    Where it shows less than at the last look it was set back. All that is due later than that look was put
    down by the clock of before, and comes as much sooner now.

    Args:
        client: of the store; decodes responses.

    Returns:
        The server's time, ms since 1970.
    """
    return transact(client, _follow, _CLOCK)


def _follow(pipe: Any) -> int:
    seconds, microseconds = pipe.time()
    now: int = seconds * 1000 + microseconds // 1000
    seen = int(pipe.get(_CLOCK) or 0)
    later = {}
    if now < seen:
        later = {name: pipe.zrangebyscore(name, f"({seen}", "+inf", withscores=True) for name in _DUE}
    pipe.multi()
    for name, items in later.items():
        if items:  # lt: a lease that is renewed meanwhile is not made longer
            pipe.zadd(name, {item: at - (seen - now) for item, at in items}, xx=True, lt=True)
    pipe.set(_CLOCK, now)
    return now
