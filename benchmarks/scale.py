"""``make bench-scale``: what a shard costs, measured here, and a simulation of the queue on many cores.

The simulation (``benchmarks.scale_queue``) is first held against what ``make bench-queue`` measured on two
cores, then drains one backlog with 1 to 1,000 cores, and lives through days of ten billion rows. Seeds are
fixed. Prints tables and writes ``benchmarks/results/scale.json``. ``--costs FILE`` takes the costs of an
earlier run instead of measuring them, ``--quick`` is a small load.
"""

import argparse
import json
import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.scale_costs import Costs, measure
from benchmarks.scale_queue import Arrival, Cluster, Outcome, Simulation

RESULTS: Final = Path(__file__).parent / "results" / "scale.json"
TWO_CORES: Final = {"1 task": (725_000, 0.965), "10 tasks": (203_000, 1.0)}
"""Rows a second of two threads in one process, and the queue's share of it (docs/benchmarks.md)."""
DAY: Final = 86_400.0
ROWS_A_DAY: Final = 10_000_000_000
STRONG: Final = (1, 2, 4, 8, 16, 20)
WEAK: Final = ((100, 1.5), (1000, 1.5), (1000, 5.0))
"""Cores, and seconds of a shard."""
_THREADS: Final = 2  # of a worker: the two cores that the costs were measured on
_JOBS_A_CORE: Final = 20
_JOBS_A_CORE_OF_MANY: Final = 8
_MEDIAN_ROWS: Final = 2_000_000
_ASSUMED: Final = (
    *("network", "put", "shard", "plan", "finalize", "worker_life", "restart", "lease", "reap"),
    *("straggler_share", "straggler_factor", "shard_noise"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each backlog")
    parser.add_argument("--costs", type=Path, help="a scale.json whose costs are taken")
    parser.add_argument("--quick", action="store_true", help="a small load, to see that everything runs")
    parser.add_argument("--out", type=Path, help=f"JSON file (default {RESULTS.name}; none if quick)")
    arguments = parser.parse_args()
    console = Console(width=110, highlight=False)

    def say(line: str) -> None:
        console.print(f"[dim]{line}[/dim]")

    costs = Costs(**json.loads(arguments.costs.read_text())["costs"]) if arguments.costs else measure(say)
    document = simulate(
        costs, seeds=1 if arguments.quick else arguments.seeds, quick=arguments.quick, say=say
    )
    _show(console, document)
    out = arguments.out or (None if arguments.quick else RESULTS)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"written: {out}")


def simulate(costs: Costs, *, seeds: int, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """All of it; the document."""
    part = 20 if quick else 1
    jobs = STRONG[-1] * _JOBS_A_CORE // part
    strong = []
    for cores in STRONG:
        say(f"one backlog of {jobs} jobs, {cores} cores")
        runs = [_drained(costs, cores, jobs, seed) for seed in range(seeds)]
        strong.append({"cores": cores, "shard_seconds": 1.5, **_summary(runs)})
    weak = []
    for cores, shard in WEAK[: 1 if quick else None]:
        say(f"a backlog of {_JOBS_A_CORE_OF_MANY} jobs a core, {cores} cores, shards of {shard} s")
        outcome = _drained(costs, cores, cores * _JOBS_A_CORE_OF_MANY // part, 0, shard=shard)
        weak.append({"cores": cores, "shard_seconds": shard, **_summary([outcome])})
    days = []
    for tasks_factor, cores, shard in ((1, 2, 1.5), (1, 4, 1.5), (5, 12, 3.0)):
        say(f"a day of {ROWS_A_DAY // part:,} rows, {10 * tasks_factor} tasks, {cores} cores")
        cluster = cluster_of(costs, cores, row=costs_row(tasks_factor), shard=shard)
        arrivals = list(day(ROWS_A_DAY // part, random.Random(1), seconds=DAY / part))
        days.append(
            {
                "cores": cores,
                "tasks": 10 * tasks_factor,
                "shard_seconds": shard,
                **_of_day(Simulation(cluster, arrivals, 1).run()),
            }
        )
    one = strong[0]["rows_per_second"]
    for entry in (*strong, *weak):
        entry["times_one_core"] = entry["rows_per_second"] / one
    return {
        "costs": asdict(costs),
        "assumed": {name: getattr(cluster_of(costs, 2), name) for name in _ASSUMED},
        "seeds": seeds,
        "two_cores": [_two_cores(costs, name) for name in TWO_CORES],
        "strong": strong,
        "weak": weak,
        "days": days,
    }


def costs_row(tasks_factor: float = 1.0) -> float:
    """Seconds of a core for a row of ten tasks, or of as many times ten."""
    return _THREADS / TWO_CORES["10 tasks"][0] * tasks_factor


def cluster_of(costs: Costs, cores: int, **changes: Any) -> Cluster:
    """Workers of two threads, but one of one thread for a single core."""
    threads = min(_THREADS, cores)
    given = {
        "workers": cores // threads,
        "threads": threads,
        "row": costs_row(),
        "worker_shard": costs.worker_seconds,
        "valkey_shard": costs.valkey_seconds,
        "sync": costs.sync_seconds,
    }
    return Cluster(**{**given, **changes})


def backlog(jobs: int, rng: random.Random) -> Iterator[Arrival]:
    """Jobs that are all there at the beginning; some have long texts."""
    for _ in range(jobs):
        rows = int(rng.lognormvariate(math.log(_MEDIAN_ROWS), 1.0))
        priority = rng.choices((0, 5, 9), (1, 6, 3))[0]
        yield Arrival(at=0.0, rows=rows, priority=priority, row_factor=rng.lognormvariate(0, 0.25))


def day(rows: int, rng: random.Random, *, seconds: float = DAY) -> Iterator[Arrival]:
    """A day's jobs: four times as many at its peak as at its lowest; one in five is small and urgent."""
    while rows > 0:
        at = rng.uniform(0, seconds)
        if rng.random() > 0.5 + 0.5 * math.sin(2 * math.pi * at / seconds) + 0.25:
            continue
        urgent = rng.random() < 0.2
        size = 50_000 if urgent else int(rng.lognormvariate(math.log(_MEDIAN_ROWS), 1.0))
        size = min(size, rows)
        rows -= size
        yield Arrival(at=at, rows=size, priority=0 if urgent else rng.choice((5, 9)))


def _drained(costs: Costs, cores: int, jobs: int, seed: int, **changes: Any) -> Outcome:
    arrivals = list(backlog(jobs, random.Random(seed)))
    # Valkey is restarted once, a minute after the beginning.
    outcome = Simulation(
        cluster_of(costs, cores, valkey_stops=((60.0, 3.0),), **changes), arrivals, seed
    ).run()
    _check(outcome, arrivals)
    return outcome


def _check(outcome: Outcome, arrivals: list[Arrival]) -> None:
    if outcome.doubled or outcome.rows != sum(arrival.rows for arrival in arrivals):
        raise SystemExit("the simulation lost or doubled rows")


def _summary(runs: list[Outcome]) -> dict[str, Any]:
    return {
        "rows_per_second": statistics.mean(run.rows / run.seconds for run in runs),
        "lowest": min(run.rows / run.seconds for run in runs),
        "seconds": statistics.mean(run.seconds for run in runs),
        "shards": sum(run.shards for run in runs),
        "kills": sum(run.kills for run in runs),
        "retries": sum(run.retries for run in runs),
        "valkey_busy": statistics.mean(run.valkey_busy for run in runs),
    }


def _of_day(outcome: Outcome) -> dict[str, Any]:
    def quantile(values: list[float], share: float) -> float:
        return sorted(values)[min(len(values) - 1, int(share * len(values)))]

    return {
        "rows": outcome.rows,
        "hours": outcome.seconds / 3600,
        "valkey_busy": outcome.valkey_busy,
        "kills": outcome.kills,
        "retries": outcome.retries,
        "jobs": sum(map(len, outcome.waits.values())),
        "wait_99": {str(level): quantile(waits, 0.99) for level, waits in sorted(outcome.waits.items())},
        "done_99": {str(level): quantile(waits, 0.99) for level, waits in sorted(outcome.latencies.items())},
    }


def _two_cores(costs: Costs, name: str) -> dict[str, Any]:
    """The load of ``make bench-queue``, whose parts are written to a local disk, beside what it measured."""
    rate, measured = TWO_CORES[name]
    row = _THREADS / rate
    calm = {"worker_life": 0.0, "straggler_share": 0.0, "shard_noise": 0.05}
    # Planning tries a few thousand rows first; shards there are row groups of 50,000.
    cluster = cluster_of(costs, 2, row=row, shard=50_000 * row, put=costs.sync_seconds, network=0.0, **calm)
    outcome = Simulation(cluster, [Arrival(at=0.0, rows=800_000)], 0).run()
    return {"what": name, "measured": measured, "simulated": outcome.rows / outcome.seconds / rate}


def _show(console: Console, document: dict[str, Any]) -> None:
    costs = document["costs"]
    milliseconds = {name: costs[f"{name}_seconds"] * 1e3 for name in ("worker", "valkey", "sync")}
    console.print(
        f"a shard costs a worker {milliseconds['worker']:.1f} ms, Valkey {milliseconds['valkey']:.2f} ms "
        f"({costs['valkey_commands']:.0f} commands); a sync takes {milliseconds['sync']:.2f} ms"
    )
    for entry in document["two_cores"]:
        console.print(
            f"{entry['what']}: the queue has {entry['simulated']:.0%} of the plain rate when simulated, "
            f"{entry['measured']:.0%} when measured"
        )
    table = Table(title="cores")
    for column in ("cores", "shards of", "rows/s", "times one core", "kills", "done again", "Valkey busy"):
        table.add_column(column, justify="right")
    for entry in (*document["strong"], *document["weak"]):
        table.add_row(
            f"{entry['cores']:,}",
            f"{entry['shard_seconds']} s",
            f"{entry['rows_per_second']:,.0f}",
            f"{entry['times_one_core']:.2f}",
            f"{entry['kills']}",
            f"{entry['retries']}",
            f"{entry['valkey_busy']:.1%}",
        )
    console.print(table)
    table = Table(title="days")
    for column in ("tasks", "cores", "hours", "urgent begins, 99 %", "others end, 99 %", "Valkey busy"):
        table.add_column(column, justify="right")
    for entry in document["days"]:
        table.add_row(
            f"{entry['tasks']}",
            f"{entry['cores']}",
            f"{entry['hours']:.1f}",
            f"{entry['wait_99'].get('0', 0):.1f} s",
            f"{max(value for level, value in entry['done_99'].items() if level != '0') / 3600:.1f} h",
            f"{entry['valkey_busy']:.2%}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
