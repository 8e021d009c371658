"""What a chaos schedule works on: a tiny task, jobs of known good and bad rows, and what must be of them."""

import gzip
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from textcnn import Architecture, Student, Vocabulary

_ROWS = 2000
_WORDS = ["goal", "match", "team", "league", "software", "chip", "market", "garden"]


class Wrong(Exception):
    """What must hold does not."""


def make_workspace(root: Path) -> None:
    """One task, ``sport`` (no, yes), with a tiny promoted student."""
    from textcnn.train import Recipe, train

    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(_WORDS, 4)) for _ in range(200)]
    yes = np.array(["goal" in text for text in texts])
    vocabulary = Vocabulary.build(pa.array(texts), size=100, buckets=16)
    network = train(
        vocabulary.encode(texts),
        np.stack([~yes, yes], axis=1).astype(np.float32),
        size=vocabulary.size,
        architecture=Architecture(embedding=8, filters=8, widths=(1, 2)),
        rng=rng,
        recipe=Recipe(epochs=2),
    )
    metadata = {"task": "sport", "version": 1, "thresholds": {"default": 0.5}, "rules": {}, "depends_on": []}
    student = Student.from_network(network, vocabulary, ["no", "yes"], metadata)
    entry = Workspace(root).add_task(
        "sport",
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../none.csv"]\n[teacher]\nmodel = "none"\n'
        "[watch]\nsample = 0\n",
    )
    student.save(entry.folder / "students" / "1")
    promotion.promote(entry, 1, who="chaos", why="made for it", force=True)


@dataclass(kw_only=True)
class Expected:
    """A job, and how it may end."""

    path: Path
    good: list[str]
    bad: list[str] = field(default_factory=list)
    ends: tuple[str, ...] = ("completed",)
    cancel: bool = False
    priority: int = 5
    id: str = ""
    address: str = ""  # where a store has it


def _rows(name: str, count: int, rng: random.Random) -> tuple[list[str], list[str]]:
    return (
        [f"{name}-{number}" for number in range(count)],
        [" ".join(rng.choices(_WORDS, k=4)) for _ in range(count)],
    )


def _parquet(home: Path, name: str, count: int, rng: random.Random, **choices: Any) -> Expected:
    keys, texts = _rows(name, count, rng)
    pq.write_table(pa.table({"key": keys, "text": texts}), home / f"{name}.parquet")
    return Expected(path=home / f"{name}.parquet", good=keys, **choices)


def _lines(home: Path, name: str, count: int, rng: random.Random) -> Expected:
    """Gzipped JSON lines, some of them broken."""
    keys, texts = _rows(name, count, rng)
    broken = set(rng.sample(range(count), 5))
    with gzip.open(home / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        for number, (key, text) in enumerate(zip(keys, texts, strict=True)):
            row = {"key": key, "text": None if number in broken else text}
            file.write(json.dumps(row) + "\n")
    return Expected(
        path=home / f"{name}.jsonl.gz",
        good=[key for number, key in enumerate(keys) if number not in broken],
        bad=[key for number, key in enumerate(keys) if number in broken],
        priority=3,
    )


def _poisoned(home: Path, name: str, count: int, rng: random.Random) -> Expected:
    keys, texts = _rows(name, count, rng)
    worst = rng.randrange(count)
    texts[worst] = "[crash] " + texts[worst]
    pq.write_table(pa.table({"key": keys, "text": texts}), home / f"{name}.parquet")
    return Expected(
        path=home / f"{name}.parquet", good=[*keys[:worst], *keys[worst + 1 :]], bad=[keys[worst]]
    )


def make_jobs(home: Path, special: list[str], rng: random.Random) -> list[Expected]:
    """The jobs of a schedule; ``special`` names the faults that need one of their own."""
    jobs = [
        _parquet(home, "large", _ROWS, rng, priority=7),
        _lines(home, "lines", 400, rng),
        _parquet(home, "stopped", 1000, rng, cancel=True, ends=("cancelled", "completed"), priority=6),
        *(_parquet(home, f"small{number}", 20, rng, priority=0) for number in range(4)),
    ]
    if "poison" in special:
        jobs.append(_poisoned(home, "poison", 60, rng))
    # These two are read to the end before the fault falls on them, or fail with a reason.
    if "replace_input" in special:
        jobs.append(_parquet(home, "replaced", 1000, rng, ends=("failed", "completed"), priority=8))
    if "truncate_input" in special:
        jobs.append(_parquet(home, "truncated", 1000, rng, ends=("failed", "completed"), priority=8))
    return jobs


def check(home: Path, job: Expected, shown: dict[str, Any]) -> None:
    """The job's end, as the door tells it in ``shown``, and every row once; raises Wrong."""
    name = job.path.name
    state, counts = shown["status"], shown["counts"]
    if state not in job.ends:
        raise Wrong(f"{name} ended as {state} ({shown.get('error')}), not as {' or '.join(job.ends)}")
    folder = home / "jobs" / job.id
    parts: list[str] = []
    errors: list[str] = []
    if (folder / "manifest.json").exists():
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["counts"] != {key: counts[key] for key in manifest["counts"]}:
            raise Wrong(f"{name}: counts {counts} here and {manifest['counts']} in the manifest")
        for part in manifest["parts"]:
            parts += pq.read_table(folder / part["name"]).column("id").to_pylist()
        left = [path.name for path in folder.glob("[0-9]*.parquet")]
        if sorted(left) != sorted(part["name"] for part in manifest["parts"]):
            raise Wrong(f"{name}: parts {left} are not those of the manifest")
        if manifest["errors"]:
            lines = (folder / manifest["errors"]).read_text().splitlines()
            errors = [json.loads(line)["id"] for line in lines]
    if len(set(parts)) != len(parts):
        raise Wrong(f"{name}: {len(parts) - len(set(parts))} rows are there twice")
    if state == "completed":
        if parts != job.good:
            raise Wrong(f"{name}: {len(parts)} rows of {len(job.good)}, or in another order")
        if sorted(errors) != sorted(job.bad):
            raise Wrong(f"{name}: errors.jsonl names {sorted(errors)[:9]}, not {sorted(job.bad)[:9]}")
        if counts["total"] != counts["completed"] + counts["failed"] or counts["completed"] != len(parts):
            raise Wrong(f"{name}: counts {counts}")
    elif not set(parts) <= set(job.good):
        raise Wrong(f"{name}: rows that it does not have")
    if state == "failed" and not shown.get("error"):
        raise Wrong(f"{name}: failed without a reason")
