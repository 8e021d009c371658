"""Retrainings, run one by one, and how far students drift from their teachers in between."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from queue_worker.retraining.drift import Agreement, Alarm, agreement, alarms
    from queue_worker.retraining.drift_monitor import DriftMonitor
    from queue_worker.retraining.runner import RetrainWorker
    from queue_worker.retraining.runs import (
        Progress,
        Run,
        RunClaim,
        RunState,
        RunStore,
        find_run,
        request_retrain,
    )

__all__ = [
    "Agreement",
    "Alarm",
    "DriftMonitor",
    "Progress",
    "RetrainWorker",
    "Run",
    "RunClaim",
    "RunState",
    "RunStore",
    "agreement",
    "alarms",
    "find_run",
    "request_retrain",
]

# Some need pyarrow and Celery.
__getattr__ = lazy(
    __name__,
    {
        "Agreement": "queue_worker.retraining.drift",
        "Alarm": "queue_worker.retraining.drift",
        "agreement": "queue_worker.retraining.drift",
        "alarms": "queue_worker.retraining.drift",
        "DriftMonitor": "queue_worker.retraining.drift_monitor",
        "RetrainWorker": "queue_worker.retraining.runner",
        "Progress": "queue_worker.retraining.runs",
        "Run": "queue_worker.retraining.runs",
        "RunClaim": "queue_worker.retraining.runs",
        "RunState": "queue_worker.retraining.runs",
        "RunStore": "queue_worker.retraining.runs",
        "find_run": "queue_worker.retraining.runs",
        "request_retrain": "queue_worker.retraining.runs",
    },
)
