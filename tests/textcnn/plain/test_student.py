"""The student in plain NumPy scores as the compiled one, and is imported without what that one needs."""

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingti.errors import ArtifactError
from textcnn import Architecture, Student, Vocabulary
from textcnn.encoding import Reach
from textcnn.network import TextCNN
from textcnn.plain.artifact import LAYOUT
from textcnn.plain.student import PlainStudent
from textcnn.plain.vocabulary import PlainVocabulary, token_hash
from textcnn.tokenizer import token_hashes

TEXTS = [
    "the goal match team coach 17",
    "ＡＢＣ，中文标题：很好！",
    "",
    "   ",
    None,
    "e\u0301te\u0301 cafe\u0301 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "x" * 3000,
    "word " * 900,
    "emoji 😀👍🏽 \u200d \U00020000 \U000e0041",
    "tokens neverseen1 neverseen2 天地玄黄",
]


def student_of(
    widths: tuple[int, ...], wide: int, subclasses: list[int], seed: int, *, reach: Reach | None = None
) -> Student:
    rng = np.random.default_rng(seed)
    known = [text for text in TEXTS if text][:5]
    vocabulary = Vocabulary.build(pa.array(known), size=40, buckets=7, max_tokens=50)
    if reach:
        vocabulary = vocabulary.reaching(
            dataclasses.replace(reach, costs=(1, 3) * (len(vocabulary.tokens) // 2))
        )
    architecture = Architecture(embedding=6, filters=20, widths=widths, wide=wide)
    network = TextCNN(vocabulary.size, sum(subclasses), architecture, rng)
    arrays = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    for name in ("wide", "bias", "head.bias"):
        arrays[name][...] = rng.normal(0, 0.4, arrays[name].shape)
    names = [f"class {number}" for number in range(len(subclasses))]
    if sum(subclasses) != len(subclasses):
        network = with_wide_of_classes(network, len(subclasses), rng)
    return Student.from_network(network, vocabulary, names, {"task": "t"}, subclasses)


def with_wide_of_classes(network: TextCNN, classes: int, rng: np.random.Generator) -> TextCNN:
    """A network whose wide part has a column for each class, not for each subclass."""
    import torch

    wide = rng.normal(0, 0.4, (network.architecture.wide, classes)).astype(np.float32)
    network.wide = torch.nn.Parameter(torch.from_numpy(wide))
    return network


@pytest.mark.parametrize("wide", [0, 64])
@pytest.mark.parametrize("subclasses", [[1, 1], [1, 1, 1], [1, 3], [2, 1, 2]])
@settings(max_examples=6)
@given(
    widths=st.sampled_from([(1,), (1, 2, 3), (2, 5)]),
    seed=st.integers(0, 2**32),
    more=st.lists(st.text(max_size=30), max_size=5),
)
def test_scores_are_the_compiled_students(
    widths: tuple[int, ...], wide: int, subclasses: list[int], seed: int, more: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("student")
    student = student_of(widths, wide, subclasses, seed)
    student.save(folder)
    plain = PlainStudent.load(folder)
    assert plain.classes == student.classes
    texts = [*TEXTS, *more]
    wanted = student.score(texts)
    assert np.isnan(wanted[4]).all()
    np.testing.assert_allclose(plain.score(texts), wanted, atol=5e-6)  # as exact as the compiled exponential
    assert np.ptp(wanted[np.isfinite(wanted[:, 0]), 0]) > 0  # texts score differently, or nothing is shown


def test_a_text_is_read_as_far_as_the_teacher_does(tmp_path: Path) -> None:
    reach = Reach(pieces=6, costs=(), unknown=2.5)
    student = student_of((1, 2), 0, [1, 1], 3, reach=reach)
    student.save(tmp_path)
    plain = PlainVocabulary(student.vocabulary.as_document())
    texts = [text for text in TEXTS if text is not None]
    encoded = student.vocabulary.encode(texts)
    ends = encoded.offsets.tolist()
    wanted = [encoded.ids[start:end].tolist() for start, end in itertools.pairwise(ends)]
    assert [plain.encode(text) for text in texts] == wanted
    assert max(map(len, wanted)) <= 6
    np.testing.assert_allclose(PlainStudent.load(tmp_path).score(texts), student.score(texts), atol=3e-6)


def test_half_of_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    student_of((1, 2), 0, [1, 1], 0).save(tmp_path)
    scores = PlainStudent.load(tmp_path).score(["\ud800", "a"])
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1]).all()


def test_tokens_are_hashed_as_the_kernels_do() -> None:
    tokens = ["a", "goal", "天", "😀", "ü" * 40]
    assert [token_hash(token) for token in tokens] == token_hashes(tokens).tolist()


def test_a_damaged_artifact_is_refused(tmp_path: Path) -> None:
    student_of((1, 2), 0, [1, 1], 0).save(tmp_path)
    tensors = tmp_path / LAYOUT.tensors
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="its checksum does not fit"):
        PlainStudent.load(tmp_path)


def test_it_needs_numpy_alone() -> None:
    code = (
        "import sys, textcnn.plain.student; "
        "print([name for name in ('numba', 'pyarrow', 'pydantic', 'fsspec', 'torch') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
