"""Messages that were put aside, because no worker can take them: counted, logged, and kept for a person.

``pingti:rejected`` is a list of the last thousand, the newest first.
"""

import base64
import json
import logging
import time
from typing import Any, cast

import redis

from queue_worker.keys import PREFIX
from queue_worker.telemetry.logs import Quoting

_KEY, _TOTALS = f"{PREFIX}rejected", f"{PREFIX}totals"
_KEPT = 1000
_KEPT_BYTES = 4096  # of a message
_log = logging.getLogger(__name__)


def put_aside(client: redis.Redis, queue: str, raw: Any, reason: str) -> None:
    """Count, log and keep a message. What goes wrong with counting and keeping is only logged.

    Args:
        client: of the store.
        queue: the list that it came from.
        raw: the message, or its body, as the broker had it.
        reason: why no worker can take it.
    """
    data = raw if isinstance(raw, bytes) else str(raw).encode("utf-8", "backslashreplace")
    short = " ".join(reason.split())[:300]
    _log.error("message put aside queue=%s bytes=%d reason=%s", queue, len(data), Quoting(short))
    entry = {
        "time": time.time(),
        "queue": queue,
        "reason": short,
        "bytes": len(data),
        "start": base64.b64encode(data[:_KEPT_BYTES]).decode(),
    }
    try:
        pipe = client.pipeline()
        pipe.lpush(_KEY, json.dumps(entry))
        pipe.ltrim(_KEY, 0, _KEPT - 1)
        pipe.hincrby(_TOTALS, "rejected", 1)
        pipe.execute()
    except Exception as error:
        _log.error("message not kept reason=%s", " ".join(str(error).split()))


def rejected(client: redis.Redis, limit: int = 100) -> list[dict[str, Any]]:
    """What was put aside, the newest first: time, queue, reason, bytes, and the start in base64.

    Args:
        client: of the store; must decode responses.
        limit: the most entries.
    """
    return [json.loads(line) for line in cast("list[str]", client.lrange(_KEY, 0, limit - 1))]
