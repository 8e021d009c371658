"""Names of tasks that are made from a model's labels."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from pingti.errors import DefinitionError, InputError
from pingti.workspace.definition import NAME
from replacement.tasks_of_model import definitions, named_labels


def _named(labels: list[str], *wanted: str, prefix: str = "", taken: Sequence[str] = ()) -> dict[str, str]:
    return named_labels(Path("m"), labels, wanted, prefix=prefix, taken=taken)


def test_names_are_safe_and_unique() -> None:
    labels = ["Late delivery", "late-delivery", "体育", "体 b", "3", "id", "x" * 90]
    names = _named(labels, "all")
    assert list(names.values()) == [
        "late_delivery", "late_delivery_2", "label_2", "label_3", "label_4", "label_id", "x" * 63,
    ]  # fmt: skip
    assert all(NAME.fullmatch(name) for name in names.values())
    assert _named(labels, "体育", prefix="topic_") == {"体育": "topic_label_2"}
    with pytest.raises(InputError, match="--prefix 'A/'"):
        _named(labels, "体育", prefix="A/")


def test_labels_are_chosen_by_name() -> None:
    assert list(_named(["a", "b", "c"], "c, a")) == ["c", "a"]
    assert list(_named(["a", "b", "c"], "c", "a")) == ["c", "a"]
    assert list(_named(["a", "b"], "all")) == ["a", "b"]
    assert list(_named(["food, drinks", "b"], "food, drinks")) == ["food, drinks"]


def test_a_label_gets_the_name_that_is_given_to_it() -> None:
    labels = ["体育", "财经", "late", "food, tea", "a=b"]
    assert _named(labels, "体育=sport", "财经=finance") == {"体育": "sport", "财经": "finance"}
    assert _named(labels, "体育=sport,财经=finance,late") == {
        "体育": "sport", "财经": "finance", "late": "late",
    }  # fmt: skip
    # A name that is given stands without the prefix, and no label's own name takes it.
    assert _named(labels, "late", "体育=late", prefix="") == {"late": "late_2", "体育": "late"}
    assert _named(labels, "all", "体育=sport", prefix="p_") == {
        "体育": "sport", "财经": "p_label_1", "late": "p_late", "food, tea": "p_food_tea", "a=b": "p_a_b",
    }  # fmt: skip
    assert _named(labels, "food, tea=food") == {"food, tea": "food"}
    assert _named(labels, "a=b") == {"a=b": "a_b"}
    assert _named(labels, "a=b=c") == {"a=b": "c"}


def test_all_that_is_wrong_with_labels_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        _named(
            ["a", "b", "c", "d"],
            "colour",
            "shade=x",
            "a=Sport",
            "b=same",
            "c=same",
            "b=other",
            "d",
            taken=["d"],
        )
    assert [fault.detail for fault in caught.value.faults] == [
        "--labels 'colour': m has no label 'colour'; it has a, b, c, d",
        "--labels 'shade=x': m has no label 'shade'; it has a, b, c, d",
        "--labels: 'b' has two names, 'same' and 'other'; give it one",
        "--labels 'a=Sport': task 'Sport': not a name; allowed are a-z, 0-9 and _, a letter first",
        "--labels: 'b', 'c' are named 'same' alike; each label has a task of its own (one task of several "
        "labels is a definition with teacher.map)",
        "task 'd' is there already, and nothing was added; --prefix makes other names, --labels d=NAME gives "
        "this one another",
    ]
    with pytest.raises(InputError, match="no label is named; m has a"):
        _named(["a"], " , ")


def test_a_definition_a_label_keeps_what_the_base_says(tmp_path: Path) -> None:
    base = 'classes = ["out", "in"]\n[corpus]\nfiles = ["x.csv"]\n[teacher]\nmodel = "old"\nbudget = 200\n'
    made = definitions(tmp_path / "bert", ["a", "b"], False, base, Path("base.toml"))
    assert tomllib.loads(made["b"]) == {
        "family": "bert",
        "classes": ["out", "in"],
        "corpus": {"files": ["x.csv"]},
        "teacher": {
            "model": str((tmp_path / "bert").resolve()),
            "budget": 200,
            "map": {"b": "in", "*": "out"},
        },
    }
    picked = definitions(tmp_path / "bert", ["a"], True, base, Path("base.toml"))
    assert tomllib.loads(picked["a"])["teacher"] == {
        "model": str((tmp_path / "bert").resolve()),
        "budget": 200,
        "label": "a",
    }
    with pytest.raises(DefinitionError, match=r"base\.toml: classes: .* two classes"):
        definitions(tmp_path / "bert", ["a"], True, 'classes = ["x"]', Path("base.toml"))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("weibo-teacher-zh", "weibo_teacher_zh"), ("老师", "family"), ("9 labels", "family_9_labels")],
)
def test_the_tasks_of_a_model_are_a_family(tmp_path: Path, folder: str, name: str) -> None:
    base = '[corpus]\nfiles = ["x.csv"]\n'
    made = definitions(tmp_path / folder, ["a", "b"], False, base, Path("base.toml"))
    assert {tomllib.loads(text)["family"] for text in made.values()} == {name}
    kept = definitions(tmp_path / folder, ["a"], False, f'family = "mine"\n{base}', Path("base.toml"))
    assert tomllib.loads(kept["a"])["family"] == "mine"
