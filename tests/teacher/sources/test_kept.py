"""Answers of functions, kept on disk and behind stored ones."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pingti.errors import InputError
from teacher.sources.callables import CallableTeacher
from teacher.sources.kept import KeptAnswers
from teacher.sources.stored import StoredAnswers, StoredFirst

LABELS = ("no", "yes")


class Asked:
    """A function that answers yes to texts with an a, and remembers what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> list[str | None]:
        self.texts += texts
        return [None if text == "?" else "yes" if "a" in text else "no" for text in texts]


def kept(folder: Path, function: Any, name: str = "f") -> KeptAnswers:
    return KeptAnswers.open(CallableTeacher(function, LABELS, name), folder)


def test_no_text_is_asked_about_twice_and_one_without_an_answer_by_the_next_run(tmp_path: Path) -> None:
    function = Asked()
    source = kept(tmp_path, function)
    texts = ["a", "b", "?", "a"]
    scored = source.score(texts)
    assert scored.probabilities[[0, 1, 3]].tolist() == [[0, 1], [1, 0], [0, 1]]
    assert np.isnan(scored.probabilities[2]).all()
    assert scored.vectors.shape == (4, 0)
    assert source.cached(texts).tolist() == [True, True, False, True]
    source.score(texts)
    assert function.texts == ["a", "b", "?"]
    assert source.rows_scored == 3
    again = kept(tmp_path, function)
    again.score(texts)
    assert function.texts == ["a", "b", "?", "?"]
    assert again.rows_scored == 1
    assert source.token_vectors(["a"]) is None


def test_another_name_is_another_function(tmp_path: Path) -> None:
    kept(tmp_path, Asked()).score(["a"])
    assert not kept(tmp_path, Asked(), "g").cached(["a"]).any()


def test_all_progress_is_told(tmp_path: Path) -> None:
    done: list[int] = []
    kept(tmp_path, Asked()).score(["a", "b", "a", "c"], progress=done.append)
    assert sum(done) == 4


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([["x", 1.0]], "neither labels nor numbers"),
        ([[0.5, 0.2, 0.3]], r"numbers of shape \(1, 3\)"),
        ([[0.0, 0.0]], "it gave"),
        ([[-0.5, 1.0]], "it gave"),
        ([[np.inf, 1.0]], "it gave"),
        (["maybe"], "label 'maybe'"),
        (["yes", "no"], "2 answers for 1 texts"),
        (None, "it gave one NoneType"),
        ("y", "it gave one str"),
        ({"text": "yes"}, "it gave one dict"),
        (SimpleNamespace(columns=["yes"]), "it gave one SimpleNamespace"),
        ([{"label": "yes", "score": 0.9}], "neither labels nor numbers"),
    ],
)
def test_what_a_function_gives_is_checked(given: Sequence[Any], problem: str) -> None:
    teacher = CallableTeacher(lambda _: given, LABELS, "f")
    with pytest.raises(InputError, match=problem):
        teacher.score(["text"])


def test_answers_may_be_arrays_or_come_one_by_one() -> None:
    for given in (
        np.array(["yes", "no"]),
        np.array(["yes", "no"], object),
        (label for label in ("yes", "no")),
    ):
        scores = CallableTeacher(lambda _, given=given: given, LABELS, "f").score(["a", "b"])
        assert scores.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_numbers_are_divided_by_their_sum() -> None:
    teacher = CallableTeacher(lambda _: np.array([[1, 3], [np.nan, np.nan]]), LABELS, "f")
    scores = teacher.score(["a", "b"])
    assert scores[0].tolist() == [0.25, 0.75]
    assert np.isnan(scores[1]).all()


def stored() -> StoredAnswers:
    return StoredAnswers(
        labels=LABELS,
        row_of={"b": 0, "c": 1},
        probabilities=np.array([[0.1, 0.9], [1.0, 0.0]], np.float32),
        normalise=lambda texts: [text.lower() for text in texts],
    )


def test_stored_answers_go_first_and_cost_nothing(tmp_path: Path) -> None:
    function = Asked()
    source = StoredFirst(stored(), kept(tmp_path, function))
    scored = source.score(["A", "B", "c", "a"])
    assert scored.probabilities == pytest.approx(np.array([[1, 0], [0.1, 0.9], [1, 0], [0, 1]]))
    assert function.texts == ["A", "a"]
    assert source.rows_scored == 2
    assert source.cached(["B", "a", "new"]).tolist() == [True, True, False]
    assert source.fingerprint not in (stored().fingerprint, kept(tmp_path, function).fingerprint)


def test_stored_answers_may_be_all_there_is() -> None:
    source = StoredFirst(stored(), None)
    assert np.isnan(source.score(["b", "a"]).probabilities).all(axis=1).tolist() == [False, True]
    assert source.fingerprint == stored().fingerprint
    assert source.rows_scored == 0
