"""Make the documentation's pictures of the dashboard: ``make screenshots``.

The demo's workspace is served as it is, and its corpus is classified many times over, so that the rates are
those of this machine at work; the pages are looked at in a headless Chromium. ``--home`` names a workspace of
``pingti demo`` that is there already; else the small demo is run first (some minutes).
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import Page, sync_playwright

from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings

DOCS = Path(__file__).parent
CORPUS = "corpus.parquet"
ROWS = 3_000_000  # of the large job: seconds of work
WAIT_S = 300
PICTURES = {
    "dashboard.png": ("#/jobs", 1280, "en-GB"),
    "dashboard.zh.png": ("#/jobs", 1280, "zh-CN"),
    "dashboard-task.png": ("#/tasks/{task}", 1280, "en-GB"),
    "dashboard-phone.png": ("#/jobs", 390, "en-GB"),
}
"""By file: which page, how wide, in which language."""


def main() -> None:
    """Run the demo if need be, start the service, submit jobs, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a workspace of pingti demo")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the pictures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "workspace"
        if arguments.home is None:
            subprocess.run(
                [sys.executable, "-m", "pingti", "demo", "--quick", "--home", str(home)], check=True
            )
        else:
            shutil.copytree(arguments.home, home, ignore=shutil.ignore_patterns("valkey", "jobs", "logs"))
        _take(home, arguments.out)


def _take(home: Path, out: Path) -> None:
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=home, concurrency=os.cpu_count() or 1))
        processes.start_worker(settings, log=home / "worker.log")
        address = _serve(processes, settings)
        with httpx.Client(base_url=address, timeout=60) as client:
            tasks = [task["name"] for task in client.get("/v1/tasks").json()["items"] if task["current"]]
            if not tasks:
                sys.exit(f"{home}: no task of it has a promoted student; run pingti demo there first")
            _write_large(home)
            first = _submit(client, CORPUS, tasks)
            _wait(client, first, "completed")
            large = _submit(client, "large.parquet", tasks)
            _submit(client, CORPUS, tasks[:1])
            _wait(client, large, "running", rows=ROWS // 4)  # by then its rate is that of the whole
            _look(address, tasks[0], out)


def _serve(processes: Processes, settings: Settings) -> str:
    """Start the server on a free port and return its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        served = settings.model_copy(update={"port": probe.getsockname()[1]})
    processes.start("API", [sys.executable, "-P", "-m", "api.rest.server"], settings=served)
    address = f"http://127.0.0.1:{served.port}"
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/readyz", timeout=5, trust_env=False).is_success:
                return address
        time.sleep(0.2)
    sys.exit("the server did not come up")


def _write_large(home: Path) -> None:
    texts = pq.read_table(home / CORPUS, columns=["text"])
    many = pa.concat_tables([texts] * (ROWS // len(texts) + 1)).slice(0, ROWS)
    pq.write_table(many, home / "large.parquet")


def _submit(client: httpx.Client, file: str, tasks: list[str]) -> str:
    answer = client.post("/v1/jobs", json={"inputs": [file], "tasks": tasks, "metadata": {"team": "search"}})
    return str(answer.raise_for_status().json()["id"])


def _wait(client: httpx.Client, job: str, status: str, *, rows: int = 1) -> None:
    """Until the job has the status, and so many rows are done."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        document = client.get(f"/v1/jobs/{job}").json()
        if document["status"] == status and document["counts"]["completed"] >= rows:
            return
        if document["status"] in ("completed", "failed"):
            sys.exit(f"{job} is {document['status']} and not {status}: {document['error']}")
        time.sleep(0.1)
    sys.exit(f"{job} is not {status} after {WAIT_S} seconds")


def _look(address: str, task: str, out: Path) -> None:
    chromium = os.environ.get("PINGTI_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (page_address, width, locale) in PICTURES.items():
            height = 844
            context = browser.new_context(viewport={"width": width, "height": height}, locale=locale)
            page = context.new_page()
            page.goto(f"{address}/{page_address.format(task=task)}")
            _settle(page)
            page.screenshot(path=out / name)
            context.close()
        browser.close()


def _settle(page: Page) -> None:
    """Wait for what the page shows, and for the first figures of its events."""
    page.wait_for_selector(".job, #one-task figure circle")
    page.wait_for_timeout(1500)


if __name__ == "__main__":
    main()
