"""The similarity student: vectors near each other where the teacher's are, whatever folding made of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pingti.errors import ArtifactError, InputError
from pingti.students import load_student
from tests.support.texts import made_texts
from textcnn import Architecture, Student, Vocabulary
from textcnn.similarity import SimilarityStudent
from textcnn.similarity.train import SimilarityRecipe, train_similarity

SHAPE = Architecture(embedding=16, filters=24, widths=(1, 2))


def words_as_vectors(texts: list[str], width: int = 12) -> np.ndarray:
    """A teacher whose vector is the sum of random vectors of the words, numbers left out."""
    words = sorted({word for text in texts for word in text.split() if word.isalpha()})
    of_words = dict(zip(words, np.random.default_rng(5).normal(size=(len(words), width)), strict=True))
    sums = np.array(
        [sum(of_words[word] for word in text.split() if word.isalpha()) for text in texts], np.float32
    )
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def trained(texts: list[str], targets: np.ndarray, **recipe: int) -> SimilarityStudent:
    array = pa.array(texts, pa.large_string())
    vocabulary = Vocabulary.build(array, size=200, buckets=16)
    return train_similarity(
        vocabulary.encode(array),
        targets,
        vocabulary=vocabulary,
        architecture=SHAPE,
        rng=np.random.default_rng(0),
        recipe=SimilarityRecipe(**{"buckets": 4096, "epochs": 8, "batch_size": 32, **recipe}),
    )


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return made_texts(1300, seed=1)[0]


@pytest.fixture(scope="module")
def student(texts: list[str]) -> SimilarityStudent:
    return trained(texts[:1200], words_as_vectors(texts)[:1200])


def off_diagonal(vectors: np.ndarray) -> np.ndarray:
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def test_cosines_of_unseen_texts_follow_the_teachers(texts: list[str], student: SimilarityStudent) -> None:
    wanted = off_diagonal(words_as_vectors(texts)[1200:])
    ranks = [
        np.argsort(np.argsort(values)) for values in (off_diagonal(student.encode(texts[1200:])), wanted)
    ]
    assert np.corrcoef(*ranks)[0, 1] > 0.8


def test_a_vector_has_length_one_and_what_is_no_text_none(student: SimilarityStudent) -> None:
    vectors = student.encode(pa.array(["the goal match", "", None, "unheard of"], pa.large_string()))
    assert vectors.shape == (4, 12)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors[[0, 1, 3]], axis=1), 1.0, atol=1e-5)
    assert np.isnan(vectors[2]).all()
    assert student.encode([]).shape == (0, 12)
    bytes_of = pa.array([b"the goal", b"\xff"], pa.binary())
    assert np.isnan(student.encode(bytes_of)).any(axis=1).tolist() == [False, True]


def test_a_text_alone_and_among_others_has_the_same_vector(
    texts: list[str], student: SimilarityStudent
) -> None:
    many = student.encode(texts * 8)  # more than are in memory at a time
    assert np.allclose(many[-1], student.encode([texts[-1]])[0], atol=1e-6)


def test_fewer_numbers_keep_the_directions_that_matter(texts: list[str]) -> None:
    targets = words_as_vectors(texts)[:1200]
    narrow, whole = (trained(texts[:1200], targets, width=width) for width in (6, 500))
    assert (narrow.width, whole.width) == (6, 12)
    kept = np.corrcoef(off_diagonal(narrow.encode(texts[1200:])), off_diagonal(whole.encode(texts[1200:])))
    assert kept[0, 1] > 0.8


@pytest.mark.parametrize("buckets", [0, 256])
def test_what_is_saved_loads_bit_for_bit(texts: list[str], tmp_path: Path, buckets: int) -> None:
    student = trained(texts[:100], words_as_vectors(texts)[:100], buckets=buckets, epochs=1)
    student.metadata["teacher"] = "somebody"
    student.save(tmp_path)
    loaded = SimilarityStudent.load(tmp_path)
    assert loaded.metadata == {"teacher": "somebody"}
    assert np.array_equal(loaded.encode(texts), student.encode(texts))
    assert loaded.cost(20.0) == student.cost(20.0)


def test_one_seed_gives_one_student(texts: list[str]) -> None:
    first, second = (trained(texts[:100], words_as_vectors(texts)[:100], epochs=2) for _ in range(2))
    assert np.array_equal(first.encode(texts), second.encode(texts))


def test_a_pair_has_a_cosine(student: SimilarityStudent) -> None:
    cosines = student.similarity(["the goal match", "the goal match", None], ["the goal match", "bread", "a"])
    assert cosines[0] == pytest.approx(1.0, abs=1e-5)
    assert cosines[1] < 0.9
    assert np.isnan(cosines[2])
    with pytest.raises(InputError, match="1 texts beside 2; needed are pairs"):
        student.similarity(["one"], ["one", "two"])


def test_a_classifier_is_no_similarity_student_and_the_other_way_round(
    student: SimilarityStudent, tmp_path: Path, home: Path
) -> None:
    student.save(tmp_path)
    with pytest.raises(ArtifactError, match="gives vectors and decides nothing"):
        load_student(tmp_path)
    with pytest.raises(ArtifactError, match="a student of kind 'similarity', neither a TextCNN"):
        Student.load(tmp_path)
    with pytest.raises(ArtifactError, match="a classifier, not a similarity student"):
        SimilarityStudent.load(home / "tasks" / "sport" / "students" / "1")


def test_a_damaged_file_is_refused(student: SimilarityStudent, tmp_path: Path) -> None:
    student.save(tmp_path)
    path = tmp_path / "student.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtifactError, match="its checksum does not fit"):
        SimilarityStudent.load(tmp_path)


@pytest.mark.parametrize(
    ("rows", "recipe", "message"),
    [
        (0, {}, "0 texts, vectors of shape"),
        (3, {"buckets": 100}, "100 buckets; allowed are 0 and the powers of two"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(rows: int, recipe: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trained(["a text"] * rows, np.ones((rows, 4), np.float32), **recipe)
