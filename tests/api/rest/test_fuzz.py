"""The whole OpenAPI document against a real server, broker and worker, by schemathesis with all checks on.

A few hundred cases here; ``make fuzz`` runs ten thousand (FUZZ_EXAMPLES: most of an operation's).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.keys import Role, add_key
from pingti.workspace.registry import Workspace
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import require_broker
from tests.support.paths import ROOT
from tests.support.rest import serving

pytestmark = pytest.mark.broker
SUPPORT = ROOT / "tests" / "support"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES")


@pytest.mark.timeout(7200 if EXAMPLES else 600)
@pytest.mark.parametrize("locked", [False, True], ids=["without a key", "with a key"])
def test_the_server_does_what_its_document_says(
    workspace: Workspace, tmp_path: Path, locked: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    require_broker()
    key = add_key(workspace.root, "fuzz", Role.ADMIN) if locked else None
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root, concurrency=2))
        processes.start_worker(settings)
        with serving(settings, upload_bytes=1 << 20) as client:
            command = [
                sys.executable,
                "-c",
                "from schemathesis.cli import schemathesis; schemathesis()",
                f"--config-file={SUPPORT / 'schemathesis.toml'}",
                "run",
                f"{client.base_url}/openapi.json".replace("//openapi", "/openapi"),
                "--checks=all",
                "--no-color",
                "--request-timeout=60",
                f"--max-examples={EXAMPLES or 2}",
                f"--phases={'examples,coverage,fuzzing,stateful' if EXAMPLES else 'examples,fuzzing'}",
                *([f"--header=Authorization:Bearer {key}"] if key else []),
            ]
            environment = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": str(SUPPORT)}
            if not EXAMPLES:
                command.append("--seed=1")
            run = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
    if EXAMPLES:
        with capfd.disabled():
            print(run.stdout[run.stdout.find("== SUMMARY ==") :])  # noqa: T201
    assert run.returncode == 0, run.stdout + run.stderr
    assert "generated" in run.stdout
