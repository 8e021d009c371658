"""Signed callbacks: who asked for it is told when a job has ended, as Standard Webhooks describes it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

The job's end and the entry in the outbox (sorted set ``pingti:callbacks``) are one script, so that no end is
forgotten. A periodic task takes what is due, and an entry that was taken comes back by itself. So a
message may come twice, with the same ``webhook-id``; it never gets lost before it is given up, and that is
written on the job.
"""

import base64
import json
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast
from urllib.parse import urlsplit

import redis
from pydantic import BaseModel, ConfigDict, Field
from standardwebhooks import Webhook, WebhookVerificationError

from pingti.errors import InputError, NotFoundError, PingtiError
from pingti.http.outbound import Outbound
from queue_worker.jobs.models import Job
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.transactions import transact
from queue_worker.kept_file import kept_text
from queue_worker.keys import PREFIX
from queue_worker.settings import Settings

SECRET_FILE = "callback_secret"
_DUE = f"{PREFIX}callbacks"
_TAKEN = 100  # at most in one look
_TOGETHER = 6  # callbacks on their way at once, so that a thread is left for the reaper
_OF_A_HOST = 2  # of those: a slow address does not hold up the others
_LOOK_SECONDS = 1.0
_GONE = 410  # the address says that it wants no more
_log = logging.getLogger(__name__)


class CallbackState(StrEnum):
    """Where a job's callback is."""

    WAITING = "waiting"  # for the job's end, or for the next attempt
    DELIVERED = "delivered"  # the address answered 2xx
    GIVEN_UP = "given up"  # after the last attempt, or the address cannot be used


class CallbackStatus(BaseModel):
    """What is known of a job's callback."""

    model_config = ConfigDict(frozen=True)

    url: str
    state: CallbackState = Field(description="waiting, delivered or given up.")
    attempts: int = Field(description="So far.")
    error: str | None = Field(description="Why the last attempt failed.")


def status(client: redis.Redis, job: Job) -> CallbackStatus | None:
    """How far a job's callback is; None where it has none."""
    if job.callback is None:
        return None
    names = ["callback_state", "callback_attempts", "callback_error"]
    state, attempts, error = cast("list[str | None]", client.hmget(f"{PREFIX}job:{job.id}", names))
    return CallbackStatus(
        url=job.callback,
        state=CallbackState(state or CallbackState.WAITING),
        attempts=int(attempts or 0),
        error=error or None,
    )


def secret(settings: Settings) -> str:
    """The signing secret (``whsec_...``): the setting's, else one that is made once and kept in home."""
    if settings.callback_secret is not None:
        return settings.callback_secret.get_secret_value()
    return kept_text(
        settings.home / SECRET_FILE,
        lambda: f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n",
    )


def sign(key: str, id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` of a message: v1, HMAC-SHA256 over id, timestamp and body.

    Args:
        key: the secret, ``whsec_`` and Base64.
        id: the message's ``webhook-id``.
        timestamp: Unix seconds.
        body: UTF-8.
    """
    return Webhook(key).sign(id, datetime.fromtimestamp(timestamp, UTC), body.decode())


def signed(key: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message of JSON, its signature among them; the arguments are those of ``sign``."""
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(key, id, timestamp, body),
    }


def verify(key: str, headers: Mapping[str, str], body: bytes) -> None:
    """For receivers: check that a message is from here and not older than five minutes.

    Args:
        key: the secret, as of ``sign``.
        headers: those of the request.
        body: as it came.

    Raises:
        InputError: a header is missing or wrong, the time is too far away, or no signature is right.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    reason = "it has no signature"
    # One by one: the package refuses a right signature that follows one that is no Base64.
    for signature in lower.get("webhook-signature", "").split():
        try:
            Webhook(key).verify(body, lower | {"webhook-signature": signature}, json_parse=False)
            return
        except (WebhookVerificationError, ValueError) as error:
            reason = str(error)
    raise InputError(f"the callback cannot be trusted: {reason}")


class Callbacks:
    """Sends what is due, an attempt a task. Any number of processes may do so at once."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings, self._store = settings, store
        self._outbound = Outbound(
            private_networks=settings.private_networks, seconds=settings.callback_seconds
        )
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()  # callbacks on their way, by host

    def take_due(self, lease_seconds: float | None = None) -> list[str]:
        """Jobs whose callback is due, taken so that nobody else takes them meanwhile.

        They come back by themselves after ``lease_seconds``, which is longer than an attempt can take.
        """
        seconds = self._settings.callback_seconds * 2 + 30 if lease_seconds is None else lease_seconds

        def take(pipe: Any) -> list[str]:
            now = self._now()
            due = cast("list[str]", pipe.zrangebyscore(_DUE, "-inf", now, start=0, num=_TAKEN))
            pipe.multi()
            for id in due:
                pipe.zadd(_DUE, {id: now + seconds * 1000})
            return due

        return transact(self._store.client, take, _DUE)

    def attempt(self, id: str) -> bool:
        """Send a job's callback, unless too many to its host, or in all, are on their way: it waits then."""
        host = self._host(id)
        with self._lock:
            full = self._busy[host] >= _OF_A_HOST or self._busy.total() >= _TOGETHER
            if not full:
                self._busy[host] += 1
        if full:
            self._store.client.zadd(_DUE, {id: self._now() + _LOOK_SECONDS * 1000}, xx=True)
            return False
        try:
            self._send(id)
        finally:
            with self._lock:
                self._busy[host] -= 1
        return True

    def _now(self) -> float:
        """Ms of the store's clock."""
        seconds, microseconds = self._store.client.time()
        return seconds * 1000 + microseconds / 1000

    def _host(self, id: str) -> str:
        try:
            return urlsplit(self._store.get(id).callback or "").netloc.lower()
        except (NotFoundError, ValueError):  # ``_send`` deals with it
            return ""

    def _send(self, id: str) -> None:
        try:
            job = self._store.get(id)
        except NotFoundError:
            self._store.client.zrem(_DUE, id)
            return
        known = status(self._store.client, job)
        if known is None or known.state is not CallbackState.WAITING:  # the message came twice
            self._store.client.zrem(_DUE, id)
            return
        error, final = self._attempt(job, known.url)
        if error is None:
            self._settle(id, None, CallbackState.DELIVERED, "")
            return
        pauses = self._settings.callback_pauses
        if final or known.attempts >= len(pauses):
            _log.warning("callback given up job=%s attempts=%d reason=%s", id, known.attempts + 1, error)
            self._settle(id, None, CallbackState.GIVEN_UP, error)
        else:
            self._settle(id, pauses[known.attempts], CallbackState.WAITING, error)

    def _attempt(self, job: Job, url: str) -> tuple[str | None, bool]:
        """What went wrong, if anything, and whether it is of no use to try again."""
        body, timestamp = message(job), int(time.time())
        headers = signed(secret(self._settings), f"{job.id}-{job.status}", timestamp, body)
        try:
            answer = self._outbound.post(url, body, headers)
        except InputError as error:  # not an address that may be asked
            return str(error), True
        except PingtiError as error:
            return str(error), False
        except Exception as error:  # an attempt must not end those beside it
            return f"{type(error).__name__}: {error}", False
        if 200 <= answer.status < 300:
            return None, False
        moved = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        return f"{url}: the server answers {answer.status}{moved}", answer.status == _GONE

    def _settle(self, id: str, pause: float | None, state: CallbackState, error: str) -> None:
        """Write down what became of an attempt; a job that was deleted meanwhile is not made again."""
        job, again = f"{PREFIX}job:{id}", None if pause is None else self._now() + pause * 1000

        def settle(pipe: Any) -> None:
            exists = pipe.exists(job)
            pipe.multi()
            if exists:
                pipe.hset(job, mapping={"callback_state": str(state), "callback_error": error[:500]})
                pipe.hincrby(job, "callback_attempts", 1)
            if exists and again is not None:
                pipe.zadd(_DUE, {id: again})
            else:
                pipe.zrem(_DUE, id)

        transact(self._store.client, settle, job)


def message(job: Job) -> bytes:
    """The body: what happened, when, and enough of the job to know which one it is."""
    data: dict[str, Any] = {
        "id": job.id,
        "status": str(job.status),
        "counts": job.counts.model_dump(),
        "error": job.error,
        "metadata": job.metadata,
        "links": {
            "self": f"/v1/jobs/{job.id}",
            "results": f"/v1/jobs/{job.id}/results",
            "errors": f"/v1/jobs/{job.id}/errors",
        },
    }
    at = datetime.fromtimestamp(job.timestamps.get(job.status, 0.0), UTC)
    whole = {"type": f"job.{job.status}", "timestamp": at.isoformat(), "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
