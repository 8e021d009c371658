"""Students that read their classes off one network's columns."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pingti.errors import ArtifactError, InputError
from textcnn import Architecture, Student, Vocabulary, score_many
from textcnn.network import TextCNN
from textcnn.plain.artifact import LAYOUT
from textcnn.plain.student import PlainStudent
from textcnn.readout import Readout, read_off

TEXTS = ["goal match team", "bread garden", "stock market goal", "", "team stock bread", "match"]
GROUPS = (4, 2, 3)
VOCABULARY = Vocabulary.build(pa.array(TEXTS * 3, pa.large_string()), size=40)
TASKS = {
    "sport": (("no", "yes"), Readout(groups=GROUPS, group=0, class_of=(0, 1, 0, 1))),
    "theme": (("a", "b", "c", "d"), Readout(groups=GROUPS, group=0, class_of=(0, 1, 2, 3))),
    "angry": (("no", "yes"), Readout(groups=GROUPS, group=1, class_of=(1, 0))),
    "long": (("no", "yes"), Readout(groups=GROUPS, group=2, class_of=(1, 0, 1))),
}


@pytest.fixture(params=[0, 64], ids=["without a wide part", "with one"])
def network(request: pytest.FixtureRequest) -> TextCNN:
    rng = np.random.default_rng(7)
    shape = Architecture(embedding=8, filters=6, widths=(1, 2), wide=request.param)
    network = TextCNN(VOCABULARY.size, sum(GROUPS), shape, rng)
    network.add_wide(
        rng.normal(size=(request.param, sum(GROUPS))).astype(np.float32),
        rng.normal(size=sum(GROUPS)).astype(np.float32),
    )
    return network.eval()


@pytest.fixture
def family(network: TextCNN) -> dict[str, Student]:
    return Student.reading(network, VOCABULARY, TASKS)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_classes_are_the_sums_of_their_columns(network: TextCNN, family: dict[str, Student]) -> None:
    encoded = VOCABULARY.encode(TEXTS)
    logits = network(encoded.ids, encoded.offsets).detach().numpy()
    four, two, three = softmax(logits[:, :4]), softmax(logits[:, 4:6]), softmax(logits[:, 6:])
    wanted = {
        "sport": np.stack([four[:, 0] + four[:, 2], four[:, 1] + four[:, 3]], axis=1),
        "theme": four,
        "angry": two[:, ::-1],
        "long": np.stack([three[:, 1], three[:, 0] + three[:, 2]], axis=1),
    }
    for name, student in family.items():
        # The tables are int16.
        np.testing.assert_allclose(student.score(TEXTS), wanted[name], atol=2e-3)
        features = student.features(encoded)
        if not student.architecture.wide:
            alone = softmax(student.network_logits(features))
            np.testing.assert_allclose(alone, student.score(TEXTS), atol=1e-5)


def test_one_pass_gives_what_each_gives_alone_and_computes_one_head(family: dict[str, Student]) -> None:
    from textcnn.multi_scorer import MultiScorer

    scorer = MultiScorer(list(family.values()))
    (trunk,) = scorer._trunks
    assert trunk.columns == sum(GROUPS)  # not once for each task
    for scores, student in zip(scorer.score([*TEXTS, None]), family.values(), strict=True):
        np.testing.assert_array_equal(scores[:-1], student.score(TEXTS))
        assert np.isnan(scores[-1]).all()


def test_a_family_beside_a_student_of_another_network(family: dict[str, Student]) -> None:
    rng = np.random.default_rng(8)
    own = family["sport"]
    network = TextCNN(own.vocabulary.size, 2, own.architecture, rng, [2, 1]).eval()
    other = Student.from_network(network, own.vocabulary, ["x", "y"], subclasses=[2, 1])
    together = score_many([family["long"], other, family["angry"]], TEXTS)
    for scores, student in zip(together, [family["long"], other, family["angry"]], strict=True):
        np.testing.assert_array_equal(scores, student.score(TEXTS))


def test_artifacts_of_a_family_are_one_file_of_tensors(tmp_path: Path, family: dict[str, Student]) -> None:
    family["sport"].save(tmp_path / "sport")
    for name in ("theme", "angry", "long"):
        family[name].save_beside(tmp_path / name, tmp_path / "sport")
    inodes = {(tmp_path / name / LAYOUT.tensors).stat().st_ino for name in family}
    assert len(inodes) == 1
    loaded = {name: Student.load(tmp_path / name) for name in family}
    assert len({student.network for student in loaded.values()}) == 1
    for name, student in loaded.items():
        np.testing.assert_array_equal(student.score(TEXTS), family[name].score(TEXTS))
        np.testing.assert_allclose(
            PlainStudent.load(tmp_path / name).score(TEXTS), family[name].score(TEXTS), atol=5e-6
        )
        assert json.loads((tmp_path / name / LAYOUT.json).read_text())["format"] == 4


def test_a_student_is_not_saved_beside_one_of_another_network(
    tmp_path: Path, family: dict[str, Student]
) -> None:
    own = family["sport"]
    network = TextCNN(own.vocabulary.size, 2, own.architecture, np.random.default_rng(8)).eval()
    Student.from_network(network, own.vocabulary, ["x", "y"]).save(tmp_path / "other")
    with pytest.raises(InputError, match="reads another network"):
        own.save_beside(tmp_path / "sport", tmp_path / "other")


def test_what_has_no_readout_stays_readable_by_what_knows_of_none(
    tmp_path: Path, family: dict[str, Student]
) -> None:
    own = family["sport"]
    network = TextCNN(own.vocabulary.size, 2, own.architecture, np.random.default_rng(8)).eval()
    Student.from_network(network, own.vocabulary, ["x", "y"]).save(tmp_path)
    assert json.loads((tmp_path / LAYOUT.json).read_text())["format"] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": (4,), "group": 1, "class_of": (0, 1, 0, 1)},
        {"groups": (4,), "group": 0, "class_of": (0, 1, 0)},
        {"groups": (4,), "group": 0, "class_of": (0, 2, 0, 2)},
        {"groups": (4, 1), "group": 0, "class_of": (0, 1, 0, 1)},
    ],
)
def test_a_readout_that_does_not_fit_is_refused(
    wrong: dict[str, tuple[int, ...]], tmp_path: Path, family: dict[str, Student]
) -> None:
    with pytest.raises(InputError, match="group"):
        Readout(**wrong)  # type: ignore[arg-type]
    family["sport"].save(tmp_path)
    document = json.loads((tmp_path / LAYOUT.json).read_text())
    from textcnn.plain.artifact import checksum

    document["readout"] = {key: list(value) if key != "group" else value for key, value in wrong.items()}
    document["sha256"][LAYOUT.json] = checksum(document)
    (tmp_path / LAYOUT.json).write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="not a usable student"):
        Student.load(tmp_path)


def test_sums_of_many_rows_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random((1000, 7)).astype(np.float32) / 7
    readout = Readout(groups=(3, 4), group=1, class_of=(1, 0, 1, 1))
    plain = Readout(groups=(3, 4), group=0, class_of=(0, 1, 2))
    sums, same = read_off(scores, [readout, plain])
    wanted = np.stack([scores[:, 4], scores[:, [3, 5, 6]].sum(axis=1)], axis=1)
    np.testing.assert_allclose(sums, wanted, rtol=1e-6)
    assert same.base is scores


def test_a_damaged_file_is_refused_though_it_is_in_use_under_another_name(
    tmp_path: Path, family: dict[str, Student]
) -> None:
    family["sport"].save(tmp_path / "sport")
    family["theme"].save_beside(tmp_path / "theme", tmp_path / "sport")
    loaded = Student.load(tmp_path / "sport")
    again = Student.load(tmp_path / "theme")
    assert again.folded.table.ctypes.data == loaded.folded.table.ctypes.data  # one copy
    tensors = tmp_path / "theme" / LAYOUT.tensors
    data = tensors.read_bytes()
    tensors.unlink()
    tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="checksum does not fit"):
        Student.load(tmp_path / "theme")
