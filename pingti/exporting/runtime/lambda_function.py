"""The top of a function's zip; AWS Lambda calls ``lambda_function.lambda_handler``.

The students are loaded when the module is, before the first event.
"""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

_MODEL = Path(__file__).parent / "model"
# A function of 1 GB has less than one core, and address space is counted: no pools of threads or memory.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

_made_for = json.loads((_MODEL / "pingti.json").read_text(encoding="utf-8")).get("runtime")
_here = {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "machine": platform.machine()}
if _made_for not in (None, _here):
    raise RuntimeError(
        f"this zip was made for Python {_made_for['python']} on {_made_for['machine']}, and the function "
        f"runs Python {_here['python']} on {_here['machine']}; choose that runtime, or export with this one"
    )

from pingti.exporting.runtime.decisions import Decisions  # noqa: E402 - NumPy reads the environment first
from pingti.exporting.runtime.handler import handle  # noqa: E402

_decisions = Decisions.load(_MODEL)


def lambda_handler(event: Any, context: object) -> dict[str, Any]:
    """Answer an event; see ``pingti.exporting.runtime.events``."""
    return handle(event, _decisions)
