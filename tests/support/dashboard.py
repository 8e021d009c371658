"""What the dashboard's tests look at: a served workspace with every kind of task, job, night and alarm."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pingti.corpus.reader import Columns
from pingti.files import write_bytes
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import connect
from queue_worker.jobs.models import PLAN, Done
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.retraining import drift
from queue_worker.retraining.runs import Progress, RunState, RunStore
from queue_worker.settings import Settings
from replacement import reporting
from tests.support.rest import serving

CHROMIUM = os.environ.get("PINGTI_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""The browser's program; None where there is none."""

needs_browser = [
    pytest.mark.broker,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]
"""Marks of a module that looks at pages."""

FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)

SIZES = {"desk": (1280, 900), "phone": (390, 844)}
"""Viewports by name: width and height in CSS pixels."""

VIEWS = (
    *("jobs", "tasks", "tasks/sport", "tasks/mood", "tasks/bare", "tasks/broken"),
    *("review/sport", "review/mood", "review/tech", "nights", "compare", "compare/sport:1/sport:2"),
)
"""Addresses of every kind of page."""

_ARRIVED = {
    "jobs": ".job:has(.waits:not(:empty)) .decided:not(:empty)",
    "tasks/sport": "figure svg circle",
    "tasks/mood": "figure svg circle",
    "review/sport": "#desk",
    "review/mood": "#desk",
    "compare": "#compared table",
    "compare/sport:1/sport:2": "#compared table",
}

MOODS = (
    *("angry", "anxious", "bored", "cheerful", "curious", "disappointed", "grateful", "hopeful", "neutral"),
    *("proud", "relieved and yet not quite sure", "sad", "surprised"),
)
"""Thirteen classes: a key of its own for each."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A served workspace with a worker."""

    url: str
    settings: Settings
    workspace: Workspace


@dataclass(kw_only=True)
class Looker:
    """Opens pages, each with a profile of its own, and keeps what they complain about."""

    browser: Any
    url: str
    faults: list[str]

    def open(self, path: str = "jobs", **context: Any) -> Any:
        """A page whose data have arrived."""
        choices = {"viewport": {"width": 1180, "height": 900}, "locale": "en-GB", **context}
        page = self.browser.new_context(**choices).new_page()
        page.set_default_timeout(20_000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.goto(f"{self.url}/#/{path}")
        page.wait_for_selector(".view:not([hidden])")
        return page

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)


def show(page: Any, url: str, view: str, *, empty: bool = False) -> None:
    """Go to a view and wait until what it shows, unless nothing is there to show, has arrived."""
    page.goto(f"{url}/#/{view}")
    page.wait_for_selector(f"#view-{view.partition('/')[0]}:not([hidden])")
    if view in _ARRIVED and not empty:
        page.wait_for_selector(_ARRIVED[view])


@contextmanager
def served(template: Path, root: Path) -> Iterator[Place]:
    """A copy of the template with every kind of thing that a page shows, served with one worker."""
    shutil.copytree(template, root)
    workspace = Workspace(root)
    prepare(workspace)
    (root / "texts.csv").write_text("text\n" + "goal match team coach\n" * 1000)
    (root / "some.csv").write_text("text\n" + "goal match team coach\n" * 40 + '"\n' + "\n" * 3)
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=root, concurrency=2, shard_rows=500))
        processes.start_worker(settings, log=root / "worker.log", wait=False)  # the pages wait
        happen(workspace, settings)
        with serving(settings) as client:
            for body in (
                {"inputs": ["texts.csv"], "tasks": ["sport"]},
                {"inputs": ["some.csv"], "tasks": ["sport", "tech"], "metadata": {"team": "search"}},
            ):
                client.post("/v1/jobs", json=body).raise_for_status()
            yield Place(url=str(client.base_url).rstrip("/"), settings=settings, workspace=workspace)


def figures(precision: float | None = 0.97, recall: float | None = 0.93, rows: int = 300) -> dict[str, Any]:
    """What a report says of one measurement."""
    known = precision is not None and recall is not None
    f1 = round(2 * precision * recall / (precision + recall), 4) if known else None
    accuracy = 0.96 if known else None
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "accuracy": accuracy,
        "rows": rows,
        "positives": rows // 3,
    }


def rung(kind: str, f1: float, rate: float, *, passes: bool = True, kept: bool = False) -> dict[str, Any]:
    """A kind of student in a report's ladder."""
    return {
        "kind": kind, "f1": f1, "precision": f1, "recall": f1, "agreement": 0.97, "texts_per_second": rate,
        "bytes": 9_012_345, "teacher_share": 0.0, "passes": passes, "kept": kept, "note": "",
    }  # fmt: skip


def report_of(
    task: str, version: int, classes: tuple[str, ...] = ("no", "yes"), **changes: Any
) -> dict[str, Any]:
    """A report with every part that is drawn; ``changes`` take the place of keys."""
    days = [f"2026-11-{day:02}" for day in range(8, 15)]
    cut = [
        {
            "first": day,
            "last": day,
            "measure": figures(rows=40),
            "threshold": None if n == 2 else 0.4 + n / 20,
        }
        for n, day in enumerate(days)
    ]
    spans = {name: [0.91, 0.97] for name in ("precision", "recall", "f1")}
    return {
        "format": 1,
        "task": task,
        "version": version,
        "made": f"2026-11-{17 + version}T02:10:00+00:00",
        "classes": list(classes),
        "stopped": "the gate is reached",
        "teacher": {"model": "teachers/sport-bert", "rows_asked": 2400, "rows_computed": 2100},
        "corpus": {"read": 12000, "pool": 9000, "holdout": 300, "duplicates": 120},
        "gate": {"precision": 0.9, "recall": 0.9, "passed": True},
        "holdout": figures(recall=0.9 + version / 100),
        "holdout_intervals": spans,
        "rounds": [
            {
                "round": n,
                "rows": 400 * n,
                "asked": 700 * n,
                "added": {"competing": 120, "random": 280},
                "holdout": figures(0.8 + n / 20, 0.78 + n / 20),
            }
            for n in (1, 2, 3)
        ],
        "kept_round": 3,
        "kind": "textcnn",
        "ladder": [
            rung("textcnn", 0.941, 512_345.6, kept=True),
            rung("ngram", 0.893, 2_312_345.6, passes=False),
            {"kind": "transformer", "note": "this Pingti does not train students of that kind"},
        ],
        "scenes": {
            "default": {
                "threshold": 0.4 + version / 20,
                "says": "best F1",
                "holdout": figures(),
                "days": cut,
                "calibration": figures(),
                "intervals": spans,
            },
            "strict": {"threshold": 0.8, "says": "at precision 0.9", "holdout": figures(0.99, 0.71)},
        },
        "boundary_rows": 4,
        "speed": {"student": 412345.0, "teacher": 31.0},
        "curve": [{"threshold": n / 10, "precision": 0.6 + n / 25, "recall": 1 - n / 20} for n in range(10)],
        "calibration": [{"score": n / 4, "share": n / 4 - 0.02, "rows": 40} for n in (1, 2, 3)],
        "days": [
            {"day": day, **(figures(None, None, 0) if n == 3 else figures())} for n, day in enumerate(days)
        ],
        "worst_day": days[1],
        "clusters": [{"examples": ["a match", "a game"], "rows": 20, "covered": 0.9, "missed": 2}],
        "false_clusters": [
            {"examples": ["ein sehr langes Wort" * 4, "a film"], "rows": 9, "covered": 0.7, "false": 3}
        ],
        "hardest": [{"text": "<b>the match</b>", "teacher": "yes", "student": "no", "difference": 0.91}],
        "losses": [
            {
                "text": "it was a game",
                "loss": 3.2,
                "teacher": "yes",
                "teacher_score": 0.9,
                "student": "no",
                "student_score": 0.8,
            }
        ],
        "asked_by_day": [{"first": day, "last": day, "rounds": [120, 60, 30]} for day in days],
        "truth": {
            "student": figures(0.94, 0.92),
            "teacher": figures(0.95, 0.93),
            "baseline": figures(0.8, 0.77),
        },
        **changes,
    }


def prepare(workspace: Workspace) -> None:
    """Give sport a second version with all figures and rows to review, and add tasks of other kinds.

    mood has thirteen classes and a student below its gate, bare has no student, broken no definition that
    can be read.
    """
    sport = workspace.task("sport")
    shutil.copytree(sport.folder / "students" / "1", sport.folder / "students" / "2")
    for version in (1, 2):
        changes = {} if version == 2 else {"corpus": {"read": 9000, "pool": 7000, "holdout": 300}}
        reporting.write(sport.folder / "students" / str(version), report_of("sport", version, **changes))
    _mood(workspace)
    workspace.add_task("bare", sport.path.read_text().replace("[scenes.strict]\nprecision = 0.9\n", ""))
    broken = workspace.add_task("broken", sport.path.read_text())
    broken.path.write_text('classes = ["no"\n')
    texts = ("the match of the week", "a film about tennis", "bread and games", "the coach left")
    _to_review(
        workspace, "sport", {text: {"no": 0.5 - n / 50, "yes": 0.5 + n / 50} for n, text in enumerate(texts)}
    )
    _to_review(workspace, "mood", {text: dict.fromkeys(MOODS, round(1 / 13, 4)) for text in texts})


def _mood(workspace: Workspace) -> None:
    """A task of thirteen classes: topic's student with other names, which nobody asks to decide here."""
    topic = workspace.task("topic")
    classes = f"classes = {json.dumps(MOODS)}"
    entry = workspace.add_task(
        "mood", topic.path.read_text().replace("classes = ['sport', 'tech', 'other']", classes)
    )
    shutil.copytree(topic.folder / "students" / "1", entry.folder / "students" / "1")
    by_class = [
        {
            "class": name,
            "precision": None if n == 9 else 0.9,
            "recall": None if n == 9 else 0.7,
            "rows": 0 if n == 9 else 23,
            "f1": None if n == 9 else 0.79,
        }
        for n, name in enumerate(MOODS)
    ]
    reporting.write(
        entry.folder / "students" / "1",
        report_of(
            "mood",
            1,
            MOODS,
            gate={
                "precision": 0.9,
                "recall": 0.9,
                "passed": False,
                "shortfall": [0.0, 0.08],
                "absent": ["proud"],
                "says": "recall 0.820 is below 0.900",
            },
            stopped="the limit of 10 rounds is reached",
            holdout=figures(0.93, 0.82),
            by_class=by_class,
            truth=None,
            curve=[],
            pairs=[
                {
                    "teacher": "sad",
                    "student": "bored",
                    "rows": 7,
                    "of": 23,
                    "share": 0.304,
                    "examples": ["another Monday"],
                }
            ],
            scenes={
                "default": {"threshold": None, "says": "likeliest class", "holdout": figures(0.93, 0.82)}
            },
        ),
    )
    (entry.folder / "current").write_text("1\n")


def _to_review(workspace: Workspace, task: str, scores: dict[str, dict[str, float]]) -> None:
    rows = [
        {
            "id": f"r{n}",
            "text": text,
            "task": task,
            "version": 1,
            "teacher": teacher,
            "reason": "the teacher's margin of 0.010 is below 0.1",
        }
        for n, (text, teacher) in enumerate(scores.items())
    ]
    write_bytes(
        workspace.task(task).folder / "review.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode()
    )


def happen(workspace: Workspace, settings: Settings) -> None:
    """Jobs in every state, retrainings in every state, days of agreement and an alarm of drift."""
    with connect(settings) as client:
        store = JobStore(client)  # publishes nothing: what it holds stays as it is
        pins = pin(workspace, [Choice.parse("sport"), Choice.parse("sport@strict"), Choice.parse("topic")])
        common = {"columns": Columns(), "pins": pins, "settings": settings, "owner": "nightly-batch"}
        names = [
            f"/srv/texts/2026-11-{day:02}/comments_of_all_channels_part_{day:04}.parquet" for day in (1, 2, 3)
        ]
        queued = store.create(
            inputs=names, priority=7, metadata={"team": "search", "ticket": "A-1021"}, **common
        ).job
        failing = store.create(inputs=["/srv/texts/gone.csv"], priority=5, metadata={}, **common).job
        (claim,) = store.claim(failing.id, PLAN, worker="classify@there-7", lease_seconds=3600)
        store.give_up(
            claim,
            reason="/srv/texts/gone.csv: the file has changed since the job was accepted; submit it again",
        )
        running = store.create(inputs=["/srv/texts/now.parquet"], priority=2, metadata={}, **common).job
        (claim,) = store.claim(running.id, PLAN, worker="classify@there-7", lease_seconds=3600)
        store.planned(claim, shards=4, total=400_000, failed=3, cut_input="")
        for shard, worker in enumerate(("there-7", "there-7", "elsewhere-12")):
            store.claim(running.id, str(shard), worker=f"classify@{worker}", lease_seconds=3600)
        assert queued.id != running.id
        _cascade(store, common | {"pins": [pins[0]]})
        stopped = store.create(inputs=["/srv/texts/stopped.csv"], priority=5, metadata={}, **common).job
        store.cancel(stopped.id)
        _nights(client)
        today = datetime.now(UTC).date()
        for back, agreed in enumerate((40, 58, 59, 0, 57, 60, 58)):
            if agreed:
                day = drift.count(
                    client,
                    workspace.task("sport"),
                    job=f"job-{back}",
                    day=today - timedelta(days=back),
                    version=1,
                    rows=60,
                    agreed=agreed,
                )
                if back == 0:
                    drift.raise_alarm(client, workspace.task("sport"), day)


def _cascade(store: JobStore, common: dict[str, Any]) -> None:
    """A job that waits for a worker with the teacher, after one of its two shards."""
    pins = [replace(pin, second="teacher", unsure_from=0.3, unsure_below=0.7) for pin in common["pins"]]
    common = common | {"pins": pins}
    job = store.create(inputs=["/srv/texts/cascade.parquet"], priority=4, metadata={}, **common).job
    (claim,) = store.claim(job.id, PLAN, worker="classify@there-7", lease_seconds=3600)
    store.planned(claim, shards=2, total=200_000, failed=0, cut_input="")
    (claim,) = store.claim(job.id, "0", worker="retrain@there-8", lease_seconds=3600)
    decided = {"sport": {"student": 95_000, "teacher": 4_100, "unsure": 900}}
    store.finish(claim, Done(rows=100_000, seconds=60.0, tasks={"sport": 100_000}, decided=decided))


def _nights(client: Any) -> None:
    runs = RunStore(client)
    for state, version, reason in (
        (RunState.PROMOTED, 2, "the gate is reached"),
        (
            RunState.REFUSED,
            3,
            "recall 0.861 is below 0.900 and F1 is 0.021 below that of the promoted version 2 "
            "(95 % interval 0.004 to 0.038)",
        ),
        (RunState.FAILED, None, "the teacher's folder /srv/teachers/sport is gone"),
        (RunState.RUNNING, None, ""),
    ):
        run = runs.demand("sport", who="scheduler")
        claim = runs.claim(run.id, worker="retrain@there-8", lease_seconds=3600)
        assert claim is not None
        if state is RunState.RUNNING:
            progress = Progress(round=2, rounds=10, f1=0.91, what="asking the teacher", done=300, total=1000)
            runs.beat(claim, progress, lease_seconds=3600)
        else:
            runs.finish(claim, state, version=version, reason=reason)
