"""Every example writes what ``pingti classify`` decides. One whose engine is missing is skipped."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pingti.integrations import Students
from pingti.workspace.registry import Workspace
from tests.support.decided import assert_equal_decisions, decided_by_classify
from tests.support.paths import ROOT
from tests.support.workspaces import with_rules

TASKS = ["tech", "topic"]
EXAMPLES = {
    "plain": None,
    "in_pandas": "pandas",
    "in_polars": "polars",
    "in_duckdb": "duckdb",
    "in_ray": "ray",
    "in_spark": "pyspark",
}


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYSPARK_PYTHON": sys.executable}
    command = [sys.executable, str(ROOT / "examples" / "engines" / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_all_examples_are_run() -> None:
    scripts = {path.stem for path in (ROOT / "examples" / "engines").glob("*.py")}
    assert scripts == {*EXAMPLES, "arguments"}
    readme = (ROOT / "examples" / "engines" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.py`" in readme for name in EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_decides_as_pingti_classify(
    name: str, workspace: Workspace, texts: list[str], tmp_path: Path
) -> None:
    engine = EXAMPLES[name]
    if engine is not None and importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed: extra engines")
    if engine == "pyspark" and shutil.which("java") is None:
        pytest.skip("Spark needs a Java, and there is none")
    students = Students.of(with_rules(workspace).root, TASKS)
    wanted = decided_by_classify(students.classifier, texts, tmp_path)
    halves = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    table = pq.read_table(tmp_path / "texts.parquet").rename_columns(["key", "title"])
    pq.write_table(table.slice(0, 150), halves[0])
    pq.write_table(table.slice(150), halves[1])
    out = tmp_path / "results"
    tasks = [part for task in TASKS for part in ("--task", task)]
    ran = run(name, *halves, "--text", "title", "--out", out, "--home", workspace.root, *tasks)
    assert ran.returncode == 0, ran.stderr
    assert f"{len(texts)} rows in" in ran.stdout
    rows = sorted(pq.read_table(out).to_pylist(), key=lambda row: int(row["key"]))
    assert [row["title"] for row in rows] == texts
    decided = [{task: {"label": row[task], "score": row[f"{task}_score"]} for task in TASKS} for row in rows]
    assert_equal_decisions(decided, wanted)
    assert {decision["tech"]["label"] for decision in wanted} == {"yes", "no", None}
