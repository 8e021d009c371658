"""Answers about rows of jobs: bounded, apart from what lasts, and taken over where a run needs them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from teacher.cache import ScoreCache
from teacher.passing import open_passing, open_with_passing
from teacher.protocol import Cost, Keep, Scored, keep_nothing
from teacher.sources.kept import KeptAnswers

LABELS = ("no", "yes")


class Asked:
    """A teacher that says what it was asked about."""

    labels: tuple[str, ...] = LABELS
    fingerprint = "f"
    batch = 8
    cost = Cost()

    def __init__(self) -> None:
        self.texts: list[str] = []

    def score(self, texts: Sequence[str], *, keep: Keep = keep_nothing) -> NDArray[np.float32]:
        self.texts += texts
        answers = np.tile(np.array([0.25, 0.75], np.float32), (len(texts), 1))
        keep(range(len(texts)), answers)
        return answers


def answers_of(count: int, hidden: int = 0) -> Scored:
    return Scored(np.full((count, 2), 0.5, np.float32), np.ones((count, hidden), np.float32))


def keys_of(first: int, last: int) -> list[bytes]:
    return [ScoreCache.key(str(number)) for number in range(first, last)]


def test_the_oldest_make_room_and_the_newest_stay(tmp_path: Path) -> None:
    cache = open_passing(tmp_path, "f", LABELS, most=300)
    for start in range(0, 2000, 50):
        cache.add(keys_of(start, start + 50), answers_of(50))
    assert (cache.find(keys_of(1990, 2000)) >= 0).all()
    again = open_passing(tmp_path, "f", LABELS, most=300)
    assert 50 <= len(again) <= 300
    assert (again.find(keys_of(1950, 2000)) >= 0).all()
    assert (again.find(keys_of(0, 1500)) < 0).all()
    again.add(keys_of(5000, 6000), answers_of(1000))  # more at once than are kept
    assert (open_passing(tmp_path, "f", LABELS, most=300).find(keys_of(5000, 6000)) >= 0).all()


def test_what_lasts_is_read_and_never_grows(tmp_path: Path) -> None:
    lasting = ScoreCache.open(tmp_path, "f", LABELS, 3)
    lasting.add(keys_of(0, 10), answers_of(10, 3))
    cache = open_with_passing(tmp_path, "f", LABELS, 3)
    cache.add(keys_of(5, 20), answers_of(15))
    lasting.add(keys_of(100, 200), answers_of(100, 3))  # by a run, meanwhile
    rows = cache.find(keys_of(0, 21))
    cache.refresh()  # numbers stay what they were
    assert (rows >= 0).tolist() == [True] * 20 + [False]
    found = cache.get(rows[:20])
    assert (found.probabilities == 0.5).all()
    assert found.vectors.any(axis=1).tolist() == [True] * 10 + [False] * 10
    assert (cache.find(keys_of(100, 200)) >= 0).all()
    assert len(ScoreCache.open(tmp_path, "f", LABELS, 3)) == 110


def test_a_run_takes_over_what_jobs_have_paid_for(tmp_path: Path) -> None:
    job, run = Asked(), Asked()
    KeptAnswers.open(job, tmp_path, passing=True).score(["a", "b", "a"])
    KeptAnswers.open(job, tmp_path, passing=True).score(["a", "b"])
    assert job.texts == ["a", "b"]
    kept = KeptAnswers.open(run, tmp_path)
    assert kept.score(["b", "c"]).probabilities[:, 1].tolist() == [0.75, 0.75]
    assert (run.texts, kept.rows_scored) == (["c"], 1)
    assert len(ScoreCache.open(tmp_path, "f", LABELS, 0)) == 2
    KeptAnswers.open(job, tmp_path, passing=True).score(["c"])  # what runs have asked is known to jobs
    assert job.texts == ["a", "b"]
