"""Tables of int8: half the memory, scores that hardly differ, every way of scoring alike."""

import json
from pathlib import Path

import numpy as np
import pytest

from pingti.errors import InputError
from pingti.students import load_student
from textcnn import Architecture, MultiScorer, Student, Vocabulary
from textcnn.fold import narrowed, reference_score
from textcnn.network import TextCNN
from textcnn.plain.artifact import LAYOUT
from textcnn.plain.student import PlainStudent

VOCABULARY = Vocabulary([f"w{n}" for n in range(60)], buckets=9)
RNG = np.random.default_rng(0)
TEXTS = [
    None,
    "",
    *(" ".join(f"w{n}" for n in RNG.integers(0, 70, size)) for size in RNG.integers(0, 25, 400)),
]


def student(
    widths: tuple[int, ...] = (1, 2, 3), filters: int = 130, subclasses: tuple[int, ...] = (1, 1)
) -> Student:
    shape = Architecture(embedding=8, filters=filters, widths=widths)
    network = TextCNN(VOCABULARY.size, len(subclasses), shape, np.random.default_rng(1), subclasses)
    return Student.from_network(
        network, VOCABULARY, [f"c{n}" for n in range(len(subclasses))], None, subclasses
    )


@pytest.mark.parametrize("widths", [(1,), (1, 2, 3), (2, 7)])
@pytest.mark.parametrize("filters", [20, 130])
def test_scores_are_the_references_and_near_those_of_int16(widths: tuple[int, ...], filters: int) -> None:
    wide = student(widths, filters)
    narrow = wide.narrowed()
    assert narrow.folded.table.dtype == np.int8
    scores, encoded = narrow.score(TEXTS), narrow.encode(TEXTS)
    np.testing.assert_allclose(scores, reference_score(narrow.folded, encoded, widths), atol=1e-5)
    np.testing.assert_array_equal(scores, narrow.score_encoded(encoded))
    np.testing.assert_allclose(scores, wide.score(TEXTS), atol=0.02)
    assert not np.array_equal(scores, wide.score(TEXTS), equal_nan=True)
    both = MultiScorer([wide, narrow]).score(TEXTS)
    np.testing.assert_array_equal(both[1], scores)


def test_every_filter_uses_all_of_int8_and_one_of_zeros_none() -> None:
    folded = student((1, 2), 32).folded
    block = folded.table.reshape(-1, 32)
    block[:, 5] = 0
    narrow = narrowed(folded, (1, 2))
    first = narrow.table[: len(narrow.table) // 3].reshape(-1, 32)
    largest = np.abs(first.astype(int)).max(axis=0)
    assert largest[5] == 0
    assert set(np.delete(largest, 5)) == {127}
    assert np.isfinite(narrow.step).all()


def test_a_narrowed_student_comes_back_in_half_the_memory(tmp_path: Path) -> None:
    wide = student(subclasses=(2, 1, 1))
    narrow = wide.narrowed()
    narrow.save(tmp_path)
    loaded = load_student(tmp_path)
    np.testing.assert_array_equal(loaded.score(TEXTS), narrow.score(TEXTS))
    np.testing.assert_allclose(PlainStudent.load(tmp_path).score(TEXTS), narrow.score(TEXTS), atol=2e-6)
    saved = wide.cost(10.0).bytes - loaded.cost(10.0).bytes
    assert saved == VOCABULARY.size * 6 * 130
    # What knows of int16 alone refuses it.
    assert json.loads((tmp_path / LAYOUT.json).read_text())["format"] > LAYOUT.format_with_readout


def test_only_int16_is_narrowed() -> None:
    bag = Student.of_ngrams(np.zeros((64, 2), np.float32), np.zeros(2, np.float32), VOCABULARY, "ab")
    for other in (bag, student().narrowed()):
        with pytest.raises(InputError, match="with a table of int16"):
            other.narrowed()
