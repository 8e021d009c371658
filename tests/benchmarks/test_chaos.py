"""The chaos script: its checks can fail, and two short schedules on real processes pass."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.chaos.jobs import Expected, Wrong, check
from benchmarks.chaos.schedules import Result
from tests.support.brokers import require_broker
from tests.support.paths import ROOT


def ended(home: Path, ids: list[list[str]], errors: list[str], **changes: Any) -> dict[str, Any]:
    """Write what a job left; what the door says of it."""
    folder = home / "jobs" / "j"
    folder.mkdir(parents=True)
    parts = []
    for number, some in enumerate(ids):
        parts.append({"name": f"{number:05}.parquet"})
        pq.write_table(pa.table({"id": some}), folder / f"{number:05}.parquet")
    rows = sum(map(len, ids))
    counts = {"total": rows + len(errors), "completed": rows, "failed": len(errors)}
    (folder / "errors.jsonl").write_text("".join(json.dumps({"id": each}) + "\n" for each in errors))
    manifest = {"parts": parts, "counts": counts, "errors": "errors.jsonl"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return {"status": "completed", "counts": counts, "error": None, **changes}


@pytest.mark.parametrize(
    ("ids", "errors", "changes", "wrong"),
    [
        ([["a", "b"], ["c"]], ["x"], {}, None),
        ([["a", "b"], ["b", "c"]], ["x"], {}, "1 rows are there twice"),
        ([["a", "b"]], ["x"], {}, "2 rows of 3"),
        ([["a", "c"], ["b"]], ["x"], {}, "in another order"),
        ([["a", "b"], ["c"]], [], {}, "errors.jsonl names"),
        ([["a", "b"], ["c"]], ["y"], {}, "errors.jsonl names"),
        ([["a", "b"], ["c"]], ["x"], {"status": "failed", "error": "why"}, "ended as failed"),
        ([["a", "b"], ["c"]], ["x"], {"counts": {"total": 5, "completed": 3, "failed": 1}}, "counts"),
    ],
)
def test_what_must_hold_is_checked(
    tmp_path: Path, ids: list[list[str]], errors: list[str], changes: dict[str, Any], wrong: str | None
) -> None:
    job = Expected(path=Path("rows.parquet"), good=["a", "b", "c"], bad=["x"], id="j")
    shown = ended(tmp_path, ids, errors, **changes)
    if wrong is None:
        check(tmp_path, job, shown)
        (tmp_path / "jobs" / "j" / "00007.parquet").touch()
        wrong = "are not those of the manifest"
    with pytest.raises(Wrong, match=wrong):
        check(tmp_path, job, shown)


def test_who_decided_is_checked(tmp_path: Path) -> None:
    said = [("yes", "teacher"), ("no", "student")]
    shown = ended(tmp_path, [["a", "b"]], [])
    table = {"id": ["a", "b"], "asked": ["yes", "no"], "asked_by": ["teacher", "student"]}
    pq.write_table(pa.table(table), tmp_path / "jobs" / "j" / "00000.parquet")
    job = Expected(path=Path("rows.parquet"), good=["a", "b"], id="j", task="asked", decided=said)
    check(tmp_path, job, shown)
    job.decided = [said[0], ("no", "teacher")]
    with pytest.raises(Wrong, match="1 rows are decided otherwise, or by another"):
        check(tmp_path, job, shown)


def test_a_line_tells_the_seed_the_faults_and_what_is_wrong() -> None:
    values: dict[str, Any] = {"seed": 7, "jobs": 3, "seconds": 20.4, "recovery": 2.04}
    passed = Result(**values, faults=["kill worker", "kill worker", "poison"], wrong=None)
    assert passed.line() == "schedule 7: passed 3 jobs, recovered in 2.0 s, 20 s (2 x kill worker, poison)"
    failed = Result(**{**values, "recovery": None}, faults=["poison"], wrong="a row is gone")
    assert failed.line() == "schedule 7: FAILED: a row is gone; 3 jobs, 20 s (poison)"


@pytest.mark.broker
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_short_schedules() -> None:
    require_broker()
    # A busy machine may take its time here; make chaos is for that question.
    choices = {"--schedules": "2", "--seed": "3", "--seconds": "4", "--recovery": "200"}
    command = [sys.executable, "-m", "benchmarks.chaos", *(word for pair in choices.items() for word in pair)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "2 passed, 0 failed"
