"""``pingti up``: every part of the service in one command, each started again where it ends by itself.

``python -m api.cli.up DESCRIPTOR`` is the API's part: it serves on a socket that its parent holds open, so
that the port stays the service's and clients wait while it is started again.
"""

import socket
import subprocess
import sys
from pathlib import Path

from api.rest.server import listen, serve, sigterm_as_exit
from pingti.errors import PingtiError
from queue_worker.celery_app import RETRAIN, configure_logging
from queue_worker.processes.launcher import Processes
from queue_worker.processes.supervisor import Supervisor
from queue_worker.settings import Settings


def run_up(*, home: Path, redis_url: str | None, host: str, port: int, workers: int) -> None:
    """Run Valkey (where none is named), workers, the scheduler and the API until SIGINT or SIGTERM.

    Leaves as KeyboardInterrupt or SystemExit(143), when everything has ended.

    Raises:
        UnavailableError: the port is taken, or a part does not start the first time.
    """
    configure_logging()
    settings = Settings(home=home, redis_url=redis_url, host=host, port=port)
    logs = settings.home / "logs"
    # The port first: where it is taken, nothing else need start.
    with listen(settings) as listener, Processes() as processes, sigterm_as_exit():
        supervisor = Supervisor(processes)
        if settings.redis_url is None:
            settings = _add_valkey(supervisor, processes, settings)

        def worker() -> subprocess.Popen[bytes]:
            return processes.start_worker(settings, log=logs / "worker.log", wait=False)

        def retrain_worker() -> subprocess.Popen[bytes]:
            return processes.start_worker(settings, queue=RETRAIN, log=logs / "retrain.log", wait=False)

        def scheduler() -> subprocess.Popen[bytes]:
            return processes.start_scheduler(settings, log=logs / "scheduler.log")

        def api() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-P", "-m", "api.cli.up", str(listener.fileno())]
            return processes.start("API", command, settings=settings, keep=(listener.fileno(),))

        for _ in range(workers):
            supervisor.add("worker", worker)
        supervisor.add("retrain worker", retrain_worker)
        supervisor.add("scheduler", scheduler)
        supervisor.add("API", api)
        supervisor.run()


def _add_valkey(supervisor: Supervisor, processes: Processes, settings: Settings) -> Settings:
    """Start an embedded server; the settings with its address, which it keeps when it starts again."""
    served = processes.start_valkey(settings)
    port = int(str(served.redis_url).rpartition(":")[2].partition("/")[0])
    first: list[subprocess.Popen[bytes]] = [processes.latest("valkey")]

    def start() -> subprocess.Popen[bytes]:
        if first:
            return first.pop()
        processes.start_valkey(settings, port=port)
        return processes.latest("valkey")

    supervisor.add("Valkey", start)
    return served


def main(arguments: list[str]) -> int:
    """The API's part: serve on the inherited socket with the given descriptor."""
    try:
        settings = Settings.of_environment()
        serve(settings, socket.socket(fileno=int(arguments[0])))
    except PingtiError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
