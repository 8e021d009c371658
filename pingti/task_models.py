"""What a service answers of a task, as in ``rest_models``: students, definition, history and review rows."""

from datetime import datetime
from typing import Any

from pydantic import Field

from pingti.rest_models import Answer, MetricsOut


class RoundOut(Answer):
    """One turn of training and measuring; null is a figure that no row of the holdout could tell."""

    round: int
    precision: float | None
    recall: float | None
    f1: float | None


class VersionOut(Answer):
    """A student, and what its report says in short."""

    version: int
    promoted: bool = Field(description="Whether jobs get it now.")
    made: datetime | None = Field(description="When it was trained; null where the report does not say.")
    holdout: MetricsOut | None = Field(description="Null where there is no report, or a damaged one.")
    gate_passed: bool | None
    thresholds: dict[str, float | None] = Field(
        description="By operating point; null with three or more classes."
    )
    rounds: tuple[RoundOut, ...] = Field(description="Figures on the holdout, round by round.")
    report_page: bool = Field(description="Whether it has a report as a page.")
    verdict: dict[str, str] = Field(
        description="In one sentence, in English (en) and Chinese (zh): whether it may replace its teacher, "
        "what that costs, and where it fails. Empty where there is no report, or a damaged one."
    )


class VersionListOut(Answer):
    """A task's students, newest first."""

    items: tuple[VersionOut, ...]
    before: int | None = Field(
        description="The version that a roll-back leads to: the one promoted before the present one; null "
        "where there is none."
    )


class EventOut(Answer):
    """Something that was done to a task."""

    time: datetime
    event: str = Field(examples=["promoted"])
    version: int = Field(description="The version in question; 0 where there was none yet.")
    who: str
    why: str


class HistoryOut(Answer):
    """What was done to a task, newest first."""

    items: tuple[EventOut, ...]


class DefinitionOut(Answer):
    """A task's definition."""

    toml: str = Field(description="The file.")
    definition: dict[str, Any] = Field(description="What it says, with all defaults.")


class ReviewRowOut(Answer):
    """A row for a person."""

    id: str | None
    text: str
    reason: str = Field(description="Why it is here.")
    teacher: dict[str, float] = Field(description="The teacher's probability of each class.")


class ReviewOut(Answer):
    """A page of rows without a label, the least clear first."""

    items: tuple[ReviewRowOut, ...]
    next_cursor: int | None = Field(
        description="Pass as ``cursor`` for the next page; null on the last one. Rows that get a label "
        "meanwhile move the others up."
    )
    left: int = Field(description="Rows without a label.")


class LabelledOut(Answer):
    """What became of labels."""

    added: int = Field(description="Texts whose label is new or another now.")
    unchanged: int = Field(description="Texts that had this label.")
    bad: tuple[str, ...] = Field(description="Labels that could not be used, a sentence each.")
