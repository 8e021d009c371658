"""Students that are bags of n-grams: scored, kept, read again, and asked together."""

import json
from pathlib import Path

import numpy as np
import pytest

from pingti.errors import ArtifactError, InputError
from pingti.students import Scorer, load_student
from textcnn import Architecture, MultiScorer, Student, Vocabulary
from textcnn.fold import reference_score
from textcnn.network import TextCNN
from textcnn.plain.artifact import LAYOUT
from textcnn.plain.student import PlainStudent

VOCABULARY = Vocabulary([f"w{n}" for n in range(40)], buckets=9)


def bag(classes: int, seed: int = 0) -> Student:
    rng = np.random.default_rng(seed)
    table, bias = rng.normal(0, 1, (64, classes)), rng.normal(0, 1, classes)
    names = [f"class {number}" for number in range(classes)]
    return Student.of_ngrams(table.astype(np.float32), bias.astype(np.float32), VOCABULARY, names)


def random_texts(count: int) -> list[str | None]:
    rng = np.random.default_rng(3)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 60, size)) for size in rng.integers(0, 20, count)]
    return [None, "", "表扬", *texts]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("count", [0, 2500])  # none, and more than the kernel takes in a turn
def test_scores_are_the_references_whatever_way_they_are_asked_for(classes: int, count: int) -> None:
    student, texts = bag(classes), random_texts(count)
    encoded = student.encode(texts)
    wanted = reference_score(student.folded, encoded, ())
    assert np.isnan(wanted[0]).all()
    for scores in (student.score(texts), student.score_encoded(encoded), *Scorer([student]).score(texts)):
        np.testing.assert_allclose(scores, wanted, atol=1e-5)


def test_bags_of_one_vocabulary_are_one_pass_beside_a_textcnn() -> None:
    shape = Architecture(embedding=4, filters=8, widths=(1, 2), wide=64)
    network = TextCNN(VOCABULARY.size, 2, shape, np.random.default_rng(1))
    textcnn = Student.from_network(network, VOCABULARY, ["no", "yes"])
    members, texts = [bag(2, 1), textcnn, bag(3, 2), bag(2, 3)], random_texts(300)
    scorer = MultiScorer(members)
    assert sorted(trunk.columns for trunk in scorer._trunks) == [2, 7]
    for student, scores in zip(members, scorer.score(texts), strict=True):
        # A bag of one logit that is alone adds up in another order.
        np.testing.assert_allclose(scores, student.score(texts), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_bag_comes_back_as_it_went_and_scores_without_a_compiler(classes: int, tmp_path: Path) -> None:
    student, texts = bag(classes), random_texts(40)
    student.metadata["task"] = "t"
    student.save(tmp_path)
    loaded = load_student(tmp_path)
    assert (loaded.kind, loaded.classes, loaded.metadata) == ("ngram", student.classes, {"task": "t"})
    np.testing.assert_array_equal(loaded.score(texts), student.score(texts))
    np.testing.assert_allclose(PlainStudent.load(tmp_path).score(texts), student.score(texts), atol=2e-6)


def test_what_knows_of_textcnns_alone_refuses_a_bag(tmp_path: Path) -> None:
    bag(2).save(tmp_path)
    document = json.loads((tmp_path / LAYOUT.json).read_text())
    assert document["kind"] == "ngram"
    assert document["format"] > LAYOUT.format_with_readout  # the newest that it reads


def test_numpy_alone_refuses_other_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Student, "kind", "transformer")
    bag(2).save(tmp_path)
    for load in (PlainStudent.load, Student.load):
        with pytest.raises(ArtifactError, match="of kind 'transformer'"):
            load(tmp_path)


def test_a_bag_has_no_features_and_costs_its_table_alone() -> None:
    student = bag(2)
    assert student.features(student.encode(["w1 w2", None])).shape == (2, 0)
    assert student.cost(10.0).bytes == 4 * (64 + 1)
    assert student.cost(10.0).operations == 19.0  # ten tokens and nine pairs


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Architecture.of_ngrams(48), "powers of two"),
        (lambda: Architecture.of_ngrams(0), "embedding=0, filters=0"),
        (lambda: Architecture(widths=(), wide=64), "ascending lengths"),
        (lambda: Student.of_ngrams(np.zeros((64, 3), np.float32), np.zeros(2, np.float32), VOCABULARY, "ab"),
         "wide has shape"),
        (lambda: Student(bag(2).folded, VOCABULARY, "ab", Architecture.of_ngrams(64), subclasses=[1, 2]),
         "bag of n-grams"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
