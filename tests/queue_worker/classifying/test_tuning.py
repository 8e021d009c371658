"""How many threads: the rule, and a try of it on real threads."""

import json

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from api.cli.main import app
from pingti.errors import InputError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace
from queue_worker.classifying.tuning import Tried, recommended, stress


@pytest.mark.parametrize(
    ("rates", "wanted"),
    [([100, 190, 195], 2), ([100, 99, 98], 1), ([100, 150, 200, 220], 4), ([100, 150, 210, 220], 3)],
)
def test_the_fewest_threads_that_are_about_as_fast_as_any(rates: list[float], wanted: int) -> None:
    tried = [Tried(threads=n, rows_per_second=rate, cores_used=1.0) for n, rate in enumerate(rates, 1)]
    assert recommended(tried) == wanted


def test_every_number_of_threads_classifies_and_arrow_has_its_threads_back(
    workspace: Workspace, texts: list[str]
) -> None:
    classifier = Classifier.load(workspace, pin(workspace, [Choice(task="sport")]))
    before, told = pa.cpu_count(), []
    tried = stress(
        classifier, pa.array(texts), most=2, seconds=0.05, progress=lambda done, total: told.append(done)
    )
    assert [each.threads for each in tried] == [1, 2]
    assert all(each.rows_per_second > 0 and each.cores_used > 0 for each in tried)
    assert told == [1, 2, 3, 4, 5, 6]
    assert pa.cpu_count() == before
    with pytest.raises(InputError, match="no text"):
        stress(classifier, pa.array([], pa.string()), most=1, seconds=0.01)


def test_the_command_recommends_and_says_what_is_missing(workspace: Workspace, tmp_path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("said\n" + "the match was won\n" * 50)
    command = [
        "stress",
        "--home",
        str(workspace.root),
        "--input",
        str(file),
        "--text",
        "said",
        "--threads",
        "1",
    ]
    ran = CliRunner().invoke(app, [*command, "--threads", "1", "--seconds", "0.1", "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["recommended"] == 1
    assert found["tasks"] == [name for name in workspace.task_names() if workspace.task(name).current()]
    empty = CliRunner().invoke(app, ["stress", "--home", str(tmp_path / "none")])
    assert isinstance(empty.exception, Exception)
    assert "no task has a student in use" in str(empty.exception)
