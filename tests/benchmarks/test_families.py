"""Fifty tasks of a family beside fifty students of their own: what is compared is what it is called."""

import numpy as np
import pytest

from benchmarks import families
from benchmarks.folded import Trained, make_student
from benchmarks.texts import Texts
from textcnn import Architecture, score_many


@pytest.fixture(scope="module")
def trained() -> Trained:
    texts = [f"{word} {number}" for number in range(60) for word in ("goal", "market", "recipe")]
    positive = np.array([text.startswith("goal") for text in texts])
    some = Texts(source="here", timed=texts, positive=positive, question="goal", compared=texts)
    return make_student(some, Architecture(embedding=8, filters=8, widths=(1, 2)), rows=len(texts), epochs=1)


@pytest.fixture(scope="module")
def fifty(trained: Trained) -> families.Fifty:
    return families.make(trained, 1 << 8)


def test_a_family_reads_one_network_and_the_others_are_students_of_their_own(fifty: families.Fifty) -> None:
    assert len(fifty.own) == len(fifty.family) == families.TASKS
    assert len({student.network for student in fifty.family}) == 1
    # Equal tables would be looked up once for all.
    assert len({student.trunk for student in fifty.own}) == families.TASKS


def test_the_tasks_of_a_family_are_its_labels(trained: Trained, fifty: families.Fifty) -> None:
    scores = np.stack(score_many(fifty.family, trained.texts.timed[:20]))
    assert scores.shape == (families.TASKS, 20, 2)
    assert scores[:, :, 1].sum(axis=0) == pytest.approx(np.ones(20), abs=1e-4)


def test_training_is_timed_on_equal_rows(trained: Trained) -> None:
    measured = families.training(trained, rows=90, epochs=1, buckets=1 << 8, turns=2)
    assert {way: len(values) for way, values in measured["seconds"].items()} == {"own": 2, "family": 2}
    assert measured["times_one"] > 0
