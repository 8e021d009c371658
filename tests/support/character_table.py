"""How ``textcnn/characters.bin`` is made from a Python's Unicode; as a program, this writes it anew.

Students made before may score otherwise by a table of another Unicode: the file stays that of Unicode 14.
"""

import unicodedata
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from textcnn.plain.characters import (
    CHARACTERS,
    CLASS_SHIFT,
    DROPPED,
    SEPARATOR,
    SINGLE,
    TABLE_SIZE,
    VALUE,
    WORD,
)

# Scripts written without spaces between words, as ranges of code points.
_UNSPACED: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),  # iteration mark, closing mark, zero
    (0x3021, 0x3029),
    (0x3040, 0x31FF),  # kana, bopomofo, Hangul compatibility Jamo
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),  # Han
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),
    (0xFF66, 0xFFDC),  # half-width kana and Hangul
    (0x1AFF0, 0x1B16F),  # kana extensions
)


def make_character_table() -> NDArray[np.int32]:
    """What ``textcnn.plain.characters.character_table`` reads, from this Python; int32 (131072,)."""
    table = np.empty(TABLE_SIZE, dtype=np.int32)
    category_class = {"L": WORD, "N": WORD, "M": WORD, "Z": SEPARATOR, "P": SINGLE, "S": SINGLE}
    for code in range(TABLE_SIZE):
        folded = code - 0xFEE0 if 0xFF01 <= code <= 0xFF5E else code
        category = unicodedata.category(chr(folded))
        if category in ("Cf", "Cs") or 0xFE00 <= code <= 0xFE0F:  # format, surrogate, variation selector
            kind = DROPPED
        elif category == "Cc":
            kind = SEPARATOR
        else:  # unassigned and private use: a token by itself
            kind = category_class.get(category[0], SINGLE)
        folded = ord(chr(folded).lower()[0])
        table[code] = folded | kind << CLASS_SHIFT
    for first, last in _UNSPACED:
        codes = np.arange(first, last + 1, dtype=np.int32)
        letters = table[codes] >> CLASS_SHIFT == WORD
        table[codes[letters]] = codes[letters] | SINGLE << CLASS_SHIFT
    return table


def write_character_table() -> None:
    """Write ``CHARACTERS``."""
    table = make_character_table()
    moved = (table & VALUE) - np.arange(TABLE_SIZE)
    kinds = (table >> CLASS_SHIFT).astype(np.uint8)
    CHARACTERS.write_bytes(zlib.compress(moved.astype("<i4").tobytes() + kinds.tobytes(), 9))


if __name__ == "__main__":
    write_character_table()
