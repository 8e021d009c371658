"""Jobs: accepted, kept in Valkey with all that is known of them, and their ends told by callbacks."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from queue_worker.jobs.callbacks import Callbacks, CallbackState, CallbackStatus
    from queue_worker.jobs.models import Accepted, Claim, Counts, Done, Job, JobStatus
    from queue_worker.jobs.statistics import Depth, OwnerLoad, Statistics, Totals, WorkerLoad
    from queue_worker.jobs.store import JobStore, VolatileError
    from queue_worker.jobs.submission import Checked, JobRequest, submit, validate

__all__ = [
    "Accepted",
    "CallbackState",
    "CallbackStatus",
    "Callbacks",
    "Checked",
    "Claim",
    "Counts",
    "Depth",
    "Done",
    "Job",
    "JobRequest",
    "JobStatus",
    "JobStore",
    "OwnerLoad",
    "Statistics",
    "Totals",
    "VolatileError",
    "WorkerLoad",
    "submit",
    "validate",
]

# Some need pyarrow, Celery or the students' kernels, which a health check does without.
__getattr__ = lazy(
    __name__,
    {
        "CallbackState": "queue_worker.jobs.callbacks",
        "CallbackStatus": "queue_worker.jobs.callbacks",
        "Callbacks": "queue_worker.jobs.callbacks",
        "Accepted": "queue_worker.jobs.models",
        "Claim": "queue_worker.jobs.models",
        "Counts": "queue_worker.jobs.models",
        "Done": "queue_worker.jobs.models",
        "Job": "queue_worker.jobs.models",
        "JobStatus": "queue_worker.jobs.models",
        "Depth": "queue_worker.jobs.statistics",
        "OwnerLoad": "queue_worker.jobs.statistics",
        "Statistics": "queue_worker.jobs.statistics",
        "Totals": "queue_worker.jobs.statistics",
        "WorkerLoad": "queue_worker.jobs.statistics",
        "JobStore": "queue_worker.jobs.store",
        "VolatileError": "queue_worker.jobs.store",
        "Checked": "queue_worker.jobs.submission",
        "JobRequest": "queue_worker.jobs.submission",
        "submit": "queue_worker.jobs.submission",
        "validate": "queue_worker.jobs.submission",
    },
)
