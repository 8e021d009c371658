"""The examples in the docstrings of the public face, run beside a workspace and a service of it."""

import doctest
import importlib
import inspect
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

import pingti
from pingti.workspace.registry import Workspace
from queue_worker.settings import Settings
from tests.support.rest import serving

# Of each module, the package that its examples need besides.
MODULES = {
    "pingti.frames.tables": None,
    "pingti.frames.texts": None,
    "pingti.inference.classifier": None,
    "pingti.inference.task_student": None,
    "pingti.integrations.students": None,
    "pingti.notebook.estimator": "sklearn",
    "pingti.workspace.registry": None,
    "pingti.workspace.report_document": None,
    "pingti.workspace.storage.objects": None,
    "textcnn.student": None,
}
OF_A_SERVICE = ("pingti.aio.client", "pingti.client")
SLOW = {"SimilarityStudent", "replace"}
"""Public names without an example that runs here: it would fine-tune, or train for minutes."""


@pytest.fixture
def beside(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in the folder where the examples run."""
    monkeypatch.chdir(workspace.root.parent)
    for name in ("PINGTI_HOME", "PINGTI_URL", "PINGTI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return workspace


@pytest.fixture
def served(beside: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with serving(Settings(home=beside.root)) as client:
        monkeypatch.setenv("PINGTI_URL", str(client.base_url))
        yield


def run_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("name", MODULES)
def test_examples_do_as_they_say(name: str) -> None:
    package = MODULES[name]
    if package is not None and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    run_examples(name)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("name", OF_A_SERVICE)
def test_examples_of_clients_do_as_they_say(name: str) -> None:
    run_examples(name)


@pytest.mark.parametrize("name", sorted(set(pingti.__all__) - SLOW))
def test_every_public_name_has_an_example_that_is_run(name: str) -> None:
    if name == "PingtiClassifier" and find_spec("sklearn") is None:
        pytest.skip("sklearn is not installed")
    value = getattr(pingti, name)
    assert value.__module__ in {*MODULES, *OF_A_SERVICE}
    documented = [value, *(vars(value).values() if isinstance(value, type) else ())]
    assert any(">>> " in (inspect.getdoc(part) or "") for part in documented)
