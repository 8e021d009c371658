import ctypes
import dataclasses
import json
import mmap
import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pingti.errors import InputError
from textcnn import Encoded, Vocabulary
from textcnn.encoding import Reach
from textcnn.plain.characters import tokenize
from textcnn.tokenizer import composition_table, may_compose, token_hashes

# Few letters and many kinds of characters, so that words, folding and separators meet often.
_KINDS = "abAB\u00c4\u0130\u03a3\uff21\uff5a1\u0663 \t\n\x00\x85\u2028.!\uff01$\u20ac-_'"
_RARE = (
    "\u00ad\u200b\u200d\ufe0f\u0301\u0e01\u0e31\u4e2d\u3042\u30f3\uac00\uff71\U0001f600\U00020000\U000e0041"
)
ANY_TEXT = st.text(st.one_of(st.sampled_from(_KINDS + _RARE), st.characters(exclude_categories=["Cs"])))
KNOWN = ["a", "ab", "b", ".", "\u4e2d", "\u00e4", "z", "!", "\U0001f600", "\U00020000"]


def expected(vocabulary: Vocabulary, text: str) -> list[int]:
    """What the compiled kernel must give, by the readable tokenizer and a dictionary."""
    ids = {token: index for index, token in enumerate(vocabulary.tokens, 1)}
    first_bucket = 1 + len(vocabulary.tokens)
    return [
        ids.get(token, first_bucket + (int(token_hashes([token])[0]) >> 32) % vocabulary.buckets)
        for token in tokenize(text)[: vocabulary.max_tokens]
    ]


def lists(encoded: Encoded) -> list[list[int] | None]:
    spans = pairwise(encoded.offsets.tolist())
    return [
        encoded.ids[start:end].tolist() if valid else None
        for (start, end), valid in zip(spans, encoded.valid.tolist(), strict=True)
    ]


def layouts(texts: list[str | None]) -> dict[str, pa.Array | pa.ChunkedArray]:
    """The same texts in every layout that Arrow has for them."""
    plain = pa.array(texts, pa.string())
    padded = pa.array(["before", None, *texts, "after"], pa.string())
    inside = padded.slice(2, len(texts))
    half = len(texts) // 2
    return {
        "string": plain,
        "large_string": plain.cast(pa.large_string()),
        "binary": plain.cast(pa.binary()),
        "large_binary": plain.cast(pa.large_binary()),
        "string_view": pa.array(texts, pa.string_view()),
        "string_view, sliced": pa.array(["x", *texts], pa.string_view()).slice(1),
        "binary_view": plain.cast(pa.binary()).cast(pa.binary_view()),
        "sliced": inside,
        "large, sliced": padded.cast(pa.large_string()).slice(2, len(texts)),
        "dictionary": plain.dictionary_encode(),
        "dictionary, sliced": padded.dictionary_encode().slice(2, len(texts)),
        "dictionary of views": pa.DictionaryArray.from_arrays(
            pa.array([None if text is None else row for row, text in enumerate(texts)], pa.int32()),
            pa.array([text or "" for text in texts], pa.string_view()),
        ),
        "chunked": pa.chunked_array([inside[:half], pa.array([], pa.string()), inside[half:]]),
        "chunked dictionary": pa.chunked_array([plain[:half], plain[half:]]).dictionary_encode(),
        "list": texts,  # type: ignore[dict-item]
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(st.none(), ANY_TEXT), max_size=6), st.integers(1, 7))
def test_the_kernel_gives_what_the_readable_tokenizer_gives(texts: list[str | None], most: int) -> None:
    vocabulary = Vocabulary(KNOWN, buckets=5, max_tokens=most)
    wanted = [None if text is None else expected(vocabulary, text) for text in texts]
    for layout, array in layouts(texts).items():
        assert lists(vocabulary.encode(array)) == wanted, layout


@settings(deadline=None, max_examples=150)
@given(st.lists(ANY_TEXT, min_size=1, max_size=8), st.integers(1, 10), st.integers(1, 6))
def test_a_vocabulary_holds_the_most_frequent_tokens(texts: list[str], size: int, most: int) -> None:
    tokens = [token for text in texts for token in tokenize(unicodedata.normalize("NFC", text))[:most]]
    order = sorted(set(tokens), key=lambda token: (-tokens.count(token), token))
    vocabulary = Vocabulary.build(pa.chunked_array([texts[:1], texts[1:]]), size=size, max_tokens=most)
    assert list(vocabulary.tokens) == order[:size]


@given(ANY_TEXT, ANY_TEXT)
def test_tokens_fold_once_and_do_not_reach_across_a_space(first: str, second: str) -> None:
    tokens = tokenize(first)
    assert all(tokens)
    assert tokenize(f"{first} {second}") == tokens + tokenize(second)
    assert tokenize(" ".join(tokens)) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The CAT's 2nd hat.", ["the", "cat", "'", "s", "2nd", "hat", "."]),
        ("\uff21\uff22\uff23\uff01\u3000\uff11", ["abc", "!", "1"]),  # full-width
        ("\u597d\u7684ok\u304b", ["\u597d", "\u7684", "ok", "\u304b"]),  # Han and kana stand alone
        ("so\u00adft hy\u200bphen", ["soft", "hyphen"]),  # invisible characters vanish
        ("\U0001f600\ufe0f\U0001f600", ["\U0001f600", "\U0001f600"]),
        ("e\u0301t\u00e9", ["e\u0301t\u00e9"]),  # no canonical equivalence
        ("a\x00b\tc\u2028d", ["a", "b", "c", "d"]),
        ("\u200b\u00ad \ufe0f", []),
        ("", []),
    ],
)
def test_worked_examples(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens
    vocabulary = Vocabulary(["nothing"], buckets=64)
    assert lists(vocabulary.encode([text])) == [expected(vocabulary, text)]


def test_every_kind_of_character_is_tokenized_alike() -> None:
    # The planes that the table holds, and of the others where the rules change.
    codes = [*range(0xD800), *range(0xE000, 0x20010), *range(0xDFFF0, 0xE1010), *range(0x10FFF0, 0x110000)]
    characters = [chr(code) for code in codes]
    texts = ["".join(characters[start : start + 300]) for start in range(0, len(characters), 300)]
    vocabulary = Vocabulary(KNOWN, buckets=997)
    assert lists(vocabulary.encode(texts)) == [expected(vocabulary, text) for text in texts]


# ---- bytes that are not UTF-8

_BROKEN = {
    "lone continuation": b"\x80",
    "overlong slash": b"\xc0\xaf",
    "overlong in three": b"\xe0\x80\xaf",
    "overlong in four": b"\xf0\x80\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "surrogate pair (CESU-8)": b"\xed\xa0\xbd\xed\xb8\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "0xFF": b"\xff",
    "cut after one of two": b"\xc3",
    "cut after two of three": b"\xe4\xb8",
    "cut after three of four": b"\xf0\x9f\x98",
    "a letter in a sequence": b"\xe4a\xad",
}


@pytest.mark.parametrize("broken", _BROKEN.values(), ids=_BROKEN)
@pytest.mark.parametrize("place", ["%b", "ab %b", "%b ab", "a b c d %b e"])
def test_bytes_that_are_not_utf8_are_marked(broken: bytes, place: str) -> None:
    text = place.encode() % broken
    with pytest.raises(UnicodeDecodeError):
        text.decode()
    # max_tokens below the broken place: a text is valid as a whole or not at all
    vocabulary = Vocabulary(KNOWN, buckets=5, max_tokens=2)
    # What follows would complete a sequence that was cut: it must not be read.
    array = pa.array([b"a", text, b"\xad\x80\x80", "\u4e2d".encode()], pa.binary())
    assert lists(vocabulary.encode(array)) == [[1], None, None, [5]]
    assert vocabulary.encode(array[1:2]).valid.tolist() == [False]
    assert Vocabulary.build(array, size=9).tokens == ("a", "\u4e2d")


@settings(deadline=None, max_examples=400)
@given(st.lists(st.binary(max_size=12), max_size=5))
@example([b"\xf4\x8f\xbf\xbf", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xc2\x80"])
def test_valid_is_what_python_calls_valid(texts: list[bytes]) -> None:
    vocabulary = Vocabulary(KNOWN, buckets=5)
    wanted = []
    for text in texts:
        try:
            wanted.append(expected(vocabulary, text.decode()))
        except UnicodeDecodeError:
            wanted.append(None)
    assert lists(vocabulary.encode(pa.array(texts, pa.binary()))) == wanted


def test_nothing_behind_the_buffer_is_read() -> None:
    # The text ends where a page ends, and the next page may not be read: a read there ends this process.
    size = mmap.PAGESIZE
    pages = mmap.mmap(-1, 2 * size)
    second = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + size
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(second), ctypes.c_size_t(size), 0) == 0
    for text in (*_BROKEN.values(), "\u4e2d".encode(), b"a"):
        pages[size - len(text) : size] = text
        offsets = pa.py_buffer(np.array([size - len(text), size], np.int32))
        data = pa.py_buffer(memoryview(pages)[:size])
        array = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, data])
        ids = lists(Vocabulary(KNOWN, buckets=5).encode(array))
        assert ids == [{b"a": [1], "\u4e2d".encode(): [5]}.get(text)]
    # Bytes of a neighbour never complete a text, wherever the arrays are cut.
    whole = "\U0001f600".encode()
    for cut in range(1, 4):
        pieces = pa.array([whole[:cut], whole[cut:], whole])
        assert Vocabulary(KNOWN).encode(pieces).valid.tolist() == [False, False, True]


def test_a_null_with_bytes_behind_it_has_no_ids() -> None:
    # Arrow allows a null's slot to span bytes.
    data = pa.py_buffer(b"a\xffb")
    offsets = pa.py_buffer(np.array([0, 1, 2, 3], np.int32))
    array = pa.Array.from_buffers(pa.string(), 3, [pa.py_buffer(b"\x05"), offsets, data])
    assert lists(Vocabulary(["a", "b"]).encode(array)) == [[1], None, [2]]


def test_a_lone_surrogate_is_a_text_that_is_not_valid() -> None:
    assert lists(Vocabulary(["a"]).encode(["a", "\ud800", None])) == [[1], None, None]


# ---- the rest of the vocabulary


@settings(deadline=None, max_examples=50)
@given(st.lists(ANY_TEXT, min_size=1, max_size=6), st.data())
def test_taking_rows_is_encoding_them(texts: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8))
    vocabulary = Vocabulary(KNOWN, buckets=5)
    taken = vocabulary.encode(texts).take(np.array(rows, np.int64))
    assert lists(taken) == lists(vocabulary.encode([texts[row] for row in rows]))


def test_a_large_vocabulary_finds_each_of_its_tokens() -> None:
    tokens = [f"w{number}" for number in range(5000)]
    encoded = Vocabulary(tokens, buckets=3).encode([" ".join(tokens[:500]), *tokens])
    assert encoded.ids.tolist() == [*range(1, 501), *range(1, 5001)]


def test_a_text_of_a_megabyte_is_cut_to_its_first_tokens() -> None:
    vocabulary = Vocabulary(["a", "b"], max_tokens=512)
    encoded = vocabulary.encode(["a b " * 250_000, "a" * 1_000_000, "b"])
    assert np.diff(encoded.offsets).tolist() == [512, 1, 1]
    assert encoded.ids[:4].tolist() == [1, 2, 1, 2]


def test_the_fingerprint_says_what_decides_the_ids() -> None:
    base = Vocabulary(["a", "b"], buckets=4, max_tokens=8)
    assert base.fingerprint == Vocabulary(["a", "b"], buckets=4, max_tokens=8).fingerprint
    others = [
        Vocabulary(["b", "a"], buckets=4, max_tokens=8),
        Vocabulary(["a", "b"], buckets=5, max_tokens=8),
        Vocabulary(["a", "b"], buckets=4, max_tokens=9),
    ]
    assert len({vocabulary.fingerprint for vocabulary in (base, *others)}) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocabulary(["a", "a"]), "every token must be there once"),
        (lambda: Vocabulary([""]), "none may be empty"),
        (lambda: Vocabulary([], buckets=0), "buckets=0"),
        (lambda: Vocabulary([], max_tokens=0), "max_tokens=0"),
        (lambda: Vocabulary([]).encode(pa.array([1])), "of Arrow type int64"),
        (lambda: Vocabulary([]).encode(pa.array([b"ab"], pa.binary(2))), "fixed_size_binary"),
        (lambda: Vocabulary([]).encode(["a", 1]), "a string or None"),  # type: ignore[list-item]
    ],
)
def test_what_does_not_fit_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_nothing_gives_nothing() -> None:
    vocabulary = Vocabulary([])
    empties = [pa.array([], kind) for kind in (pa.string(), pa.large_binary(), pa.string_view(), pa.null())]
    for array in (*empties, pa.chunked_array([], pa.string()), []):
        encoded = vocabulary.encode(array)
        assert (len(encoded), encoded.ids.tolist(), encoded.offsets.tolist()) == (0, [], [0])
    assert vocabulary.encode(pa.nulls(2)).valid.tolist() == [False, False]
    assert Vocabulary.build(pa.array([], pa.string())).tokens == ()


# ---- one normalization: what is one text to the corpus is one to the student

_SPELLED = {
    "Latin": "caf\u00e9 r\u00e9sum\u00e9 \u01d6",
    "Vietnamese": "Ti\u1ebfng Vi\u1ec7t \u1ed1",
    "Hangul": "\ud55c\uad6d\uc5b4 \uac00",
    "kana": "\u30ac\u30d1 \u3067",
    "Greek": "\u03ac\u1f84",
    "a singleton": "\u212b \u2126",
    "Han of compatibility": "\uf900 \U0002f800",
    "Devanagari": "\u0929 \u0958",
    "marks out of order": "a\u0302\u0323 \u0305\u0316",
    "plain": "plain \u4e2d\u6587 \u2019\u20ac",
}


@pytest.mark.parametrize("text", _SPELLED.values(), ids=_SPELLED)
def test_composed_and_decomposed_texts_have_the_same_ids(text: str) -> None:
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")} | {text}
    vocabulary = Vocabulary.build(pa.array([text]))
    for layout, array in layouts([*forms, None]).items():
        ids = lists(vocabulary.encode(array))
        assert ids[-1] is None, layout
        assert len({tuple(row or ()) for row in ids[:-1]}) == 1, layout
    # Whichever form the corpus had, its tokens are the composed ones.
    for form in forms:
        assert Vocabulary.build(pa.array([form])).tokens == vocabulary.tokens


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.none(), ANY_TEXT), max_size=6))
@example(["a\u0301", None, "\u1100\u1161\u11a8", "e\u0323\u0302"])
def test_a_text_is_read_in_its_composed_form(texts: list[str | None]) -> None:
    composed = [text and unicodedata.normalize("NFC", text) for text in texts]
    new = Vocabulary(KNOWN, buckets=997, normalization="nfc")
    old = Vocabulary(KNOWN, buckets=997)
    assert lists(new.encode(pa.array(texts, pa.string()))) == lists(
        old.encode(pa.array(composed, pa.string()))
    )


def test_decomposed_bytes_that_are_not_utf8_stay_no_text() -> None:
    array = pa.array([b"e\xcc\x81", b"e\xcc\x81\xff", None, b"\xff", b""], pa.binary())
    assert Vocabulary(["\u00e9"], normalization="nfc").encode(array).valid.tolist() == [
        True, False, False, False, True
    ]  # fmt: skip


def test_characters_that_are_not_looked_up_need_no_composition() -> None:
    assert not composition_table()[0x4000:0xA000].any()
    # A mark behind one of them is still seen, as are bytes that are not UTF-8.
    texts = [b"\xe4\x80\x80\xe9\xbf\xbf", "\u9fff\u0301".encode(), "\u9fff\u0323\u0301".encode(),
             "\u9fffe\u0301".encode(), b"e\xcc\x81\xe9\xbf", b"e\xcc\x81\xe9\xbf\x41"]  # fmt: skip
    offsets = np.cumsum([0, *map(len, texts)])
    data, mask = np.frombuffer(b"".join(texts), np.uint8), np.zeros(len(texts), np.bool_)
    unsettled = may_compose(data, offsets, mask, composition_table())
    assert unsettled.tolist() == [False, True, True, True, False, False]


def test_texts_that_are_composed_are_not_copied() -> None:
    array = pa.array(["abc", "\u4e2d\u6587", "\u00e9t\u00e9 \u2019"])
    data = array.buffers()[2]
    ((seen, _, _),) = Vocabulary(["a"], normalization="nfc").buffers(array)
    assert seen.ctypes.data == data.address


# ---- as far as the teacher reads


def test_a_text_is_read_up_to_what_it_costs() -> None:
    reach = Reach(pieces=5, costs=(1, 3), unknown=1.5)
    vocabulary = Vocabulary(["a", "b"], buckets=1, reach=reach)
    wanted = {
        "": [],
        "a a a a a": [1] * 5,
        "a a a a a a": [1] * 5,
        "b a a b": [2, 1, 1],
        "a b b a": [1, 2],
        "x x x a": [3, 3, 3],
        "a b a a": [1, 2, 1],
    }
    assert lists(vocabulary.encode(list(wanted))) == list(wanted.values())
    assert lists(Vocabulary(["a", "b"], buckets=1).encode(["b b b"])) == [[2, 2, 2]]


def test_costs_must_fit_the_tokens() -> None:
    with pytest.raises(InputError, match="1 costs; needed is one of each of 2 tokens"):
        Vocabulary(["a", "b"], reach=Reach(pieces=5, costs=(1,), unknown=1.0))
    with pytest.raises(InputError, match='normalization "nfd"'.replace('"', ".")):
        Vocabulary(["a"], normalization="nfd")  # type: ignore[arg-type]


def test_what_decides_the_ids_is_in_the_fingerprint_and_comes_back() -> None:
    base = Vocabulary(["a", "b"])
    reach = Reach(pieces=5, costs=(1, 3), unknown=1.5)
    others = [Vocabulary(["a", "b"], normalization="nfc"), base.reaching(reach)]
    others.append(others[0].reaching(dataclasses.replace(reach, pieces=6)))
    assert len({vocabulary.fingerprint for vocabulary in (base, *others)}) == 4
    for vocabulary in (base, *others):
        again = Vocabulary.of_document(json.loads(json.dumps(vocabulary.as_document())))
        assert again.fingerprint == vocabulary.fingerprint
        assert again.reach == vocabulary.reach
