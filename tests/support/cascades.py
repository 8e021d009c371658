"""Shards that ask teachers, without a worker around them."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from pingti.inference.classifier import Second
from pingti.inference.pins import Pin
from queue_worker.classifying.teachers import TeacherProcess

ASKING = Pin(task="sport", scene="default", version=1, threshold=0.5, second="teacher", on_no_second="fail")
"""Of a version whose student asks its teacher; a job fails where none can be had."""


def asking(
    process: TeacherProcess, *pins: Pin, check: Callable[[], None] = lambda: None
) -> AbstractContextManager[Second]:
    """Let a shard ask the teachers of its pins; of ``ASKING`` where none are named."""
    return process.asked_for(pins or (ASKING,), check)
