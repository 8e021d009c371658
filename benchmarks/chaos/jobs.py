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

from benchmarks.chaos import cascade
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from textcnn import Architecture, Student, Vocabulary

_ROWS = 2000
_ASKED_ROWS = 100  # of the job that asks a teacher: a few shards
_WORDS = ["goal", "match", "team", "league", "software", "chip", "market", "garden"]


class Wrong(Exception):
    """What must hold does not."""


def make_workspace(root: Path, teacher: str) -> None:
    """Two tasks (no, yes) with tiny promoted students: ``sport``, and one that asks a teacher.

    Args:
        root: of the workspace.
        teacher: the part of a definition that names it, in TOML.
    """
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
    workspace = Workspace(root)
    entry = workspace.add_task(
        "sport",
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../none.csv"]\n[teacher]\nmodel = "none"\n'
        "[watch]\nsample = 0\n",
    )
    student.save(entry.folder / "students" / "1")
    promotion.promote(entry, 1, who="chaos", why="made for it", force=True)
    cascade.add_task(workspace, student, teacher, texts)


@dataclass(kw_only=True)
class Expected:
    """A job, and how it may end."""

    path: Path
    good: list[str]
    bad: list[str] = field(default_factory=list)
    ends: tuple[str, ...] = ("completed",)
    cancel: bool = False
    priority: int = 5
    task: str = "sport"
    decided: list[tuple[str, str]] | None = None  # of each good row: its class, and who must have said it
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


def _asking(home: Path, count: int, rng: random.Random, *, poisoned: bool) -> Expected:
    """A job whose shards wait for a teacher; ``poisoned``: with a text over which the classifier aborts."""
    keys, texts = _rows("asking", count, rng)
    decided = cascade.expected(Workspace(home), texts)
    bad = [rng.randrange(count)] if poisoned else []
    for row in bad:
        texts[row] = "[crash] " + texts[row]
    pq.write_table(pa.table({"key": keys, "text": texts}), home / "asking.parquet")
    return Expected(
        path=home / "asking.parquet",
        good=[key for row, key in enumerate(keys) if row not in bad],
        bad=[keys[row] for row in bad],
        decided=[said for row, said in enumerate(decided) if row not in bad],
        task=cascade.TASK,
        priority=4,
    )


def make_jobs(home: Path, special: list[str], rng: random.Random) -> list[Expected]:
    """The jobs of a schedule; ``special`` names the faults that need one of their own."""
    jobs = [
        _parquet(home, "large", _ROWS, rng, priority=7),
        _lines(home, "lines", 400, rng),
        _parquet(home, "stopped", 1000, rng, cancel=True, ends=("cancelled", "completed"), priority=6),
        *(_parquet(home, f"small{number}", 20, rng, priority=0) for number in range(4)),
        _asking(home, _ASKED_ROWS, rng, poisoned="poison" in special),
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
    decided: list[tuple[str, str]] = []
    errors: list[str] = []
    if (folder / "manifest.json").exists():
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["counts"] != {key: counts[key] for key in manifest["counts"]}:
            raise Wrong(f"{name}: counts {counts} here and {manifest['counts']} in the manifest")
        for part in manifest["parts"]:
            table = pq.read_table(folder / part["name"])
            parts += table.column("id").to_pylist()
            if job.decided is not None:
                by = table.column(f"{job.task}_by").to_pylist()
                decided += zip(table.column(job.task).to_pylist(), by, strict=True)
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
        if job.decided is not None and decided != job.decided:
            wrong = [row for row in zip(parts, decided, job.decided, strict=True) if row[1] != row[2]]
            raise Wrong(f"{name}: {len(wrong)} rows are decided otherwise, or by another: {wrong[:3]}")
        if sorted(errors) != sorted(job.bad):
            raise Wrong(f"{name}: errors.jsonl names {sorted(errors)[:9]}, not {sorted(job.bad)[:9]}")
        if counts["total"] != counts["completed"] + counts["failed"] or counts["completed"] != len(parts):
            raise Wrong(f"{name}: counts {counts}")
    elif not set(parts) <= set(job.good):
        raise Wrong(f"{name}: rows that it does not have")
    if state == "failed" and not shown.get("error"):
        raise Wrong(f"{name}: failed without a reason")
