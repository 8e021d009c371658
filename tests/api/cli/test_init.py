"""``pingti init``: a definition from a model, a file and a few answers."""

import json
import os
import pty
import select
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.workspace.registry import Workspace
from tests.support.command_line import Run
from tests.support.model_folders import write_model
from tests.support.paths import ROOT

LABELS = {"0": "sport", "1": "tech", "2": "other"}
POSTS = "number,seen,post\n1,2025-11-03,the goal of the team\n2,2025-11-04,a new chip\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a model, texts and nothing else, in which the user stands."""
    write_model(tmp_path / "my-bert", {"model_type": "bert", "id2label": LABELS})
    (tmp_path / "posts.csv").write_text(POSTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PINGTI_HOME", raising=False)
    return tmp_path


def written(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_a_model_and_a_file_are_enough(pingti: Run, here: Path) -> None:
    ran = pingti("init", "--model", "my-bert", "--file", "posts.csv", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["classes"]) == (0, ["sport", "tech", "other"])
    assert "text 'post', time 'seen', id 'number'" in ran.stderr
    document = written(here / "my_bert.toml")
    assert document["classes"] == ["sport", "tech", "other"]
    assert document["corpus"] == {
        "files": ["../../posts.csv"],
        "text": "post",
        "time": "seen",
        "id": "number",
    }
    assert document["teacher"]["model"] == "../../my-bert"
    ran = pingti("task", "add", "my_bert.toml")
    assert (ran.returncode, Workspace(here / "workspace").task_names()) == (0, ["my_bert"]), ran.stderr


def test_some_of_the_labels_are_a_yes(pingti: Run, here: Path) -> None:
    ran = pingti(
        "init",
        "fun",
        "--model",
        "my-bert",
        "--file",
        "posts.csv",
        "--yes",
        "sport, tech",
        "--recall",
        "0.7",
        "--add",
    )
    assert ran.returncode == 0, ran.stderr
    definition = Workspace(here / "workspace").task("fun").definition
    assert definition.classes == ("no", "yes")
    assert definition.teacher.map == {"sport": "yes", "tech": "yes", "*": "no"}
    assert (definition.gate.precision, definition.gate.recall) == (0.8, 0.7)


def test_a_model_that_answers_each_label_by_itself_is_asked_for_one(pingti: Run, here: Path) -> None:
    write_model(here / "multi", {"id2label": LABELS, "problem_type": "multi_label_classification"})
    options = ("--model", "multi", "--file", "posts.csv")
    ran = pingti("init", *options)
    assert (ran.returncode, "--yes is missing" in ran.stderr, "sport, tech, other" in ran.stderr) == (
        2,
        True,
        True,
    )
    assert pingti("init", *options, "--yes", "sport,tech").returncode == 2
    assert list(here.glob("*.toml")) == []
    assert pingti("init", *options, "--yes", "tech", "--add").returncode == 0
    assert written(here / "tech.toml")["teacher"]["label"] == "tech"


def test_a_model_of_one_output_needs_no_answer(pingti: Run, here: Path) -> None:
    write_model(here / "one", {"id2label": {"0": "LABEL_0"}})
    assert pingti("init", "spam", "--model", "one", "--file", "posts.csv", "--add").returncode == 0
    assert written(here / "spam.toml")["classes"] == ["no", "yes"]


def test_columns_are_told_by_their_first_rows_where_names_say_nothing(pingti: Run, here: Path) -> None:
    rows = {"a": ["x", "y"], "b": ["a long sentence", "and another"], "c": [1, 2]}
    pq.write_table(pa.table(rows), here / "rows.parquet")
    assert pingti("init", "odd", "--model", "my-bert", "--file", "rows.parquet", "--add").returncode == 0
    corpus = written(here / "odd.toml")["corpus"]
    assert (corpus["text"], "time" in corpus, "id" in corpus) == ("b", False, False)
    assert written(here / "odd.toml")["gate"]["holdout_fraction"] == 0.1


def test_what_lies_elsewhere_has_its_whole_path(
    pingti: Run, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away") / '文 "本".jsonl'
    away.write_text('{"text": "a text"}\n')
    assert pingti("init", "far", "--model", "my-bert", "--file", away, "--add").returncode == 0
    assert written(here / "far.toml")["corpus"]["files"] == [str(away)]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--model", "nowhere", "--model: 'nowhere' is no folder here"),
        ("--file", "nowhere.csv", "--file: nowhere.csv: no such file"),
        ("--text", "body", "--text: no column 'body'; there are 'number', 'seen', 'post'"),
        ("--time", "when", "--time: no column 'when'"),
        ("--yes", "music", "--yes: no label 'music'; the model has sport, tech, other"),
        ("--yes", "sport,tech,other", "all of sport, tech, other is a yes"),
        ("--precision", "1.5", "--precision: '1.5': needed is a number above 0, at most 1"),
        ("--precision", "80", "needed is a number above 0, at most 1; write 0.8 for 80 %"),
        ("--encoding", "klingon", "--encoding: 'klingon' is no encoding"),
    ],
)
def test_an_option_that_cannot_be_used_is_told(
    pingti: Run, here: Path, option: str, value: str, says: str
) -> None:
    options = {"--model": "my-bert", "--file": "posts.csv", option: value}
    ran = pingti("init", *(part for pair in options.items() for part in pair))
    assert (ran.returncode, says in ran.stderr.splitlines()[-1]) == (2, True), ran.stderr
    assert list(here.glob("*.toml")) == []


def test_nothing_is_overwritten(pingti: Run, here: Path) -> None:
    options = ("--model", "my-bert", "--file", "posts.csv")
    assert pingti("init", "first", *options, "--add").returncode == 0
    assert pingti("init", "first", *options).returncode == 2  # the workspace has it
    (here / "second.toml").write_text("mine")
    ran = pingti("init", "second", *options)
    assert (ran.returncode, (here / "second.toml").read_text()) == (4, "mine")


def test_without_a_terminal_nobody_is_asked(pingti: Run, here: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "pingti", "init"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)
    assert ran.stderr.startswith("pingti: give --model FOLDER and --file FILE")


def test_on_a_terminal_what_is_missing_is_asked_for(here: Path) -> None:
    answers = ["nowhere", "my-bert", "posts.csv", "", "-", "", "sport", "", "0.7", "", "y"]
    shown, code = _converse([sys.executable, "-P", "-m", "pingti", "init"], answers)
    assert code == 0, shown
    assert "'nowhere' is no folder here" in shown
    assert "its columns: number, seen, post" in shown
    definition = Workspace(here / "workspace").task("sport").definition
    assert (definition.corpus.text, definition.corpus.time, definition.corpus.id) == ("post", None, "number")
    assert (definition.gate.precision, definition.gate.recall) == (0.8, 0.7)


def test_a_question_may_be_left(here: Path) -> None:
    shown, code = _converse([sys.executable, "-P", "-m", "pingti", "init"], ["\x04"])
    assert (code, "Traceback" in shown, list(here.glob("*.toml"))) == (130, False, []), shown


def _converse(command: list[str], answers: list[str]) -> tuple[str, int]:
    """Run a command on a terminal of its own, and answer each of its questions."""
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment, start_new_session=True
    ) as process:
        os.close(its_end)
        shown, asked, left = b"", 0, list(answers)
        while True:
            readable, _, _ = select.select([terminal], [], [], 60)
            assert readable, shown.decode()
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            shown += piece
            if left and shown[asked:].endswith(b": "):
                asked = len(shown)
                os.write(terminal, left.pop(0).encode() + b"\n")
        os.close(terminal)
        return shown.decode(), process.wait(60)
