"""The image of one's own: it stands on one of ours, and a workspace's tasks alone are enough to classify."""

import re
import shutil
import tomllib
from pathlib import Path

from pingti.workspace.registry import Workspace
from tests.support.command_line import Run
from tests.support.paths import ROOT

LINES = (ROOT / "examples" / "Dockerfile").read_text(encoding="utf-8").splitlines()
STEPS = dict(line.split(maxsplit=1) for line in LINES if line and not line.startswith("#"))


def test_it_stands_on_an_image_of_ours_and_starts_the_command_line() -> None:
    assert f"image: {STEPS['FROM']}\n" in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    ours = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "AS classify\n" in ours
    (home,) = re.findall(r"PINGTI_HOME=(\S+)", ours)
    assert STEPS["COPY"] == f"--chown=pingti:pingti tasks {home}/tasks"
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert STEPS["ENTRYPOINT"] == f'["{next(iter(scripts))}"]'


def test_tasks_alone_are_enough_to_classify(pingti: Run, workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(workspace.tasks, tmp_path / "image" / "tasks")
    (tmp_path / "today.csv").write_text("number,post\n7,the goal match team coach\n")
    out = tmp_path / "data" / "results"
    command = next(line for line in LINES if "classify /data" in line).lstrip("# ")
    here = {"/data/today.csv": str(tmp_path / "today.csv"), "/data/results": str(out), "sports": "sport"}
    arguments = [here.get(argument, argument) for argument in command.split()]
    ran = pingti(*arguments, "--home", str(tmp_path / "image"))
    assert ran.returncode == 0, ran.stderr
    assert (out / "results.parquet").is_file()
