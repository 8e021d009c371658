"""What an endpoint is and what it may cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A service that answers in a model's place."""

    url: str
    model: str | None = None
    """The service's name of it."""
    labels: tuple[str, ...]
    """That it may answer."""
    key: str | None = field(default=None, repr=False)
    """Goes along as a bearer token; it is in no error and no log."""
    key_variable: str | None = None
    """Where the key is from, for errors."""
    instruction: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """What labels mean."""
    output: Literal["json_schema", "choice"] = "json_schema"
    """How an answer is held to a label."""
    logprobs: bool = True
    votes: int = 1
    """Answers to a text where there are no log probabilities."""
    concurrency: int = 8
    """Requests at one time."""
    seconds: float = 60.0
    """For a request."""
    attempts: int = 6
    """Of a request."""
    pause: float = 0.5
    """Seconds before the second attempt; it doubles."""
    batch: int = 16
    """Texts of a request, of classifiers."""
    most_tokens: int | None = None
    """Of all requests."""
    most_money: float | None = None
    price_in: float = 0.0
    """Of a million tokens sent."""
    price_out: float = 0.0
    """Of a million tokens answered."""
    private_networks: tuple[str, ...] = ()
    """Networks that may be reached although they are not public."""
