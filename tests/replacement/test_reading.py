"""How far a student reads beside its teacher: where the two stop, and what is told."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from replacement.reading import find_reach, note_of_reading
from textcnn import Vocabulary


@dataclass
class Teacher:
    """One piece a letter, so that a word of three letters costs three; it reads so many of them."""

    pieces_read: int | None
    max_length: int | None = 99

    def pieces_of(self, texts: list[str]) -> NDArray[np.int64]:
        return np.array([len(text.replace(" ", "")) for text in texts], np.int64)


def made(texts: list[str], size: int = 1000) -> tuple[Vocabulary, pa.Array]:
    array = pa.array(texts, pa.large_string())
    return Vocabulary.build(array, size=size), array


def lengths(vocabulary: Vocabulary, texts: list[str]) -> list[int]:
    return np.diff(vocabulary.encode(pa.array(texts, pa.large_string())).offsets).tolist()


def test_a_corpus_that_the_teacher_reads_whole_changes_nothing() -> None:
    vocabulary, texts = made(["w1 w2 w3", "w4"])
    assert find_reach(vocabulary, texts, vocabulary.encode(texts), Teacher(6)) is None
    assert find_reach(vocabulary, texts, vocabulary.encode(texts), Teacher(None)) is None


def test_the_student_stops_where_the_teacher_does() -> None:
    long = " ".join(f"a{number}" for number in range(10, 60))  # three letters each
    vocabulary, texts = made([long, "a10 a11", "a12"])
    reach = find_reach(vocabulary, texts, vocabulary.encode(texts), Teacher(12))
    assert reach is not None
    assert set(reach.costs) == {3}
    reaching = vocabulary.reaching(reach)
    assert lengths(vocabulary, [long]) == [50]
    assert lengths(reaching, [long, "a10 a11", " ".join(long.split()[:4])]) == [4, 2, 4]
    # What the teacher never saw changes nothing.
    other = " ".join([*long.split()[:4], *long.split()[30:]])
    one, two = (reaching.encode(pa.array([text], pa.large_string())).ids for text in (long, other))
    assert one.tolist() == two.tolist()


def test_words_out_of_the_vocabulary_cost_what_such_words_cost() -> None:
    common = ["of", "it"] * 50
    rare = [f"r{number:05}" for number in range(30)]  # six letters each
    texts = [" ".join([*common, word]) for word in rare]
    vocabulary, array = made([*texts, " ".join(rare)], size=2)
    reach = find_reach(vocabulary, array, vocabulary.encode(array), Teacher(60))
    assert reach is not None
    assert reach.costs == (2, 2)
    assert reach.unknown == pytest.approx(6.0)
    assert lengths(vocabulary.reaching(reach), [" ".join(rare)]) == [10]


@pytest.mark.parametrize(
    ("teacher", "texts", "alike", "part"),
    [
        (
            Teacher(3),
            ["abcd", "ab"],
            True,
            "(50%) only in part, up to teacher.max_length = 99, and the student",
        ),
        (Teacher(3), ["abcd", "ab"], False, "and the student reads them whole"),
        (Teacher(4), ["abcd", "ab"], False, None),
        (Teacher(3), ["abcd", *["ab"] * 200], False, None),
        (Teacher(3), [], True, None),
        (Teacher(None, None), ["abcd"], True, None),
    ],
)
def test_what_is_told(teacher: Teacher, texts: list[str], alike: bool, part: str | None) -> None:
    notes = note_of_reading(teacher, texts, cut_alike=alike)
    assert len(notes) == (part is not None)
    assert part is None or part in notes[0]
