"""A transformer student: its scores, its artifact, and what it says of what is missing or damaged."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pingti.errors import ArtifactError, InputError, UnavailableError
from pingti.inference.classifier import Classifier
from pingti.students import Scorer, load_student, student_files
from pingti.students.pieces import batches
from pingti.students.transformer import Shape, TransformerStudent
from pingti.workspace.registry import Workspace
from tests.support.texts import made_texts
from tests.support.transformers import needs_runtime, random_student, with_transformer
from textcnn import Student


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> TransformerStudent:
    needs_runtime()
    return random_student(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [*made_texts(60, seed=4)[0], "", "word " * 100, "体育"]


def test_what_is_said_of_a_text_does_not_depend_on_its_neighbours(
    student: TransformerStudent, texts: list[str]
) -> None:
    together = student.score(texts)
    assert together.dtype == np.float32
    assert together.shape == (len(texts), 3)
    np.testing.assert_allclose(together.sum(axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([student.score([text]) for text in texts])
    # A scale taken from the batch would move these by some hundredths.
    np.testing.assert_allclose(alone, together, atol=2e-3)
    assert np.ptp(together, axis=0).min() > 0.02  # different texts get different answers


def test_what_is_no_text_has_no_scores(student: TransformerStudent) -> None:
    some = pa.array([b"a goal", None, b"\xff\xfe", b"", b"a bread"], pa.binary())
    scores = student.score(some)
    assert np.isnan(scores).any(axis=1).tolist() == [False, True, True, False, False]
    np.testing.assert_array_equal(scores[[0, 3, 4]], student.score(["a goal", "", "a bread"]))
    assert student.score([]).shape == (0, 3)
    assert np.isnan(student.score([None, float("nan")])).all()  # type: ignore[list-item]
    with pytest.raises(InputError, match="every one must be a string or None"):
        student.score([7])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_form_of_texts_is_read(
    student: TransformerStudent, texts: list[str], kind: pa.DataType
) -> None:
    chunked = pa.chunked_array([pa.array(texts[:9]).cast(kind), pa.array(texts[9:]).cast(kind)])
    np.testing.assert_array_equal(student.score(chunked), student.score(texts))


def test_encoded_texts_can_be_taken_in_any_order(student: TransformerStudent, texts: list[str]) -> None:
    encoded = student.encode([*texts[:5], None, texts[5]])
    taken = encoded.take(np.array([6, 5, 0]))
    assert taken.valid.tolist() == [True, False, True]
    wanted = student.score([texts[5], None, texts[0]])
    np.testing.assert_array_equal(student.score_encoded(taken), wanted)
    assert np.diff(student.encode(["word " * 100]).offsets).tolist() == [student.max_length]


def test_threads_score_as_one_does(student: TransformerStudent, texts: list[str]) -> None:
    with ThreadPoolExecutor(4) as threads:
        many = list(threads.map(student.score, [texts] * 8))
    for scores in many:
        np.testing.assert_array_equal(scores, many[0])


def test_an_artifact_is_read_as_it_was_written(
    student: TransformerStudent, texts: list[str], tmp_path: Path
) -> None:
    student.metadata["note"] = "kept"
    student.save(tmp_path)
    assert student_files(tmp_path) == ("model.onnx", "tokenizer.json", "student.json")
    document = json.loads((tmp_path / "student.json").read_text())
    assert (document["format"], document["kind"]) == (5, "transformer")
    loaded = load_student(tmp_path)
    assert (loaded.kind, loaded.classes, loaded.metadata["note"]) == ("transformer", student.classes, "kept")
    np.testing.assert_array_equal(loaded.score(texts), student.score(texts))
    assert loaded.cost(10.0) == student.cost(10.0)
    with pytest.raises(ArtifactError, match="a student of kind 'transformer', neither a TextCNN"):
        Student.load(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_or_missing_file_is_named(student: TransformerStudent, tmp_path: Path, name: str) -> None:
    student.save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name}: its checksum does not fit"):
        load_student(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name}: not readable"):
        load_student(tmp_path)


def test_parts_that_do_not_fit_are_refused(student: TransformerStudent) -> None:
    common = {"shape": student.shape, "max_length": 32}
    with pytest.raises(InputError, match="2 classes for a model of 3"):
        TransformerStudent(student.model, student.tokenizer, ("no", "yes"), **common)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="its model is none that ONNX Runtime reads"):
        TransformerStudent(b"nothing", student.tokenizer, student.classes, **common)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="its tokenizer cannot be read"):
        TransformerStudent(student.model, "{}", student.classes, **common)  # type: ignore[arg-type]


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_a_missing_package_is_named_with_its_extra(
    student: TransformerStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    student.save(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnavailableError, match=rf"needs the package {package} .* extra 'transformer'"):
        load_student(tmp_path)


def test_a_job_asks_students_of_both_kinds(
    workspace: Workspace, student: TransformerStudent, texts: list[str]
) -> None:
    folded = Student.load(workspace.task("sport").student_folder(1))
    with_transformer(workspace, student)
    first, second = Scorer([student, folded]).score(texts)
    np.testing.assert_array_equal(first, student.score(texts))
    np.testing.assert_array_equal(second, folded.score(texts))
    decided = Classifier.of(workspace, ["topic", "sport"]).classify(texts)
    wanted = [student.classes[number] for number in first.argmax(axis=1)]
    assert decided.column("topic").to_pylist() == wanted


def test_a_folder_with_a_card_goes_there_and_back(student: TransformerStudent, tmp_path: Path) -> None:
    student.save_pretrained(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "A transformer student of Pingti" in card
    assert "pingti.students.transformer.TransformerStudent.from_pretrained" in card
    again = TransformerStudent.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.score(["a goal"]), student.score(["a goal"]))


def test_multiplications_are_those_of_a_worked_example() -> None:
    shape = Shape(layers=2, hidden=4, intermediate=8, heads=2, columns=3)
    # Whole layer, 5 tokens: 4 matrices 4 x 4 and two 4 x 8 for each, and twice 5 x 5 x 4 for attention.
    whole = 5 * (4 * 16 + 64) + 2 * 25 * 4
    # Last layer: keys and values of 5 tokens; query, output and feed-forward of one; attention of one.
    last = 2 * 5 * 16 + 2 * 16 + 64 + 2 * 5 * 4
    assert shape.multiplications(5) == whole + last + 16 + 12


def test_batches_hold_texts_of_like_length_and_every_text_once() -> None:
    lengths = np.array([3, 0, 9, 3, 4, 1, 0, 30])
    made = [rows.tolist() for rows in batches(lengths, 10)]
    assert made == [[5, 0, 3], [4], [2], [7]]
    for rows in made:
        assert lengths[rows].max() * len(rows) <= 10 or len(rows) == 1
