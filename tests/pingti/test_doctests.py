"""The examples in the docstrings of the public face, run beside a workspace of that name."""

import doctest
import importlib
from importlib.util import find_spec

import pytest

from pingti.workspace.registry import Workspace

# Of each module, what its examples need besides.
MODULES = {
    "pingti.frames.tables": None,
    "pingti.frames.texts": None,
    "pingti.inference.classifier": None,
    "pingti.inference.task_student": None,
    "pingti.notebook.estimator": "sklearn",
    "pingti.workspace.registry": None,
    "pingti.workspace.report_document": None,
    "textcnn.student": None,
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_do_as_they_say(name: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    package = MODULES[name]
    if package is not None and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(workspace.root.parent)
    monkeypatch.delenv("PINGTI_HOME", raising=False)
    results = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert results.attempted > 0
    assert results.failed == 0
