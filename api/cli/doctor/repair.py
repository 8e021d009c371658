"""``pingti doctor --repair``: what a power loss left of the embedded server's file is made whole."""

from collections.abc import Iterator
from pathlib import Path

from api.cli.doctor.findings import Finding, State
from pingti.errors import PingtiError


def repair(home: Path) -> Iterator[Finding]:
    """Mend what can be mended, after a copy.

    Args:
        home: the workspace.

    Yields:
        What was done, or why it was not.
    """
    from queue_worker.processes import append_only

    done = False
    try:
        for says in append_only.repair(home.absolute() / "valkey"):
            done = True
            yield Finding(name="repair", state=State.OK, says=says)
    except (PingtiError, OSError) as error:
        yield Finding(
            name="repair", state=State.FAIL, says=str(error), next_step="mend that, then repair again"
        )
    else:
        if not done:
            yield Finding(name="repair", state=State.OK, says="nothing to mend")
