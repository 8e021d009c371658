"""What requests have cost, and whether another may be sent; safe for threads."""

import dataclasses
import threading
from dataclasses import dataclass
from typing import Any

from teacher.endpoints.settings import Endpoint
from teacher.protocol import Cost

ANSWER_TOKENS = 64
"""Of an answer at most: requests say so, and it is what a request may cost beside its own length."""
_SHOWN = 120  # characters of an answer that could not be read


@dataclass(frozen=True)
class Reserved:
    """What a request may cost, set aside until its cost is known."""

    sent: int
    """Tokens of the question."""
    answered: int
    """Tokens of the answer."""


class Budget:
    """Counts rows, tokens and money; a request that might go beyond is not sent.

    Args:
        endpoint: has limits and prices.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Condition()
        self._cost = Cost()
        self._reserved: list[Reserved] = []
        self._overhead: int | None = None

    @property
    def cost(self) -> Cost:
        """So far."""
        with self._lock:
            return self._cost

    def reserve(self, size: int, text: int) -> Reserved | None:
        """Set aside what a request may cost; waits for others where what they set aside stands in the way.

        A text has at most as many tokens as bytes. What all questions have besides is known from the first
        answer on, and until then likewise.

        Args:
            size: bytes of the request.
            text: those of its text alone.

        Returns:
            None where the budget might not hold it.
        """
        with self._lock:
            while True:
                sent = size if self._overhead is None else self._overhead + text
                wanted = Reserved(sent, ANSWER_TOKENS)
                if self._holds([*self._reserved, wanted]):
                    self._reserved.append(wanted)
                    return wanted
                if not self._reserved:
                    self._cost = dataclasses.replace(self._cost, unsent=self._cost.unsent + 1)
                    return None
                self._lock.wait()  # what is set aside is more than what is spent at last

    def settle(self, reserved: Reserved, sent: int | None, answered: int | None) -> None:
        """Put a request's cost in the place of what was set aside.

        Args:
            reserved: what was.
            sent: tokens of the question; None: nobody knows, and what was set aside counts.
            answered: tokens of the answer, likewise.
        """
        with self._lock:
            self._reserved.remove(reserved)
            self._lock.notify_all()
            if sent:
                self._overhead = sent if self._overhead is None else min(self._overhead, sent)
            sent = reserved.sent if sent is None else sent
            answered = reserved.answered if answered is None else answered
            self._cost = dataclasses.replace(
                self._cost,
                tokens=self._cost.tokens + sent + answered,
                money=self._cost.money + self._price(sent, answered),
            )

    def count(self, *, rows: int = 0, failed: int = 0, without_logprobs: int = 0) -> None:
        """Count texts by what became of them.

        Args:
            rows: asked about.
            failed: they got no answer.
            without_logprobs: their answer has no log probabilities, which were wanted.
        """
        with self._lock:
            cost = self._cost
            self._cost = dataclasses.replace(
                cost,
                rows=cost.rows + rows,
                failed=cost.failed + failed,
                without_logprobs=cost.without_logprobs + without_logprobs,
            )

    def count_malformed(self, rows: int, answer: Any) -> None:
        """Count texts whose answer could not be read.

        Args:
            rows: how many.
            answer: what was answered; of the first its beginning is kept.
        """
        with self._lock:
            shown = self._cost.first_malformed or str(answer)[:_SHOWN]
            malformed = self._cost.malformed + rows
            self._cost = dataclasses.replace(self._cost, malformed=malformed, first_malformed=shown)

    def _holds(self, reserved: list[Reserved]) -> bool:
        """Whether the budget holds what was spent and all of ``reserved``."""
        tokens = self._cost.tokens + sum(part.sent + part.answered for part in reserved)
        money = self._cost.money + sum(self._price(part.sent, part.answered) for part in reserved)
        most_tokens, most_money = self._endpoint.most_tokens, self._endpoint.most_money
        return (most_tokens is None or tokens <= most_tokens) and (most_money is None or money <= most_money)

    def _price(self, sent: int, answered: int) -> float:
        return (sent * self._endpoint.price_in + answered * self._endpoint.price_out) / 1e6
