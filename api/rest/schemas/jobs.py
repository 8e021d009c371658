"""What the REST API answers to a job that is only checked."""

from pydantic import Field

from pingti.rest_models import Answer, JobTaskOut


class CheckedOut(Answer):
    """A request that would be accepted now."""

    valid: bool
    inputs: tuple[str, ...] = Field(description="Real paths of the inputs.")
    bytes: int = Field(description="Size of all inputs.")
    tasks: tuple[JobTaskOut, ...] = Field(description="Tasks with the version and threshold in use now.")
    priority: int = Field(description="0 runs first, 9 last.")
