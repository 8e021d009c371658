"""All looks of ``pingti doctor``, one after the other."""

from collections.abc import Callable, Iterator
from pathlib import Path

from api.cli.doctor import installation, service, store, workspace
from api.cli.doctor.findings import Finding, State


def examine(home: Path) -> Iterator[Finding]:
    """Look at everything.

    Args:
        home: the workspace.

    Yields:
        The findings, as they come.
    """
    looks: list[tuple[str, Callable[[Path], Iterator[Finding]]]] = [
        ("python", installation.look_at_python),
        ("packages", installation.look_at_packages),
        ("processor", installation.look_at_processor),
        ("memory", installation.look_at_memory),
        ("kernels", installation.look_at_kernels),
        ("workspace", workspace.look_at_workspace),
        ("tasks", workspace.look_at_tasks),
        ("settings", service.look_at_settings),
        ("valkey", service.look_at_valkey),
        ("store", store.look_at_store),
        ("service", service.look_at_service),
    ]
    for name, look in looks:
        try:
            yield from look(home)
        except Exception as error:  # a doctor must come to the end of the visit
            says = " ".join(str(error).split()) or type(error).__name__
            yield Finding(
                name=name, state=State.FAIL, says=says, next_step="report it: this was not foreseen"
            )
