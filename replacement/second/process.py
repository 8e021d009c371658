"""Ask teachers for a worker: ``python -m replacement.second.process``.

A process of its own, since it needs torch; it outlives the shard that had it started. It reads JSON lines
``{"pin": {...}, "texts": [...], "shard": 3}`` and answers each with ``{"labels": [...]}``, null where the
teacher gave no answer; or with ``{"error"}``, which says why no teacher can be had. ``shard`` changes with
each shard (see ``TeacherSecond.begin``). It ends where its input does: when the worker has closed it, or was
killed.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from pingti.errors import PingtiError
from pingti.extras import install_hint
from pingti.inference.pins import Pin
from pingti.workspace.registry import Workspace
from replacement.second.teacher import TeacherSecond


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the lines of standard input, until it ends.

    Args:
        arguments: of the command line; those of the process where absent.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m replacement.second.process", description="Teachers, for rows of jobs."
    )
    parser.add_argument("--home", type=Path, required=True)
    options = parser.parse_args(arguments)
    second, shard = TeacherSecond(Workspace(options.home)), None
    with suppress(BrokenPipeError), _answers() as answers:  # nobody listens any more
        for line in sys.stdin:
            asked = json.loads(line)
            if asked.get("shard") != shard:
                shard = asked.get("shard")
                second.begin()
            answers.write(json.dumps(_answer(second, Pin(**asked["pin"]), asked["texts"])) + "\n")
            answers.flush()
    return 0


def _answers() -> TextIO:
    """Standard output, for answers alone: what a model's own code prints, in whatever language, is none."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr
    os.dup2(2, 1)
    return answers


def _answer(second: TeacherSecond, pin: Pin, texts: list[str]) -> dict[str, Any]:
    try:
        return {"labels": second(pin, texts)}
    except PingtiError as error:
        return {"error": str(error)}
    except ModuleNotFoundError as error:
        return {"error": f"{error.name} is missing: {install_hint('teacher')}"}


if __name__ == "__main__":
    sys.exit(main())
