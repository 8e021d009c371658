"""A model of MLflow decides as ``pingti classify``; it holds no pickle."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pingti.inference.classifier import Classifier
from pingti.workspace.registry import Workspace
from tests.support.command_line import Run
from tests.support.decided import assert_equal_decisions, decided_by_classify
from tests.support.paths import ROOT
from tests.support.workspaces import with_rules

TASKS = ["tech", "sport@strict"]
PREDICT = """
import json, sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
texts = json.load(sys.stdin)
frame = pandas.DataFrame({"text": texts}, index=range(5, 5 + len(texts)))
decided = model.predict(frame)
assert decided.index.tolist() == frame.index.tolist()
print(decided.to_json(orient="records"))
"""


def run(*command: object, said: str = "") -> subprocess.CompletedProcess[str]:
    """A process of its own: MLflow warns of its next versions, which here are errors."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    return subprocess.run(
        [sys.executable, *map(str, command)], input=said, env=environment, capture_output=True, text=True
    )


def test_a_loaded_model_decides_as_pingti_classify(
    workspace: Workspace, texts: list[str], tmp_path: Path
) -> None:
    for package in ("mlflow", "pandas"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    with_rules(workspace)
    model = tmp_path / "model"
    options = ("--format", "mlflow", "--out", model, "--home", workspace.root)
    exported = run("-m", "api.cli.main", "export", *TASKS, *options)
    assert exported.returncode == 0, exported.stderr
    assert not [path for path in model.rglob("*") if "pickle" in path.name or path.suffix == ".pkl"]
    assert "pingti" not in (model / "requirements.txt").read_text()
    predicted = run("-c", PREDICT, model, said=json.dumps(texts))
    assert predicted.returncode == 0, predicted.stderr
    names = ("tech", "sport")
    decided = [
        {name: {"label": row[name], "score": row[f"{name}_score"]} for name in names}
        for row in json.loads(predicted.stdout)
    ]
    assert_equal_decisions(decided, decided_by_classify(Classifier.of(workspace, TASKS), texts, tmp_path))


def test_a_missing_package_is_told(
    workspace: Workspace, tmp_path: Path, pingti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "mlflow" else find(name, *more)
    )
    out = tmp_path / "model"
    ran = pingti("export", "sport", "--format", "mlflow", "--out", out, "--home", workspace.root)
    assert (ran.returncode, out.exists()) == (6, False)
    assert "a model of MLflow needs the package mlflow: pip install mlflow" in ran.stderr
