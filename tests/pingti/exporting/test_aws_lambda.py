"""A function's zip, unpacked where nothing else is, decides as ``pingti classify``."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pingti.errors import ArtifactError, ConflictError
from pingti.exporting import aws_lambda
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, Pin, pin
from pingti.workspace.registry import Workspace
from tests.support.decided import assert_equal_decisions, decided_by_classify
from tests.support.workspaces import with_rules

TASKS = ["sport@strict", "tech", "topic"]
FUNCTION = """
import json, os, resource, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
sys.path.insert(0, sys.argv[1])
from lambda_function import lambda_handler
answers = [lambda_handler(event, None) for event in json.load(sys.stdin)]
print(json.dumps({"answers": answers, "modules": sorted(sys.modules)}))
"""
"""A fresh process with one core and 1 GB, and of Python's path the standard library and the zip alone."""


def pins_of(workspace: Workspace, *tasks: str) -> tuple[Pin, ...]:
    return pin(workspace, [Choice.parse(task) for task in tasks])


def unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


def run(folder: Path, events: list[Any]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", "-c", FUNCTION, str(folder)]
    return subprocess.run(command, input=json.dumps(events), capture_output=True, text=True, cwd=folder)


@pytest.mark.skipif(sys.platform != "linux", reason="a function's packages are those of Linux")
@pytest.mark.parametrize("ruled", [False, True])
def test_a_fresh_process_with_the_zip_alone_decides_as_pingti_classify(
    workspace: Workspace, texts: list[str], tmp_path: Path, ruled: bool
) -> None:
    if ruled:
        with_rules(workspace)
    sizes = aws_lambda.write(workspace, pins_of(workspace, *TASKS), tmp_path / "function.zip")
    folder = unpacked(tmp_path / "function.zip", tmp_path / "function")
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sizes.unpacked == sum(file.stat().st_size for file in files) < aws_lambda.MOST_BYTES
    assert sizes.zipped == (tmp_path / "function.zip").stat().st_size
    packages = {path.name for path in folder.iterdir() if path.suffix not in (".dist-info", ".libs", ".py")}
    assert packages == {"__pycache__", "model", "numpy", "pingti", "textcnn"} | (
        {"pyarrow"} if ruled else set()
    )

    some = [*texts[:120], "a robot browser", "", "Caf\u00e9 cafe\u0301"]
    body = json.dumps({"texts": some})
    events: list[Any] = [
        {"texts": some},
        {"version": "2.0", "requestContext": {"http": {"method": "POST"}}, "body": body},
        {"httpMethod": "POST", "body": body, "isBase64Encoded": False},
        {"httpMethod": "POST", "body": "{", "isBase64Encoded": False},
    ]
    ended = run(folder, events)
    assert ended.returncode == 0, ended.stderr
    answered = json.loads(ended.stdout)
    plain, gateway, older, bad = answered["answers"]
    wanted = decided_by_classify(Classifier.of(workspace, TASKS), some, tmp_path)
    if ruled:
        assert {decision["tech"]["label"] for decision in wanted} == {"yes", "no", None}
    assert_equal_decisions(plain["results"], wanted)
    assert [task["task"] for task in plain["tasks"]] == [own.task for own in pins_of(workspace, *TASKS)]
    for response in (gateway, older):
        assert response["statusCode"] == 200
        assert json.loads(response["body"]) == plain
    assert bad["statusCode"] == 400
    imported = {name.partition(".")[0] for name in answered["modules"]}
    assert imported.isdisjoint({"numba", "llvmlite", "pydantic", "fsspec", "torch"})
    assert ("pyarrow" in imported) == ruled


def test_byte_code_goes_along_and_is_taken_whatever_the_files_times(
    workspace: Workspace, tmp_path: Path
) -> None:
    aws_lambda.write(workspace, pins_of(workspace, "sport"), tmp_path / "function.zip", packages=False)
    with zipfile.ZipFile(tmp_path / "function.zip") as packed:
        names = set(packed.namelist())
        tag = sys.implementation.cache_tag
        compiled = f"textcnn/plain/__pycache__/student.{tag}.pyc"
        assert {"lambda_function.py", f"__pycache__/lambda_function.{tag}.pyc", compiled} <= names
        assert packed.read(compiled)[4:8] == b"\x01\x00\x00\x00"  # PEP 552: by hash, unchecked
        assert not any(name.startswith("numpy") for name in names)
        assert all(entry.external_attr >> 16 == 0o644 for entry in packed.infolist())


def test_the_same_students_make_the_same_zip(workspace: Workspace, tmp_path: Path) -> None:
    pins = pins_of(workspace, "sport", "sport@strict")
    for name in ("one.zip", "two.zip"):
        aws_lambda.write(workspace, pins, tmp_path / name, packages=False)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_another_python_than_the_zips_is_refused_in_one_sentence(
    workspace: Workspace, tmp_path: Path
) -> None:
    aws_lambda.write(workspace, pins_of(workspace, "sport"), tmp_path / "function.zip", packages=False)
    folder = unpacked(tmp_path / "function.zip", tmp_path / "function")
    manifest = folder / "model" / "pingti.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    assert document["runtime"] is None  # a layer's packages are the layer's matter
    document["runtime"] = {"python": "3.99", "machine": "z80"}
    manifest.write_text(json.dumps(document), encoding="utf-8")
    ended = run(folder, [])
    assert ended.returncode == 1
    assert "this zip was made for Python 3.99 on z80, and the function runs Python 3." in ended.stderr


def test_more_than_lambda_takes_is_refused() -> None:
    aws_lambda.check_size(aws_lambda.MOST_BYTES, packages=True)
    with pytest.raises(ConflictError, match=r"would have 300 MB unpacked; AWS Lambda takes 250 MB"):
        aws_lambda.check_size(300 * 2**20, packages=True)


def test_a_damaged_student_is_not_exported(workspace: Workspace, tmp_path: Path) -> None:
    tensors = workspace.task("sport").student_folder(1) / "student.safetensors"
    pins = pins_of(workspace, "sport")
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="its checksum does not fit"):
        aws_lambda.write(workspace, pins, tmp_path / "function.zip", packages=False)
    assert not (tmp_path / "function.zip").exists()


def test_packages_of_another_system_are_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConflictError, match="runs on Linux, and the packages here are for darwin"):
        aws_lambda.write(workspace, pins_of(workspace, "sport"), tmp_path / "function.zip")
