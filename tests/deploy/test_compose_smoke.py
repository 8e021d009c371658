"""The smoke test of the containers: what it would find, without a container engine."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from pingti.workspace.registry import Workspace
from tests.support.paths import ROOT

SCRIPT = ROOT / "deploy" / "compose-smoke"


@pytest.fixture(scope="module")
def smoke() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("compose_smoke", str(SCRIPT))
    spec = importlib.util.spec_from_loader("compose_smoke", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["compose_smoke"] = module  # dataclasses look there
    loader.exec_module(module)
    return module


def decided(ids: list[str], labels: list[str]) -> pa.Table:
    scores = pa.array([0.25] * len(ids), pa.float32())
    return pa.table({"id": ids, "sport": labels, "sport_score": scores, "tech": labels, "tech_score": scores})


def client_of(results: pa.Table) -> Any:
    return SimpleNamespace(results=lambda _: results)


EXPECTED = decided(["a", "b", "c"], ["no", "yes", "no"])


def test_every_row_once_is_well_in_any_order(smoke: ModuleType) -> None:
    again = decided(["c", "a", "b"], ["no", "no", "yes"])
    smoke.check_rows(client_of(again), SimpleNamespace(id="job"), EXPECTED)


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (decided(["a", "b"], ["no", "yes"]), "3 rows in, 2 out, of which 2 differ"),
        (decided(["a", "b", "c", "c"], ["no", "yes", "no", "no"]), "3 rows in, 4 out, of which 3 differ"),
        (decided(["a", "b", "d"], ["no", "yes", "no"]), "3 rows in, 3 out, of which 3 differ"),
        (decided(["a", "b", "c"], ["no", "no", "no"]), "decided otherwise on sport"),
        (
            EXPECTED.set_column(2, "sport_score", pa.array([0.25, 0.5, 0.25], pa.float32())),
            "a score of sport differs",
        ),
    ],
)
def test_a_lost_doubled_foreign_or_changed_row_is_found(
    smoke: ModuleType, results: pa.Table, words: str
) -> None:
    with pytest.raises(smoke.Failed, match=words):
        smoke.check_rows(client_of(results), SimpleNamespace(id="job"), EXPECTED)


def test_its_workspace_has_students_that_decide_here(smoke: ModuleType, tmp_path: Path) -> None:
    workspace, file, expected = smoke.make_workspace(tmp_path, 50)
    assert isinstance(workspace, Workspace)
    assert file.is_file()
    assert expected.num_rows == 50
    assert set(expected["sport"].to_pylist()) == {"no", "yes"}  # else equal decisions would say little


def test_without_docker_it_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "`docker compose` does not answer here\n")
