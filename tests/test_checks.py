"""The same checks run everywhere: by make, before a commit, and where the project is hosted."""

import itertools
import re
import tomllib
from typing import Any

import pytest

from tests.support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="transformers brings PyYAML along")

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def recipe(target: str) -> list[str]:
    """The commands of a target, without make's own marks."""
    (body,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip().removeprefix("@").replace("$(BIN)", ".venv/bin") for line in body.splitlines()]


def test_a_commit_is_checked_by_the_commands_of_make_check() -> None:
    (repository,) = HOOKS["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == recipe("check")
    assert all(hook["language"] == "system" for hook in repository["hooks"])
    assert not any(hook["pass_filenames"] for hook in repository["hooks"])


def test_the_hosted_workflow_calls_make_on_every_python_that_is_declared() -> None:
    jobs: dict[str, Any] = yaml.safe_load(WORKFLOW)["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands == {"check": ["make check PYTHON=python"], "test": ["make test PYTHON=python"]}
    pattern = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    declared = [hit[1] for line in PYPROJECT["project"]["classifiers"] if (hit := pattern.fullmatch(line))]
    assert jobs["test"]["strategy"]["matrix"]["python-version"] == declared
    assert PYPROJECT["project"]["requires-python"] == f">={declared[0]}"


@pytest.mark.parametrize(
    "name", [".pre-commit-config.yaml", ".github/workflows/ci.yml", "Makefile", ".ci/run"]
)
def test_no_address_is_named(name: str) -> None:
    assert "://" not in (ROOT / name).read_text(encoding="utf-8").replace("#!/", "")


def test_make_help_tells_every_target_but_help() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    listed = re.findall(r"^# make ([\w-]+)", MAKEFILE, re.MULTILINE)
    assert sorted(listed) == sorted(set(phony.split()) - {"help"})


def test_the_lock_file_names_a_version_of_every_requirement() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = {canonical(line.partition("==")[0]) for line in lock if "==" in line}
    project = PYPROJECT["project"]
    wanted = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    missing = [need for need in wanted if canonical(re.split(r"[\[<>=!~; ]", need)[0]) not in locked]
    assert missing == []


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
