"""A RabbitMQ in a folder of its own, by Debian's ``rabbitmq-server``; chaos and tests start it."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one in the path changes to another user
NAMES = Path("/usr/bin/epmd")  # Erlang's name server, which would stay behind if the server started it


@dataclass(frozen=True, kw_only=True)
class RabbitMQ:
    """What a server is started with. Its name server is started first, in the same environment."""

    environment: dict[str, str]
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def listens(self) -> bool:
        """Whether it takes connections."""
        return _listens(self.port)

    def names_listen(self) -> bool:
        """Whether its name server takes connections."""
        return _listens(int(self.environment["ERL_EPMD_PORT"]))


def rabbitmq_in(folder: Path) -> RabbitMQ:
    """A server that keeps its files in ``folder``, which is made."""
    folder.mkdir(parents=True)
    port = free_port()
    environment = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"pingti-{os.getpid()}-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    return RabbitMQ(environment=environment, port=port)


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
