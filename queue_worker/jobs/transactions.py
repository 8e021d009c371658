"""Small changes of the store that depend on what is there, without a script."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis

T = TypeVar("T")


def transact(client: redis.Redis, change: Callable[[Any], T], *keys: str) -> T:
    """Do what ``change`` says at once, or again where one of the ``keys`` was changed meanwhile.

    Args:
        client: Of the store.
        change: Given a pipeline, reads what it needs, calls ``multi``, and queues what it writes.
        *keys: What it depends on.

    Returns:
        What ``change`` returns.
    """
    transaction = cast("Callable[..., T]", client.transaction)
    return transaction(change, *keys, value_from_callable=True)
