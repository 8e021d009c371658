"""Student and teacher on the rows of real jobs, day by day, and the alarm when they drift apart.

The retrain worker takes a small sample of every finished job's rows, has the teacher asked about them
(``replacement.measure_drift``), and counts by task, version and day. An alarm is raised when the day's 95 %
interval (Wilson 1927, Brown et al. 2001) lies wholly below that of the holdout on which the version was
measured, after at least fifty rows: two such intervals lie apart by chance about three times in a thousand.

Keys (prefix ``pingti:``):

    watch:cursor                id of the newest job that was noted
    watch:open                  set of jobs that were noted and are not done with
    agreement:of:<task>:<day>   hash: "<version>:rows", "<version>:agreed"; kept for a year
    agreement:counted:<day>     set of "<job>/<task>" that were counted
    alarms                      list of alarms, the newest first; the last thousand are kept
    alarm:<task>:<day>:<version>  "raised", then "acted" when what follows from it is done

``tasks/<name>/agreement.jsonl`` has a line for every job that was counted, ``alarms.jsonl`` one an alarm.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import redis
from pydantic import BaseModel, ConfigDict, Field

from pingti import files
from pingti.workspace.registry import TaskEntry
from queue_worker.jobs.transactions import transact
from queue_worker.keys import PREFIX

_Z = 1.959964  # 97.5 % quantile of the normal distribution
MIN_ROWS = 50

_DAY_SECONDS, _MARK_SECONDS, _ALARMS_KEPT = 31_622_400, 691_200, 1000


def wilson(agreed: int, rows: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927); (0, 1) where there are no rows."""
    if rows == 0:
        return 0.0, 1.0
    share, square = agreed / rows, _Z * _Z / rows
    centre = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / rows + square / (4 * rows)) / (1 + square)
    # At 0 and 1 rounding could leave the share outside.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


class Agreement(BaseModel):
    """How often a version decided as its teacher on a day."""

    model_config = ConfigDict(frozen=True)

    day: date = Field(description="UTC; of the jobs' end.")
    version: int
    rows: int = Field(description="Rows that the teacher was asked about.")
    agreed: int = Field(description="Rows decided alike.")
    share: float = Field(description="agreed / rows.")
    low: float = Field(description="Lower end of the share's 95 % interval.")
    high: float = Field(description="Upper end.")


class Alarm(BaseModel):
    """The agreement has fallen clearly below what the version reached on its holdout."""

    model_config = ConfigDict(frozen=True)

    time: datetime
    task: str
    day: date
    version: int
    rows: int
    share: float
    low: float
    high: float
    holdout_share: float
    holdout_low: float
    action: Literal["nothing", "rollback", "retrain"] = Field(description="What the definition asks for.")

    @property
    def sentence(self) -> str:
        """What has happened, for people."""
        return (
            f"task {self.task!r}: version {self.version} agreed with its teacher on {self.share:.1%} of "
            f"{self.rows} rows on {self.day} (95 % interval up to {self.high:.1%}), on its holdout on "
            f"{self.holdout_share:.1%} (from {self.holdout_low:.1%})"
        )


def agreement(client: redis.Redis, task: str, days: int = 30) -> list[Agreement]:
    """The last ``days`` days, the newest first; a line for each version that decided on a day."""
    seconds, _ = client.time()
    today = datetime.fromtimestamp(seconds, UTC).date()
    wanted = [today - timedelta(days=back) for back in range(days)]
    pipe = client.pipeline(transaction=False)
    for day in wanted:
        pipe.hgetall(f"{PREFIX}agreement:of:{task}:{day}")
    agreements = []
    for day, fields in zip(wanted, pipe.execute(), strict=True):
        versions = {int(name.partition(":")[0]) for name in fields}
        agreements += [_agreement(day, version, fields) for version in sorted(versions, reverse=True)]
    return agreements


def alarms(client: redis.Redis, task: str | None = None, limit: int = 100) -> list[Alarm]:
    """The alarms, the newest first."""
    lines: Any = client.lrange(f"{PREFIX}alarms", 0, -1)
    every = (Alarm.model_validate_json(line) for line in lines)
    return [alarm for alarm in every if task is None or alarm.task == task][:limit]


def count(
    client: redis.Redis, entry: TaskEntry, *, job: str, day: date, version: int, rows: int, agreed: int
) -> Agreement:
    """Add a job's sample to its day, once; the day as it is then."""
    key = f"{PREFIX}agreement:of:{entry.name}:{day}"
    counted, sample = f"{PREFIX}agreement:counted:{day}", f"{job}/{entry.name}"

    def add(pipe: Any) -> bool:
        known = pipe.sismember(counted, sample)
        pipe.multi()
        if not known:
            pipe.sadd(counted, sample)
            pipe.hincrby(key, f"{version}:rows", rows)
            pipe.hincrby(key, f"{version}:agreed", agreed)
            pipe.expire(key, _DAY_SECONDS)
            pipe.expire(counted, _MARK_SECONDS)
        return not known

    if rows and transact(client, add, counted):
        line = {"day": day.isoformat(), "job": job, "version": version, "rows": rows, "agreed": agreed}
        files.append_line(entry.folder / "agreement.jsonl", line)
    fields: Any = client.hgetall(key)
    return _agreement(day, version, fields)


def move_agreement(client: redis.Redis, task: str, to: str | None) -> None:
    """Give the days of a renamed task to its new name.

    Args:
        client: of the store.
        task: its name before.
        to: its new name; the days are forgotten where absent.
    """
    before = f"{PREFIX}agreement:of:{task}:"
    for key in list(client.scan_iter(f"{before}*")):
        if to is None:
            client.delete(key)
        else:
            client.rename(key, f"{PREFIX}agreement:of:{to}:{key.removeprefix(before)}")


def fallen(today: Agreement, holdout: Sequence[int]) -> bool:
    """Whether a day is clearly below the holdout, of which ``holdout`` are the rows agreed on, and all."""
    return today.rows >= MIN_ROWS and today.high < wilson(holdout[0], holdout[1])[0]


def raise_alarm(client: redis.Redis, entry: TaskEntry, today: Agreement) -> Alarm | None:
    """The alarm about a day, if there is reason for one and none about it was acted on yet (``acted``)."""
    measured = _measured(entry.report(today.version))
    agreed = round(measured["accuracy"] * measured["rows"])
    if not fallen(today, (agreed, measured["rows"])):
        return None
    seconds, _ = client.time()
    alarm = Alarm(
        time=datetime.fromtimestamp(seconds, UTC),
        task=entry.name,
        holdout_share=measured["accuracy"],
        holdout_low=wilson(agreed, measured["rows"])[0],
        action=entry.definition.watch.on_alarm,
        **today.model_dump(exclude={"agreed"}),
    )
    mark = _mark(alarm)

    def add(pipe: Any) -> str | None:
        known: str | None = pipe.get(mark)
        pipe.multi()
        if known is None:
            pipe.set(mark, "raised", ex=_MARK_SECONDS)
            pipe.lpush(f"{PREFIX}alarms", alarm.model_dump_json())
            pipe.ltrim(f"{PREFIX}alarms", 0, _ALARMS_KEPT - 1)
            pipe.hincrby(f"{PREFIX}totals", f"alarms:{entry.name}", 1)
        return known

    known = transact(client, add, mark)
    if known is None:
        files.append_line(entry.folder / "alarms.jsonl", alarm.model_dump(mode="json"))
    return alarm if known in (None, "raised") else None


def _measured(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a version reached on its holdout: its student, or with a cascade student and teacher together."""
    cascade = report.get("cascade") or {}
    figures: Mapping[str, Any] = cascade["holdout"] if cascade.get("kept") else report["holdout"]
    return figures


def acted(client: redis.Redis, alarm: Alarm) -> None:
    """What follows from an alarm is done; till then it is raised again, as its process may have died."""
    client.set(_mark(alarm), "acted", ex=_MARK_SECONDS)


def _mark(alarm: Alarm) -> str:
    return f"{PREFIX}alarm:{alarm.task}:{alarm.day}:{alarm.version}"


def _agreement(day: date, version: int, fields: dict[str, str]) -> Agreement:
    rows, agreed = (int(fields.get(f"{version}:{name}", 0)) for name in ("rows", "agreed"))
    low, high = wilson(agreed, rows)
    share = agreed / rows if rows else 0.0
    return Agreement(day=day, version=version, rows=rows, agreed=agreed, share=share, low=low, high=high)
