"""When two texts are one text: they differ in nothing that a reader or a student would tell apart."""

import functools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_LETTERS = 0x20000
"""Above lie Han, private use and tags: no letters with case, no symbols. To look at all takes a second."""
_UNSEEN = r"\p{Cf}\x{34F}\x{FE00}-\x{FE0F}\x{E0000}-\x{E0FFF}"
"""Format characters such as joiners and zero-width spaces, variation selectors, tags."""
_BLANK = r"\pZ\p{Cc}"  # RE2's \s is ASCII alone; \pZ has the ideographic and the no-break space
_ALONE = (
    r"[\pP\pS\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\x{3006}\x{3099}\x{309A}\x{30FC}]"  # marks of Japanese that Unicode counts to no script
)
"""What is a token of the student by itself, so that white space beside it says nothing."""


def normalised(texts: pa.Array) -> pa.Array:
    """Keys of texts (n,), a string type: two texts of the same key are one text.

    Folded are compatibility forms such as full-width letters (NFKC, Unicode Standard Annex 15), case,
    invisible characters, and white space, which is left out beside punctuation, symbols and scripts written
    without spaces. That is at least what the student's tokenizer folds, so no two keys are one text to it,
    but for characters that Unicode has not assigned.
    """
    # Of these nobody can tell afterwards that they were tokens by themselves.
    unfolded = pc.match_substring_regex(texts, _unfolded())
    if pc.any(unfolded).as_py():
        gap = f"[{_BLANK}{_UNSEEN}]*"
        closed: Any = pc.replace_substring_regex(texts.filter(unfolded), f"{gap}({_unfolded()}){gap}", r"\1")
        texts = pc.replace_with_mask(texts, unfolded, closed)
    shown: Any = pc.replace_substring_regex(pc.utf8_normalize(texts, "NFKC"), f"[{_UNSEEN}]+", "")
    folded = pc.utf8_lower(pc.utf8_trim_whitespace(pc.replace_substring_regex(shown, f"[{_BLANK}]+", " ")))
    # Arrow knows no case folding: of the few letters that it folds otherwise than to lower case, Python does.
    special = pc.match_substring_regex(folded, _specially_folded())
    if pc.any(special).as_py():
        others = [text.casefold() for text in folded.filter(special).to_pylist()]
        folded = pc.replace_with_mask(folded, special, pa.array(others, folded.type))
    # Nearly all texts are settled by now: the next two patterns are slow.
    spaced = pc.match_substring_regex(folded, f" {_ALONE}|{_ALONE} ")
    if pc.any(spaced).as_py():
        closed = folded.filter(spaced)
        for pattern in (f" ({_ALONE})", f"({_ALONE}) "):
            closed = pc.replace_substring_regex(closed, pattern, r"\1")
        folded = pc.replace_with_mask(folded, spaced, closed)
    return folded


def keys_of(texts: Sequence[str]) -> list[str]:
    """``normalised`` of texts that are not in an array."""
    keys: list[str] = normalised(pa.array(texts, pa.large_string())).to_pylist()
    return keys


@functools.cache
def _specially_folded() -> str:
    """RE2 class of the letters of which case folding is not lower case, in lower case, such as ß and ς."""
    letters = map(chr, range(_LETTERS))
    return f"[{''.join(letter for letter in letters if letter.lower() == letter != letter.casefold())}]"


@functools.cache
def _unfolded() -> str:
    """RE2 class of the tokens by themselves that NFKC turns into something else, such as ™ and ㎏."""
    letters = pa.array(chr(code) for code in range(_LETTERS) if not 0xD800 <= code < 0xE000)
    symbols: Any = letters.filter(pc.match_substring_regex(letters, r"[\pP\pS]"))
    others = pc.invert(pc.match_substring_regex(pc.utf8_normalize(symbols, "NFKC"), f"^{_ALONE}+$"))
    return f"[{''.join(symbols.filter(others).to_pylist())}]"
