"""Ask teachers for a job's worker: ``python -m replacement.second.process``.

A process of its own, since it needs torch. It reads JSON lines ``{"pin": {...}, "texts": [...]}`` and
answers each with ``{"labels": [...]}``, null where the teacher gave no answer; or with ``{"error"}``, which
says why no teacher can be had.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        prog="python -m replacement.second.process", description="Teachers, for a job's unsure rows."
    )
    parser.add_argument("--home", type=Path, required=True)
    options = parser.parse_args(arguments)
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a model's own code prints is no answer
    second = TeacherSecond(Workspace(options.home))
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(_answer(second, Pin(**asked["pin"]), asked["texts"])) + "\n")
        answers.flush()
    return 0


def _answer(second: TeacherSecond, pin: Pin, texts: list[str]) -> dict[str, Any]:
    try:
        return {"labels": second(pin, texts)}
    except PingtiError as error:
        return {"error": str(error)}
    except ModuleNotFoundError as error:
        return {"error": f"{error.name} is missing: {install_hint('teacher')}"}


if __name__ == "__main__":
    sys.exit(main())
