import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pingti.errors import ArtifactError
from textcnn import Architecture, Student, Vocabulary
from textcnn.encoding import Encoded
from textcnn.fold import reference_score
from textcnn.network import TextCNN
from textcnn.plain.characters import tokenize
from textcnn.train import Recipe, train

SENTENCES = ["The match, the goal", "谁在表扬单上", "a chip 42", "", "Ｆｕｌｌ　ｗｉｄｔｈ", "goal goal"]
unicode_texts = st.lists(st.text(max_size=30), max_size=8)


def ids_of(vocabulary: Vocabulary, encoded: Encoded, row: int) -> list[int]:
    return encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]].tolist()


def student(classes: int = 2, seed: int = 0) -> tuple[TextCNN, Student]:
    vocabulary = Vocabulary.build(pa.array(SENTENCES), size=50, buckets=8)
    network = TextCNN(
        vocabulary.size, classes, Architecture(embedding=8, filters=6), np.random.default_rng(seed)
    )
    network.eval()
    return network, Student.from_network(network, vocabulary, [str(c) for c in range(classes)])


@settings(max_examples=150, deadline=None)
@given(unicode_texts)
def test_the_kernel_finds_the_tokens_of_the_readable_reference(texts: list[str]) -> None:
    tokens = sorted({token for text in texts for token in tokenize(text)})
    vocabulary = Vocabulary(tokens, buckets=3)
    encoded = vocabulary.encode(texts)
    for row, text in enumerate(texts):
        assert [vocabulary.tokens[i - 1] for i in ids_of(vocabulary, encoded, row)] == tokenize(text)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), min_size=2, max_size=9))
def test_every_arrow_layout_gives_the_same_ids(texts: list[str | None]) -> None:
    vocabulary = Vocabulary(["a", "b"], buckets=4)
    plain = vocabulary.encode(pa.array(texts, pa.large_string()))
    layouts = [
        pa.array(texts, pa.string()),
        pa.array(texts, pa.string_view()),
        pa.array(texts, pa.string()).cast(pa.binary()),
        pa.array(texts, pa.string()).dictionary_encode(),
        pa.chunked_array([texts[:1], texts[1:]], pa.string()),
        pa.array(["x", *texts, "y"], pa.string()).slice(1, len(texts)),
    ]
    for layout in layouts:
        encoded = vocabulary.encode(layout)
        assert encoded.ids.tolist() == plain.ids.tolist()
        assert encoded.offsets.tolist() == plain.offsets.tolist()
        assert encoded.valid.tolist() == [text is not None for text in texts]


@pytest.mark.parametrize(
    "bad", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xf5\x80\x80\x80"]
)
def test_bytes_that_are_not_utf8_are_marked_and_scored_as_nan(bad: bytes) -> None:
    _, trained = student()
    scores = trained.score(pa.array([b"goal", bad, b"goal"], pa.binary()))
    assert np.isnan(scores).all(axis=1).tolist() == [False, True, False]


def plain_logits(network: TextCNN, encoded: Encoded) -> torch.Tensor:
    """The network as Kim (2014) writes it: one convolution per width, text by text."""
    rows, first, features = len(encoded), 0, []
    for width in network.architecture.widths:
        kernel = network.filters[first : first + width].permute(2, 1, 0)
        first += width
        pooled = []
        for row in range(rows):
            ids = encoded.ids[encoded.offsets[row] : encoded.offsets[row + 1]].tolist()
            ids += [0] * (width - len(ids))
            embedded = network.embedding[ids].T[None]
            pooled.append(torch.nn.functional.conv1d(embedded, kernel).amax(dim=2)[0])
        features.append(torch.stack(pooled))
    return network.head(torch.relu(torch.cat(features, dim=1) + network.bias))


def test_scores_and_gradients_equal_those_of_plain_convolutions() -> None:
    network, trained = student(classes=3)
    encoded = trained.vocabulary.encode(SENTENCES)
    fast, plain = network(encoded.ids, encoded.offsets), plain_logits(network, encoded)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
    parameters = [network.embedding, network.filters, network.bias]
    fast_gradients = torch.autograd.grad(fast.square().sum(), parameters)
    for mine, theirs in zip(
        fast_gradients, torch.autograd.grad(plain.square().sum(), parameters), strict=True
    ):
        mine, theirs = mine.clone(), theirs.clone()
        if mine.shape == network.embedding.shape:
            mine[0] = theirs[0] = 0.0  # padding is not trained
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(unicode_texts)
def test_folded_scores_equal_the_reference_and_the_network(texts: list[str]) -> None:
    network, trained = student()
    encoded = trained.vocabulary.encode(texts)
    scores = trained.score(texts)
    assert scores.shape == (len(texts), 2)
    np.testing.assert_allclose(scores, reference_score(trained.folded, encoded, (2, 3, 4)), atol=1e-5)
    with torch.inference_mode():
        exact = torch.softmax(network(encoded.ids, encoded.offsets), dim=1).numpy()
    np.testing.assert_allclose(scores, exact, atol=0.01)


def test_no_window_sum_can_leave_int16() -> None:
    trained = student()[1]
    table = trained.folded.table.astype(np.int64).reshape(9, -1)
    first = 0
    for width in (2, 3, 4):
        block = table[first : first + width].reshape(trained.vocabulary.size, width, -1)
        bound = np.abs(block).max(axis=0).sum(axis=0)
        assert bound.max() <= 32767
        assert bound.max() > 30000  # and the range is used
        first += width


def test_training_learns_and_one_seed_gives_one_network() -> None:
    vocabulary = Vocabulary(["good", "bad", "x"], buckets=2)
    texts = ["good x x", "x bad x"] * 40
    targets = np.tile(np.eye(2, dtype=np.float32), (40, 1))
    students = []
    threads = torch.get_num_threads()
    for _ in range(2):
        network = train(
            vocabulary.encode(texts), targets, size=vocabulary.size,
            architecture=Architecture(embedding=8, filters=8, widths=(1, 2)),
            rng=np.random.default_rng(3), recipe=Recipe(epochs=80, learning_rate=1e-2),
        )  # fmt: skip
        students.append(Student.from_network(network, vocabulary, ["bad", "good"]))
    assert torch.get_num_threads() == threads
    scores = students[0].score(["x good", "bad"])
    assert scores[0, 0] > 0.9
    assert scores[1, 1] > 0.9
    assert scores.tobytes() == students[1].score(["x good", "bad"]).tobytes()


def test_a_saved_student_scores_as_before(tmp_path: Path) -> None:
    trained = student()[1]
    trained.save(tmp_path)
    assert Student.load(tmp_path).score(SENTENCES).tobytes() == trained.score(SENTENCES).tobytes()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "student.json").unlink(), "no student.json"),
        (lambda folder: (folder / "student.json").write_text("{"), "not readable as JSON"),
        (lambda folder: (folder / "student.safetensors").write_bytes(b"x"), "checksum"),
        (lambda folder: (folder / "student.safetensors").unlink(), "not readable"),
    ],
)
def test_a_damaged_artifact_is_refused(tmp_path: Path, harm: object, message: str) -> None:
    student()[1].save(tmp_path)
    harm(tmp_path)  # type: ignore[operator]
    with pytest.raises(ArtifactError, match=message):
        Student.load(tmp_path)


def test_an_edited_and_a_newer_artifact_are_refused(tmp_path: Path) -> None:
    student()[1].save(tmp_path)
    path = tmp_path / "student.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "classes": ["1", "0"]}))
    with pytest.raises(ArtifactError, match="damaged or edited"):
        Student.load(tmp_path)
    path.write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99 is newer"):
        Student.load(tmp_path)
