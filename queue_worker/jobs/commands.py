"""The commands of ``store.lua`` on one server, and the messages that are due by them."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import redis

from queue_worker.jobs.models import RUN_MOVES, JobStatus, Message, allowed_moves
from queue_worker.keys import PREFIX

_log = logging.getLogger(__name__)
Publish = Callable[[Sequence[Message]], None]


class Commands:
    """The commands of ``store.lua`` on one server. Safe for threads; every one may raise redis errors."""

    def __init__(self, client: redis.Redis, publish: Publish | None = None) -> None:
        """Nothing is asked yet.

        Args:
            client: decodes responses.
            publish: gets the messages that are due by a command. Without it, or where it raises an error,
                the reaper publishes them some seconds later.
        """
        self.client = client
        self._publish = publish
        self._script = client.register_script(_source())

    def run(self, command: str, *arguments: str | int | float) -> Any:
        """The result of a command, whose messages are published."""
        result, messages = self.run_quietly(command, *arguments)
        self.publish(messages)
        return result

    def run_all(self, commands: Sequence[tuple[str | int | float, ...]]) -> list[Any]:
        """The results of several commands that are sent together; the messages of all are published."""
        pipe = self.client.pipeline(transaction=False)
        for command in commands:
            self._script(args=command, client=pipe)
        answers = [read_answer(answer) for answer in pipe.execute()]
        self.publish([message for _, messages in answers for message in messages])
        return [result for result, _ in answers]

    def run_quietly(self, command: str, *arguments: str | int | float) -> tuple[Any, tuple[Message, ...]]:
        """The result of a command, and the messages that are due by it."""
        return read_answer(self._script(args=(command, *arguments)))

    @property
    def sha(self) -> str:
        """By which the server knows the script, once it is loaded."""
        return str(self._script.sha)

    def load(self) -> None:
        """Have the server know the script."""
        self.client.script_load(self._script.script)

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages; where the broker does not take them, the reaper does it later."""
        if not messages or self._publish is None:
            return
        try:
            self._publish(messages)
        except Exception as error:
            _log.warning("not published count=%d reason=%s", len(messages), " ".join(str(error).split()))


def read_answer(answer: Any) -> tuple[Any, tuple[Message, ...]]:
    """A command's result and messages, as ``store.lua`` gives them."""
    result, rows = answer
    return result, tuple(
        Message(id=id, unit=unit, level=level, attempt=attempt, published=published, taught=bool(taught))
        for id, unit, level, attempt, published, taught in rows
    )


def _source() -> str:
    """The script, with the table of allowed moves before it."""
    of_jobs: Mapping[str, frozenset[str]] = {status: allowed_moves(status) for status in JobStatus}
    moves = {
        kind: {str(start): {str(end): True for end in sorted(ends)} for start, ends in table.items() if ends}
        for kind, table in (("job", of_jobs), ("run", RUN_MOVES))
    }
    body = files("queue_worker.jobs").joinpath("store.lua").read_text(encoding="utf-8")
    return f"local P, MOVES = '{PREFIX}', cjson.decode('{json.dumps(moves)}')\n{body}"
