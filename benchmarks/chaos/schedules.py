"""``make chaos``: seeded schedules of faults against a running service, and what must hold afterwards.

Each schedule starts ``pingti up`` on a workspace of its own, submits jobs through REST, and lets faults fall
on its processes and files: kill -9 of workers, Valkey, the scheduler, the API, or of everything; SIGTERM;
SIGQUIT, Celery's soft shutdown; a worker that is paused until its lease is lost; a second scheduler, a second
beat; bad messages; a broker that stands still for a minute; a disk without room; an input that is replaced or
truncated; texts over which the classifier aborts; a retraining that is cancelled. One job's student asks a
teacher, an endpoint on loopback that is slow and refuses some requests; each schedule kills or ends the
worker, the shard's process or the teacher's in the middle of that. With ``--rabbitmq``
messages go through a RabbitMQ, which is killed, too. With ``--store`` inputs, students, parts and results are
in an S3 server on loopback (moto's), of which one request in fifty is refused, cut, dropped or late. Then

- every job ends in the state that it must end in, and no job is there twice;
- every row is in the results once, or in errors.jsonl, and there with the right rows;
- where a teacher is asked, every row has the class that it must have, from the one who must have decided it;
- a retraining that was cancelled is, and its process has ended;
- from the last fault (or the last worker that a text has killed) to the end of the last job it takes less
  than 30 seconds;
- after SIGTERM no process is left.

Prints a line a schedule and ``N passed, N failed``; ends with 1 when one failed. Linux only (it reads /proc).
"""

import argparse
import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.chaos.cascade import Endpoint
from benchmarks.chaos.faults import Faults, Later
from benchmarks.chaos.jobs import Expected, Wrong, check, make_jobs, make_workspace
from benchmarks.chaos.rabbitmq import SERVER
from benchmarks.chaos.service import Service
from benchmarks.chaos.store import Store

RECOVERY_SECONDS = 30.0
_END_SECONDS = 300.0  # a schedule that has not ended by then hangs
_TMPFS = "64m"
_ANY = (
    "kill_worker",
    "kill_valkey",
    "kill_scheduler",
    "kill_api",
    "term_worker",
    "term_valkey",
    "pause_worker",
    "soft_shutdown",
    "second_scheduler",
    "second_beat",
    "bad_messages",
)
_ASKING = ("kill_teacher", "kill_shard_process", "kill_teaching", "term_teaching")
_OF_FILES = ("full_disk", "replace_input", "truncate_input")  # of the machine's own
_IN_TURN = (
    "full_disk",
    "replace_input",
    "truncate_input",
    "kill_everything",
    "poison",
    "pause_broker",
    "revoke_retraining",
)


@dataclass(frozen=True, kw_only=True)
class Result:
    seed: int
    faults: list[str]
    jobs: int
    seconds: float
    recovery: float | None
    wrong: str | None

    def line(self) -> str:
        names = collections.Counter(self.faults)
        counted = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in names.items())
        verdict = "passed" if self.wrong is None else f"FAILED: {self.wrong};"
        recovered = "" if self.recovery is None else f", recovered in {self.recovery:.1f} s"
        seconds = f"{self.seconds:.0f} s"
        return f"schedule {self.seed}: {verdict} {self.jobs} jobs{recovered}, {seconds} ({counted})"


def run_schedule(
    seed: int,
    folder: Path,
    template: Path,
    *,
    seconds: float,
    most: float,
    tmpfs: bool,
    rabbitmq: bool,
    store: bool = False,
) -> Result:
    """One schedule of about ``seconds`` of faults, after which ``most`` seconds may pass.

    ``folder`` is made, and left where something is wrong. ``tmpfs``: a small disk can be had;
    ``rabbitmq``: messages go through one; ``store``: files are in an S3 server.
    """
    rng = random.Random(seed)
    started = time.monotonic()
    home = folder / "disk" / "home"
    home.parent.mkdir(parents=True)
    special = [_IN_TURN[seed % len(_IN_TURN)], rng.choice(_IN_TURN)]
    left_out = _OF_FILES if store else () if tmpfs else ("full_disk",)
    special = [name for name in special if name not in left_out]
    mounted = "full_disk" in special
    common = (*_ANY, "kill_rabbitmq") if rabbitmq else _ANY
    faults = [*rng.choices(common, k=rng.randint(3, 5)), *dict.fromkeys(special), rng.choice(_ASKING)]
    recovery: float | None = None
    wrong: str | None = None
    jobs: list[Expected] = []
    if mounted:
        _mount(home.parent)
    service = Service(home, f"{os.getpid()}-{seed}", folder / "up.log")
    try:
        shutil.copytree(template, home)
        jobs = make_jobs(home, special, rng)
        if rabbitmq:
            service.add_rabbitmq()
        if store:
            bucket = Store(folder, seed)
            service.use_store(bucket, jobs)
        service.start()
        service.ready()
        recovery = _act(service, jobs, faults, seconds, rng)
        for job in jobs:
            shown = service.ask("GET", f"/v1/jobs/{job.id}").json()
            if service.store is not None:
                service.store.mirror(home, job.id)
            check(home, job, shown)
        _check_list(service, jobs)
        service.stop()
        if recovery > most:
            wrong = f"recovery took {recovery:.1f} s"
    except Wrong as error:
        wrong = str(error)
    finally:
        service.destroy()
        if mounted:
            if wrong is not None:  # what is on the mount would be gone
                shutil.copytree(home, folder / "home", dirs_exist_ok=True)
            subprocess.run(["umount", "--lazy", str(home.parent)], check=False)
    if wrong is None:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        wrong = f"{wrong}; see {folder}"
    return Result(
        seed=seed,
        faults=[name.replace("_", " ") for name in faults],
        jobs=len(jobs),
        seconds=time.monotonic() - started,
        recovery=recovery,
        wrong=wrong,
    )


def _act(
    service: Service, jobs: list[Expected], names: list[str], seconds: float, rng: random.Random
) -> float:
    """Submit, let the faults fall, wait for the jobs; seconds from the last fault to the last job's end."""
    acts = Faults(service, jobs, rng)
    first = [job for job in jobs if not job.path.name.startswith("small")]
    for job in first:
        service.submit(job)
    begun = time.monotonic()
    timeline: list[tuple[float, Callable[[], Later | None]]] = [
        (rng.uniform(0.5, seconds), getattr(acts, name)) for name in names if name != "poison"
    ]
    clients = [(rng.uniform(0.2, seconds), service.submit, job) for job in jobs if job not in first]
    clients += [(rng.uniform(0.2, seconds / 2), partial(_cancel, service), job) for job in jobs if job.cancel]
    with ThreadPoolExecutor(len(clients)) as pool:  # clients wait for the service, faults for nobody
        asked = [pool.submit(_at, begun + at, ask, job) for at, ask, job in clients]
        while timeline:
            timeline.sort(key=lambda event: event[0])
            at, act = timeline.pop(0)
            time.sleep(max(0.0, begun + at - time.monotonic()))
            now = time.monotonic() - begun
            timeline += [(now + after, then) for after, then in act() or []]
        last = time.monotonic()
        for answer in asked:
            answer.result()
    deadline = last + _END_SECONDS
    waiting, deaths = list(jobs), service.deaths()
    while waiting:
        if service.deaths() > deaths:  # a text kills workers, too: the last of them is the last fault
            last, deaths = time.monotonic(), service.deaths()
        state = service.ask("GET", f"/v1/jobs/{waiting[0].id}").json()["status"]
        if state in ("completed", "failed", "cancelled"):
            waiting.pop(0)
        elif time.monotonic() > deadline:
            raise Wrong(f"{waiting[0].path.name} ({waiting[0].id}) is still {state}")
        else:
            time.sleep(0.1)
    recovery = time.monotonic() - last
    acts.check_retrainings()
    return recovery


def _at(moment: float, ask: Callable[[Expected], None], job: Expected) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
    ask(job)


def _cancel(service: Service, job: Expected) -> None:
    answer = service.ask("POST", f"/v1/jobs/{job.id}/cancel")
    if answer.status_code not in (200, 202, 409):
        raise Wrong(f"{job.path.name} was not cancelled: {answer.status_code} {answer.text}")


def _check_list(service: Service, jobs: list[Expected]) -> None:
    listed = service.ask("GET", "/v1/jobs", params={"limit": 100}).json()
    rows = listed.get("data") or listed.get("items") or listed.get("jobs")
    if sorted(row["id"] for row in rows) != sorted(job.id for job in jobs):
        raise Wrong(f"{len(rows)} jobs are listed, {len(jobs)} were submitted")


def _mount(folder: Path) -> None:
    options = ["mount", "-t", "tmpfs", "-o", f"size={_TMPFS}", "pingti-chaos", str(folder)]
    done = subprocess.run(options, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip())


def may_mount() -> str | None:
    """Why no small disk can be had; None where it can."""
    with tempfile.TemporaryDirectory() as name:
        try:
            _mount(Path(name))
        except OSError as error:
            return str(error)
        subprocess.run(["umount", name], check=False)
    return None


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="chaos", description="Faults against a running service.")
    parser.add_argument("--schedules", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule; the next ones follow")
    parser.add_argument("--seconds", type=float, default=10.0, help="during which faults fall")
    parser.add_argument("--recovery", type=float, default=RECOVERY_SECONDS, help="most seconds of it")
    parser.add_argument("--rabbitmq", action="store_true", help="messages go through a RabbitMQ")
    parser.add_argument(
        "--store", action="store_true", help="files are in an S3 server that fails now and then"
    )
    options = parser.parse_args(arguments)
    if options.rabbitmq and not SERVER.is_file():
        parser.error(f"--rabbitmq needs Debian's rabbitmq-server: there is no {SERVER}")
    reason = may_mount()
    if reason is not None:
        _say(f"full disk: left out, since a small disk cannot be mounted ({reason})")
    folder = Path(tempfile.mkdtemp(prefix="pingti-chaos-"))
    template = folder / "template"
    teacher = Endpoint()
    make_workspace(template, teacher.section)
    failed = 0
    for seed in range(options.seed, options.seed + options.schedules):
        result = run_schedule(
            seed,
            folder / str(seed),
            template,
            seconds=options.seconds,
            most=options.recovery,
            tmpfs=reason is None,
            rabbitmq=options.rabbitmq,
            store=options.store,
        )
        _say(result.line())
        failed += result.wrong is not None
    teacher.end()
    _say(f"{options.schedules - failed} passed, {failed} failed")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0
