"""The whole OpenAPI document against a real server, broker and worker, by schemathesis with all checks on.

A few hundred cases here; ``make fuzz`` runs ten thousand (FUZZ_EXAMPLES: most of an operation's).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.keys import Role, add_key
from pingti.workspace.registry import Workspace
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import require_broker
from tests.support.paths import ROOT
from tests.support.rest import problem, serving

SUPPORT = ROOT / "tests" / "support"
EXAMPLES = os.environ.get("FUZZ_EXAMPLES")


@pytest.mark.broker
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


# Bodies that schemathesis does not think of: as deep, long and many as the limit of a body allows.

_SIZES = st.sampled_from([1, 2, 31, 33, 200, 1000, 5001, 20_000, 120_000])
_KEYS = st.sampled_from(
    ["classes", "corpus", "rules", "teacher", "gate", "scenes", "texts", "tasks", "labels"]
)
_SECTIONS = st.sampled_from(
    ["", "[corpus]", "[rules]", "[teacher]", "[teacher.map]", "[student]", "[gate]", "[scenes.a]", "[watch]"]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**301),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "\0", "a" * 10_000, "(" * 2000, "a{1000}{1000}", "../" * 500]),
)
_HEAD = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["../corpus.jsonl"]\n[teacher]\nmodel = "../bert"\n'


@st.composite
def _bodies(draw: st.DrawFn) -> str:
    """A body, in JSON or in TOML, at most some way from one that is right."""
    size, key, leaf = draw(_SIZES), draw(_KEYS), json.dumps(draw(_LEAVES))
    section, head = draw(_SECTIONS), draw(st.sampled_from(["", _HEAD]))
    shapes = [
        "[" * size + "]" * size,
        "[" * size,
        f'{{"{key}":' * size + "1" + "}" * size,
        f'{{"{key}": [' + ",".join([leaf] * (size // 10 + 1)) + "]}",
        f'{{"{key}": {"[" * min(size, 900)}{leaf}{"]" * min(size, 900)}}}',
        f'{{"{key}": {"1" * size}}}',
        f"{head}{section}\nx = " + "[" * size + "]" * size,
        f"{head}{section}\nx = " + "{a = " * size + "1" + "}" * size,
        f"{head}{section}\nx = " + "1" * size,
        f"{head}{section}\n{key}" + ".a" * size + " = 1",
        f"{head}[{key}" + ".a" * size + "]",
        f"{head}{section}\n" + "".join(f'a{number} = "yes"\n' for number in range(size // 10)),
        f"{head}[rules]\ndrop = [" + f"{leaf}," * (size // 10) + "]",
        f"{head}{section}\n{key} = {leaf}",
        f'{head}{section}\n{key} = """' + "a" * size,
        f"{head}{section}\n{key} = '" + "\\" * size + "'",
        f"{head}# " + "[" * size,
    ]
    return draw(st.sampled_from(shapes))


@pytest.fixture(scope="module")
def door(home: Path) -> Iterator[httpx.Client]:
    with serving(Settings(home=home)) as client:
        yield client


@settings(
    max_examples=30 * int(EXAMPLES) if EXAMPLES else 60,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=list(HealthCheck),
)
@given(body=_bodies(), dry=st.booleans(), toml=st.booleans())
@pytest.mark.timeout(7200 if EXAMPLES else 600)
def test_no_body_fails_inside_the_server_or_holds_it_long(
    door: httpx.Client, body: str, dry: bool, toml: bool
) -> None:
    content = body.encode("utf-8", "surrogatepass")
    media_type = "application/toml" if toml else "application/json"
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", "/v1/tasks/fuzzed/definition", {"validate_only": dry}),
        ("POST", "/v1/classify", {}),
        ("POST", "/v1/tasks/sport/labels", {}),
        ("POST", "/v1/jobs", {"validate_only": True}),
    ]
    for method, path, query in requests:
        answer = door.request(
            method, path, params=query, content=content, headers={"Content-Type": media_type}
        )
        assert answer.status_code < 500, f"{method} {path}: {answer.text[:500]} for {body[:200]!r}"
        assert answer.elapsed.total_seconds() < 20, f"{method} {path} for {body[:200]!r}"
        if answer.status_code >= 400:
            assert problem(answer)["detail"]
