"""Lines of a log as JSON: what they name, and what they never show."""

import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi import FastAPI

from api.rest.server import configured
from pingti.errors import ConflictError, InputError
from queue_worker.telemetry import logs
from queue_worker.telemetry.logs import JsonFormatter, Quoting
from tests.support.paths import ROOT
from tests.support.service import serving

SECRET = "zaubernuss"
"""A word that no log may show."""


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of the classifying room, and what it writes."""
    yield from _logger("queue_worker.classifying.test")


@pytest.fixture
def log_of_processes() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    yield from _logger("queue_worker.processes.test")


def _logger(name: str) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield logger, stream
    finally:
        logger.removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_a_line_names_has_keys_of_its_own(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.info("unit %s job=%s unit=%s attempt=%d", "ended", "job-1", "17", 2)
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "queue_worker.classifying.test",
        "event": "unit ended",
        "job": "job-1",
        "unit": "17",
        "attempt": 2,
        "shard": 17,
    }


def test_what_is_around_a_line_is_in_it(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    with logs.about(job="job-1", unit="plan"), logs.about(attempt=1):
        logger.info("something")
    logger.info("something else")
    inside, outside = lines(stream)
    assert {name: inside[name] for name in ("job", "unit", "attempt")} == {
        "job": "job-1",
        "unit": "plan",
        "attempt": 1,
    }
    assert "shard" not in inside
    assert "job" not in outside


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Quoting(f"row 3: {SECRET}"), None),
        (InputError(f"there are {SECRET}"), "InputError"),
        (ValueError(SECRET), "ValueError"),
        (redis.ConnectionError("Connection refused"), "Connection refused"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
    ],
)
def test_words_that_may_quote_a_text_are_left_out(
    log: tuple[logging.Logger, io.StringIO], value: Any, shown: str | None
) -> None:
    logger, stream = log
    logger.error("unit failed job=%s reason=%s", "job-1", value, extra={"error": "InputError"})
    logger.error("it ended: %s", value)
    named, plain = lines(stream)
    assert (named["event"], named["job"], named["error"]) == ("unit failed", "job-1", "InputError")
    assert named.get("reason") == shown
    assert plain["event"] == (f"it ended: {shown}" if shown else "it ended")
    assert SECRET not in stream.getvalue()


def test_errors_of_the_service_itself_keep_their_words(
    log_of_processes: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = log_of_processes
    logger.error("%s", ConflictError("the workspace is another one"))
    assert lines(stream)[0]["event"] == "the workspace is another one"


def test_an_error_has_its_class_and_place_but_not_its_words(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("failed outside of a task")
    (line,) = lines(stream)
    assert line["error"] == "ValueError"
    assert any(
        place.endswith("test_an_error_has_its_class_and_place_but_not_its_words") for place in line["trace"]
    )
    assert SECRET not in stream.getvalue()


def test_celerys_words_on_a_failed_task_are_left_out() -> None:
    formatter = JsonFormatter()
    arguments = {"name": "pingti.classify", "id": "job-1/17/2", "exc": f"ValueError({SECRET!r})"}
    words = "Task %(name)s[%(id)s] raised unexpected: %(exc)s"
    record = logging.LogRecord("celery.app.trace", logging.ERROR, "", 0, words, (arguments,), None)
    line = json.loads(formatter.format(record))
    assert (line["event"], line["task"], line["job"], line["shard"]) == (
        "task failed",
        "pingti.classify",
        "job-1",
        17,
    )
    assert SECRET not in str(line)


@pytest.mark.parametrize("words", ["100 % of it", "a %.1f of another kind", "%s and nothing for it"])
def test_odd_templates_end_no_process(log: tuple[logging.Logger, io.StringIO], words: str) -> None:
    logger, stream = log
    logger.info(words, *([0.5] if "%.1f" in words else []))
    assert lines(stream)[0]["event"]


@contextmanager
def bare_root() -> Iterator[io.StringIO]:
    """The loggers of a new process, and what goes to standard error.

    pytest adds handlers of its own to a test, and a server that ran in this process leaves uvicorn's.
    """
    stream = io.StringIO()
    loggers = [logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.error")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers.clear()
        logger.propagate = True
    try:
        with redirect_stderr(stream):
            yield stream
    finally:
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.propagate = propagate


def test_the_text_format_is_as_it_was() -> None:
    with bare_root() as stream:
        logs.configure("text")
        logging.getLogger("queue_worker.test").error("unit failed reason=%s", Quoting("words"))
    assert stream.getvalue().endswith("ERROR queue_worker.test unit failed reason=words\n")


def test_the_apis_logs_are_json_too() -> None:
    with bare_root() as stream:
        configured(FastAPI(), json_logs=True).configure_logging()
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("httpx").info("HTTP Request: GET an address with its secret")
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    assert [(line["event"], line.get("error")) for line in lines(stream)] == [
        ("Invalid HTTP request received.", None),
        ("Exception in ASGI application", "ValueError"),
    ]
    assert SECRET not in stream.getvalue()


_SITE = f"""
from pingti.inference.classifier import Classifier
real = Classifier.classify
def failing(self, rows):
    for text in rows.column("text").to_pylist():
        if "fails {SECRET}" in text:
            raise ValueError(text)
    return real(self, rows)
Classifier.classify = failing
"""


@pytest.fixture
def template(_workspace_template: Path) -> Path:
    return _workspace_template


@pytest.mark.broker
def test_no_text_is_in_the_logs_of_a_service(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good rows, bad rows, and a shard that fails with an error that quotes its text."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_SITE)
    paths = [str(tmp_path / "site"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    home = tmp_path / "workspace"
    with serving(template, home, log_format="json", small_bytes=0, max_attempts=2) as service:
        (home / "good.csv").write_text("key,text\n" + f"1,a {SECRET}\n" * 60)
        (home / "bad.csv").write_text(f"key,text\n1,{SECRET}\n{SECRET}\n" + f"2,{SECRET}\n" * 5)
        (home / "bad.jsonl").write_text(f'{{"key": 1, "text": "{SECRET}"}}\n{{"{SECRET}\n')
        (home / "fails.csv").write_text(f"key,text\n1,it fails {SECRET}\n")
        with service.worker():
            jobs = [
                service.wait(service.submit(*files))
                for files in (["good.csv"], ["bad.csv", "bad.jsonl"], ["fails.csv"])
            ]
    assert [(job.status, job.counts.completed, job.counts.failed) for job in jobs[:2]] == [
        ("completed", 60, 0),
        ("completed", 7, 2),
    ]
    assert jobs[2].status.final
    written = "\n".join(path.read_text() for path in sorted(home.rglob("logs/*.log")))
    assert SECRET not in written
    written_lines = [line for line in written.splitlines() if line]
    foreign = {line for line in written_lines if not line.startswith("{")}
    assert foreign <= {"worker: Warm shutdown (MainProcess)"}  # Celery's, not through a logger
    parsed = [json.loads(line) for line in written_lines if line not in foreign]  # every line is JSON
    assert {"worker starts", "unit ended", "unit failed"} <= {line["event"] for line in parsed}
    failed = [line for line in parsed if line["event"] == "unit failed"]
    assert {(line["job"], line["error"]) for line in failed} == {(jobs[2].id, "ValueError")}
    shards = {line["shard"] for line in parsed if line.get("job") == jobs[0].id and "shard" in line}
    assert shards == {0, 1, 2}
