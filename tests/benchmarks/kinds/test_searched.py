"""The bench's students of searched shapes, on a task of a few hundred rows."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.kinds.searched import searched
from replacement.search import halving
from replacement.training.loop import replace
from tests.support.teachers import sport


def test_both_kinds_are_trained_on_the_versions_rows(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(dataclasses.replace(rung, most=2) for rung in halving.RUNGS)
    monkeypatch.setattr(halving, "RUNGS", few)
    entry = sport(tmp_path / "workspace", topic_teacher, budget=600, rounds=2)
    replace(entry)
    found = searched(entry, seed=0)
    assert [own.kind for own in found] == ["search_cheap", "search_good"]
    for own in found:
        assert own.threshold is not None
        assert own.student.classes == ("no", "yes")
        assert 0 < own.more["cost"] <= 4.1
        assert own.more["trainings"] <= 9.0
        assert own.student.architecture.filters == own.more["shape"]["filters"]
