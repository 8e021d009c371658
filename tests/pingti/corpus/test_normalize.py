import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pingti.corpus.normalize import keys_of, normalised
from textcnn.plain.characters import CLASS_SHIFT, SINGLE, character_table, tokenize


def normalise(text: str) -> str:
    return keys_of([text])[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Guten Tag", "  gUTEN\u3000\tTAG\n"),
        ("ABC!１２", "ＡＢＣ！12"),
        ("gu\u200bten\u2060 tag\ufeff", "guten tag"),
        ("❤️ ok", "❤ ok"),
        ("café", "cafe\u0301"),
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδος"),
        ("你好 世界", "你好世界"),
        ("eins , zwei", "eins,zwei"),
        ("ﬁn", "fin"),
        ("iPhone™ 15", "iPhone\u200b ™15"),
        ("５ ㎏ a", "5㎏a"),
        ("コーヒー 100円", "コーヒー100円"),
        ("ｺｰﾋｰ 1", "コーヒー1"),
    ],
)
def test_forms_of_one_text_have_one_key(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_other_texts_have_other_keys() -> None:
    texts = [
        "guten tag",
        "gutentag",
        "guten-tag",
        "guten tag!",
        "guten täg",
        "好",
        "好。",
        "",
        ".",
        "ok 好",
        "ok",
    ]
    assert len({normalise(text) for text in texts}) == len(texts)


PIECES = st.sampled_from(
    [
        "a",
        "B",
        "Ａ",
        "ß",
        "ς",
        "é",
        "e\u0301",
        "好",
        "！",
        "!",
        ",",
        " ",
        "\u3000",
        "\t",
        "\u200b",
        "\ufe0f",
        "1",
        "１",
        "한",
        "™",
        "℃",
        "ー",
        "゛",
    ]
)


@settings(deadline=None)  # the first example makes the patterns
@given(st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=12))
def test_no_two_keys_are_one_text_to_the_student(texts: list[str]) -> None:
    # The student does not compose letters; folding does.
    texts = [unicodedata.normalize("NFC", text) for text in texts]
    keys = normalised(pa.array(texts, pa.large_string())).to_pylist()
    key_of = {}
    for text, key in zip(texts, keys, strict=True):
        assert key == normalise(text) == normalise(key)
        assert key_of.setdefault(tuple(tokenize(text)), key) == key


def test_white_space_beside_a_token_by_itself_says_nothing() -> None:
    table = character_table() >> CLASS_SHIFT == SINGLE
    # Of characters that are older than any Unicode in use, all libraries think the same.
    category = unicodedata.ucd_3_2_0.category
    assigned = [letter for letter in map(chr, np.flatnonzero(table)) if category(letter) not in ("Cn", "Co")]
    assert len(assigned) > 40_000
    for one, other in (("x{}1", "x{} 1"), ("x{}1", "x {}1"), ("x{}1", "x\u200d {}\u3000\t1")):
        keys = keys_of([one.format(letter) for letter in assigned])
        others = keys_of([other.format(letter) for letter in assigned])
        assert [a for a, key, same in zip(assigned, keys, others, strict=True) if key != same] == []


def test_every_string_type_is_taken_and_nulls_stay() -> None:
    for kind in (pa.string(), pa.large_string()):
        keys = normalised(pa.array(["A ß好 b", None], kind))
        assert (keys.type, keys.to_pylist()) == (kind, ["a ss好b", None])
        assert len(normalised(pa.array([], kind))) == 0
