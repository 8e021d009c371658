"""A student in ONNX Runtime scores as it does here, but for the rounding of float32."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.support.texts import made_texts
from textcnn import Architecture, Student, Vocabulary
from textcnn.readout import Readout

TEXTS = ["", "goal", "goal match", *made_texts(9_997)[0]]
VOCABULARY = Vocabulary.build(pa.array(TEXTS), size=60, buckets=16)


def made_network(wide: int, classes: int, subclasses: tuple[int, ...] | None = None) -> Any:
    """A random network of some classes; torch is loaded here."""
    from textcnn.network import TextCNN

    rng = np.random.default_rng(0)
    shape = Architecture(embedding=8, filters=20, widths=(1, 2, 4), wide=wide)
    network = TextCNN(VOCABULARY.size, classes, shape, rng, subclasses)
    network.add_wide(rng.normal(size=(wide, classes)).astype(np.float32), np.zeros(classes))
    return network


def check_scores(student: Student, path: Path) -> None:
    """The exported student's scores are this one's on all texts."""
    pytest.importorskip("onnx", reason="onnx is not installed: extra onnx")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: extra onnx")
    from pingti.integrations.onnx import export, inputs

    export(student, path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["probabilities"], inputs(student, VOCABULARY.encode(TEXTS)))
    wanted = student.score(TEXTS)
    assert np.abs(scores - wanted).max() < 1e-4
    assert np.ptp(wanted[:, 0]) > 0.1


@pytest.mark.parametrize("wide", [0, 64])
@pytest.mark.parametrize("subclasses", [(1, 1), (2, 1), (1, 1, 1), (1, 3, 2)])
def test_onnx_runtime_gives_the_students_scores_on_10_000_texts(
    tmp_path: Path, subclasses: tuple[int, ...], wide: int
) -> None:
    network = made_network(wide, len(subclasses), subclasses)
    names = [str(number) for number in range(len(subclasses))]
    student = Student.from_network(network, VOCABULARY, names, subclasses=subclasses)
    check_scores(student, tmp_path / "student.onnx")


@pytest.mark.parametrize("wide", [0, 64])
@pytest.mark.parametrize("group", [0, 1])
def test_a_student_of_a_family_is_exported_with_what_it_reads(tmp_path: Path, wide: int, group: int) -> None:
    class_of = ((0, 1, 1, 0), (1, 0))[group]
    readout = Readout(groups=(4, 2), group=group, class_of=class_of)
    family = Student.reading(made_network(wide, 6), VOCABULARY, {"task": (("no", "yes"), readout)})
    check_scores(family["task"], tmp_path / "student.onnx")


@pytest.mark.parametrize("classes", [2, 3])
def test_a_bag_of_ngrams_is_exported_with_its_buckets_alone(tmp_path: Path, classes: int) -> None:
    rng = np.random.default_rng(0)
    table, bias = rng.normal(size=(64, classes)), rng.normal(size=classes)
    names = [str(number) for number in range(classes)]
    student = Student.of_ngrams(table.astype(np.float32), bias.astype(np.float32), VOCABULARY, names)
    check_scores(student, tmp_path / "student.onnx")
