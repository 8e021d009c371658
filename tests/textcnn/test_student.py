import dataclasses
import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from pingti.errors import ArtifactError, InputError
from textcnn import Architecture, Encoded, MultiScorer, Student, Vocabulary, score_many
from textcnn.fold import Folded, fold, reference_score
from textcnn.network import TextCNN
from textcnn.plain.artifact import LAYOUT, checksum
from textcnn.train import Recipe, train

WIDTHS = st.sets(st.integers(1, 6), min_size=1, max_size=3).map(lambda widths: tuple(sorted(widths)))


def random_texts(rng: np.random.Generator, size: int, n: int) -> Encoded:
    lengths = rng.integers(0, 12, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = rng.integers(1, size, offsets[-1]).astype(np.int32)
    return Encoded(ids, offsets, rng.random(n) > 0.1)


def network_scores(network: TextCNN, texts: Encoded) -> np.ndarray:
    with torch.no_grad():
        return torch.softmax(network.eval()(texts.ids, texts.offsets), dim=1).numpy()


def folded(network: TextCNN) -> Folded:
    arrays = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    names = ("embedding", "filters", "bias", "head.weight", "head.bias", "wide")
    return fold(*(arrays[name] for name in names), network.architecture)


def score(tables: Folded, texts: Encoded, architecture: Architecture) -> np.ndarray:
    positions = architecture.positions * len(tables.step) // len(architecture.widths)
    vocabulary = Vocabulary(["x"], buckets=len(tables.table) // positions - 2)
    classes = [f"class {number}" for number in range(max(2, len(tables.head)))]
    return Student(tables, vocabulary, classes, architecture).score_encoded(texts)


@settings(deadline=None, max_examples=100)
@given(
    WIDTHS, st.sampled_from([1, 9, 32, 65, 128, 161, 260]), st.integers(2, 4), st.sampled_from([0, 64]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_folded_scores_are_the_references_and_near_the_networks(
    widths: tuple[int, ...], filters: int, classes: int, wide: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    architecture = Architecture(embedding=5, filters=filters, widths=widths, wide=wide)
    network = TextCNN(30, classes, architecture, rng)
    with torch.no_grad():
        network.wide.copy_(torch.from_numpy(rng.normal(0, 0.3, (wide, classes)).astype(np.float32)))
        network.bias.copy_(torch.from_numpy(rng.normal(0, 0.3, len(network.bias)).astype(np.float32)))
    texts, tables = random_texts(rng, 30, 25), folded(network)
    scores = score(tables, texts, architecture)
    assert np.allclose(scores, reference_score(tables, texts, widths), atol=1e-5, equal_nan=True)
    assert np.isnan(scores).all(axis=1).tolist() == (~texts.valid).tolist()
    valid = scores[texts.valid]
    assert np.allclose(valid.sum(axis=1), 1.0, atol=1e-5)
    assert np.abs(valid - network_scores(network, texts)[texts.valid]).max(initial=0.0) < 0.01


@settings(deadline=None, max_examples=60)
@given(WIDTHS, st.sampled_from([1e-30, 1e-6, 1.0, 1e6]), st.booleans(), st.integers(0, 2**32))
def test_no_window_sum_can_leave_int16(widths: tuple[int, ...], size: float, equal: bool, seed: int) -> None:
    # All weights of one sign and, where ``equal``, of one size: every window can reach the bound at once.
    rng = np.random.default_rng(seed)
    embedding = np.full((4, 3), size, np.float32) if equal else rng.exponential(size, (4, 3))
    embedding = embedding.astype(np.float32)
    embedding[0] = 0.0
    filters = np.ones((sum(widths), 3, 2), np.float32) if equal else rng.exponential(1.0, (sum(widths), 3, 2))
    filters = (filters * np.array([1.0, -1.0])).astype(np.float32)
    bias = np.zeros(2 * len(widths), np.float32)
    head = np.ones((2, 2 * len(widths)), np.float32)
    shape = Architecture(embedding=3, filters=2, widths=widths)
    no_wide = np.zeros((0, 2), np.float32)
    tables = fold(embedding, filters, bias, head, np.zeros(2, np.float32), no_wide, shape)
    table = tables.table.astype(np.int64).reshape(sum(widths), -1)
    first = 0
    for width in widths:
        block = table[first : first + width].reshape(4, width, -1)[:, :, :2]
        for extreme in (block.max(axis=0).sum(axis=0), block.min(axis=0).sum(axis=0)):
            assert (np.abs(extreme) <= 32767).all()
        # ... and nothing of the range is wasted: the largest possible sum is within rounding of its end.
        assert np.abs(block).max(axis=0).sum(axis=0).min() >= 32767 - 2 * width
        first += width
    texts = Encoded(np.array([1, 2, 3] * 5, np.int32), np.array([0, 15]), np.array([True]))
    assert np.isfinite(score(tables, texts, shape)).all()
    assert np.allclose(score(tables, texts, shape), reference_score(tables, texts, widths), atol=1e-5)


def test_a_filter_of_zeros_and_a_table_of_zeros_fold() -> None:
    shape = Architecture(embedding=2, filters=4, widths=(1, 2))
    zeros = fold(
        np.zeros((3, 2), np.float32), np.zeros((3, 2, 4), np.float32), np.zeros(8, np.float32),
        np.ones((2, 8), np.float32), np.array([0.0, np.log(3.0)], np.float32), np.zeros((0, 2), np.float32),
        shape,
    )  # fmt: skip
    texts = Encoded(np.array([1, 2], np.int32), np.array([0, 2, 2]), np.array([True, True]))
    assert score(zeros, texts, shape) == pytest.approx(np.array([[0.25, 0.75]] * 2))


def test_features_are_what_the_head_sees() -> None:
    rng = np.random.default_rng(1)
    network = TextCNN(30, 3, Architecture(embedding=6, filters=8, widths=(1, 3)), rng)
    texts = random_texts(rng, 30, 40)
    student = Student(folded(network), Vocabulary(["x"], buckets=28), ["a", "b", "c"], network.architecture)
    features = student.features(texts)
    assert features.shape == (40, 16)
    logits = features @ network.head.weight.detach().numpy().T + network.head.bias.detach().numpy()
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert np.allclose(student.score_encoded(texts)[texts.valid], wanted[texts.valid], atol=1e-5)
    assert (features >= 0).all()
    np.testing.assert_allclose(student.network_logits(features), logits, atol=1e-5)


def test_a_wide_part_is_not_in_what_the_network_says_alone() -> None:
    rng = np.random.default_rng(1)
    texts = random_texts(rng, 30, 40)
    for shape in (Architecture(embedding=6, filters=8, widths=(1, 3), wide=wide) for wide in (0, 64)):
        network = TextCNN(30, 2, shape, np.random.default_rng(2))
        if shape.wide:
            network.wide.data[:] = 3.0 * torch.rand(network.wide.shape)
        student = Student(folded(network), Vocabulary(["x"], buckets=28), ["no", "yes"], shape)
        logits = student.network_logits(student.features(texts))
        alone = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        same = np.abs(alone - student.score_encoded(texts)[:, 1])[texts.valid] < 1e-5
        assert same.all() == (shape.wide == 0)


# ---- a trained student, kept and read again


@pytest.fixture(scope="module")
def student(texts: list[str]) -> Student:
    vocabulary = Vocabulary.build(pa.array(texts), size=60, buckets=16)
    targets = np.array([["goal" in text or "coach" in text, True] for text in texts], np.float32)
    targets[:, 1] -= targets[:, 0]
    network = train(
        vocabulary.encode(texts), targets, size=vocabulary.size, rng=np.random.default_rng(0),
        architecture=Architecture(embedding=8, filters=8, widths=(1, 2, 4)),
        recipe=Recipe(epochs=10, learning_rate=1e-2),
    )  # fmt: skip
    trained = Student.from_network(
        network, vocabulary, ["sport", "\u5176\u4ed6"], {"threshold": 0.5, "why": "\u2028"}
    )
    near = trained.score(texts) - network_scores(network, vocabulary.encode(texts))
    assert np.abs(near).max() < 0.01
    assert (trained.score(texts).argmax(axis=1) == targets.argmax(axis=1)).mean() > 0.95
    return trained


def test_a_student_comes_back_as_it_went(student: Student, texts: list[str], tmp_path: Path) -> None:
    student.save(tmp_path)
    again = Student.load(tmp_path)
    assert again.classes == ("sport", "\u5176\u4ed6")
    assert again.metadata == student.metadata == Student.read_metadata(tmp_path)
    assert again.architecture == student.architecture
    assert again.vocabulary.fingerprint == student.vocabulary.fingerprint
    assert again.score(texts).tobytes() == student.score(texts).tobytes()
    # Saving what was loaded, over the files that it is mapped from, gives the same bytes.
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {LAYOUT.json, LAYOUT.tensors}
    assert again.score(texts).tobytes() == student.score(texts).tobytes()
    with pytest.raises(ValueError, match="read-only"):
        again.folded.table[0] = 1


def test_nulls_and_texts_that_are_not_utf8_score_nan(student: Student) -> None:
    scores = student.score(pa.array([b"goal", None, b"\xff", b""]))
    assert np.isnan(scores).any(axis=1).tolist() == [False, True, True, False]
    assert np.array_equal(scores[[0, 3]], student.score(["goal", ""]))
    assert student.score([]).shape == student.score(pa.chunked_array([], pa.string())).shape == (0, 2)


def test_pieces_and_threads_change_nothing(student: Student, texts: list[str]) -> None:
    many = pa.array((texts * 25)[:9001])
    alone = np.concatenate([student.score([text]) for text in texts])
    whole = student.score(many)
    assert whole.tobytes() == np.tile(alone, (25, 1))[:9001].tobytes()
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(student.score, [many, many.slice(5), many, many.slice(5)]))
    assert [part.tobytes() for part in parts] == [whole.tobytes(), whole[5:].tobytes()] * 2


def test_a_text_of_a_megabyte_is_scored_by_its_first_tokens(student: Student) -> None:
    words = "goal \u4e2d market " * 80_000
    assert len(words.encode()) > 1_000_000
    first = "goal \u4e2d market " * 200
    assert student.score([words]).tobytes() == student.score([first]).tobytes()


def damage_cut_json(folder: Path) -> None:
    data = (folder / LAYOUT.json).read_bytes()
    (folder / LAYOUT.json).write_bytes(data[: len(data) // 2])


def damage_tensors(folder: Path, change) -> None:
    data = bytearray((folder / LAYOUT.tensors).read_bytes())
    (folder / LAYOUT.tensors).write_bytes(change(data))


def flip(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 1
    return data


def edit(folder: Path, *, honest: bool, **changes: object) -> None:
    """Change the JSON's keys; ``honest`` brings its checksum up to date."""
    document = json.loads((folder / LAYOUT.json).read_text())
    document.update(changes)
    if honest:
        document["sha256"][LAYOUT.json] = checksum(document)
    (folder / LAYOUT.json).write_text(json.dumps(document))


DAMAGES = {
    "no folder": (lambda f: [path.unlink() for path in f.iterdir()] and f.rmdir(), "no student.json in it"),
    "no json": (lambda f: (f / LAYOUT.json).unlink(), "no student.json in it; a student's folder has one"),
    "no tensors": (
        lambda f: (f / LAYOUT.tensors).unlink(),
        "student.safetensors: not readable: No such file",
    ),
    "json cut": (damage_cut_json, "student.json: not readable as JSON"),
    "json empty": (lambda f: (f / LAYOUT.json).write_bytes(b""), "not readable as JSON"),
    "json not UTF-8": (lambda f: (f / LAYOUT.json).write_bytes(b'{"a": "\xff"}'), "not readable as JSON"),
    "json too deep": (lambda f: (f / LAYOUT.json).write_text("[" * 100_000), "not readable as JSON"),
    "json a list": (lambda f: (f / LAYOUT.json).write_text("[1]"), "no format number in it"),
    "json another's": (lambda f: (f / LAYOUT.json).write_text('{"a": 1}'), "no format number in it"),
    "json a folder": (
        lambda f: ((f / LAYOUT.json).unlink(), (f / LAYOUT.json).mkdir()),
        "student.json: not readable: Is a directory",
    ),
    "a class renamed": (lambda f: edit(f, honest=False, classes=["a", "b"]), "damaged or edited"),
    "a surrogate in it": (lambda f: edit(f, honest=False, classes=["\ud800", "b"]), "damaged or edited"),
    "no checksums": (lambda f: edit(f, honest=False, sha256=None), "damaged or edited"),
    "newer": (lambda f: edit(f, honest=True, format=6), "format 6 is newer than 5, the newest read here"),
    "a class too many": (
        lambda f: edit(f, honest=True, classes=["a", "b", "c"], subclasses=[1, 1, 1]),
        r"not a usable student: student: head has shape \(1, 96\); needed is \(3, 96\)",
    ),
    "no architecture": (lambda f: edit(f, honest=True, architecture={}), "not a usable student"),
    "a word twice": (
        lambda f: edit(f, honest=True, vocabulary={"tokens": ["a", "a"], "buckets": 1, "max_tokens": 1}),
        "not a usable student: vocabulary: every token must be there once",
    ),
    "tensors flipped": (lambda f: damage_tensors(f, flip), "safetensors: its checksum does not fit"),
    "tensors cut": (lambda f: damage_tensors(f, lambda data: data[:-100]), "its checksum does not fit"),
    "tensors empty": (lambda f: damage_tensors(f, lambda data: b""), "its checksum does not fit"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_artifact_is_refused_in_one_sentence(
    student: Student, tmp_path: Path, damage, message: str
) -> None:
    folder = tmp_path / "student"
    student.save(folder)
    damage(folder)
    with pytest.raises(ArtifactError, match=message) as caught:
        Student.load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_the_tensors_are_safetensors_and_aligned(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path)
    read = load_file(tmp_path / LAYOUT.tensors)
    for name, values in vars(student.folded).items():
        assert np.array_equal(read[name], values)
        assert read[name].dtype == values.dtype
    assert Student.load(tmp_path).folded.table.ctypes.data % 64 == 0
    assert student.folded.table.ctypes.data % 64 == 0


def test_a_folder_half_written_is_not_a_student(student: Student, tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("textcnn.student.files.write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        student.save(tmp_path)
    with pytest.raises(ArtifactError, match="no student\\.json in it"):
        Student.load(tmp_path)


def test_numbers_that_do_not_fit_the_vocabulary_are_refused(student: Student) -> None:
    with pytest.raises(InputError, match="table has shape"):
        Student(student.folded, Vocabulary(["a"]), student.classes, student.architecture)


# ---- several students at once


def test_students_asked_together_score_as_each_alone(texts: list[str]) -> None:
    rng = np.random.default_rng(2)
    vocabularies = [Vocabulary.build(pa.array(texts), size=size, buckets=8) for size in (40, 90)]
    shape = Architecture(embedding=6, filters=40, widths=(1, 3), wide=64)
    students = []
    for vocabulary, classes in ((vocabularies[0], 2), (vocabularies[1], 3), (vocabularies[0], 4)):
        network = TextCNN(vocabulary.size, classes, shape, rng)
        with torch.no_grad():
            network.wide.normal_()
        students.append(Student.from_network(network, vocabulary, map(str, range(classes))))
    rows = [*texts, "", None, "goal", "goal"]
    for asked in (rows, pa.array(rows).dictionary_encode(), pa.chunked_array([rows[:7], [], rows[7:]]), []):
        together = score_many(students, asked)
        for student, scores in zip(students, together, strict=True):
            alone = student.score(asked)
            assert scores.shape == alone.shape == (len(asked), len(student.classes))
            assert np.array_equal(scores, alone, equal_nan=True)


@pytest.mark.parametrize("subclasses", [(3, 1, 2), (2, 1), (1, 9), (10, 8)])
def test_a_class_is_worth_the_sum_of_its_subclasses(
    texts: list[str], tmp_path: Path, subclasses: tuple[int, ...]
) -> None:
    vocabulary = Vocabulary.build(pa.array(texts), size=60, buckets=8)
    shape = Architecture(embedding=6, filters=40, widths=(1, 3), wide=64)
    classes = len(subclasses)
    network = TextCNN(vocabulary.size, classes, shape, np.random.default_rng(1), subclasses)
    with torch.no_grad():
        network.wide.normal_()
        network.head.bias.normal_()
    original = Student.from_network(network, vocabulary, map(str, range(classes)), subclasses=subclasses)
    original.save(tmp_path)
    encoded = vocabulary.encode([*texts, ""])
    firsts = np.cumsum([0, *subclasses[:-1]])
    expected = np.add.reduceat(network_scores(network, encoded), firsts, axis=1)
    reference = reference_score(original.folded, encoded, shape.widths, subclasses)
    for student in (original, Student.load(tmp_path)):
        scores = student.score([*texts, "", None])
        assert np.isnan(scores[-1]).all()
        np.testing.assert_allclose(scores[:-1], reference, atol=1e-5)
        np.testing.assert_allclose(scores[:-1], expected, atol=2e-3)
        assert np.nanmax(scores) <= 1.0
    # Beside a student of the same trunk whose classes are undivided.
    whole = dataclasses.replace(
        original.folded,
        head=original.folded.head[:1],
        head_bias=original.folded.head_bias[:1],
        wide=np.ascontiguousarray(original.folded.wide[:, :1]),
    )
    other = Student(whole, vocabulary, ["no", "yes"], shape, trunk=original.trunk)
    first, second, third = score_many([other, original, other], [*texts, "", None])
    np.testing.assert_allclose(second, original.score([*texts, "", None]), atol=1e-6)
    np.testing.assert_allclose(first, other.score([*texts, "", None]), atol=1e-6)
    np.testing.assert_array_equal(first, third)


def test_what_the_network_alone_says_adds_up_over_subclasses(texts: list[str]) -> None:
    vocabulary = Vocabulary.build(pa.array(texts), size=60, buckets=8)
    shape = Architecture(embedding=6, filters=40, widths=(1, 3))
    network = TextCNN(vocabulary.size, 2, shape, np.random.default_rng(1), (3, 2))
    student = Student.from_network(network, vocabulary, ["no", "yes"], subclasses=(3, 2))
    encoded = vocabulary.encode(texts)
    logits = student.network_logits(student.features(encoded))
    odds = student.score_encoded(encoded)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], np.log(odds[:, 1] / odds[:, 0]), atol=1e-4)


def test_an_artifact_of_format_1_had_no_subclasses(
    student: Student, texts: list[str], tmp_path: Path
) -> None:
    student.save(tmp_path)
    path = tmp_path / LAYOUT.json
    document = {**json.loads(path.read_text()), "format": 1}
    del document["subclasses"]
    document["sha256"][LAYOUT.json] = checksum(document)
    path.write_text(json.dumps(document))
    np.testing.assert_array_equal(Student.load(tmp_path).score(texts), student.score(texts))


def test_an_artifact_of_format_2_reads_texts_as_they_are_and_whole(
    student: Student, texts: list[str], tmp_path: Path
) -> None:
    student.save(tmp_path)
    path = tmp_path / LAYOUT.json
    document = {**json.loads(path.read_text()), "format": 2}
    assert document["vocabulary"].pop("normalization") == "nfc"
    document["sha256"][LAYOUT.json] = checksum(document)
    path.write_text(json.dumps(document))
    old = Student.load(tmp_path)
    assert old.score(texts).tobytes() == student.score(texts).tobytes()  # composed already
    assert old.vocabulary.normalization is None
    apart = old.score(["e\u0301a", "\u00e9a"])
    assert apart[0].tobytes() != apart[1].tobytes()


@pytest.mark.parametrize("rows", [2, 40_000])
def test_decomposed_texts_score_as_composed_ones_bit_for_bit(
    student: Student, tmp_path: Path, rows: int
) -> None:
    student.save(tmp_path)
    again = Student.load(tmp_path)
    composed = [f"\u00e9 \ud55c {number} a" for number in range(rows)]
    decomposed = [unicodedata.normalize("NFD", text) for text in composed]
    for array in (pa.array(decomposed), pa.array(decomposed).dictionary_encode()):
        assert again.score(array).tobytes() == again.score(composed).tobytes()
    pair = score_many([again, student], pa.array(decomposed))
    assert [scores.tobytes() for scores in pair] == [student.score(composed).tobytes()] * 2


def test_a_network_of_other_columns_is_refused() -> None:
    shape = Architecture(embedding=4, filters=8, widths=(1,), wide=8)
    network = TextCNN(4, 5, shape, np.random.default_rng(0))
    with pytest.raises(InputError, match="2 classes of 5 columns for a network of 5 classes and 5 columns"):
        Student.from_network(network, Vocabulary(["x"], buckets=2), ["no", "yes"], subclasses=(4, 1))


@pytest.mark.parametrize("subclasses", [[1], [1, 0], [2, 2]])
def test_subclasses_that_do_not_fit_are_refused(student: Student, subclasses: list[int]) -> None:
    with pytest.raises(InputError, match=r"subclasses are|head has shape"):
        Student(
            student.folded, student.vocabulary, student.classes, student.architecture, subclasses=subclasses
        )


@pytest.mark.parametrize("kind", [pa.string(), pa.large_binary(), pa.string_view()])
def test_equal_texts_get_equal_scores_whether_scored_once_or_each_time(
    student: Student, texts: list[str], kind: pa.DataType
) -> None:
    rows = [*texts[:50], None, ""] * 100
    scores = student.score(pa.array(rows, kind))
    assert scores.tobytes() == np.tile(student.score(rows[:52]), (100, 1)).tobytes()


def test_a_shared_trunk_is_trained_for_every_task_and_scored_once(tmp_path: Path) -> None:
    words = ["goal", "match", "code", "chip", "bread", "film"]
    rng = np.random.default_rng(0)
    picked = rng.integers(0, 6, (400, 3))
    texts = [" ".join(words[index] for index in row) for row in picked]
    has = [(picked == index).any(axis=1) for index in range(6)]
    first = np.stack([~has[0], has[0]], axis=1).astype(np.float32)
    second = np.eye(3, dtype=np.float32)[np.where(has[2], 1, np.where(has[3], 2, 0))]
    second[200:] = np.nan  # its teacher was asked about half of the rows
    vocabulary = Vocabulary(words, buckets=2)
    network = train(
        vocabulary.encode(texts), np.hstack([first, second]), size=vocabulary.size, tasks=[2, 3],
        architecture=Architecture(embedding=12, filters=12, widths=(1, 2)),
        rng=np.random.default_rng(1), recipe=Recipe(epochs=30, learning_rate=1e-2),
    )  # fmt: skip
    for number, student in enumerate(Student.family(network, vocabulary, [["no", "yes"], ["x", "y", "z"]])):
        student.save(tmp_path / str(number))
    family = [Student.load(tmp_path / str(number)) for number in range(2)]
    assert family[0].trunk == family[1].trunk
    assert len(MultiScorer(family)._trunks) == 1
    yes, kind = score_many(family, texts)
    assert (yes.argmax(axis=1) == has[0]).mean() > 0.98
    assert (kind.argmax(axis=1)[:200] == second[:200].argmax(axis=1)).mean() > 0.95
    encoded = vocabulary.encode(texts)
    with torch.no_grad():
        logits = network(encoded.ids, encoded.offsets)
    assert np.abs(torch.softmax(logits[:, :2], 1).numpy() - yes).max() < 0.01
    assert np.abs(torch.softmax(logits[:, 2:], 1).numpy() - kind).max() < 0.01


def test_tasks_that_do_not_fit_the_targets_are_refused() -> None:
    vocabulary = Vocabulary(["a"], buckets=2)
    for tasks in ([2, 2], [2, 1]):
        with pytest.raises(InputError, match="3 columns of targets"):
            train(
                vocabulary.encode(["a"]), np.ones((1, 3), np.float32), size=vocabulary.size, tasks=tasks,
                architecture=Architecture(), rng=np.random.default_rng(0),
            )  # fmt: skip
