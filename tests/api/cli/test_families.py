"""``pingti replace --family``: what it tells of each task, and what becomes of those that fall short."""

from pathlib import Path

from pingti.annotation import labels
from pingti.workspace.registry import Workspace
from tests.support.command_line import Run
from tests.support.families import add_task, topics
from tests.support.texts import made_texts


def test_what_passes_is_promoted_and_what_does_not_is_told_what_helps(
    pingti: Run, topic_teacher: Path, tmp_path: Path
) -> None:
    entries = {entry.name: entry for entry in topics(tmp_path, topic_teacher, rounds=1, gate=0.2)}
    entries["topic"].path.unlink()
    add_task(tmp_path, "topic", topic_teacher, rounds=1, gate=1.0)  # more than these rows can teach
    done = pingti("replace", "--family", "topics", "--promote", "--home", tmp_path)
    told = " ".join(done.stderr.split())
    assert done.returncode == 5
    assert "round 1: gate reached by 2 of 3 tasks; mean F1" in told
    assert "promoted: sport, tech" in done.stdout
    assert "family 'topics': 1 of 3 tasks refused; each line tells what helps that task most" in told
    assert "- topic: precision" in told
    assert "what helps most is" in told
    header, *lines = done.stdout.splitlines()[1:5]
    assert header.split() == ["task", "version", "precision", "recall", "F1", "gate", "sure"]
    assert all(line.endswith("%") for line in lines)
    workspace = Workspace(tmp_path)
    assert [workspace.task(task).current() for task in ("sport", "tech", "topic")] == [1, 1, None]


def test_a_task_is_promoted_behind_its_parent_and_not_without_it(
    pingti: Run, topic_teacher: Path, tmp_path: Path
) -> None:
    """``sport`` depends on ``tech``, which comes behind it by name."""
    entries = {entry.name: entry for entry in topics(tmp_path, topic_teacher, rounds=1, gate=0.01)}
    sport = entries["sport"]
    sport.path.write_text(f'depends_on = ["tech=no"]\n{sport.path.read_text()}')
    tech = entries["tech"].path.read_text()
    entries["tech"].path.write_text(tech.replace("= 0.01", "= 1.0"))
    # Of what is held out people say what no student can know.
    held = [
        text for text, topic in list(zip(*made_texts(600, seed=2), strict=True))[480:] if topic == "other"
    ]
    records = [(f"record {number}", {"text": text, "label": "yes"}) for number, text in enumerate(held)]
    labels.add_records(entries["tech"], records)
    options = ("replace", "--family", "topics", "--promote", "--home", tmp_path)
    refused = pingti(*options)
    assert refused.returncode == 5
    assert "promoted: topic\n" in refused.stdout
    assert (
        "sport: its gate is reached, but no student is promoted of tech, on which it depends; once one is, "
        "pingti promote sport 1" in " ".join(refused.stderr.split())
    )
    entries["tech"].path.write_text(tech)
    assert "promoted: tech, sport" in pingti(*options).stdout
    assert [Workspace(tmp_path).task(task).current() for task in ("sport", "tech")] == [2, 2]
