"""A RabbitMQ of the test's own, by Debian's ``rabbitmq-server``."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queue_worker.processes.launcher import Processes
from tests.support.brokers import until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one in the path changes to another user


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def rabbitmq(processes: Processes, folder: Path) -> Iterator[str]:
    """The address of a server that starts with nothing; skips where there is none to start."""
    if not SERVER.is_file():
        pytest.skip(f"needs RabbitMQ (Debian's rabbitmq-server): there is no {SERVER}")
    port, folder = _free_port(), folder / "rabbitmq"
    folder.mkdir(parents=True)
    environment = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"pingti-{os.getpid()}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(_free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "ERL_EPMD_PORT": str(_free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    server = processes.start("rabbitmq", [str(SERVER)], environment=environment, log=folder / "log")

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(listens, f"RabbitMQ listens; see {folder / 'log'}")
    yield f"amqp://guest:guest@127.0.0.1:{port}//"
    processes.stop(server)
