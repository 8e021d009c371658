"""What a refused student is told to do, by what its run shows."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from pingti.workspace.definition import CorpusSection, Definition, GateSection, TeacherSection
from replacement.evaluation.metrics import Measure
from replacement.evaluation.operating_points import Scored
from replacement.reporting.advice import Evidence, advise
from replacement.results import Round, StopReason


def turn(number: int, rows: int, f1: float, threshold: float | None = 0.5) -> Round:
    figures = Measure(precision=f1, recall=f1, f1=f1, accuracy=f1, rows=500, positives=60)
    return Round(
        round=number, rows=rows, asked=2 * rows, added={}, yields={}, boundary=0, hard_negatives=0,
        threshold=threshold, validation=figures, holdout=figures,
    )  # fmt: skip


def scored(reference: np.ndarray, decided: np.ndarray, classes: int) -> Scored:
    scores = np.full((len(reference), classes), 0.1 / (classes - 1), np.float32)
    scores[np.arange(len(reference)), decided] = 0.9
    return Scored(reference=reference, scores=scores)


def evidence(classes: tuple[str, ...] = ("no", "yes"), **changes: Any) -> Evidence:
    """A run whose student reaches .85 of .9, sure of it, on 1,000 positives with alike errors."""
    reference = np.repeat([0, 1], 1000)
    decided = np.where(np.arange(2000) % 1000 < 150, 1 - reference, reference)
    rounds = [turn(1, 1000, 0.85), turn(2, 2000, 0.85), turn(3, 4000, 0.85)]
    values: dict[str, Any] = {
        "task": "sport",
        "definition": Definition(
            classes=classes,
            corpus=CorpusSection(files=("posts.csv",), time="seen"),
            teacher=TeacherSection(model="bert", budget=6000),
            gate=GateSection(precision=0.9, recall=0.9),
        ),
        "rounds": rounds,
        "kept": rounds[-1],
        "stopped": StopReason.BUDGET_SPENT,
        "holdout": scored(reference, decided, 2),
        "margin": np.full(2000, 0.8, np.float32),
        "held_out": 2000,
        "unasked": 50_000,
        "boundary": 40,
        "sure": 1.0,
    }
    return Evidence(**{**values, **changes})


def test_a_run_that_shows_nothing_gets_no_advice_and_one_that_reached_the_gate_neither() -> None:
    assert advise(evidence()) == ()
    reached = turn(3, 4000, 0.95)
    assert advise(evidence(kept=reached, sure=0.5)) == ()


def test_a_budget_is_named_that_would_bring_what_is_lacking() -> None:
    rounds = [turn(1, 1000, 0.80), turn(2, 2000, 0.825), turn(3, 4000, 0.85)]
    (says,) = advise(evidence(rounds=rounds, kept=rounds[-1]))
    # .05 is lacking, a doubling brings .025: 12,000 rows more, and a fifth of the budget measures.
    assert says == (
        "a larger budget: each doubling of the rows learned from brought 0.025 F1 on the validation rows, "
        "and 0.050 is lacking; teacher.budget = 21000 in tasks/sport.toml, then pingti replace sport "
        "(6,000 now)"
    )
    # Not more than the pool has; and none where more than eight times as many would be needed.
    assert "teacher.budget = 7300 in" in advise(evidence(rounds=rounds, kept=rounds[-1], unasked=1000))[0]
    slow = [turn(1, 1000, 0.83), turn(2, 2000, 0.84), turn(3, 4000, 0.85)]
    assert advise(evidence(rounds=slow, kept=slow[-1])) == ()


def test_a_familys_run_is_made_again_by_the_command_of_the_family() -> None:
    (says,) = advise(evidence(unasked=0, family="topics"))
    assert says.endswith("in tasks/sport.toml, then pingti replace --family topics")


def test_a_pool_that_is_used_up_needs_more_texts() -> None:
    (says,) = advise(evidence(unasked=0, stopped=StopReason.POOL_USED_UP))
    assert says.startswith("more texts, for all were asked about: more of corpus.files in tasks/sport.toml")


@pytest.mark.parametrize(
    ("stopped", "key"),
    [(StopReason.ROUND_LIMIT, "gate.rounds = 10 in"), (StopReason.BUDGET_SPENT, "teacher.budget = 12000 in")],
)
def test_one_round_alone_asks_for_further_ones(stopped: StopReason, key: str) -> None:
    (says,) = advise(evidence(rounds=[turn(1, 1000, 0.85)], stopped=stopped))
    assert says.startswith("further rounds, which choose their rows by this one's errors: ")
    assert key in says


def test_another_threshold_is_named_where_the_holdout_has_one() -> None:
    rng = np.random.default_rng(0)
    reference = (rng.random(2000) < 0.3).astype(np.int64)
    score = np.where(reference > 0, 0.6, 0.2).astype(np.float32)
    score += rng.normal(0, 0.02, 2000).astype(np.float32)
    holdout = Scored(reference=reference, scores=np.stack([1 - score, score], axis=1))
    kept = turn(3, 4000, 0.85, threshold=0.7)
    most, people = advise(evidence(holdout=holdout, kept=kept, margin=np.full(2000, 0.01, np.float32)))
    assert most.startswith("another threshold: on the holdout 0.") or people.startswith("another threshold")
    assert "the validation rows, 60 of them positive, chose 0.700" in most + people
    assert "[scenes.NAME] recall = 0.9 in tasks/sport.toml, then pingti replace sport" in most + people


def test_texts_on_which_the_teacher_is_unsure_are_for_people() -> None:
    margin = np.full(2000, 0.8, np.float32)
    margin[:100] = 0.05  # of 300 errors: 100 of the 150 that precision lacks
    (says,) = advise(evidence(margin=margin))
    assert says.startswith("people's labels: of 300 errors on the holdout 100 are texts on which the teacher")
    assert "and without them at most 50% of what is lacking would be there; pingti review export" in says
    assert "pingti review export sport --out rows.json gives" in says


def test_people_s_labels_are_no_advice_where_they_cannot_close_the_gap() -> None:
    margin = np.full(2000, 0.8, np.float32)
    margin[:100] = 0.05  # errors of precision alone
    kept = dataclasses.replace(
        turn(3, 4000, 0.85),
        holdout=Measure(precision=0.95, recall=0.85, f1=0.897, accuracy=0.9, rows=2000, positives=1000),
    )
    reference = np.repeat([0, 1], 1000)
    decided = reference.copy()
    decided[:45] = 1
    decided[1000:1150] = 0
    of_recall = evidence(kept=kept, margin=margin, holdout=scored(reference, decided, 2))
    assert advise(of_recall) == ()
    # Nor where there is no row that people would get.
    margin[1000:1100] = 0.05
    assert len(advise(dataclasses.replace(of_recall, margin=margin))) == 1
    assert advise(dataclasses.replace(of_recall, margin=margin, boundary=0)) == ()


def test_two_classes_that_are_mistaken_for_each_other_are_named() -> None:
    reference = np.repeat([0, 1, 2], 1000)
    decided = reference.copy()
    decided[:200] = 2
    decided[2000:2100] = 0
    decided[1000:1050] = 2
    names = ("sport", "tech", "games")
    three = evidence(names, holdout=scored(reference, decided, 3), margin=np.full(3000, 0.8, np.float32))
    (says,) = advise(dataclasses.replace(three, kept=turn(3, 4000, 0.85, threshold=None)))
    assert says.startswith("other classes: 86% of the errors on the holdout lie between sport and games;")
    assert "classes and teacher.map in tasks/sport.toml" in says


@pytest.mark.parametrize(("sure", "named"), [(0.6, True), (0.94, True), (0.96, False)])
def test_a_verdict_of_chance_asks_for_days(sure: float, named: bool) -> None:
    reference = np.repeat([0, 1], [900, 51])
    decided = reference.copy()
    decided[900:908] = 0
    few = evidence(
        holdout=scored(reference, decided, 2), margin=np.full(951, 0.8, np.float32), held_out=951, sure=sure
    )
    says = [own for own in advise(few) if own.startswith("more held-out rows")]
    assert bool(says) is (named and 2 * (1 - sure) >= 0.1)
    if says:
        assert f"51 of the class yes leave the verdict to chance ({1 - sure:.0%} of holdouts" in says[0]
        assert "gate.holdout_days = 55 would hold some 400 of them; then pingti replace sport" in says[0]


def test_what_closes_most_comes_first() -> None:
    rounds = [turn(1, 1000, 0.80), turn(2, 2000, 0.825), turn(3, 4000, 0.85)]
    margin = np.full(2000, 0.8, np.float32)
    margin[:40] = 0.05
    both = advise(evidence(rounds=rounds, kept=rounds[-1], margin=margin))
    assert [says.partition(":")[0] for says in both] == ["a larger budget", "people's labels"]
    margin[:140] = 0.05
    margin[1000:1060] = 0.05
    both = advise(evidence(rounds=rounds, kept=rounds[-1], margin=margin))
    assert [says.partition(":")[0] for says in both] == ["people's labels", "a larger budget"]
