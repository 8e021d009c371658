"""The log of the service's processes: one line an event to standard error, as text or as JSON.

Calls are the same for both: ``_log.info("unit %s job=%s attempt=%d", ...)``. In JSON what is named so has a
key of its own. Lines of JSON go to where many read them, so that no text may stand in them: words that may
quote one (``Quoting``, most errors' messages) are left out; ``pingti jobs show JOB`` has them.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import redis

from pingti.errors import PingtiError
from queue_worker.telemetry import traces

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_NAMED = re.compile(r"\s*\b(\w+)=%[sdr]")
_PLACE = re.compile(r"%[sdr]")
# Rooms whose errors are of the service itself; those of others may quote what they read.
_OF_THE_SERVICE = ("queue_worker.jobs", "queue_worker.processes", "queue_worker.worker", "__main__")
_OURS = ("api", "pingti", "queue_worker", "replacement", "sampling", "teacher", "textcnn", "__main__")
_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)


class Quoting(str):
    """Words that may quote a text of a corpus: the text format writes them, JSON does not."""

    __slots__ = ()


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Add fields to all lines of JSON that this thread writes in the block."""
    token = _about.set({**(_about.get() or {}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def configure(form: str, level: int = logging.INFO) -> None:
    """Set up the root logger of a process of the service.

    Args:
        form: ``log_format`` of the settings.
        level: from which on lines are written.
    """
    if form == "text":
        logging.basicConfig(stream=sys.stderr, level=level, format=_TEXT)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        logging.basicConfig(handlers=[handler], level=level)
    logging.getLogger("celery").setLevel(logging.WARNING)  # our own lines tell what became of a task


class JsonFormatter(logging.Formatter):
    """A record as an object in one line: time, level, logger, event, and what it names.

    ``job``, ``shard``, ``attempt``, ``task``, ``worker`` and so on are there where they are known, and
    ``trace_id`` and ``span_id`` where OpenTelemetry has a span.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        ours = record.name.partition(".")[0] in _OURS
        event, fields = _of_ours(record) if ours else _of_others(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            **(_about.get() or {}),
            **fields,
            **traces.current_ids(),
        }
        if "shard" not in line and str(line.get("unit", "")).isdigit():
            line["shard"] = int(str(line["unit"]))
        if (kind := getattr(record, "error", None)) is not None:
            line["error"] = kind
        if record.exc_info and record.exc_info[1] is not None:
            line |= _of_error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def _of_ours(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """The event's words, and what the call names."""
    template = str(record.msg)
    values = list(record.args) if isinstance(record.args, tuple) else []
    names = [_name_of(template, place.start()) for place in _PLACE.finditer(template)]
    words = [_shown(value, record.name) for value in values]
    fields = {
        name: word for name, word in zip(names, words, strict=False) if name is not None and word is not None
    }
    rest = tuple(
        "" if word is None else word for name, word in zip(names, words, strict=False) if name is None
    )
    bare = _NAMED.sub("", template)
    try:
        event = bare % rest if rest else bare
    except (TypeError, ValueError):  # a place of another kind
        event = bare
    return event.strip().rstrip(":"), fields


def _name_of(template: str, place: int) -> str | None:
    """The name of the value at a place: ``job`` of ``job=%s``."""
    return next((named[1] for named in _NAMED.finditer(template) if named.end() == place + 2), None)


def _shown(value: Any, logger: str) -> Any:
    """A value as a line of JSON may show it; None where it may quote a text."""
    if isinstance(value, Quoting):
        return None
    if isinstance(value, PingtiError) and not logger.startswith(_OF_THE_SERVICE):
        return type(value).__name__
    if isinstance(value, BaseException) and not isinstance(value, PingtiError | redis.RedisError | OSError):
        return type(value).__name__
    return value if isinstance(value, str | int | float) else " ".join(str(value).split())


def _of_others(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Of a library's record. Celery's on a task that failed has the error's words among its arguments."""
    if record.name == "celery.app.trace" and isinstance(record.args, dict):
        job, _, unit = str(record.args.get("id", "")).partition("/")
        fields = {"task": record.args.get("name"), "job": job, "unit": unit.partition("/")[0]}
        return "task failed", {name: value for name, value in fields.items() if value}
    return " ".join(record.getMessage().split()), {}


def _of_error(error: BaseException) -> dict[str, Any]:
    """Class and place of an error: its message may quote a text."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "trace": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
