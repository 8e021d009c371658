"""The shapes that are searched, and what is counted of them."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from pingti.workspace.definition import StudentSection
from replacement.search.space import Shape, shapes_around
from textcnn import Student, Vocabulary
from textcnn.network import TextCNN

SECTION = StudentSection()


def test_the_definitions_shape_comes_first_and_each_comes_once() -> None:
    shapes = shapes_around(SECTION, labels=9, classes=2, known=8000)
    assert shapes[0] == Shape.of(SECTION)
    assert len(set(shapes)) == len(shapes) > 90
    first = dataclasses.asdict(shapes[0]).items()
    differ = [len(first - dataclasses.asdict(shape).items()) for shape in shapes]
    assert sorted(set(differ)) == [0, 1, 2]
    assert max(shape.vocabulary for shape in shapes) == 8000
    assert {shape.subclasses for shape in shapes} == {32, 0, 6}
    for shape in shapes[::7]:
        assert Shape.of(shape.section(SECTION)) == shape
        assert shape.section(SECTION).epochs == SECTION.epochs


def test_without_more_labels_than_classes_there_are_no_subclasses_to_choose() -> None:
    shapes = shapes_around(SECTION, labels=2, classes=2, known=8000)
    assert {shape.subclasses for shape in shapes} == {SECTION.subclasses}


def test_a_shape_survives_its_storage() -> None:
    shape = shapes_around(SECTION, labels=9, classes=2, known=8000)[-1]
    assert Shape.stored(json.loads(json.dumps(dataclasses.asdict(shape)))) == shape


@pytest.mark.parametrize("filters", [32, 64])
def test_a_shapes_cost_is_that_of_the_student_made_of_it(filters: int) -> None:
    vocabulary = Vocabulary.build(pa.array(["a b c d", "b c e"]))
    shape = Shape(embedding=8, filters=filters, widths=(1, 2), wide=16, vocabulary=100, subclasses=0)
    network = TextCNN(vocabulary.size, 2, shape.folded, np.random.default_rng(0)).eval()
    student = Student.from_network(network, vocabulary, ["no", "yes"])
    assert shape.cost(2, vocabulary.size, 7.0) == student.cost(7.0)
    assert student.folded.table.size == vocabulary.size * 3 * filters


def test_training_counts_rows_epochs_and_numbers() -> None:
    shape = Shape(**{**Shape.of(SECTION).__dict__, "wide": 0})
    whole = shape.training(6400, 8, 8000, 15.0)
    assert shape.training(3200, 4, 8000, 15.0) == pytest.approx(whole / 4)
    assert Shape.of(SECTION).training(6400, 8, 8000, 15.0) > whole
    half = Shape(**{**shape.__dict__, "embedding": 128, "filters": 64})
    assert whole / 3 < half.training(6400, 8, 8000, 15.0) < whole / 1.5
