"""The Redis transport of kombu, with one difference: a message that is none ends no worker.

Kombu reads what is in the broker's lists unguarded. Bytes that are not a message, or lack what acknowledging
one needs, would end the consumer, go back to the list, and end the next one. Here they are put aside.
"""

import json
import logging
from queue import Empty
from typing import Any

import redis
from celery.app import amqp
from kombu.connection import Connection as KombuConnection
from kombu.transport import redis as kombu_redis

from queue_worker.processes.rejected import put_aside

_log = logging.getLogger(__name__)
_MOST_BYTES = 4 << 20  # ours have about a thousand


def fault_of(raw: Any, channel: Any) -> str | None:
    """Why bytes of a list are no message that can be acknowledged; None where they are.

    Args:
        raw: the bytes.
        channel: of kombu, which they came by.
    """
    try:
        if len(raw) > _MOST_BYTES:
            raise ValueError(f"it has {len(raw):,} bytes; the most are {_MOST_BYTES:,}")
        message = json.loads(raw.decode() if isinstance(raw, bytes) else raw)
        for name, kinds in _SHAPE.items():
            if not isinstance(message[name], kinds):
                raise TypeError(f"{name} is of another type")
        if message["headers"].get("compression"):  # few bytes would become many
            raise ValueError("it is compressed, which is not used here")
        properties = message["properties"]
        where = properties["delivery_info"]
        for text in (properties["delivery_tag"], where["exchange"], where["routing_key"]):
            if not isinstance(text, str):
                raise TypeError("its delivery is not told by texts")
        channel.Message(message, channel=channel)
    except Exception as error:  # whatever anybody may push
        return f"{type(error).__name__}: {error}"
    return None


_SHAPE: dict[str, Any] = {
    "body": (str, type(None)),
    "headers": dict,
    "properties": dict,
    "content-type": (str, type(None)),
    "content-encoding": (str, type(None)),
}


class QoS(kombu_redis.QoS):
    """Kombu's list of what is not acknowledged, whose end with a lost connection ends no worker."""

    def restore_unacked(self, client: Any = None) -> None:
        """Give back what was not acknowledged, where the connection still allows it."""
        if self._gone():  # the reaper publishes what is missing
            _log.warning("not given back count=%d reason=the connection is gone", len(self._delivered))
            self._delivered.clear()
            return
        super().restore_unacked(client)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message; one of a lost connection comes again, and finds nothing to do."""
        if not self._gone():
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject a message, where the connection still allows it."""
        if not self._gone():
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]

    def _gone(self) -> bool:
        """Whether kombu has taken the connection apart, as it does when the server went away."""
        return self.channel.connection is None or self.channel.connection.client is None


class _Looking:
    """A channel of kombu, which looks at what it reads."""

    QoS = QoS
    client: Any
    conn_or_acquire: Any

    def _brpop_read(self, **options: Any) -> Any:
        parse = self.client.parse_response

        def parse_and_look(connection: Any, command: str, **more: Any) -> Any:
            answer = parse(connection, command, **more)
            if answer:
                fault = fault_of(answer[1], self)
                if fault is not None:
                    with self.conn_or_acquire() as client:  # the store is on the same server
                        put_aside(client, answer[0].decode(), answer[1], fault)
                    return None  # as where nothing came in time
            return answer

        self.client.parse_response = parse_and_look
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        finally:
            del self.client.parse_response

    def _receive_one(self, subscription: Any) -> Any:
        """What came by remote control, or as an event: nothing, where it is neither."""
        try:
            return super()._receive_one(subscription)  # type: ignore[misc]
        except (Empty, OSError, redis.RedisError):
            raise
        except Exception as error:
            with self.conn_or_acquire() as client:
                put_aside(client, "remote control", "", f"{type(error).__name__}: {error}")
            raise Empty from error


class Channel(_Looking, kombu_redis.Channel):
    """Of a server that an address names."""


class SentinelChannel(_Looking, kombu_redis.SentinelChannel):
    """Of a server that sentinels name."""


class Transport(kombu_redis.Transport):
    """Kombu's transport with that channel."""

    Channel = Channel


class SentinelTransport(kombu_redis.SentinelTransport):
    """The same, by way of sentinels."""

    Channel = SentinelChannel


class Connection(KombuConnection):
    """Kombu's connection with that transport.

    Celery's ``broker_transport`` would do for ``redis://`` alone: kombu knows TLS and Unix sockets by the
    transport that an address names.
    """

    def get_transport_cls(self) -> type[kombu_redis.Transport]:
        """That transport, whatever the scheme."""
        return SentinelTransport if self.transport_cls == "sentinel" else Transport


class Amqp(amqp.AMQP):  # type: ignore[misc]  # celery has no types
    """What a Celery application connects by."""

    Connection = Connection
