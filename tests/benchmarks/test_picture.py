"""The picture of F1 against speed is of the README's table, and can be read."""

import itertools
from xml.etree import ElementTree

import pytest

from benchmarks.picture import HEIGHT, PICTURES, ROOT, WIDTH, Box, Contender, Words, contenders, drawn, names

TABLE = """\
| one core | F1 | texts/s |
|---|--:|--:|
| **Own** | **.90** | **437,000 to 829,000** |
| other & one | .80 | 45,400 |
| unknown | n/m | 450 |
| BERT | (the teacher) | 24 |
"""


@pytest.mark.parametrize("words", PICTURES, ids=lambda words: words.page)
def test_the_pictures_are_up_to_date(words: Words) -> None:
    page = (ROOT / words.page).read_text(encoding="utf-8")
    picture = (ROOT / words.picture).read_text(encoding="utf-8")
    assert picture == drawn(contenders(page), words), f"{words.picture} is out of date: run make picture"


def test_both_pictures_show_the_same() -> None:
    pages = ((ROOT / words.page).read_text(encoding="utf-8") for words in PICTURES)
    english, chinese = ([(row.f1, row.speeds, row.own) for row in contenders(page)] for page in pages)
    assert english == chinese


def test_rows_of_a_table_are_read() -> None:
    assert contenders(f"# Title\n\n{TABLE}\ntext\n") == [
        Contender(name="Own", f1=0.9, speeds=(437_000.0, 829_000.0), own=True),
        Contender(name="other & one", f1=0.8, speeds=(45_400.0,), own=False),
        Contender(name="unknown", f1=None, speeds=(450.0,), own=False),
        Contender(name="BERT", f1=1.0, speeds=(24.0,), own=False),
    ]
    with pytest.raises(ValueError, match="no table"):
        contenders("# Title\n")


def test_every_row_is_drawn_in_its_place() -> None:
    root = ElementTree.fromstring(drawn(contenders(TABLE), PICTURES[0]))
    circles = {
        (kind, round(float(circle.attrib["cx"])), round(float(circle.attrib["cy"])))
        for circle in root.iter("{http://www.w3.org/2000/svg}circle")
        for kind in [circle.attrib["class"]]
    }
    assert len(circles) == 5
    ((_, x, top),) = (circle for circle in circles if circle[0] == "point" and circle[1] < WIDTH / 3)
    own = sorted(x for kind, x, _ in circles if kind == "student")
    ((_, _, foot),) = (circle for circle in circles if circle[0] == "foot")
    assert x < own[0] < own[1] < WIDTH
    assert top < min(y for kind, _, y in circles if kind == "student") < foot < HEIGHT
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Own", "other & one", "unknown", "BERT", "1,000,000"} <= set(texts)


@pytest.mark.parametrize("words", PICTURES, ids=lambda words: words.page)
def test_no_name_is_over_another_or_cut_off(words: Words) -> None:
    rows = contenders((ROOT / words.page).read_text(encoding="utf-8"))
    boxes = [box for _, box in names(rows)]
    assert all(box.within(Box(left=0, top=0, right=WIDTH, bottom=HEIGHT)) for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
