"""``pingti export``: what it writes, what it says, and what it refuses."""

import importlib.util
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from pingti.exporting import bundle
from pingti.workspace.registry import Workspace
from tests.support.command_line import Run
from tests.support.decided import assert_equal_decisions, decided_by_classify
from tests.support.texts import made_texts
from tests.support.workspaces import with_cascade


def with_corpus(workspace: Workspace) -> Workspace:
    """Put the corpus there that the tasks' definitions name."""
    lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(made_texts(300)[0])]
    (workspace.root / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return workspace


def test_a_zip_for_aws_lambda(workspace: Workspace, tmp_path: Path, pingti: Run) -> None:
    out = tmp_path / "function.zip"
    ran = pingti(
        "export", "sport@strict", "topic", "--format", "lambda", "--out", out, "--no-packages",
        "--home", workspace.root, "--json",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["format"], said["out"], said["zipped"]) == ("lambda", str(out), out.stat().st_size)
    assert [(task["task"], task["scene"], task["version"]) for task in said["tasks"]] == [
        ("sport", "strict", 1),
        ("topic", "default", 1),
    ]
    with zipfile.ZipFile(out) as packed:
        assert json.loads(packed.read("model/pingti.json"))["pins"] == said["tasks"]


def test_a_cascade_stays_behind_and_that_is_said(
    workspace: Workspace, texts: list[str], tmp_path: Path, pingti: Run
) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    out = tmp_path / "model"
    ran = pingti("export", "sport", "--format", "sagemaker", "--out", out, "--home", workspace.root)
    assert ran.returncode == 0, ran.stderr
    assert "sport: its cascade does not go along; the student answers alone" in ran.stderr
    assert bundle.load(out).classify(texts[:3]).schema.names == ["id", "sport", "sport_score"]


@pytest.mark.parametrize("name", ["model", "model.tar.gz"])
def test_a_model_of_sagemaker_decides_as_pingti_classify(
    workspace: Workspace, texts: list[str], tmp_path: Path, pingti: Run, name: str
) -> None:
    out = tmp_path / name
    ran = pingti("export", "sport", "--format", "sagemaker", "--out", out, "--home", workspace.root)
    assert ran.returncode == 0, ran.stderr
    assert "what lies at /opt/ml/model" in ran.stdout
    if name.endswith(".gz"):
        again = tmp_path / "again.tgz"
        pingti("export", "sport", "--format", "sagemaker", "--out", again, "--home", workspace.root)
        assert again.read_bytes() == out.read_bytes()
        with tarfile.open(out) as packed:
            packed.extractall(tmp_path / "unpacked", filter="data")
        out = tmp_path / "unpacked"
    assert not list(out.rglob("report*"))  # reports hold texts
    shutil.copytree(out, tmp_path / "moved")
    results = decided_by_classify(bundle.load(tmp_path / "moved"), texts, tmp_path)
    from pingti.inference.classifier import Classifier

    (tmp_path / "wanted").mkdir()
    wanted = decided_by_classify(Classifier.of(workspace, ["sport"]), texts, tmp_path / "wanted")
    assert_equal_decisions(results, wanted)


def test_a_model_of_onnx_is_compared_on_the_corpus(
    workspace: Workspace, tmp_path: Path, pingti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: extra onnx")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: extra onnx")
    arguments = ("--format", "onnx", "--home", workspace.root, "--json")
    without = pingti("export", "topic", "--out", tmp_path / "first.onnx", *arguments)
    assert json.loads(without.stdout)["comparison"] is None
    assert "not compared with the student: the task's corpus is not here" in without.stderr
    with_corpus(workspace)
    ran = pingti("export", "topic", "--out", tmp_path / "second.onnx", *arguments)
    assert ran.returncode == 0, ran.stderr
    comparison = json.loads(ran.stdout)["comparison"]
    assert comparison["texts"] == 300
    assert comparison["difference"] < 1e-4
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    both = pingti("export", "topic", "sport", "--out", tmp_path / "third.onnx", *arguments)
    assert (both.returncode, (tmp_path / "third.onnx").exists()) == (2, False)
    assert "a model of ONNX is of one task" in both.stderr


@pytest.mark.parametrize(
    ("missing", "code", "says"),
    [
        ("onnx", 6, "a model of ONNX needs the package onnx: install Pingti with its extra 'onnx'"),
        ("onnxruntime", 0, "not compared with the student: ONNX Runtime is missing; install Pingti with"),
    ],
)
def test_what_is_not_installed_is_told_in_one_sentence(
    workspace: Workspace, tmp_path: Path, pingti: Run, monkeypatch: pytest.MonkeyPatch,
    missing: str, code: int, says: str,
) -> None:  # fmt: skip
    if missing == "onnxruntime":
        pytest.importorskip("onnx", reason="onnx is not installed: extra onnx")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == missing else find(name, *more)
    )
    with_corpus(workspace)
    out = tmp_path / "a.onnx"
    ran = pingti("export", "topic", "--format", "onnx", "--out", out, "--home", workspace.root)
    assert ran.returncode == code
    assert says in ran.stderr
    assert out.exists() == (code == 0)


def test_a_model_that_scores_otherwise_is_not_written(
    workspace: Workspace, tmp_path: Path, pingti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: extra onnx")
    from pingti.exporting import onnx

    monkeypatch.setattr(onnx, "TOLERANCE", -1.0)
    out = tmp_path / "a.onnx"
    with_corpus(workspace)
    ran = pingti("export", "topic", "--format", "onnx", "--out", out, "--home", workspace.root)
    assert (ran.returncode, out.exists()) == (4, False)
    assert "scores otherwise than the student" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["spotr", "--format", "lambda"], 3, "task 'spotr': not in this workspace"),
        (["sport", "--format", "lambda", "--version", "7"], 3, "task 'sport': no version 7"),
        (["sport", "topic", "--format", "lambda", "--version", "1"], 2, "--version goes with one task"),
        (["sport#1", "--format", "lambda", "--version", "1"], 2, "--version goes with one task"),
        (["sport@soft", "--format", "lambda"], 4, "has no operating point 'soft'"),
        (["sport", "--format", "sagemaker", "--out", "taken"], 4, "taken: it is there already"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    workspace: Workspace, tmp_path: Path, pingti: Run, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], code: int, says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    ran = pingti("export", *arguments, "--home", workspace.root)
    assert ran.returncode == code
    assert says in ran.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"taken", "workspace"}


def test_without_a_name_the_file_is_named_by_the_task(
    workspace: Workspace, tmp_path: Path, pingti: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--format", "lambda", "--no-packages", "--version", 1, "--home", workspace.root)
    assert pingti("export", "sport", *options).returncode == 0
    assert (tmp_path / "sport-lambda.zip").is_file()
