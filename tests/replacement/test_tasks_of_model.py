"""Names of tasks that are made from a model's labels."""

import tomllib
from pathlib import Path

import pytest

from pingti.errors import DefinitionError, InputError
from pingti.workspace.definition import NAME
from replacement.tasks_of_model import choose_labels, definitions, names_of


def test_names_are_safe_and_unique() -> None:
    labels = ["Late delivery", "late-delivery", "体育", "体 b", "3", "id", "x" * 90]
    names = names_of(labels, labels, "")
    assert list(names.values()) == [
        "late_delivery", "late_delivery_2", "label_2", "label_3", "label_4", "label_id", "x" * 63,
    ]  # fmt: skip
    assert all(NAME.fullmatch(name) for name in names.values())
    assert names_of(labels, ["体育"], "topic_") == {"体育": "topic_label_2"}
    with pytest.raises(InputError, match="--prefix 'A/'"):
        names_of(labels, ["体育"], "A/")


def test_labels_are_chosen_by_name() -> None:
    assert choose_labels(Path("m"), ["a", "b", "c"], "c, a") == ("c", "a")
    assert choose_labels(Path("m"), ["a", "b"], "all") == ("a", "b")
    assert choose_labels(Path("m"), ["food, drinks", "b"], "food, drinks") == ("food, drinks",)
    with pytest.raises(InputError, match="m has no label 'd'; it has a, b"):
        choose_labels(Path("m"), ["a", "b"], "a,d")


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
