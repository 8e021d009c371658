"""The task ``pingti.measure_drift``: rows of finished jobs go to the teacher.

Jobs are noted as they appear and looked at when they have ended; their rows are read again from the inputs,
as far as those are still the files that were accepted. Reading all of a big one would cost as much as
classifying it: a sample is drawn from the rows of one input, from some of its row groups, or where it is
no Parquet from its first rows. The teacher is asked by the process that answers shards of cascades, too
(``queue_worker.classifying.teachers``), about some jobs together. What is cut off is done again, and counted
once.
"""

import hashlib
import json
import logging
import math
import threading
import time as clock
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from pingti.corpus.reader import read_rows
from pingti.errors import ConflictError, NotFoundError, PingtiError
from pingti.http.outbound import Outbound
from pingti.inference.pins import Pin
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.jobs.callbacks import secret, signed
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.keys import PREFIX
from queue_worker.objects.inputs import is_object, local_input
from queue_worker.retraining.drift import Alarm, acted, agreement, count, raise_alarm
from queue_worker.retraining.drift_meter import DriftMeter
from queue_worker.retraining.runs import request_retrain
from queue_worker.settings import Settings

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 30.0  # between two looks: a process that loads a teacher is worth some jobs together
_JOBS = 200  # looked at together
_ASK_SECONDS = 3600.0
_ASKED = "pingti:watch:asked"  # while a message is out, or a look under way
_ASKED_SECONDS = _ASK_SECONDS + 600.0
_READ_ROWS = 50_000  # of a job, of which the sample is drawn
_READ_BYTES = 64 << 20
WHO = "watch"  # as it stands in histories


@dataclass(frozen=True, kw_only=True)
class _Sample:
    job: str
    day: date
    texts: list[str]


class _Stopped(Exception):
    """A look must end before its teacher has answered."""


class DriftMonitor:
    """Has the teachers asked about rows of finished jobs, and raises alarms.

    ``teachers`` asks them; ``stop`` ends a look that is under way.
    """

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        *,
        stop: threading.Event | None = None,
        teachers: TeacherProcess | None = None,
        pause: float = _PAUSE_SECONDS,
    ) -> None:
        self._settings, self._client, self._stop = settings, client, stop or threading.Event()
        self._store = JobStore(client)
        self._workspace = Workspace(settings.home)
        self._teachers = teachers or TeacherProcess(settings)
        self._pause = pause

    def due(self) -> str | None:
        """A finished job of which drift is to be measured; None where there is none, or it is asked already.

        Jobs are noted as they appear. One message at a time is enough, since a look takes all that ended;
        a pause after each makes a process that loads a teacher worth some jobs.
        """
        self._note_new()
        ended = self._ended(1)
        if not ended or not self._client.set(_ASKED, ended[0].id, nx=True, ex=int(_ASKED_SECONDS)):
            return None
        return ended[0].id

    def measure(self) -> int:
        """Look at noted jobs that have ended; how many."""
        self._note_new()
        try:
            return self._measure()
        finally:
            if self._pause:
                self._client.set(_ASKED, "pause", ex=math.ceil(self._pause))

    def _measure(self) -> int:
        ended = self._ended(_JOBS)
        groups: dict[tuple[str, int], list[_Sample]] = {}
        drawn: Counter[tuple[str, date]] = Counter()
        for job in ended:
            for pin, sample in self._samples(job, drawn):
                groups.setdefault((pin.task, pin.version), []).append(sample)
                drawn[pin.task, sample.day] += len(sample.texts)
        for (task, version), samples in groups.items():
            self._client.set(_ASKED, f"{task}/{version}", ex=int(_ASKED_SECONDS))
            try:
                self._ask(self._workspace.task(task), version, samples)
            except PingtiError as error:
                _log.warning("agreement not watched task=%s reason=%s", task, error)
            except _Stopped:
                return 0  # all of them are still noted
            if self._stop.is_set():
                return 0  # the rest is still noted
        if ended:
            self._client.srem(f"{PREFIX}watch:open", *(job.id for job in ended))
        return len(ended)

    def _note_new(self) -> None:
        cursor = cast("str | None", self._client.get(f"{PREFIX}watch:cursor"))
        if cursor is None:  # what ended before anybody watched is let be
            newest = cast("list[str]", self._client.zrevrangebylex(f"{PREFIX}jobs", "+", "-", start=0, num=1))
            self._client.set(f"{PREFIX}watch:cursor", newest[0] if newest else "job-")
            return
        start = f"({cursor}"
        new = cast("list[str]", self._client.zrangebylex(f"{PREFIX}jobs", start, "+", start=0, num=10_000))
        if new:
            pipe = self._client.pipeline()
            pipe.sadd(f"{PREFIX}watch:open", *new)
            pipe.set(f"{PREFIX}watch:cursor", new[-1])
            pipe.execute()

    def _ended(self, most: int) -> list[Job]:
        """Noted jobs that have ended, the oldest first; those that are gone are forgotten."""
        noted = sorted(cast("set[str]", self._client.smembers(f"{PREFIX}watch:open")))
        pipe = self._client.pipeline(transaction=False)
        for id in noted:
            pipe.hget(f"{PREFIX}job:{id}", "status")
        statuses = list(zip(noted, pipe.execute(), strict=True))
        ended = [id for id, status in statuses if status is None or JobStatus(status).final][:most]
        jobs = []
        for id in ended:
            try:
                jobs.append(self._store.get(id))
            except NotFoundError:
                self._client.srem(f"{PREFIX}watch:open", id)
        return jobs

    def _samples(self, job: Job, drawn: Counter[tuple[str, date]]) -> Iterator[tuple[Pin, _Sample]]:
        """For each of a job's tasks that is watched, rows for its teacher: always the same of a job."""
        if job.status is not JobStatus.COMPLETED or not job.counts.completed:
            return
        day = datetime.fromtimestamp(job.timestamps[job.status], UTC).date()
        sizes = {
            pin: size
            for pin in {(pin.task, pin.version): pin for pin in job.pins}.values()
            if not pin.hidden and (size := self._size(pin.task, day, drawn[pin.task, day]))
        }
        if not sizes:
            return
        seed = hashlib.blake2b(job.id.encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(seed))
        try:
            texts = self._texts(job, max(sizes.values()), rng)
        except (PingtiError, OSError, pa.ArrowException) as error:
            _log.info("agreement not watched job=%s reason=%s", job.id, error)
            return
        for pin, size in sizes.items():
            yield pin, _Sample(job=job.id, day=day, texts=texts[:size])

    def _size(self, task: str, day: date, drawn: int) -> int:
        """Rows of a job that the task's teacher is to be asked about, when ``drawn`` will be already."""
        try:
            wanted = self._workspace.task(task).definition.watch
        except PingtiError:
            return 0
        counted = sum(agreed.rows for agreed in agreement(self._client, task, 2) if agreed.day == day)
        return 0 if counted + drawn >= wanted.daily else wanted.sample

    def _texts(self, job: Job, size: int, rng: np.random.Generator) -> list[str]:
        """At most ``size`` texts of one of the job's inputs, in random order."""
        index = int(rng.integers(len(job.inputs)))
        real = self._place(job, index)
        groups = None
        if real.lower().endswith(".parquet") and not is_object(real):
            metadata = pq.read_metadata(real)
            rows = np.array(
                [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
            )
            first = int(rng.integers(max(1, len(rows))))
            within = int((rows[first:].cumsum() <= _READ_ROWS).sum())
            groups = range(first, min(len(rows), first + max(1, within)))
        texts: list[str] = []
        read = 0
        for batch in read_rows(real, job.columns, lambda _: None, groups=groups):
            texts += batch["text"].to_pylist()
            read += batch["text"].nbytes
            if len(texts) >= _READ_ROWS or read >= _READ_BYTES or self._stop.is_set():
                break
        return [texts[row] for row in rng.permutation(len(texts))[:size].tolist()]

    def _place(self, job: Job, index: int) -> str:
        """Where one of a job's inputs can be read, if it is still the accepted one."""
        if is_object(job.inputs[index]):
            return local_input(self._settings, job.inputs[index], job.stamps[index])
        real = self._settings.allowed_input(job.inputs[index])
        if index < len(job.stamps) and not job.stamps[index].fits(real):
            raise ConflictError(f"{real} is another file by now")
        return str(real)

    def _ask(self, entry: TaskEntry, version: int, samples: list[_Sample]) -> None:
        meter = DriftMeter.load(entry, version)
        deadline = clock.monotonic() + _ASK_SECONDS

        def check() -> None:
            if self._stop.is_set() or clock.monotonic() > deadline:
                raise _Stopped

        with self._teachers.asked_for([meter.pin], check) as second:
            for sample in samples:
                rows, agreed = meter.count(sample.texts, second)
                job, day = sample.job, sample.day
                today = count(
                    self._client, entry, job=job, day=day, version=version, rows=rows, agreed=agreed
                )
                alarm = raise_alarm(self._client, entry, today)
                if alarm is not None:
                    self._act(entry, alarm)
                    acted(self._client, alarm)

    def _act(self, entry: TaskEntry, alarm: Alarm) -> None:
        """Do what the definition allows, and tell."""
        _log.error("alarm task=%s action=%s reason=%s", alarm.task, alarm.action, alarm.sentence)
        try:
            if alarm.action == "rollback" and entry.current() == alarm.version:
                back = promotion.roll_back(entry, who=WHO, why=alarm.sentence)
                _log.warning("rolled back task=%s version=%d", entry.name, back)
            elif alarm.action == "retrain":
                request_retrain(self._settings, self._client, entry.name, WHO)
        except PingtiError as error:  # nothing to go back to
            _log.error("alarm not acted on task=%s reason=%s", entry.name, error)
        if (url := entry.definition.watch.callback) is not None:
            self._post(url, alarm)

    def _post(self, url: str, alarm: Alarm) -> None:
        id, timestamp = f"alarm-{alarm.task}-{alarm.day}-{alarm.version}", int(clock.time())
        data = {**alarm.model_dump(mode="json"), "sentence": alarm.sentence}
        whole = {"type": "agreement.fallen", "timestamp": alarm.time.isoformat(), "data": data}
        body = json.dumps(whole, ensure_ascii=False).encode("utf-8", "backslashreplace")
        headers = signed(secret(self._settings), id, timestamp, body)
        networks, seconds = self._settings.private_networks, self._settings.callback_seconds
        try:
            answer = Outbound(private_networks=networks, seconds=seconds).post(url, body, headers)
            if not 200 <= answer.status < 300:
                _log.warning("alarm not told url=%s status=%d", url, answer.status)
        except PingtiError as error:
            _log.warning("alarm not told url=%s reason=%s", url, error)
