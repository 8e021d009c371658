"""The notebooks run from top to bottom, beside a BERT and texts that are made here."""

import ast
import csv
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.texts import made_texts

NOTEBOOKS = ("replace_a_bert.ipynb", "replace_a_bert.zh.ipynb")


def cells(name: str, kind: str) -> list[str]:
    notebook = json.loads((ROOT / "examples" / name).read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def run(code: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, which a notebook shows."""
    tree = ast.parse(code)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body[-1] = ast.Assign([ast.Name("shown", ast.Store())], last.value)
    names["shown"] = None
    exec(compile(ast.fix_missing_locations(tree), "cell", "exec"), names)
    return names["shown"]


def test_both_languages_have_the_same_code_and_no_outputs() -> None:
    english, chinese = (cells(name, "code") for name in NOTEBOOKS)
    assert english == chinese
    assert len(cells(NOTEBOOKS[0], "markdown")) == len(cells(NOTEBOOKS[1], "markdown")) == len(english)
    for name in NOTEBOOKS:
        assert '"outputs": []' in (ROOT / "examples" / name).read_text(encoding="utf-8")
        assert '"output_type"' not in (ROOT / "examples" / name).read_text(encoding="utf-8")


def write_files(folder: Path, teacher: Path) -> None:
    """What the notebook's first cell asks for."""
    (folder / "my-bert").symlink_to(teacher)
    start = datetime(2026, 10, 1)
    posts = [
        (f"{text} {number}", start + timedelta(minutes=20 * number))
        for number, text in enumerate(made_texts(2400, seed=9)[0])
    ]
    for name, columns, rows in (
        ("posts.csv", ("post", "seen"), posts),
        ("today.csv", ("post",), [(text,) for text in made_texts(30, seed=4)[0]]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])


def test_a_notebook_replaces_a_bert(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, topic_teacher)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PINGTI_HOME", raising=False)
    names: dict[str, Any] = {}
    shown = [run(code, names) for code in cells(NOTEBOOKS[0], "code")]
    _, report, rounds, decided, _, rows, history = shown
    assert report._repr_html_().startswith("<iframe ")
    assert rounds[0] == (1, "1.000", "1.000")
    assert decided.tolist() == ["yes", "no", None]
    assert [set(row) for row in rows] == [{"post", "sports"}] * 5
    assert history[0][:2] == ("promoted", 1)
