"""The one rule by which a teacher's outputs become a decision."""

from pathlib import Path

import numpy as np
import pytest

from pingti.errors import DefinitionError
from pingti.workspace.definition import TeacherSection
from replacement.decision import DecisionRule, guesses, make_rule

# Of 15 labels the likeliest is the yes; all the others together outweigh it.
FOLDED = np.array([[0.30] + [0.05] * 14, [0.10, 0.20] + [0.70 / 13] * 13], np.float32)
CLASS_OF = (1,) + (0,) * 14
LABELS = tuple(f"l{number}" for number in range(15))


def folded(**changes: object) -> DecisionRule:
    values = {"labels": LABELS, "class_of": CLASS_OF, "classes": 2, **changes}
    return DecisionRule(**values)  # type: ignore[arg-type]


def test_the_likeliest_labels_class_is_decided_and_the_sum_is_an_option() -> None:
    assert folded().read(FOLDED)[1].argmax(axis=1).tolist() == [1, 0]
    summed = folded(decide="sum").read(FOLDED)
    assert summed[1].argmax(axis=1).tolist() == [0, 0]
    np.testing.assert_array_equal(summed[0], FOLDED)
    np.testing.assert_allclose(summed[1][:, 1], FOLDED[:, 0])
    np.testing.assert_allclose(folded().read(FOLDED)[1][0], [0.05 / 0.35, 0.30 / 0.35], rtol=1e-6)


def test_what_a_student_learns_adds_up_to_the_decision() -> None:
    rng = np.random.default_rng(0)
    outputs = rng.dirichlet(np.full(15, 0.5), 400).astype(np.float32)
    class_of = tuple(rng.permutation([0] * 9 + [1] * 4 + [2] * 2).tolist())
    labels, probabilities = folded(class_of=class_of, classes=3).read(outputs)
    likeliest = np.asarray(class_of)[outputs.argmax(axis=1)]
    np.testing.assert_array_equal(probabilities.argmax(axis=1), likeliest)
    sums = np.stack([labels[:, np.equal(class_of, c)].sum(axis=1) for c in range(3)], axis=1)
    np.testing.assert_allclose(sums, probabilities, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    # Within a class a label keeps its part.
    own = np.equal(class_of, 0)
    expected = outputs[:, own] / outputs[:, own].sum(axis=1, keepdims=True) * probabilities[:, :1]
    np.testing.assert_allclose(labels[:, own], expected, rtol=1e-4, atol=1e-6)


def test_labels_that_are_classes_are_left_to_the_last_bit() -> None:
    outputs = np.random.default_rng(1).dirichlet([1, 1, 1], 50).astype(np.float32)
    labels, probabilities = folded(labels=LABELS[:3], class_of=(2, 0, 1), classes=3).read(outputs)
    assert labels is outputs
    np.testing.assert_array_equal(probabilities, outputs[:, [1, 2, 0]])


@pytest.mark.parametrize(("decide", "expected"), [("label", [1, 0, 0, 1]), ("sum", [1, 1, 0, 1])])
def test_a_threshold_is_compared_with_the_score_of_the_second_class(decide: str, expected: list[int]) -> None:
    outputs = np.array([[0.35, 0.0, 0.65], [0.2, 0.2, 0.6], [0.17, 0.17, 0.66], [0.0, 1.0, 0.0]], np.float32)
    rule = folded(labels=LABELS[:3], class_of=(1, 1, 0), decide=decide, threshold=0.35)
    labels, probabilities = rule.read(outputs)
    assert probabilities.argmax(axis=1).tolist() == expected
    np.testing.assert_allclose(labels.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(probabilities[3], [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("threshold", [0.05, 0.35, 0.5, 0.9])
def test_at_the_threshold_is_yes_and_just_below_it_no(threshold: float) -> None:
    at = np.float32(threshold)
    scores = np.array([at, np.nextafter(at, np.float32(0))], np.float32)
    outputs = np.stack([1 - scores, scores], axis=1)
    rule = folded(labels=LABELS[:2], class_of=(0, 1), threshold=threshold)
    assert rule.read(outputs)[1].argmax(axis=1).tolist() == [1, 0]


def test_labels_of_two_classes_that_are_level_are_decided_by_the_first() -> None:
    outputs = np.array([[0.2, 0.4, 0.4], [0.4, 0.4, 0.2]], np.float32)
    rule = folded(labels=LABELS[:3], class_of=(0, 1, 0))
    assert rule.read(outputs)[1].argmax(axis=1).tolist() == [1, 0]


def rule(
    labels: list[str], classes: list[str], *, independent: bool = True, **section: object
) -> DecisionRule:
    teacher = TeacherSection(model="m", **section)  # type: ignore[arg-type]
    return make_rule(labels, independent, classes, teacher, Path("task.toml"))


def test_one_output_of_several_is_read_by_itself() -> None:
    outputs = np.array([[0.9, 0.5, 0.2], [0.9, 0.49, 0.99]], np.float32)
    picked = rule(["delivery", "taste", "price"], ["no", "yes"], label="taste")
    labels, probabilities = picked.read(outputs)
    np.testing.assert_allclose(probabilities, [[0.5, 0.5], [0.51, 0.49]], atol=1e-5)
    np.testing.assert_allclose(labels, probabilities)
    assert probabilities.argmax(axis=1).tolist() == [1, 0]
    assert picked.described(["no", "yes"]) == {
        "map": {"taste": "yes"}, "label": "taste", "decide": "label", "threshold": None,
    }  # fmt: skip


def test_which_class_one_output_stands_for() -> None:
    outputs = np.array([[0.9]], np.float32)

    def decided(label: str, **section: object) -> int:
        return int(rule([label], ["no", "yes"], **section).read(outputs)[1].argmax())

    assert decided("LABEL_0") == 1
    assert decided("no") == 0
    assert decided("LABEL_0", map={"LABEL_0": "no"}) == 0
    assert decided("LABEL_0", threshold=0.95) == 0
    teacher = TeacherSection(model="m")
    (note,) = guesses(["LABEL_0"], True, ["no", "yes"], teacher)
    assert "LABEL_0 has no name and was taken for the probability of 'yes'" in note
    assert guesses(["no"], True, ["no", "yes"], teacher) == ()


@pytest.mark.parametrize(
    ("labels", "classes", "section", "message"),
    [
        (["a", "b"], ["no", "yes"], {}, "teacher.label says which one"),
        (["a", "b"], ["no", "yes"], {"label": "c"}, "no label 'c'; the teacher has a, b"),
        (["a", "b"], ["x", "y", "z"], {"label": "a"}, "decides tasks of two classes"),
        (["a", "b"], ["no", "yes"], {"label": "a", "map": {"b": "yes"}}, "asks the model for 'a' alone"),
        (["spam"], ["no", "yes"], {}, "are not the teacher's label, spam"),
    ],
)
def test_what_does_not_fit_outputs_of_their_own_is_one_sentence(
    labels: list[str], classes: list[str], section: dict[str, object], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        rule(labels, classes, **section)
    with pytest.raises(DefinitionError, match="of this model's labels one holds"):
        rule(["a", "b"], ["a", "b"], independent=False, label="a")
