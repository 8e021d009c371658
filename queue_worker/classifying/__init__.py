"""A job's rows classified: cut into shards, each written as a part, and the parts put together."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from queue_worker.classifying.planning import cut_inputs
    from queue_worker.classifying.runner import ClassifierCache, Runner
    from queue_worker.classifying.shards import (
        classify_shard,
        delete_job,
        error_lines,
        finalize,
        job_folder,
        results,
    )
    from queue_worker.classifying.tuning import Tried, recommended, stress

__all__ = [
    "ClassifierCache",
    "Runner",
    "Tried",
    "classify_shard",
    "cut_inputs",
    "delete_job",
    "error_lines",
    "finalize",
    "job_folder",
    "recommended",
    "results",
    "stress",
]

# All of them need the students' kernels.
__getattr__ = lazy(
    __name__,
    {
        "cut_inputs": "queue_worker.classifying.planning",
        "ClassifierCache": "queue_worker.classifying.runner",
        "Runner": "queue_worker.classifying.runner",
        "classify_shard": "queue_worker.classifying.shards",
        "delete_job": "queue_worker.classifying.shards",
        "error_lines": "queue_worker.classifying.shards",
        "finalize": "queue_worker.classifying.shards",
        "job_folder": "queue_worker.classifying.shards",
        "results": "queue_worker.classifying.shards",
        "Tried": "queue_worker.classifying.tuning",
        "recommended": "queue_worker.classifying.tuning",
        "stress": "queue_worker.classifying.tuning",
    },
)
