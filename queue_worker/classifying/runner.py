"""What a classifying worker does with a unit: claim it, hold its lease, work on it, report it."""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import redis

from pingti.corpus.reader import OnBadRow
from pingti.errors import InputError, PingtiError
from pingti.files import sync_all
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin
from pingti.workspace.registry import Workspace
from queue_worker.classifying import isolation, planning, shards
from queue_worker.jobs.models import FINALIZE, PLAN, Claim, Done, Job
from queue_worker.jobs.statistics import memory_bytes
from queue_worker.jobs.store import JobStore
from queue_worker.settings import Settings

_log = logging.getLogger(__name__)
_LOAD_SECONDS = 60.0  # over which the rate is told
_SOURCES = 1000  # of shards in one message to the store
_PACE_ROWS = 10_000  # of which a shard's time says what others will take
_CAREFUL_ATTEMPT = 3  # a worker that is killed twice over a shard is more often bad luck than a bad row


class Stopped(Exception):
    """This attempt at a unit must end: its lease is lost, its job is being cancelled, or the worker stops."""


class AttemptError(Exception):
    """An attempt at a unit failed; the store knows. For Celery, whose watchers see it as a failed task."""


class Lease:
    """What is known of the lease of one unit: held, lost, or held by a job that is being cancelled."""

    def __init__(self, claim: Claim, stopping: threading.Event) -> None:
        self.claim, self.stopping = claim, stopping
        self.state = "held"

    def check(self) -> None:
        """Raise Stopped once the lease is lost."""
        if self.state == "lost":
            raise Stopped("the lease was lost")

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
    def holding(self, claim: Claim) -> Iterator[Lease]:
        """The lease of a claim, renewed until the block is left."""
        lease = Lease(claim, self._stopping)
        with self._lock:
            self._leases.add(lease)
        try:
            yield lease
        finally:
            with self._lock:
                self._leases.discard(lease)

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
        self._workspace = Workspace(settings.home)
        self._most = settings.cached_classifiers if most is None else most
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self._loaded: OrderedDict[tuple[Pin, ...], Classifier] = OrderedDict()

    def get(self, pins: tuple[Pin, ...]) -> Classifier:
        """The students of some pins, loaded where they are not."""
        found = self.loaded(pins)
        if found is None:
            # A lock of its own: nobody who needs other students waits, nor are the same loaded twice.
            with self._loading:
                found = self.loaded(pins)
                if found is None:
                    found = Classifier.load(self._workspace, pins)
                    with self._lock:
                        self._loaded[pins] = found
                        while len(self._loaded) > self._most:
                            self._loaded.popitem(last=False)
        return found

    def loaded(self, pins: tuple[Pin, ...]) -> Classifier | None:
        """As ``get``, but None where it would have to load."""
        with self._lock:
            if pins in self._loaded:
                self._loaded.move_to_end(pins)
            return self._loaded.get(pins)


class Runner:
    """Works on the units of jobs, as the tasks of ``queue_worker.tasks`` ask. Safe for threads."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings, self._store = settings, store
        self._classifiers = ClassifierCache(settings)
        self.stopping = threading.Event()
        """Set it, and a plan is handed back; a shard at hand is finished."""
        self._heartbeat = Heartbeat(settings, store, self.stopping)
        self._lock = threading.Lock()
        self._busy = 0
        self._paces: dict[tuple[Pin, ...], float] = {}  # seconds a row takes, of the last shard
        self._done: deque[tuple[float, int]] = deque()  # when, rows

    def run(self, job: str, unit: str, *, worker: str = "") -> bool:
        """Claim a unit, work on it, and tell the store what became of it.

        Args:
            job: The job's id.
            unit: PLAN, FINALIZE, or a shard's number.
            worker: The name of this worker, for those who watch.

        Returns:
            Whether there was anything to do: not where it is over, or another worker has it.

        Raises:
            AttemptError: the attempt failed, and the store knows.
        """
        claim = self._store.claim(job, unit, worker=worker, lease_seconds=self._settings.lease_seconds)
        if claim is None:
            return False
        with self._working(), self._heartbeat.holding(claim) as lease:
            try:
                held = self._work(claim, lease)
            except Stopped as error:
                self._failed(claim, error)
                held = False
            except Exception as error:
                self._failed(claim, error)
                raise AttemptError(_sentence(error)) from error
        state = "ended" if held else "lost"
        _log.info("unit %s job=%s unit=%s attempt=%d", state, job, unit, claim.attempt)
        return True

    def load(self) -> dict[str, float]:
        """What ``JobStore.present`` is told."""
        now = time.monotonic()
        with self._lock:
            while self._done and self._done[0][0] < now - _LOAD_SECONDS:
                self._done.popleft()
            rows, busy = sum(rows for _, rows in self._done), self._busy
        return {
            "threads": self._settings.concurrency,
            "busy": busy,
            "rows_per_second": round(rows / _LOAD_SECONDS, 1),
            "memory_bytes": memory_bytes(),
        }

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def _count(self, done: Done) -> None:
        with self._lock:
            self._done.append((time.monotonic(), done.rows))

    # -- one unit

    def _work(self, claim: Claim, lease: Lease) -> bool:
        """Whether the lease was held to the end."""
        job = claim.snapshot
        if claim.unit == PLAN:
            whole = self._whole(job, claim)
            if whole is None:
                return self._plan(job, claim, lease)
            self._count(whole)
            return self._store.finish(claim, whole)
        if claim.unit == FINALIZE:
            shards.finalize(self._settings, job, self._store.finished_shards(job.id), check=lease.check)
            if self._store.close(claim) is None:
                return False
            shards.tidy(self._settings, job.id)
            return True
        done = self._classify(job, claim, lease)
        self._count(done)
        if done.rows >= _PACE_ROWS:
            self._paces[job.pins] = done.seconds / done.rows
        return self._store.finish(claim, done)

    def _failed(self, claim: Claim, error: Exception) -> None:
        """Tell the store of an attempt that ended with an error."""
        wait, counts = 0.0, True
        if isinstance(error, redis.RedisError):
            # The store is not to be had: the lease runs out and the reaper publishes the unit again.
            _log.error("unit abandoned job=%s unit=%s reason=%s", claim.job, claim.unit, error)
            return
        try:
            if isinstance(error, Stopped):
                reason, counts = str(error), not self.stopping.is_set()
            else:
                reason = f"unit {claim.unit}: {_sentence(error)}"
                _log.error("unit failed job=%s attempt=%d reason=%s", claim.job, claim.attempt, reason)
                if claim.unit != FINALIZE and isinstance(error, InputError):
                    self._store.give_up(claim, reason=str(error))  # another attempt would not mend it
                    return
                if isinstance(error, OSError | MemoryError):  # the system's fault, which may pass
                    wait = self._settings.retry_seconds * 2 ** (claim.attempt - 1)
            self._store.release(
                claim,
                reason=reason,
                max_attempts=self._settings.max_attempts,
                wait_seconds=wait,
                counts=counts,
            )
        except redis.RedisError as lost:
            _log.error("unit abandoned job=%s unit=%s reason=%s", claim.job, claim.unit, lost)

    def _classify(self, job: Job, claim: Claim, lease: Lease) -> Done:
        shard, source = int(claim.unit), claim.source
        if claim.attempt >= min(_CAREFUL_ATTEMPT, max(2, self._settings.max_attempts)):
            return isolation.classify_isolated(self._settings, job, shard, source, lease.check_long)

        def rows(on_bad_row: OnBadRow) -> Iterator[pa.RecordBatch]:
            return planning.shard_batches(self._settings, job, shard, source, on_bad_row)

        classifier = self._classifiers.get(job.pins)
        return shards.classify_shard(self._settings, job, shard, rows, classifier, lease.check)

    def _plan(self, job: Job, claim: Claim, lease: Lease) -> bool:
        rows = job.shard_rows or planning.shard_rows(self._settings, job, self._row_seconds(job, claim))
        size = (rows, job.shard_bytes or self._settings.shard_bytes)
        job = job.model_copy(update={"shard_rows": size[0], "shard_bytes": size[1]})
        whole: list[str] = []  # sources, as long as nothing is cut: told all at once, with the plan's end

        def ready(first: int, sources: Sequence[str]) -> None:
            if first == len(whole) and all(sources) and first + len(sources) <= _SOURCES:
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

        cut = planning.cut_inputs(self._settings, job, ready, lease.check_long)
        return self._store.planned(
            claim,
            shards=cut.shards,
            total=cut.total,
            failed=cut.failed,
            cut_input=shards.CUT,
            sources=whole if len(whole) == cut.shards else (),
        )

    def _row_seconds(self, job: Job, claim: Claim) -> float | None:
        """What a row takes here: known from the last shard with these students, else tried."""
        known = self._paces.get(job.pins)
        if known is not None or claim.attempt > 1:  # a row that kills the process must not kill every attempt
            return known
        return planning.measured_seconds(self._settings, job, self._classifiers.get(job.pins))

    def _whole(self, job: Job, claim: Claim) -> Done | None:
        """Do a small job in one go, its manifest too; None where it must be planned as others are."""
        # After a first failure the longer way: it finds bad rows, and waits for a disk that is full.
        if claim.attempt > 1 or not job.stamps or job.bytes > self._settings.small_bytes:
            return None
        read = planning.read_whole(self._settings, job)
        if read is None:
            return None
        done = shards.classify_whole(self._settings, job, *read, self._classifiers.get(job.pins))
        sync_all(Workspace(self._settings.home).jobs)  # the store is told when the files are on the disk
        return done


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return text if isinstance(error, PingtiError) else f"{type(error).__name__}: {text}"
