"""What the REST API answers to a job that is only checked, and examples of submissions."""

from typing import Any

from pydantic import Field

from pingti.rest_models import FILE_ID, Answer, JobTaskOut


class CheckedOut(Answer):
    """A request that would be accepted now."""

    valid: bool
    inputs: tuple[str, ...] = Field(description="Real paths of the inputs.")
    bytes: int = Field(description="Size of all inputs.")
    tasks: tuple[JobTaskOut, ...] = Field(description="Tasks with the version and threshold in use now.")
    priority: int = Field(description="0 runs first, 9 last.")


SUBMIT_EXAMPLES: dict[str, Any] = {
    "an uploaded file": {"value": {"inputs": [FILE_ID], "tasks": ["sport"]}},
    "all choices": {
        "value": {
            "inputs": ["/srv/data/2026-11-20.parquet", "/srv/data/2026-11-21.parquet"],
            "tasks": ["sport@live", "topic#3"],
            "priority": 2,
            "metadata": {"team": "search"},
            "text": "title",
            "id": "key",
            "keep": ["region", "day"],
            "callback": "https://batch.example/pingti",
        }
    },
}
"""For the OpenAPI document."""
