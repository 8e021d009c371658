"""A transformer student elsewhere: its own model, an endpoint's folder, a store; none in a function."""

import json
from pathlib import Path

import pytest

from pingti.errors import ArtifactError, ConflictError
from pingti.exporting import aws_lambda, bundle
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace
from pingti.workspace.storage import Storage, students
from tests.support.command_line import Run
from tests.support.transformers import needs_runtime, random_student, with_transformer


@pytest.fixture
def with_both(workspace: Workspace, tmp_path: Path) -> Workspace:
    """topic has a transformer, sport a TextCNN."""
    needs_runtime()
    return with_transformer(workspace, random_student(tmp_path / "random"))


def test_all_files_go_into_a_folder_and_into_a_store(
    with_both: Workspace, texts: list[str], tmp_path: Path
) -> None:
    pins = pin(with_both, [Choice(task="topic"), Choice(task="sport")])
    wanted = Classifier.load(with_both, pins).classify(texts).to_pylist()
    bundle.write(with_both, pins, tmp_path / "bundle")
    assert bundle.load(tmp_path / "bundle").classify(texts).to_pylist() == wanted
    store, elsewhere = Storage(f"memory://{tmp_path.name}/pingti"), Workspace(tmp_path / "elsewhere")
    students.publish(with_both, pins, store)
    students.fetch(elsewhere, pins, store)
    assert Classifier.load(elsewhere, pins).classify(texts).to_pylist() == wanted
    (elsewhere.task("topic").student_folder(2) / "model.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="is not the student that the store has"):
        students.fetch(elsewhere, pins, store)


def test_its_model_of_onnx_is_its_own_file(with_both: Workspace, tmp_path: Path, pingti: Run) -> None:
    out = tmp_path / "topic.onnx"
    ran = pingti("export", "topic", "--format", "onnx", "--out", out, "--home", with_both.root, "--json")
    assert ran.returncode == 0, ran.stderr
    folder = with_both.task("topic").student_folder(2)
    assert out.read_bytes() == (folder / "model.onnx").read_bytes()
    told = json.loads(ran.stdout)
    assert told["tokenizer"] == str(tmp_path / "topic.tokenizer.json")
    assert Path(told["tokenizer"]).read_bytes() == (folder / "tokenizer.json").read_bytes()
    out.unlink()
    Path(told["tokenizer"]).write_text("another's")
    again = pingti("export", "topic", "--format", "onnx", "--out", out, "--home", with_both.root)
    assert again.returncode == 4
    assert "topic.tokenizer.json: it is there already" in " ".join(again.stderr.split())
    assert (out.exists(), Path(told["tokenizer"]).read_text()) == (False, "another's")


def test_a_function_refuses_it_in_one_sentence(with_both: Workspace, tmp_path: Path) -> None:
    pins = pin(with_both, [Choice(task="topic"), Choice(task="sport")])
    with pytest.raises(ConflictError, match="task 'topic', version 2: a student of kind 'transformer'"):
        aws_lambda.write(with_both, pins, tmp_path / "function.zip", packages=False)
    assert not (tmp_path / "function.zip").exists()
