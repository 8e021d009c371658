from typing import Any

import numpy as np
import pytest

from pingti.workspace.definition import CorpusSection, Definition, GateSection, TeacherSection
from replacement.evaluation.holdout_size import note_of_few_rows


def definition(*, time: bool = False, classes: tuple[str, ...] = ("no", "yes"), **gate: Any) -> Definition:
    return Definition(
        classes=classes,
        corpus=CorpusSection(files=("posts.csv",), time="seen" if time else None),
        teacher=TeacherSection(model="bert", budget=9000),
        gate=GateSection(**gate),
    )


def decided(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize(
    ("gate", "rows", "drawn_from", "says"),
    [
        ({"time": True}, 900, 900, "gate.holdout_days = 14 would hold some 100 of them"),
        ({}, 900, 900, "gate.holdout_fraction = 0.20 would hold some 100 of them"),
        ({"holdout_fraction": 0.4}, 900, 900, "only more texts can give 100 of them"),
        ({"time": True, "holdout_rows": 900}, 900, 901, "more of the 901 held-out rows measure with a larger "
         "gate.holdout_rows (900 now) and teacher.budget (9,000 now)"),
        # Far fewer than holdout_rows measure: the budget alone is what keeps them out.
        ({"time": True}, 900, 4000, "teacher.budget = 17_700 (9,000 now) lets more of the 4,000 held-out "
         "rows measure, some 100 of that class"),
        ({"time": True}, 900, 1350, "teacher.budget = 13_500 (9,000 now) lets more of the 1,350 held-out "
         "rows measure, some 76 of that class"),
    ],
)  # fmt: skip
def test_few_rows_are_told_with_what_gives_more(
    gate: dict[str, Any], rows: int, drawn_from: int, says: str
) -> None:
    note = note_of_few_rows(definition(**gate), decided(rows - 51, 51), drawn_from=drawn_from)
    assert note == (
        "the holdout has only 51 rows of the class yes, of 900: a recall of 0.90 is known to some 0.08 "
        f"either way, so that chance has a part in the verdict; {says}"
    )


def test_the_rarest_class_that_has_rows_counts_where_there_are_many() -> None:
    many = definition(classes=("sport", "tech", "other"))
    assert "only 7 rows of the class tech, of 900" in note_of_few_rows(
        many, decided(893, 7, 0), drawn_from=900
    )
    assert note_of_few_rows(many, decided(300, 300, 300), drawn_from=900) == ""


@pytest.mark.parametrize("positives", [0, 100, 800])
def test_enough_rows_say_nothing_and_none_at_all_are_the_gates(positives: int) -> None:
    assert note_of_few_rows(definition(), decided(900 - positives, positives), drawn_from=900) == ""
