"""A key's limit on rows, for jobs whose inputs do not tell their rows before they are read.

What Parquet tells is counted when a job is accepted. Rows of CSV and JSON lines are counted at the plan, and
no shard of a job that may be above the limit is worked on before all of it is counted.
"""

from dataclasses import dataclass

from pingti.errors import InputError
from queue_worker.jobs.models import Job
from queue_worker.jobs.store import JobStore


class RowLimitError(InputError):
    """A job has more rows than are left of its key's limit."""


@dataclass(frozen=True, kw_only=True)
class RowLimit:
    """How many rows a job may have."""

    owner: str
    most: int
    """Rows that the owner's unfinished jobs may have."""
    others: int
    """Rows of the other ones."""

    @property
    def room(self) -> int:
        """Rows that are left for the job."""
        return max(0, self.most - self.others)

    def check(self, rows: int) -> None:
        """Refuse a job of so many rows.

        Raises:
            RowLimitError: there is no room for them.
        """
        if rows > self.room:
            raise RowLimitError(
                f"the key {self.owner!r} may have {self.most:,} rows in unfinished jobs, and {self.others:,} "
                f"are in others: this job has more than the {self.room:,} that are left; submit fewer rows, "
                "or wait until other jobs have ended"
            )


def row_limit(store: JobStore, job: Job) -> RowLimit | None:
    """The limit that a job has to keep at its plan; None where there is none, or it was looked at before.

    Args:
        store: knows what else the owner has.
        job: as it was when its plan was claimed.
    """
    if job.row_limit is None or job.owner is None or job.counts.total or job.shards_ready:
        return None
    others = store.statistics.load_of(job.owner).rows  # the job's own rows are not among them yet
    return RowLimit(owner=job.owner, most=job.row_limit, others=others)
