"""A RabbitMQ of the test's own, by Debian's ``rabbitmq-server``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.chaos.rabbitmq import NAMES, SERVER, rabbitmq_in
from queue_worker.processes.launcher import Processes
from tests.support.brokers import until


def require_rabbitmq() -> None:
    """Skip where there is none to start."""
    if not SERVER.is_file():
        pytest.skip(f"needs RabbitMQ (Debian's rabbitmq-server): there is no {SERVER}")


@contextmanager
def rabbitmq(processes: Processes, folder: Path) -> Iterator[str]:
    """The address of a server that starts with nothing; skips where there is none to start."""
    require_rabbitmq()
    broker = rabbitmq_in(folder / "rabbitmq")
    log = folder / "rabbitmq" / "log"
    names = processes.start("epmd", [str(NAMES)], environment=broker.environment, log=log)
    until(broker.names_listen, f"the name server listens; see {log}")
    server = processes.start("rabbitmq", [str(SERVER)], environment=broker.environment, log=log)
    until(broker.listens, f"RabbitMQ listens; see {log}")
    yield broker.url
    processes.stop(server)
    processes.stop(names)
