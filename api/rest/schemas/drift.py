"""What the REST API answers of a task's agreement with its teacher."""

from pydantic import Field

from pingti.rest_models import Answer
from queue_worker.retraining.drift import Agreement, Alarm


class AgreementOut(Answer):
    """Student and teacher on rows of real jobs."""

    items: tuple[Agreement, ...] = Field(description="By day and version, newest first.")
    alarms: tuple[Alarm, ...] = Field(description="Newest first.")
