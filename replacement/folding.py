"""When two texts are one text: they differ in nothing that a reader or a student would tell apart."""

import functools
import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_INVISIBLE = r"[\p{Cf}\x{34F}\x{FE00}-\x{FE0F}\x{E0000}-\x{E0FFF}]+"
"""Format characters such as joiners and zero-width spaces, variation selectors, tags."""
_SPACE = r"[\pZ\p{Cc}]+"  # RE2's \s is ASCII alone; \pZ has the ideographic and the no-break space
_ALONE = r"[\pP\pS\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""What is a token of the student by itself, so that white space beside it says nothing."""


def normalised(texts: pa.Array) -> pa.Array:
    """Keys of texts (n,), a string type: two texts of the same key are one text.

    Folded are compatibility forms such as full-width letters (NFKC, Unicode Standard Annex 15), case,
    invisible characters, and white space, which is left out beside punctuation, symbols and scripts written
    without spaces. That is at least what the student's tokenizer folds, so no two keys are one text to it,
    but for characters that Unicode has not assigned.
    """
    shown: Any = pc.replace_substring_regex(pc.utf8_normalize(texts, "NFKC"), _INVISIBLE, "")
    folded = pc.utf8_lower(pc.utf8_trim_whitespace(pc.replace_substring_regex(shown, _SPACE, " ")))
    # Arrow knows no case folding: of the few letters that it folds otherwise than to lower case, Python does.
    special = pc.match_substring_regex(folded, _specially_folded())
    if pc.any(special).as_py():
        others = [text.casefold() for text in folded.filter(special).to_pylist()]
        folded = pc.replace_with_mask(folded, special, pa.array(others, folded.type))
    # Nearly all texts are settled by now: the next two patterns are slow.
    spaced = pc.match_substring_regex(folded, f" {_ALONE}|{_ALONE} ")
    if pc.any(spaced).as_py():
        closed: Any = folded.filter(spaced)
        for pattern in (f" ({_ALONE})", f"({_ALONE}) "):
            closed = pc.replace_substring_regex(closed, pattern, r"\1")
        folded = pc.replace_with_mask(folded, spaced, closed)
    return folded


def keys_of(texts: Sequence[str]) -> list[str]:
    """``normalised`` of texts that are not in an array."""
    found: list[str] = normalised(pa.array(texts, pa.large_string())).to_pylist()
    return found


@functools.cache
def _specially_folded() -> str:
    """RE2 class of the letters of which case folding is not lower case, in lower case, such as ß and ς."""
    letters = map(chr, range(sys.maxunicode + 1))
    return f"[{''.join(each for each in letters if each.lower() == each != each.casefold())}]"
