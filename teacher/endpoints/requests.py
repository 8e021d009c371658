"""Requests to an endpoint: tried again after a pause, several at a time, within a budget."""

import json
import math
import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pingti.errors import InputError, UnavailableError
from pingti.http.outbound import Answer, Outbound, TooLargeError
from teacher.endpoints.budget import Budget
from teacher.endpoints.settings import Endpoint

_ANSWER_BYTES = 8 << 20
_LONGEST_PAUSE = 60.0
_LONGEST_ASKED = 600.0  # that a service may ask for
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_WORKED_ON = frozenset({408, 502, 504})  # somebody in between has given up; the model may not have
_HOPELESS = frozenset({401, 403, 404, 405, 407})  # what holds for one request holds for all
_ALL_FAILED = 24  # requests in a row without an answer, each tried again as often as allowed


class Requests:
    """The way to one endpoint. Safe for threads.

    Args:
        endpoint: where it is.
        budget: what it may cost.
    """

    def __init__(self, endpoint: Endpoint, budget: Budget) -> None:
        self._endpoint = endpoint
        self._budget = budget
        self._outbound = Outbound(private_networks=endpoint.private_networks, seconds=endpoint.seconds)
        self._lock = threading.Lock()
        self._in_vain = 0

    def send(self, document: Mapping[str, Any], *, text: str | None = None) -> Any:
        """Post a document.

        Args:
            document: is sent as JSON.
            text: is in it, where the answer says in ``usage`` how many tokens it took; None: nobody counts
                tokens.

        Returns:
            The answer's JSON; a string where it is none, and None where there is no answer or no budget.

        Raises:
            InputError: the address may not be reached.
            UnavailableError: the service refuses every request, or answers none of many.
        """
        body = json.dumps(document, ensure_ascii=False).encode()
        counts_tokens, reason = text is not None, ""
        for attempt in range(self._endpoint.attempts):
            reserved = None if text is None else self._budget.reserve(len(body), len(text.encode()))
            if counts_tokens and reserved is None:
                return None
            sent, answered = (0, 0) if counts_tokens else (None, None)
            pause, asked = self._endpoint.pause * 2**attempt * random.uniform(0.75, 1.25), 0.0
            try:
                answer = self._outbound.ask(self._endpoint.url, body, self._headers(), limit=_ANSWER_BYTES)
            except TooLargeError as error:
                sent, answered = None, None
                self._reached()
                return str(error)  # no JSON, either
            except UnavailableError as error:
                # It may have been worked on: what was set aside counts.
                reason, sent, answered = str(error), None, None
            else:
                reason = f"{self._endpoint.url}: the endpoint answers {answer.status}"
                if answer.status == 200:
                    value = _parsed(answer.body)
                    sent, answered = _usage(value)
                    self._reached()
                    return value
                self._refuse_hopeless(answer.status)
                if answer.status not in _AGAIN:
                    break
                if answer.status in _WORKED_ON:
                    sent, answered = None, None
                asked = min(_retry_after(answer), _LONGEST_ASKED)
            finally:
                if reserved is not None:
                    self._budget.settle(reserved, sent, answered)
            if attempt + 1 < self._endpoint.attempts:
                time.sleep(max(asked, min(pause, _LONGEST_PAUSE)))
        self._missed(reason)
        return None

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._endpoint.key is not None:
            headers["Authorization"] = f"Bearer {self._endpoint.key}"
        return headers

    def _refuse_hopeless(self, status: int) -> None:
        url, variable = self._endpoint.url, self._endpoint.key_variable
        if status in (401, 403):
            key = f"the key in {variable}" if variable else "that teacher.endpoint.key_variable is not set"
            raise UnavailableError(f"{url}: the endpoint answers {status}; look at {key}")
        if status in _HOPELESS or 300 <= status < 400:
            raise UnavailableError(
                f"{url}: the endpoint answers {status}; look at teacher.endpoint.url; redirects "
                "are not followed"
            )

    def _reached(self) -> None:
        with self._lock:
            self._in_vain = 0

    def _missed(self, reason: str) -> None:
        with self._lock:
            self._in_vain += 1
            in_vain = self._in_vain
        if in_vain >= _ALL_FAILED:
            raise UnavailableError(
                f"{reason}; so ended {in_vain} requests in a row; what was answered before is kept, and the "
                "run can be started again"
            )


def check_address(endpoint: Endpoint) -> None:
    """Look whether an endpoint may be reached, without going there.

    Raises:
        InputError: it may not.
    """
    try:
        Outbound(private_networks=endpoint.private_networks, seconds=endpoint.seconds).check(endpoint.url)
    except InputError as error:
        raise InputError(
            f"teacher.endpoint.url: {error}; addresses that are not public are reached only where "
            "PINGTI_PRIVATE_NETWORKS names their network"
        ) from error


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _usage(value: Any) -> tuple[int | None, int | None]:
    """Tokens of question and answer, as far as they are told."""
    usage = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(usage, dict):
        return None, None
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    sent, answered = (count if type(count) is int and count >= 0 else None for count in counts)
    return sent, answered


def _retry_after(answer: Answer) -> float:
    """Seconds that the service asks to wait; 0 where it does not."""
    value = answer.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        pass
    else:
        return max(0.0, seconds) if math.isfinite(seconds) else 0.0
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
