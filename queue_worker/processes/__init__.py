"""The processes of a service: started, watched, restarted, and never left behind."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from queue_worker.processes.health import alive
    from queue_worker.processes.launcher import Processes, guarded
    from queue_worker.processes.supervisor import Supervisor

__all__ = [
    "Processes",
    "Supervisor",
    "alive",
    "guarded",
]

# ``health`` is run as a module, and must not be imported before that.
__getattr__ = lazy(
    __name__,
    {
        "alive": "queue_worker.processes.health",
        "Processes": "queue_worker.processes.launcher",
        "guarded": "queue_worker.processes.launcher",
        "Supervisor": "queue_worker.processes.supervisor",
    },
)
