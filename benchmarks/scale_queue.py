"""The queue as a simulation of events: jobs, priorities, windows, claims, leases, kills, Valkey's turns.

Modelled is what ``queue_worker`` does: a job's plan, at most a window of its messages out, levels that age, a
claim and an end of each shard through Valkey, which syncs once a turn of its loop, leases that expire, the
reaper. In a worker the threads share the interpreter for all but the rows themselves. Not modelled: memory
bandwidth that many cores of one machine share, a network that is full, inputs that are cut by reading.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

LEVELS = 10


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What runs, and what things take, in seconds."""

    workers: int
    threads: int
    """Of a worker, each with a core."""
    row: float
    """A row, all tasks, on a core."""
    worker_shard: float
    """What a shard costs a worker's interpreter, whatever its rows; threads take turns."""
    valkey_shard: float
    """What a shard costs Valkey in all."""
    sync: float
    """Of Valkey's file, once a turn of its loop."""
    network: float = 0.0005
    """There and back."""
    put: float = 0.05
    """Of a part into the store; no core is busy with it."""
    shard: float = 1.5
    """PINGTI_SHARD_SECONDS."""
    plan: float = 0.05
    finalize: float = 0.05
    lease: float = 15.0
    reap: float = 2.0
    ageing: float = 1800.0
    restart: float = 30.0
    """Until a worker that was killed is back."""
    worker_life: float = 6 * 3600.0
    """Mean time until a worker is killed; 0: never."""
    valkey_stops: tuple[tuple[float, float], ...] = ()
    """When it stops, and for how long."""
    straggler_share: float = 0.01
    straggler_factor: float = 3.0
    shard_noise: float = 0.15
    """Of a shard's time: sigma of a log-normal factor of mean 1."""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A job to come."""

    at: float
    rows: int
    priority: int = 5
    row_factor: float = 1.0
    """How much longer its texts take than the calibrated ones."""


@dataclass(kw_only=True)
class Outcome:
    """What came of it."""

    seconds: float = 0.0
    """From the first arrival to the end of the last job."""
    rows: int = 0
    shards: int = 0
    retries: int = 0
    kills: int = 0
    doubled: int = 0
    valkey_busy: float = 0.0
    """Share of the time."""
    waits: dict[int, list[float]] = field(default_factory=dict)
    """By priority, of each job: from its arrival to the begin of its first shard."""
    latencies: dict[int, list[float]] = field(default_factory=dict)
    """By priority, of each job: from its arrival to its end."""


@dataclass(eq=False, kw_only=True)
class _Job:
    arrival: Arrival
    sizes: list[int]
    planned: bool = False
    next: int = 0
    out: int = 0
    done: set[int] = field(default_factory=set)
    begun: float | None = None
    level: int = 5


@dataclass(eq=False, kw_only=True)
class _Unit:
    job: _Job
    shard: int  # -1: plan, -2: end
    lost: bool = False


@dataclass(eq=False)
class _Worker:
    number: int
    free_at: float = 0.0
    """When its interpreter has no more to do."""
    alive: bool = True
    running: set[_Unit] = field(default_factory=set)


class Simulation:
    """One run; ``run`` does it."""

    def __init__(self, cluster: Cluster, arrivals: Iterable[Arrival], seed: int) -> None:
        self.cluster = cluster
        self.arrivals = sorted(arrivals, key=lambda arrival: arrival.at)
        self.outcome = Outcome()
        self._random = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._lines: list[deque[_Unit]] = [deque() for _ in range(LEVELS)]
        self._jobs_of_level = [0] * LEVELS
        self._idle: list[_Worker] = []  # a worker once for each thread that waits
        self._valkey_waiting: list[tuple[float, Callable[[], None]]] = []
        self._valkey_turning = False
        self._unfinished = len(self.arrivals)

    def run(self) -> Outcome:
        """Until every job has ended."""
        workers = [_Worker(number) for number in range(self.cluster.workers)]
        self._idle = [worker for worker in workers for _ in range(self.cluster.threads)]
        self._random.shuffle(self._idle)
        for arrival in self.arrivals:
            self._at(arrival.at, lambda arrival=arrival: self._arrive(arrival))  # type: ignore[misc]
        for worker in workers:
            self._plan_kill(worker)
        while self._unfinished:
            self._now, _, event = heapq.heappop(self._events)
            event()
        self.outcome.seconds = self._now - self.arrivals[0].at
        self.outcome.valkey_busy /= self.outcome.seconds
        return self.outcome

    # -- time

    def _at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        self._at(self._now + seconds, event)

    # -- Valkey: all that waits is done in one turn of its loop, with one sync

    def _ask_valkey(self, seconds: float, then: Callable[[], None]) -> None:
        self._valkey_waiting.append((seconds, then))
        if not self._valkey_turning:
            self._turn()

    def _turn(self) -> None:
        asked, self._valkey_waiting = self._valkey_waiting, []
        self._valkey_turning = bool(asked)
        if not asked:
            return
        busy = sum(seconds for seconds, _ in asked)
        self.outcome.valkey_busy += busy
        begin = self._now
        for at, seconds in self.cluster.valkey_stops:
            if at <= begin < at + seconds:
                begin = at + seconds

        def reply() -> None:
            for _, then in asked:
                self._after(self.cluster.network, then)
            self._turn()

        self._at(begin + busy + self.cluster.sync, reply)

    # -- jobs

    def _arrive(self, arrival: Arrival) -> None:
        rows = max(1, round(self.cluster.shard / (self.cluster.row * arrival.row_factor)))
        whole, rest = divmod(arrival.rows, rows)
        job = _Job(arrival=arrival, sizes=[rows] * whole + ([rest] if rest else []), level=arrival.priority)
        self._jobs_of_level[job.level] += 1
        self._ask_valkey(self.cluster.valkey_shard, lambda: self._publish(_Unit(job=job, shard=-1)))

    def _level(self, job: _Job) -> int:
        risen = int((self._now - job.arrival.at) / self.cluster.ageing) if self.cluster.ageing else 0
        level = max(0, job.arrival.priority - risen)
        if level != job.level:
            self._jobs_of_level[job.level] -= 1
            self._jobs_of_level[level] += 1
            job.level = level
        return level

    def _publish(self, unit: _Unit) -> None:
        unit.job.out += 1
        self._lines[self._level(unit.job)].append(unit)
        self._give()

    def _settle(self, job: _Job) -> None:
        """Publish as the window allows, or the job's end."""
        window = self.cluster.workers * self.cluster.threads + 1
        rivals = max(1, self._jobs_of_level[self._level(job)])
        room = max(1, window // rivals) - job.out
        for _ in range(min(room, len(job.sizes) - job.next)):
            self._publish(_Unit(job=job, shard=job.next))
            job.next += 1
        if len(job.done) == len(job.sizes) and not job.out:
            self._publish(_Unit(job=job, shard=-2))

    # -- workers

    def _give(self) -> None:
        """To every thread that waits the most urgent message."""
        for line in self._lines:
            while line and self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    self._begin(worker, line.popleft())

    def _begin(self, worker: _Worker, unit: _Unit) -> None:
        worker.running.add(unit)
        claim = self.cluster.valkey_shard / 2
        self._ask_valkey(claim, lambda: self._held(unit, lambda: self._read(worker, unit)))

    def _held(self, unit: _Unit, then: Callable[[], None]) -> None:
        if not unit.lost:
            then()

    def _read(self, worker: _Worker, unit: _Unit) -> None:
        job = unit.job
        if unit.shard >= 0 and job.begun is None:
            job.begun = self._now
        self._interpret(
            worker, lambda: self._after(self._work_seconds(unit), lambda: self._write(worker, unit))
        )

    def _interpret(self, worker: _Worker, then: Callable[[], None]) -> None:
        worker.free_at = max(worker.free_at, self._now) + self.cluster.worker_shard / 2
        self._at(worker.free_at, then)

    def _work_seconds(self, unit: _Unit) -> float:
        if unit.shard < 0:
            return self.cluster.plan if unit.shard == -1 else self.cluster.finalize
        sigma = self.cluster.shard_noise
        factor = self._random.lognormvariate(-sigma * sigma / 2, sigma)
        if self._random.random() < self.cluster.straggler_share:
            factor *= self.cluster.straggler_factor
        return unit.job.sizes[unit.shard] * self.cluster.row * unit.job.arrival.row_factor * factor

    def _write(self, worker: _Worker, unit: _Unit) -> None:
        def told() -> None:
            finish = self.cluster.valkey_shard / 2
            self._ask_valkey(finish, lambda: self._held(unit, lambda: self._end(worker, unit)))

        if not unit.lost:
            self._after(self.cluster.put, lambda: self._held(unit, lambda: self._interpret(worker, told)))

    def _end(self, worker: _Worker, unit: _Unit) -> None:
        worker.running.discard(unit)
        self._idle.append(worker)
        job = unit.job
        job.out -= 1
        if unit.shard == -2:
            self._jobs_of_level[job.level] -= 1
            self._unfinished -= 1
            priority, at = job.arrival.priority, job.arrival.at
            self.outcome.waits.setdefault(priority, []).append((job.begun or self._now) - at)
            self.outcome.latencies.setdefault(priority, []).append(self._now - at)
        else:
            if unit.shard >= 0:
                self.outcome.doubled += unit.shard in job.done
                job.done.add(unit.shard)
                self.outcome.shards += 1
                self.outcome.rows += job.sizes[unit.shard]
            self._settle(job)
        self._give()

    # -- failures

    def _plan_kill(self, worker: _Worker) -> None:
        if self.cluster.worker_life:
            self._after(self._random.expovariate(1 / self.cluster.worker_life), lambda: self._kill(worker))

    def _kill(self, worker: _Worker) -> None:
        self.outcome.kills += 1
        worker.alive = False
        self._idle = [other for other in self._idle if other is not worker]
        for unit in sorted(worker.running, key=lambda unit: unit.shard):
            unit.lost = True
            self.outcome.retries += 1
            silent = self.cluster.lease + self._random.uniform(0, self.cluster.reap)
            self._after(silent, lambda unit=unit: self._again(unit))  # type: ignore[misc]
        worker.running.clear()
        self._after(self.cluster.restart, lambda: self._back(worker))

    def _again(self, unit: _Unit) -> None:
        unit.job.out -= 1
        self._publish(_Unit(job=unit.job, shard=unit.shard))

    def _back(self, worker: _Worker) -> None:
        worker.alive, worker.free_at = True, self._now
        self._idle += [worker] * self.cluster.threads
        self._plan_kill(worker)
        self._give()
