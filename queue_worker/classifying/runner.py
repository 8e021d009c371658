"""What a classifying worker does with a unit: claim it, hold its lease, work on it, report it."""

import logging
import shutil
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import redis

from pingti.corpus.reader import OnBadRow
from pingti.errors import InputError, PingtiError, UnavailableError
from pingti.files import sync_all
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin
from pingti.workspace.registry import Workspace
from pingti.workspace.storage import students
from queue_worker.classifying import isolation, planning, results, shards, stored
from queue_worker.classifying.row_limits import RowLimit, RowLimitError, row_limit
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.jobs.models import FINALIZE, PLAN, Claim, Done, Job
from queue_worker.jobs.store import JobStore
from queue_worker.objects.inputs import fetch
from queue_worker.settings import Settings
from queue_worker.telemetry import logs, traces
from queue_worker.telemetry.logs import Quoting

_log = logging.getLogger(__name__)
_LOAD_SECONDS = 60.0  # over which the rate is told
_SMALL_JOBS = 64  # that are taken together
_SOURCES = 1000  # of shards in one message to the store
_PACE_ROWS = 10_000  # of which a shard's time says what others will take
_GRACE_SECONDS = 5.0  # that a shard has to end, once its job is cancelled or its worker stops
_HANDED_BACK_SECONDS = 1.0  # until a unit is published again that another worker must do
_ISOLATED_ATTEMPT = 3  # a worker that is killed twice over a shard is more often bad luck than a bad row


class Stopped(Exception):
    """This attempt at a unit must end: its lease is lost, its job is being cancelled, or the worker stops."""


class HandedBack(Stopped):
    """This worker cannot do the unit, and another can: as if there had been no attempt."""


class NoTeacherError(UnavailableError):
    """No teacher can be had for the rows of which students are not sure."""


class AttemptError(Exception):
    """An attempt at a unit failed; the store knows. For Celery, whose watchers see it as a failed task."""


class Lease:
    """What is known of the lease of one unit: held, lost, or held by a job that is being cancelled."""

    def __init__(self, claim: Claim, stopping: threading.Event) -> None:
        self.claim, self.stopping = claim, stopping
        self.state = "held"
        self.failure: str | None = None  # why the attempt failed, where it did
        self._asked_at: float | None = None  # when it was first seen that the unit should end

    def check(self) -> None:
        """Raise Stopped once the lease is lost."""
        if self.state == "lost":
            raise Stopped("the lease was lost")

    def check_short(self) -> None:
        """As ``check``, in what should take seconds; where it takes longer, as ``check_long``."""
        if self.state == "held" and not self.stopping.is_set():
            return
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        if time.monotonic() >= self._asked_at + _GRACE_SECONDS:
            self.check_long()
        self.check()

    def check_long(self) -> None:
        """As ``check``, in what may take minutes; also once the job is cancelled or the worker stops."""
        if self.state != "held":
            raise Stopped(f"the lease was {self.state}")
        if self.stopping.is_set():
            raise Stopped("the worker stops")


class Heartbeat:
    """One thread that renews the leases of all units that this process works on."""

    def __init__(self, settings: Settings, store: JobStore, stopping: threading.Event) -> None:
        self._settings, self._store, self._stopping = settings, store, stopping
        self._lock = threading.Lock()
        self._leases: set[Lease] = set()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    @contextmanager
    def holding(self, claims: Sequence[Claim]) -> Iterator[list[Lease]]:
        """The leases of claims, renewed until the block is left."""
        leases = [Lease(claim, self._stopping) for claim in claims]
        with self._lock:
            self._leases.update(leases)
        try:
            yield leases
        finally:
            with self._lock:
                self._leases.difference_update(leases)

    def _beat(self) -> None:
        while True:
            time.sleep(self._settings.heartbeat_seconds)
            with self._lock:
                leases = list(self._leases)
            for lease in leases:
                try:
                    lease.state = self._store.beat(lease.claim, lease_seconds=self._settings.lease_seconds)
                except redis.RedisError as error:
                    # The server may come back in time; if not, the token decides at the end.
                    _log.warning("lease not renewed job=%s reason=%s", lease.claim.job, error)


class ClassifierCache:
    """The students of the last few sets of pins, loaded once for all threads."""

    def __init__(self, settings: Settings, *, most: int | None = None) -> None:
        """``most``: sets that are kept; else as the settings say."""
        self._workspace, self._storage = Workspace(settings.home), settings.storage
        self._most = settings.cached_classifiers if most is None else most
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self._loaded: OrderedDict[tuple[Pin, ...], Classifier] = OrderedDict()

    def get(self, pins: tuple[Pin, ...]) -> Classifier:
        """The students of ``pins`` as one classifier, loaded if they are not yet."""
        classifier = self.loaded(pins)
        if classifier is None:
            # A lock of its own: nobody who needs other students waits, nor are the same loaded twice.
            with self._loading:
                classifier = self.loaded(pins)
                if classifier is None:
                    self.fetch(pins)
                    classifier = Classifier.load(self._workspace, pins)
                    with self._lock:
                        self._loaded[pins] = classifier
                        while len(self._loaded) > self._most:
                            self._loaded.popitem(last=False)
        return classifier

    def fetch(self, pins: tuple[Pin, ...]) -> None:
        """Have the students in the workspace, from the store where they are not there yet."""
        if self._storage is not None:
            students.fetch(self._workspace, pins, self._storage)

    def loaded(self, pins: tuple[Pin, ...]) -> Classifier | None:
        """As ``get``, but None where it would have to load."""
        with self._lock:
            if pins in self._loaded:
                self._loaded.move_to_end(pins)
            return self._loaded.get(pins)


class Runner:
    """Works on the units of jobs, as the tasks of ``queue_worker.tasks`` ask. Safe for threads."""

    def __init__(self, settings: Settings, store: JobStore, teachers: TeacherProcess | None = None) -> None:
        """``teachers``: asks those of jobs; of this runner alone where absent."""
        self._settings, self._store = settings, store
        self._teachers = teachers or TeacherProcess(settings)
        self._classifiers = ClassifierCache(settings)
        self.stopping = threading.Event()
        """Set it, and a plan is handed back; a shard at hand is finished."""
        self._heartbeat = Heartbeat(settings, store, self.stopping)
        self._lock = threading.Lock()
        self._paces: dict[tuple[Pin, ...], float] = {}  # seconds a row takes, of the last shard
        self._done: deque[tuple[float, int]] = deque()  # when, rows

    def run(self, job: str, unit: str, *, worker: str = "", has_teacher: bool = False) -> bool:
        """Claim a unit, work on it, and tell the store what became of it.

        Args:
            job: the job's id.
            unit: PLAN, FINALIZE, or a shard's number. With a small job's plan others of its kind are done.
            worker: the name of this worker, for those who watch.
            has_teacher: whether a teacher can be asked here, by a process of its own.

        Returns:
            Whether there was anything to do: not where it is over, or another worker has it.

        Raises:
            AttemptError: the attempt failed, and the store knows.
        """
        seconds = self._settings.lease_seconds
        claims = self._store.claim(job, unit, worker=worker, lease_seconds=seconds, most=_SMALL_JOBS)
        if not claims:
            return False
        with self._heartbeat.holding(claims) as leases:
            for lease in self._run_whole(leases) if unit == PLAN else leases:
                with _told_of(lease.claim):
                    self._run_unit(lease, has_teacher=has_teacher)
        if leases[0].failure is not None:
            raise AttemptError(leases[0].failure)
        return True

    def rows_per_second(self) -> float:
        """Rows that were classified here, over about the last minute."""
        now = time.monotonic()
        with self._lock:
            while self._done and self._done[0][0] < now - _LOAD_SECONDS:
                self._done.popleft()
            return round(sum(rows for _, rows in self._done) / _LOAD_SECONDS, 1)

    def _count(self, done: Done) -> None:
        with self._lock:
            self._done.append((time.monotonic(), done.rows))

    # -- one unit

    def _run_unit(self, lease: Lease, *, has_teacher: bool) -> None:
        claim = lease.claim
        try:
            ended = self._work(claim, lease, has_teacher=has_teacher)
        except Exception as error:
            self._failed(lease, error)
            return
        state = "ended" if ended else "lost"
        _log.info("unit %s job=%s unit=%s attempt=%d", state, claim.job, claim.unit, claim.attempt)

    def _work(self, claim: Claim, lease: Lease, *, has_teacher: bool) -> bool:
        """Whether the lease was held to the end."""
        job = claim.snapshot
        if claim.unit == PLAN:
            return self._plan(job, lease)
        if claim.unit == FINALIZE:
            refused = shards.refusal(job)
            if refused:
                job = job.model_copy(update={"error": refused})
            results.finalize(self._settings, job, self._store, lease.check)
            if self._store.close(claim, refused=refused) is None:
                return False
            results.tidy(self._settings, job.id)
            return True
        asks = job.asks_teacher and (has_teacher or self._refuse_alone(job))
        done = self._classify(job, claim, lease, asks_teacher=asks)
        self._count(done)
        if done.rows >= _PACE_ROWS:
            self._paces[job.pins] = done.seconds / done.rows
        return self._store.finish(claim, done)

    def _failed(self, lease: Lease, error: Exception) -> None:
        """Tell the store of an attempt that ended with an error."""
        claim, counts, wait = lease.claim, True, 0.0
        if isinstance(error, Stopped):
            reason = str(error)
            counts = not (self.stopping.is_set() or isinstance(error, HandedBack))
            wait = _HANDED_BACK_SECONDS if isinstance(error, HandedBack) else 0.0
        else:
            lease.failure = _sentence(error)
            reason = f"unit {claim.unit}: {lease.failure}"
            words, kind = Quoting(reason), type(error).__name__
            _log.error(
                "unit failed job=%s attempt=%d reason=%s",
                claim.job,
                claim.attempt,
                words,
                extra={"error": kind},
            )
            traces.fail(error)
        if isinstance(error, redis.RedisError):
            return  # the store is not to be had: the lease runs out and the reaper publishes the unit again
        if isinstance(error, OSError | MemoryError | UnavailableError):  # the system's fault, which may pass
            wait = self._settings.retry_seconds * 2 ** (claim.attempt - 1)
        try:
            if claim.unit != FINALIZE and isinstance(error, InputError | NoTeacherError):
                self._store.give_up(claim, reason=str(error))  # another attempt would not mend it
                return
            attempts = self._settings.max_attempts
            self._store.release(claim, reason=reason, max_attempts=attempts, wait_seconds=wait, counts=counts)
        except redis.RedisError as lost:
            _log.error("unit abandoned job=%s unit=%s reason=%s", claim.job, claim.unit, lost)

    def _refuse_alone(self, job: Job) -> bool:
        """False where students may answer the rows that a teacher would be asked about.

        Raises:
            HandedBack: a worker that has the teacher can be had.
            NoTeacherError: none can, and a definition does not allow students to answer alone.
        """
        if not self._store.no_teacher():
            raise HandedBack("this worker has no teacher")
        if names := [pin.name for pin in job.pins if pin.on_no_second == "fail"]:
            raise NoTeacherError(
                f"no teacher for rows of which the student is not sure ({', '.join(names)}): no worker of "
                f"the queue teach or retrain has run for {self._settings.teacher_seconds:g} s; start one, or "
                'let the student answer alone by cascade.on_no_teacher = "student"'
            )
        return False

    def _classify(self, job: Job, claim: Claim, lease: Lease, *, asks_teacher: bool) -> Done:
        storage = self._settings.storage
        folder = shards.job_folder(self._settings, job.id)
        if storage is None:
            return self._classify_into(folder, job, claim, lease, asks_teacher=asks_teacher)
        # Of this attempt alone: another, which has lost its lease, may be writing still.
        attempt = folder / f"attempt-{claim.token}"
        try:
            done = self._classify_into(attempt, job, claim, lease, asks_teacher=asks_teacher)
            part = stored.put_part(storage, claim, attempt)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
            planning.cut_path(self._settings, job, int(claim.unit)).unlink(missing_ok=True)
        return replace(done, part=stored.part_entry(part, done))

    def _classify_into(
        self, folder: Path, job: Job, claim: Claim, lease: Lease, *, asks_teacher: bool
    ) -> Done:
        shard, source = int(claim.unit), claim.source
        isolated = claim.attempt >= min(_ISOLATED_ATTEMPT, max(2, self._settings.max_attempts))
        check = lease.check_long if isolated else lease.check_short

        def rows(on_bad_row: OnBadRow) -> Iterator[pa.RecordBatch]:
            return planning.shard_batches(self._settings, job, shard, source, on_bad_row, check)

        asked = [pin for pin in job.pins if pin.second == "teacher"]
        with self._teachers.asked_for(asked, check) if asks_teacher else nullcontext() as second:
            if isolated:
                self._classifiers.fetch(job.pins)
                return isolation.classify_isolated(
                    self._settings, job, shard, source, check, folder=folder, second=second
                )
            classifier = self._classifiers.get(job.pins)
            if second is not None:
                classifier = classifier.asking(second)
            return shards.classify_shard(self._settings, job, shard, rows, classifier, check, folder=folder)

    def _plan(self, job: Job, lease: Lease) -> bool:
        claim = lease.claim
        fetch(self._settings, zip(job.inputs, job.stamps, strict=False), lease.check_long)
        rows = job.shard_rows or planning.shard_rows(self._settings, job, self._row_seconds(job, lease))
        size = (rows, job.shard_bytes or self._settings.shard_bytes)
        job = job.model_copy(update={"shard_rows": size[0], "shard_bytes": size[1]})
        limit = self._limit_in_doubt(job, lease)
        whole: list[str] = []  # sources, as long as nothing is cut: told all at once, with the plan's end

        def ready(first: int, sources: Sequence[str]) -> None:
            if limit is not None and first == 0 and self._store.fix_size(claim, *size) != size:
                raise Stopped("the lease was lost")
            some = first == len(whole) and all(sources) and first + len(sources) <= _SOURCES
            if some or limit is not None:  # no shard is worked on before all rows are counted
                whole.extend(sources)
                return
            if first == len(whole):  # the first that is told: other attempts must make the same shards
                if self._store.fix_size(claim, *size) != size:
                    raise Stopped("the lease was lost")
                tell(0, whole)
            tell(first, sources)

        def tell(first: int, sources: Sequence[str]) -> None:
            for start in range(0, len(sources), _SOURCES):
                part = sources[start : start + _SOURCES]
                if not self._store.shards_ready(claim, first + start, part):
                    raise Stopped("the lease was lost")

        try:
            cut = planning.cut_inputs(self._settings, job, ready, lease.check_long, limit)
            if limit is not None and (now := row_limit(self._store, job)) is not None:
                now.check(cut.total)  # others of the owner's jobs may have been planned meanwhile
        except RowLimitError:
            lease.check()
            results.tidy(self._settings, job.id)
            raise
        return self._store.planned(
            claim,
            shards=cut.shards,
            total=cut.total,
            failed=cut.failed,
            cut_input=shards.CUT,
            sources=whole if len(whole) == cut.shards else (),
        )

    def _limit_in_doubt(self, job: Job, lease: Lease) -> RowLimit | None:
        """The limit on a job's rows, where it could have more by what its inputs show without being read."""
        limit = row_limit(self._store, job)
        if limit is None:
            return None
        most = planning.most_rows(self._settings, job, limit.room, lease.check_long)
        return limit if most > limit.room else None

    def _row_seconds(self, job: Job, lease: Lease) -> float | None:
        """What a row takes here: known from the last shard with these students, else tried."""
        known = self._paces.get(job.pins)
        if (
            known is not None or lease.claim.attempt > 1
        ):  # a row that kills the process must not kill every attempt
            return known
        classifier = self._classifiers.get(job.pins)
        return planning.measured_seconds(self._settings, job, classifier, lease.check_long)

    # -- small jobs, each in one go

    def _run_whole(self, leases: Sequence[Lease]) -> list[Lease]:
        """Do what can be done in one go; returns the leases of what must be planned as other jobs are."""
        done: list[tuple[Lease, Done]] = []
        planned: list[Lease] = []
        for lease in leases:
            claim = lease.claim
            # After a first failure the longer way: it finds bad rows, and waits for a disk that is full.
            # So where others have to see what was written: by the parts of shards.
            job = claim.snapshot
            elsewhere = job.output is not None or self._settings.storage is not None
            small = bool(job.stamps) and job.bytes <= self._settings.small_bytes and not job.asks_teacher
            if claim.attempt > 1 or not small or elsewhere:
                planned.append(lease)
                continue
            try:
                with _told_of(claim):
                    finished = self._classify_whole(lease)
            except Exception as error:
                self._failed(lease, error)
                continue
            if finished is None:
                planned.append(lease)
            else:
                done.append((lease, finished))
        if done:
            self._finish_whole(done)
        return planned

    def _classify_whole(self, lease: Lease) -> Done | None:
        """All of a small job; None where it must be planned as others are."""
        job = lease.claim.snapshot
        read = planning.read_whole(self._settings, job, lease.check_long)
        if read is None:
            return None
        if (limit := row_limit(self._store, job)) is not None:
            batches, bad = read
            limit.check(sum(batch.num_rows for batch in batches) + bad.count)
        classifier = self._classifiers.get(job.pins)
        return shards.classify_whole(self._settings, job, *read, classifier)

    def _finish_whole(self, done: list[tuple[Lease, Done]]) -> None:
        try:
            # The store is told when the files are on the disk, all by one sync and all by one message.
            sync_all(Workspace(self._settings.home).jobs)
            held = self._store.finish_all([(lease.claim, finished) for lease, finished in done])
        except Exception as error:
            for lease, _ in done:
                self._failed(lease, error)
            return
        for (lease, finished), ended in zip(done, held, strict=True):
            self._count(finished)
            state = "ended" if ended else "lost"
            _log.info("job %s job=%s rows=%d", state, lease.claim.job, finished.rows)


@contextmanager
def _told_of(claim: Claim) -> Iterator[None]:
    """What logs and traces say of the work on a unit."""
    unit = claim.unit if claim.unit in (PLAN, FINALIZE) else "shard"
    known: dict[str, str | int] = {"job": claim.job, "unit": claim.unit, "attempt": claim.attempt}
    with logs.about(**known), traces.span(f"pingti {unit}", claim.snapshot.trace, **known):
        yield


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return text if isinstance(error, PingtiError) else f"{type(error).__name__}: {text}"
