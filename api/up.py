"""``pingti up``: every part of the service in one command."""

from pathlib import Path

from api.server import listen, serve
from queue_worker.app import RETRAIN
from queue_worker.processes import Processes
from queue_worker.settings import Settings


def run_up(*, home: Path, redis_url: str | None, host: str, port: int, workers: int) -> None:
    """Run Valkey (where none is named), workers, the scheduler and the API until SIGINT or SIGTERM.

    Raises:
        UnavailableError: the port is taken, or a part does not start.
    """
    settings = Settings(home=home, redis_url=redis_url, host=host, port=port)
    logs = settings.home / "logs"
    # The port first: where it is taken, nothing else need start.
    with listen(settings) as listener, Processes() as processes:
        if settings.redis_url is None:
            settings = processes.start_valkey(settings)
        for _ in range(workers):
            processes.start_worker(settings, log=logs / "worker.log")
        processes.start_worker(settings, queue=RETRAIN, log=logs / "retrain.log", wait=False)
        processes.start_scheduler(settings, log=logs / "scheduler.log")
        serve(settings, listener)
