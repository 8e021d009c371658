"""What a report notes, in Chinese."""

import re

import numpy as np
import pytest

from pingti.workspace import definition
from pingti.workspace.chinese import translated
from replacement.evaluation.holdout_size import note_of_few_rows, what_holds_more

KEYS = re.compile(r"[a-z]+\.[a-z_]+|default|yes|F1")
"""What stays as it is: keys of the definition, names of points and classes."""
TEXT = """
classes = ["no", "yes"]
[corpus]
files = ["a.csv"]
{time}
[teacher]
model = "b"
map = {{ a = "yes", "*" = "no" }}
"""


def defined(time: str = "") -> definition.Definition:
    return definition.parse(TEXT.format(time=time))


def english_in(sentence: str) -> list[str]:
    return re.findall("[A-Za-z]+", KEYS.sub("", translated(sentence)))


def test_the_note_of_a_small_holdout() -> None:
    decided = np.array([0] * 40 + [1] * 4)
    note = note_of_few_rows(defined(), decided, drawn_from=44)
    assert "only 4 rows of the class yes" in note
    assert english_in(note) == []


@pytest.mark.parametrize(
    ("rows", "measured", "drawn_from", "time"),
    [
        (40, 100, 400, ""),
        (40, 5000, 9000, ""),
        (40, 100, 100, 'time = "t"'),
        (90, 100, 100, ""),
        (4, 100, 100, ""),
    ],
)
def test_what_makes_a_holdout_hold_more(rows: int, measured: int, drawn_from: int, time: str) -> None:
    sentence = what_holds_more(defined(time), rows, measured=measured, drawn_from=drawn_from)
    assert english_in(sentence) == [], sentence


def test_the_note_of_newer_days() -> None:
    note = (
        "operating point default: newer validation rows count more (gate.half_life_days = 240), which makes "
        "1,133 rows worth 525: threshold 0.659, precision 0.883, recall 0.854, F1 0.868 on the holdout; all "
        "days alike would have chosen 0.682, precision 0.895, recall 0.832, F1 0.863"
    )
    assert english_in(note) == []
    figures = re.findall(r"[\d,.]*\d", KEYS.sub("", translated(note)))
    assert figures == re.findall(r"[\d,.]*\d", KEYS.sub("", note))
