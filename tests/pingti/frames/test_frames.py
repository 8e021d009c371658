"""Texts and columns of whatever library they come from."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pingti
from pingti.errors import InputError, UnavailableError
from pingti.frames.tables import as_form, columns_of, rows_of
from pingti.frames.texts import text_array
from pingti.workspace.registry import Workspace
from tests.support.frames import LIBRARIES, frame

TEXTS = ["goal match team coach", None, "bread garden music"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_of_every_library(library: str) -> None:
    days = [datetime.datetime(2026, 1, day) for day in (1, 2, 3)]
    given = frame(library, {"post": TEXTS, "seen": days, "number": [7, 8, 9], "other": [b"", b"", b""]})
    table = columns_of(given, text="post", others={"time": "seen", "id": "number"})
    assert table.column_names == ["post", "seen", "number"]
    assert table.schema.field("post").type == pa.large_string()
    assert table["post"].to_pylist() == TEXTS
    assert [moment.replace(tzinfo=None) for moment in table["seen"].to_pylist()] == days
    rows = rows_of(given, text="post", id="number")
    assert rows.to_pydict() == {"id": ["7", "8", "9"], "text": TEXTS}
    assert rows_of(given, text="post").column("id").to_pylist() == ["0", "1", "2"]
    with pytest.raises(
        InputError, match=r"no column 'text'; text=... names one of 'post', 'seen', 'number', 'other'"
    ):
        rows_of(given)
    with pytest.raises(
        InputError, match=r"column 'number'(: texts: every one must be|.*; needed are) (a )?string"
    ):
        columns_of(given, text="number")
    with pytest.raises(
        InputError, match=r"with the columns 'post', .* was given; needed is one of its columns"
    ):
        text_array(given)


@pytest.mark.parametrize("library", ["pandas", "pandas-object", "polars", "datasets"])
def test_a_column_of_every_library_is_texts(library: str) -> None:
    column = frame(library, {"post": TEXTS})["post"]
    assert text_array(column).to_pylist() == TEXTS


def test_rows_that_datasets_has_chosen_are_those() -> None:
    dataset = frame("datasets", {"text": ["a", "b", "c"]})
    assert columns_of(dataset.select([2, 0]), text="text")["text"].to_pylist() == ["c", "a"]
    with pytest.raises(InputError, match="an IterableDataset is read only once"):
        columns_of(dataset.to_iterable_dataset(), text="text")


def test_a_category_and_a_column_without_any_text_of_pandas() -> None:
    pandas = pytest.importorskip("pandas", reason="frames of pandas: it is not installed")
    category = pandas.DataFrame({"text": pandas.Series(["a", None, "a"], dtype="category")})
    assert columns_of(category, text="text")["text"].to_pylist() == ["a", None, "a"]
    assert text_array(pandas.Series([np.nan, np.nan])).to_pylist() == [None, None]
    twice = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(InputError, match="2 columns are named 'text'"):
        columns_of(twice, text="text")
    mixed = pandas.DataFrame({"text": ["a", "b"], "id": [1, "x"]})
    with pytest.raises(InputError, match="column 'id' mixes values of several types"):
        columns_of(mixed, text="text", others={"id": "id"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a text", ["a text"]),
        (b"a text", ["a text"]),
        (["a", None, float("nan"), np.float64("nan")], ["a", None, None, None]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["a", None, np.nan], object), ["a", None, None]),
        (("a", "b"), ["a", "b"]),
        ((text for text in "ab"), ["a", "b"]),
        ([], []),
        (pa.array(["a"]), ["a"]),
    ],
)
def test_what_is_taken_for_texts(given: Any, expected: list[str | None]) -> None:
    assert text_array(given).to_pylist() == expected


def test_a_lone_surrogate_is_no_text_of_unicode_wherever_it_stands() -> None:
    for given in (["a", "b\ud800", None], [None, float("nan"), "b\ud800", "a"]):
        array = text_array(given)
        assert array.type == pa.large_binary()
        assert [None if value is None else value[:1] for value in array.to_pylist()] == [
            value[:1].encode() if isinstance(value, str) else None for value in given
        ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, r"^texts: int \(5\) was given; needed are strings"),
        (None, "^texts: NoneType"),
        (["a", 5], r"every one must be a string or None .*; row 1 is int \(5\)"),
        (["a", None, ["b"]], "row 2 is list"),
        (["a", "b\ud800", 7], "row 2 is int"),
        (np.array([["a"]]), "an array of 2 dimensions"),
        ({"text": ["a"]}, "a dict with the columns 'text' was given"),
        ({}, "the columns none was given"),
    ],
)
def test_what_is_not_taken_for_texts(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        text_array(given)


def test_what_pandas_calls_missing_is_no_list_of_texts() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    with pytest.raises(InputError, match=r"^texts: NAType"):
        text_array(pandas.NA)


@pytest.mark.parametrize("library", LIBRARIES)
def test_student_and_classifier_take_them(library: str, workspace: Workspace) -> None:
    given = frame(library, {"id": ["x", "y", "z"], "text": TEXTS})
    classifier = pingti.Classifier.of(workspace, ["sport"])
    results = classifier.classify(given)
    assert results.column("id").to_pylist() == ["x", "y", "z"]
    assert results.column("sport").to_pylist() == ["yes", None, "no"]
    student = pingti.load("sport", workspace)
    assert student.predict(given, text="text").tolist() == ["yes", None, "no"]
    scored = student.student.score(rows_of(given).column("text"))
    assert np.isnan(scored[:, 0]).tolist() == [False, True, False]
    with pytest.raises(InputError, match="needed is one of its columns"):
        student.student.score(given)


def test_a_string_is_one_text_and_texts_need_no_frame(workspace: Workspace) -> None:
    student = pingti.load("sport", workspace).student
    assert np.array_equal(student.score(TEXTS[0]), student.score([TEXTS[0]]))
    results = pingti.Classifier.of(workspace, ["sport"]).classify(TEXTS)
    assert results.select(["id", "sport"]).to_pydict() == {
        "id": ["0", "1", "2"],
        "sport": ["yes", None, "no"],
    }


@pytest.mark.parametrize("form", ["pandas", "polars"])
def test_a_table_as_a_frame(form: Any) -> None:
    package = pytest.importorskip(form, reason=f"frames of {form}: it is not installed")
    made = as_form(pa.table({"id": ["a"], "score": [0.5]}), form)
    assert isinstance(made, package.DataFrame)
    assert list(made.columns) == ["id", "score"]


def test_a_form_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"form is 'excel'; allowed are"):
        as_form(pa.table({}), "excel")  # type: ignore[arg-type]
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(UnavailableError, match="pip install polars"):
        as_form(pa.table({}), "polars")


@pytest.mark.parametrize("library", ["pandas", "pandas-object", "polars", "datasets", "mapping"])
def test_a_frame_of_any_library_is_a_corpus(library: str, tmp_path: Path) -> None:
    from pingti.notebook.task_files import Question, write_task
    from tests.support.teachers import write_bert

    model = tmp_path / "model"
    write_bert(model, ["goal"])
    texts = [f"text {number}" for number in range(140)]
    question = Question(
        data=frame(
            library, {"post": texts, "seen": [datetime.datetime(2026, 1, 1 + n % 28) for n in range(140)]}
        ),
        teacher=model,
        text="post",
        time="seen",
        id=None,
        name=None,
        classes=["no", "yes"],
        labels=frame(library, {"post": texts, "label": ["no", "yes"] * 70}),
        definition={},
    )
    entry, _ = write_task(question, Workspace(tmp_path / "workspace"))
    from replacement.training.dataset import load_corpus

    corpus = load_corpus(entry.definition, entry.path.parent)
    assert (corpus.counts["read"], corpus.counts["bad"]) == (140, 0)
    assert corpus.days is not None
