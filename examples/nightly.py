"""Classify yesterday's file by a running service, and fetch what came of it: for cron.

    10 0 * * *  PINGTI_API_KEY=... python3 /srv/nightly.py /srv/posts /srv/labels sports

``/srv/posts/2026-11-25.csv`` becomes ``/srv/labels/2026-11-25.parquet``, with its bad rows beside it. Started
again, it makes no second job: the day and the task are the idempotency key. The exit code is 0, or that of
the error.
"""

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

from pingti import Client
from pingti.errors import PingtiError


def classify_day(client: Client, posts: Path, labels: Path, task: str, day: date) -> Path:
    """Classify the file of a day, and wait for it.

    Args:
        client: of the service.
        posts: the folder of the inputs: a file YYYY-MM-DD.csv a day, with the columns id and text.
        labels: the folder of the results.
        task: "sports", or "sports@strict".
        day: which one.

    Returns:
        The file of the results.

    Raises:
        PingtiError: no file, no service, a job that failed because more than one row in a hundred is bad, ...
    """
    job = client.submit(
        posts / f"{day}.csv",
        task,
        id="id",
        metadata={"day": str(day)},
        idempotency_key=f"nightly {task} {day}",
        max_bad_rows=0.01,
    )
    job = client.wait(job.id, timeout=6 * 3600)
    labels.mkdir(parents=True, exist_ok=True)
    if job.counts.failed:
        client.download_errors(job.id, labels / f"{day}.errors.jsonl")
    results = labels / f"{day}.parquet"
    client.download(job.id, results)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(description="Classify a day's file.")
    parser.add_argument("posts", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("task")
    parser.add_argument(
        "--day", type=date.fromisoformat, default=date.today() - timedelta(days=1), help="yesterday if absent"
    )
    options = parser.parse_args(arguments)
    try:
        with Client() as client:
            results = classify_day(client, options.posts, options.labels, options.task, options.day)
    except PingtiError as error:
        sys.stderr.write(f"nightly: {error}\n")
        return error.exit_code
    sys.stdout.write(f"{results}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
