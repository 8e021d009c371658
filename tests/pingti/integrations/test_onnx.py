"""A student in ONNX Runtime scores as it does here, but for the rounding of float32."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.texts import made_texts
from textcnn import Architecture, Student, Vocabulary


@pytest.mark.parametrize("wide", [0, 64])
@pytest.mark.parametrize("subclasses", [(1, 1), (2, 1), (1, 1, 1), (1, 3, 2)])
def test_onnx_runtime_gives_the_students_scores_on_10_000_texts(
    tmp_path: Path, subclasses: tuple[int, ...], wide: int
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: extra onnx")
    from pingti.integrations.onnx import export, inputs
    from textcnn.network import TextCNN

    texts = ["", "goal", "goal match", *made_texts(9_997)[0]]
    vocabulary = Vocabulary.build(pa.array(texts), size=60, buckets=16)
    rng = np.random.default_rng(0)
    shape = Architecture(embedding=8, filters=20, widths=(1, 2, 4), wide=wide)
    network = TextCNN(vocabulary.size, len(subclasses), shape, rng, subclasses)
    network.add_wide(rng.normal(size=(wide, len(subclasses))).astype(np.float32), np.zeros(len(subclasses)))
    names = [str(number) for number in range(len(subclasses))]
    student = Student.from_network(network, vocabulary, names, subclasses=subclasses)
    export(student, tmp_path / "student.onnx")
    session = runtime.InferenceSession(tmp_path / "student.onnx", providers=["CPUExecutionProvider"])
    encoded = vocabulary.encode(texts)
    (scores,) = session.run(["probabilities"], inputs(student, encoded))
    wanted = student.score(texts)
    assert np.abs(scores - wanted).max() < 1e-4
    assert np.ptp(wanted[:, 0]) > 0.1
