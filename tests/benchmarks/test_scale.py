"""The simulation of the queue: no row is lost or doubled, and what costs more shows."""

import dataclasses
import json
import random
import statistics

import pytest

from benchmarks.scale import ROWS_A_DAY, backlog, cluster_of, day, simulate
from benchmarks.scale_costs import Costs
from benchmarks.scale_queue import Arrival, Cluster, Outcome, Simulation
from tests.support.paths import ROOT

COSTS = Costs(
    worker_seconds=0.01,
    valkey_seconds=0.001,
    valkey_commands=40,
    row_seconds=1e-5,
    sync_seconds=0.001,
    turns=1,
)
CALM = Cluster(
    workers=2,
    threads=2,
    row=1e-5,
    worker_shard=0.01,
    valkey_shard=0.001,
    sync=0.001,
    worker_life=0,
    straggler_share=0,
    shard_noise=0,
)


def run(cluster: Cluster, *arrivals: Arrival, seed: int = 0) -> Outcome:
    return Simulation(cluster, arrivals, seed).run()


def changed(**changes: object) -> Cluster:
    return dataclasses.replace(CALM, **changes)  # type: ignore[arg-type]


BACKLOG = tuple(Arrival(at=0, rows=1_000_000, priority=5) for _ in range(10))


def test_without_faults_the_time_is_what_the_parts_add_up_to() -> None:
    """One thread, one shard: a plan, a shard and an end, each with its claim, its work and its telling."""
    outcome = run(changed(workers=1, threads=1), Arrival(at=0, rows=1000))
    turn = CALM.valkey_shard / 2 + CALM.sync + CALM.network
    unit = 2 * turn + CALM.worker_shard + CALM.put
    submit = CALM.valkey_shard + CALM.sync + CALM.network
    expected = submit + 3 * unit + CALM.plan + CALM.finalize + 1000 * CALM.row
    assert outcome.seconds == pytest.approx(expected)
    assert (outcome.rows, outcome.shards, outcome.retries, outcome.doubled) == (1000, 1, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_no_row_is_lost_or_doubled_however_many_workers_are_killed(seed: int) -> None:
    cluster = changed(worker_life=15.0, valkey_stops=((5.0, 3.0),), straggler_share=0.05, shard_noise=0.3)
    outcome = run(cluster, *BACKLOG, seed=seed)
    assert outcome.kills > 0
    assert outcome.retries > 0
    assert (outcome.rows, outcome.doubled) == (10_000_000, 0)


def test_the_same_seed_gives_the_same_outcome() -> None:
    cluster = changed(worker_life=60.0, shard_noise=0.3)
    assert run(cluster, *BACKLOG, seed=3) == run(cluster, *BACKLOG, seed=3)
    assert run(cluster, *BACKLOG, seed=3) != run(cluster, *BACKLOG, seed=4)


@pytest.mark.parametrize(
    "change",
    [
        {"row": 2e-5, "shard": 3.0},
        {"worker_shard": 1.0},
        {"valkey_shard": 1.0},
        {"sync": 1.0},
        {"put": 1.0},
        {"network": 1.0},
        {"worker_life": 40.0},
        {"straggler_share": 0.5},
        {"valkey_stops": ((1.0, 20.0),)},
        {"workers": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_costs_more_takes_longer(change: dict[str, object]) -> None:
    assert run(changed(**change), *BACKLOG).seconds > run(CALM, *BACKLOG).seconds * 1.05


def test_a_lost_shard_comes_back_after_its_lease() -> None:
    """The only worker is killed at work on its only shard, and is back before the lease has ended."""
    life = next(
        seed
        for seed in range(1000)
        if 1 < random.Random(seed).expovariate(1 / 6.0) < 9  # as the first draw of a single worker's run
    )
    cluster = changed(workers=1, threads=1, worker_life=6.0, restart=1.0, shard=30.0)
    outcome = run(cluster, Arrival(at=0, rows=500_000), seed=life)
    assert outcome.retries >= 1
    assert outcome.seconds > cluster.lease
    assert (outcome.rows, outcome.doubled) == (500_000, 0)


def test_urgent_jobs_go_first_and_old_ones_rise() -> None:
    late = Arrival(at=5.0, rows=10_000, priority=0)
    urgent = run(CALM, *BACKLOG, late)
    usual = run(CALM, *BACKLOG, dataclasses.replace(late, priority=9))
    assert urgent.waits[0][0] < 5
    assert usual.waits[9][0] > 5 * urgent.waits[0][0]
    risen = run(changed(ageing=1.0), *BACKLOG, dataclasses.replace(late, priority=9))
    assert risen.waits[9][0] < usual.waits[9][0]


def test_jobs_of_one_level_take_turns() -> None:
    small = Arrival(at=0.0, rows=100_000)
    outcome = run(CALM, *(Arrival(at=0.0, rows=5_000_000) for _ in range(8)), small)
    assert min(outcome.latencies[5]) < statistics.median(outcome.latencies[5]) / 3


def test_a_day_has_its_rows_and_more_at_noon_than_at_night() -> None:
    arrivals = list(day(ROWS_A_DAY, random.Random(0)))
    assert sum(arrival.rows for arrival in arrivals) == ROWS_A_DAY
    quarters = [sum(arrival.at // 21_600 == quarter for arrival in arrivals) for quarter in range(4)]
    assert quarters[0] > 2 * quarters[2]
    assert {arrival.priority for arrival in arrivals} == {0, 5, 9}


def test_the_document_has_every_part() -> None:
    document = simulate(COSTS, seeds=1, quick=True, say=lambda _: None)
    assert [entry["cores"] for entry in document["strong"]] == [1, 2, 4, 8, 16, 20]
    assert document["strong"][0]["times_one_core"] == 1
    assert [entry["times_one_core"] for entry in document["strong"]] == sorted(
        entry["times_one_core"] for entry in document["strong"]
    )
    assert all(entry["wait_99"]["0"] > 0 for entry in document["days"])
    assert {entry["what"] for entry in document["two_cores"]} == {"1 task", "10 tasks"}


def test_the_page_tells_what_the_run_found() -> None:
    document = json.loads((ROOT / "benchmarks" / "results" / "scale.json").read_text())
    (twenty,) = (entry["times_one_core"] for entry in document["strong"] if entry["cores"] == 20)
    thousand = max(entry["times_one_core"] for entry in document["weak"] if entry["cores"] == 1000)
    page = (ROOT / "docs" / "scale.md").read_text()
    assert f"**20 cores are {twenty:.1f} times one.**" in page
    assert f"**1,000 cores are {thousand:.0f} times one.**" in page
    assert twenty >= 18


def test_a_single_core_is_one_worker_of_one_thread() -> None:
    shapes = {
        cores: (cluster_of(COSTS, cores).workers, cluster_of(COSTS, cores).threads) for cores in (1, 2, 20)
    }
    assert shapes == {1: (1, 1), 2: (1, 2), 20: (10, 2)}
    assert len(list(backlog(7, random.Random(0)))) == 7
