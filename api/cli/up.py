"""``pingti up``: every part of the service in one command, each started again where it ends by itself.

``python -m api.cli.up DESCRIPTOR`` is the API's part: it serves on a socket that its parent holds open, so
that the port stays the service's and clients wait while it is started again.
"""

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from api.rest.server import exit_code, listen, serve, sigterm_as_exit
from pingti.errors import PingtiError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import CLASSIFY, RETRAIN, TEACH
from queue_worker.processes.launcher import Processes, worker_name
from queue_worker.processes.supervisor import Start, Supervisor
from queue_worker.processes.workplace import refuse_other_workspace
from queue_worker.settings import Settings
from queue_worker.telemetry.logs import configure


def run_up(*, home: Path, redis_url: str | None, host: str, port: int, workers: int) -> None:
    """Run Valkey (where none is named), workers, the scheduler and the API until SIGINT or SIGTERM.

    Leaves as KeyboardInterrupt or SystemExit(143), when everything has ended.

    Raises:
        ConflictError: the server that is named keeps the jobs of another workspace.
        UnavailableError: the port is taken, or a part does not start the first time.
    """
    settings = Settings(home=home, redis_url=redis_url, host=host, port=port)
    configure(settings.log_format)
    logs = settings.home / "logs"
    # The port first: where it is taken, nothing else need start.
    with listen(settings) as listener, Processes() as processes, sigterm_as_exit():
        supervisor = Supervisor(processes)
        if settings.redis_url is None:
            settings = _add_valkey(supervisor, processes, settings)
        refuse_other_workspace(settings)

        def scheduler() -> subprocess.Popen[bytes]:
            return processes.start_scheduler(settings, log=logs / "scheduler.log")

        def api() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-P", "-m", "api.cli.up", str(listener.fileno())]
            return processes.start("API", command, settings=settings, keep=(listener.fileno(),))

        for _ in range(workers):
            supervisor.add("worker", _workers(processes, settings, CLASSIFY, logs / "worker.log"))
        supervisor.add("retrain worker", _workers(processes, settings, RETRAIN, logs / "retrain.log"))
        if _asks_teacher(Workspace(settings.home)):
            supervisor.add("teaching worker", _workers(processes, settings, TEACH, logs / "teach.log"))
        supervisor.add("scheduler", scheduler)
        supervisor.add("API", api)
        supervisor.run()


def _asks_teacher(workspace: Workspace) -> bool:
    """Whether jobs of a task ask its teacher, which a retraining must not keep from it for hours."""
    for entry in workspace.entries():
        with suppress(PingtiError):  # whoever uses the task is told
            cascade = entry.definition.cascade
            if cascade is not None and cascade.second == "teacher":
                return True
    return False


def _workers(processes: Processes, settings: Settings, queue: str, log: Path) -> Start:
    """Starts a worker of a queue; each further one takes over what the one before held."""
    before: str | None = None

    def start() -> subprocess.Popen[bytes]:
        nonlocal before
        name, replaces = worker_name(queue), before
        before = name
        return processes.start_worker(
            settings, queue=queue, name=name, replaces=replaces, log=log, wait=False
        )

    return start


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
    return exit_code(lambda: serve(Settings.of_environment(), socket.socket(fileno=int(arguments[0]))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
