from pathlib import Path

import pytest

from pingti.errors import DefinitionError, NotFoundError
from pingti.workspace.families import family_of, members_of
from pingti.workspace.registry import Workspace
from tests.support.families import add_task, topics


def test_a_family_is_who_names_it(tmp_path: Path) -> None:
    topics(tmp_path, Path("model"))
    add_task(tmp_path, "angry", Path("model"), family="others", asks='[teacher.map]\nx = "yes"\n"*" = "no"\n')
    members = members_of(Workspace(tmp_path), "topics")
    assert [entry.name for entry in members] == ["sport", "tech", "topic"]
    assert family_of(members[0]) == "topics"


def test_tasks_that_use_anothers_teacher_are_a_family(tmp_path: Path) -> None:
    first, second, _ = topics(tmp_path, Path("model"))
    for entry in (first, second):
        text = entry.path.read_text().replace('family = "topics"\n', "")
        entry.path.write_text(text.replace('model = "model"', 'model = "task:topic"'))
    topic = Workspace(tmp_path).task("topic")
    topic.path.write_text(topic.path.read_text().replace('family = "topics"\n', ""))
    members = members_of(Workspace(tmp_path), "topic")
    assert [entry.name for entry in members] == ["sport", "tech", "topic"]
    assert [family_of(entry) for entry in members] == ["topic", "topic", None]


def test_a_task_whose_teacher_nobody_uses_is_in_no_family_of_its_name(tmp_path: Path) -> None:
    first, second, topic = topics(tmp_path, Path("model"), family="topic")
    topic.path.write_text(topic.path.read_text().replace('family = "topic"\n', ""))
    members = members_of(Workspace(tmp_path), "topic")
    assert [entry.name for entry in members] == [first.name, second.name]


def test_each_may_have_a_kind_of_its_own(tmp_path: Path) -> None:
    entry = topics(tmp_path, Path("model"))[1]
    own = '[student]\nkind = "ngram"\ntable = "auto"'
    entry.path.write_text(entry.path.read_text().replace("[student]", own))
    assert len(members_of(Workspace(tmp_path), "topics")) == 3


def test_a_key_that_only_one_has_is_called_absent(tmp_path: Path) -> None:
    entry = topics(tmp_path, Path("model"))[1]
    entry.path.write_text(entry.path.read_text().replace('id = "id"\n', ""))
    with pytest.raises(DefinitionError, match=r"tech\.toml: corpus\.id: absent, but 'id' in sport\.toml"):
        members_of(Workspace(tmp_path), "topics")


def test_a_family_of_one_is_none(tmp_path: Path) -> None:
    topics(tmp_path, Path("model"))
    with pytest.raises(NotFoundError, match=r'family "?.*needed are two or more.*families there are: topics'):
        members_of(Workspace(tmp_path), "classroom")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("epochs = 3", "epochs = 4", "student.epochs"),
        ('id = "id"', 'id = "text"', "corpus.id"),
        ("holdout_rows = 60", "holdout_rows = 50", "gate.holdout_rows"),
    ],
)
def test_what_one_network_needs_alike_is_named(tmp_path: Path, old: str, new: str, key: str) -> None:
    entry = topics(tmp_path, Path("model"))[1]
    entry.path.write_text(entry.path.read_text().replace(old, new))
    with pytest.raises(DefinitionError, match=rf"tech\.toml: {key}: .*sport\.toml.*need the same"):
        members_of(Workspace(tmp_path), "topics")


def test_one_task_alone_has_the_familys_night(tmp_path: Path) -> None:
    for entry in topics(tmp_path, Path("model"))[:2]:
        entry.path.write_text(entry.path.read_text() + '\n[retrain]\nat = 03:00:00\njoint = "sunday"\n')
    with pytest.raises(DefinitionError, match=r"tech\.toml: retrain\.joint: it stands in sport\.toml, too"):
        members_of(Workspace(tmp_path), "topics")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("margin = 0.1", 'margin = 0.1\nboundary = "leave"', "teacher.boundary: 'leave'"),
        ("epochs = 3", "epochs = 3\nfinish_rows = 50", "student.finish_rows: 50"),
        ("epochs = 3", 'epochs = 3\ntrunk = "own"', "student.trunk: 'own'"),
    ],
)
def test_what_a_familys_run_does_not_do_is_refused(tmp_path: Path, old: str, new: str, key: str) -> None:
    entry = topics(tmp_path, Path("model"))[1]
    entry.path.write_text(entry.path.read_text().replace(old, new))
    with pytest.raises(DefinitionError, match=rf"tech\.toml: {key}, but .* needs; or take .* replace tech$"):
        members_of(Workspace(tmp_path), "topics")


def test_a_task_of_another_family_is_not_of_those_who_use_its_teacher(tmp_path: Path) -> None:
    for entry in topics(tmp_path, Path("model"))[:2]:
        text = entry.path.read_text().replace('family = "topics"\n', "")
        entry.path.write_text(text.replace('model = "model"', 'model = "task:topic"'))
    members = members_of(Workspace(tmp_path), "topic")
    assert [entry.name for entry in members] == ["sport", "tech"]


def test_a_family_by_name_and_by_teacher_is_one(tmp_path: Path) -> None:
    sport, tech, topic = topics(tmp_path, Path("model"), family="topic")
    sport.path.write_text(
        sport.path.read_text()
        .replace('family = "topic"\n', "")
        .replace('model = "model"', 'model = "task:topic"')
    )
    members = members_of(Workspace(tmp_path), "topic")
    assert [entry.name for entry in members] == [entry.name for entry in (sport, tech, topic)]
