"""A project of docker-compose.yml for a script: bring it up, run things in it, remove it."""

import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """A step went wrong; the message is one sentence."""


def say(line: str) -> None:
    """Tell a person what happens."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass(kw_only=True)
class Compose:
    """One project of docker-compose.yml, and the variables that it is run with."""

    project: str
    variables: dict[str, str]
    containers: list[str] = field(default_factory=list)
    """Started beside the project."""

    def run(self, *arguments: str, given: bytes | None = None) -> str:
        """Run `docker compose`; its standard output.

        Raises:
            Failed: it ends with another code than 0.
        """
        file = ("--file", str(ROOT / "docker-compose.yml"))
        return self.docker("compose", "--project-name", self.project, *file, *arguments, given=given)

    def docker(self, *arguments: str, given: bytes | None = None) -> str:
        """As ``run``, of `docker`."""
        environment = {**os.environ, **self.variables}
        done = subprocess.run(
            ["docker", *arguments], env=environment, input=given, capture_output=True, check=False
        )
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip()[-2000:]
            raise Failed(f"docker {' '.join(arguments)} ended with {done.returncode}: {reason}")
        return done.stdout.decode(errors="replace")

    def ids(self, service: str) -> list[str]:
        """Containers of a service that run."""
        return self.run("ps", "--quiet", "--status", "running", service).split()

    def remove(self) -> None:
        """Containers, network and volumes; the image stays."""
        for container in self.containers:
            subprocess.run(["docker", "rm", "--force", container], capture_output=True, check=False)
        self.run("--profile", "flower", "down", "--volumes", "--timeout", "5")


@contextmanager
def removed_at_the_end(compose: Compose) -> Iterator[None]:
    """Remove the project at the end; where a step failed, show first what its containers said."""
    try:
        yield
    except Exception:
        for lines in (["ps", "--all"], ["logs", "--no-color", "--tail", "30"]):
            try:
                sys.stderr.write(compose.run(*lines))
            except Failed as error:
                sys.stderr.write(f"{error}\n")
        raise
    finally:
        compose.remove()


def bring_up(compose: Compose, workers: int, *, flower: bool, build: bool) -> None:
    """Build and start; all health checks are good then."""
    if build:
        say("docker compose build api")
        compose.run("build", "api")
    say(f"docker compose up --wait --scale worker={workers}")
    profile = ["--profile", "flower"] if flower else []
    services = ["api", "worker", "scheduler", *(["flower"] if flower else [])]
    scale = ["--scale", f"worker={workers}"]
    compose.run(*profile, "up", "--detach", "--wait", "--wait-timeout", "300", *scale, *services)
    if len(compose.ids("worker")) != workers:
        raise Failed(f"--scale worker={workers} started {len(compose.ids('worker'))}")


def add_tasks(compose: Compose, workspace: Path) -> None:
    """As the head of docker-compose.yml says."""
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(workspace / "tasks", "tasks")
        packed.seek(0)
        into = ["tar", "-C", "/var/lib/pingti", "-xf", "-"]
        compose.run("exec", "-T", "api", *into, given=packed.read())


def compare(results: pa.Table, expected: pa.Table, tasks: Sequence[str]) -> None:
    """Every row once, and decided as expected; in any order.

    Raises:
        Failed: not so; it says what is lost, doubled or decided otherwise.
    """
    ids = results["id"].to_pylist()
    if len(ids) != len(set(ids)) or set(ids) != set(expected["id"].to_pylist()):
        raise Failed(f"{expected.num_rows} rows in, {len(ids)} out, of which {len(set(ids))} differ")
    ours, theirs = (table.sort_by("id").combine_chunks() for table in (expected, results))
    for task in tasks:
        if not ours[task].equals(theirs[task].cast(ours[task].type)):
            raise Failed(f"the job decided otherwise on {task} than the same student here")
        gap = np.abs(ours[f"{task}_score"].to_numpy() - theirs[f"{task}_score"].to_numpy()).max()
        if gap > 1e-5:
            raise Failed(f"a score of {task} differs by {gap}")


def ask(
    url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
) -> tuple[int, bytes]:
    """One request: its status (0 where nobody answers) and body."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def until(true: Callable[[], Any], what: str, *, seconds: float) -> None:
    """Wait for something.

    Raises:
        Failed: it does not come.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
