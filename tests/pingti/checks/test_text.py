"""A definition's text is checked as a whole: keys that cannot be read hide nothing that the others name."""

from pathlib import Path

import pytest

from pingti.checks.text import check_text
from pingti.errors import DefinitionError
from pingti.workspace.registry import Workspace
from tests.support.model_folders import write_model


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "posts.csv").write_text("post\na text\n")
    write_model(tmp_path / "bert", {"id2label": {"0": "no", "1": "yes"}})
    return Workspace(tmp_path / "workspace")


RIGHT = """\
classes = ["no", "yes"]
[corpus]
files = ["../../posts.csv"]
text = "post"
[teacher]
model = "../../bert"
"""


def pointers(workspace: Workspace, text: str) -> list[str | None]:
    with pytest.raises(DefinitionError) as failed:
        check_text("praise", text, workspace, Path("praise.toml"))
    assert {fault.file for fault in failed.value.faults} == {"praise.toml"}
    return [fault.pointer for fault in failed.value.faults]


def test_what_is_right_is_read(workspace: Workspace) -> None:
    parsed, notes = check_text("praise", RIGHT, workspace, Path("praise.toml"))
    assert (parsed.classes, notes) == (("no", "yes"), ())


@pytest.mark.parametrize(
    ("before", "after", "wrong"),
    [
        ("[teacher]", "[teacher]\nbudgett = 7\nbudget = 1", ["/teacher/budget", "/teacher/budgett"]),
        ("[teacher]", "[gate]\nprecision = 90\n[teacher]", ["/gate/precision"]),
        ('model = "../../bert"', "", ["/teacher"]),
        ('classes = ["no", "yes"]', 'classes = "no"', ["/classes"]),
        ('["no", "yes"]', '["no", 7]', ["/classes/1"]),
        ("[teacher]", '[scenes."a b"]\n[teacher]', ["/scenes"]),
    ],
)
def test_keys_that_cannot_be_read_do_not_hide_what_the_others_name(
    workspace: Workspace, before: str, after: str, wrong: list[str]
) -> None:
    assert sorted(filter(None, pointers(workspace, RIGHT.replace(before, after)))) == wrong
    text = RIGHT.replace(before, after).replace("posts.csv", "gone.csv").replace("../../bert", "../../gone")
    further = ["/corpus/files/0", *(["/teacher/model"] if '"../../gone"' in text else [])]
    assert sorted(filter(None, pointers(workspace, text))) == sorted([*wrong, *further])


def test_where_nothing_can_be_read_that_alone_is_told(workspace: Workspace) -> None:
    assert pointers(workspace, "classes = [") == [None]
    assert pointers(workspace, 'classes = ["no", "yes"]\n[teacher]\nmodel = "gone"\n') == ["/corpus"]
    assert sorted(
        filter(None, pointers(workspace, "corpus = 7\nclasses = 7\n" + RIGHT.partition("[teacher]")[2]))
    ) == [
        "/classes",
        "/corpus",
        "/model",
        "/teacher",
    ]
