"""``pingti search``: what it shows, and what it writes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pingti.workspace.registry import Workspace
from replacement.search import run
from replacement.search.pareto import Point
from replacement.search.run import Searched
from replacement.search.space import Shape
from tests.support.command_line import Run

DEFINITION = """\
# about posts
classes = ["no", "yes"]

[corpus]
files = ["posts.csv"]

[teacher]
model = "bert"

[student]
epochs = 5  # enough
filters = 64

[gate]
rounds = 3
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a task whose search has three shapes to show."""
    entry = Workspace(tmp_path / "home").add_task("posts", DEFINITION)
    shape = Shape.of(entry.definition.student)
    half = dataclasses.replace(shape, filters=32, widths=(1, 2))
    wider = dataclasses.replace(shape, filters=256)

    def point(own: Shape, f1: float, cost: float, error: float) -> Point:
        return Point(
            shape=own,
            f1=f1,
            error=error,
            operations=8000 * cost,
            cost=cost,
            bytes=round(9e6 * cost),
            texts_per_second=1e5 / cost,
            on_front=True,
        )

    def searched(entry: Any, *, seed: int, compute: float, progress: Any) -> Searched:
        return Searched(
            task=entry.name,
            version=3,
            rows=1200,
            validation_rows=400,
            points=(
                point(shape, 0.80, 1.0, 0.0),
                point(half, 0.795, 0.45, 0.01),
                point(wider, 0.82, 4.0, 0.008),
            ),
            trained=(12, 5, 3),
            compute=compute - 0.5,
            by_the_clock=8.0,
            picture="picture.svg",
        )

    monkeypatch.setattr(run, "search", searched)
    return tmp_path / "home"


def test_the_table_the_picture_and_both_choices(home: Path, pingti: Run) -> None:
    shown = pingti("search", "posts", "--home", home)
    assert shown.returncode == 0, shown.stderr
    assert "1,200 rows of version 3, measured on its 400 validation rows" in shown.stdout
    assert "12, 5, 3 shapes trained on the rungs, for the compute of 8.5 full trainings" in shown.stdout
    assert "■" in shown.stdout
    assert "picture.svg" in shown.stdout
    assert "cheap: 32 filters of 1,2," in shown.stdout
    assert "good: 256 filters of 1,2,3," in shown.stdout
    assert "[student]" not in shown.stdout
    assert Workspace(home).task("posts").path.read_text() == DEFINITION


def test_a_choice_is_shown_to_be_pasted(home: Path, pingti: Run) -> None:
    shown = pingti("search", "posts", "--cheap", "--home", home)
    assert shown.stdout.rstrip().endswith("[student]\nfilters = 32\nwidths = [1, 2]")
    assert Workspace(home).task("posts").path.read_text() == DEFINITION


@pytest.mark.parametrize(
    ("option", "keys"),
    [
        (["--good"], {"filters": 256}),
        (["--at-most-cost", "0.5"], {"filters": 32, "widths": (1, 2)}),
        (["--half-cost-worth", "2"], {"filters": 32, "widths": (1, 2)}),
        (["--half-cost-worth", "0.1", "--half-size-worth", "0"], {"filters": 256}),
    ],
)
def test_the_choice_is_written_and_all_else_stays(
    home: Path, pingti: Run, option: list[str], keys: dict[str, Any]
) -> None:
    shown = pingti("search", "posts", *option, "--write", "--json", "--home", home)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["written"] is True
    entry = Workspace(home).task("posts")
    changed = entry.definition.student.model_dump()
    assert changed == {**changed, **keys, "epochs": 5}
    text = entry.path.read_text()
    assert text.startswith("# about posts\n")
    assert "epochs = 5  # enough" in text
    assert text.endswith("[gate]\nrounds = 3\n")


def test_a_definition_without_the_section_gets_one(home: Path, pingti: Run) -> None:
    without = DEFINITION.replace("[student]\nepochs = 5  # enough\nfilters = 64\n\n", "")
    Workspace(home).add_task("posts", without)
    assert pingti("search", "posts", "--good", "--write", "--home", home).returncode == 0
    assert Workspace(home).task("posts").definition.student.filters == 256


def test_wrong_usage_is_told(home: Path, pingti: Run) -> None:
    both = pingti("search", "posts", "--cheap", "--good", "--home", home)
    assert both.returncode == 2
    assert "give one of them" in both.stderr
    unsaid = pingti("search", "posts", "--write", "--home", home)
    assert unsaid.returncode == 2
    assert "--write: which shape?" in unsaid.stderr
    unknown = pingti("search", "nothing", "--home", home)
    assert unknown.returncode == 3
    assert Workspace(home).task("posts").path.read_text() == DEFINITION


def test_an_interrupt_says_that_it_goes_on(home: Path, pingti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Searched:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "search", interrupted)
    ended = pingti("search", "posts", "--home", home)
    assert ended.returncode == 130
    assert "pingti search posts goes on from what was trained" in ended.stderr
