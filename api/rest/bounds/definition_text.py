"""Bounds of a definition that somebody sends, looked at before it is parsed.

Parsers of TOML and JSON recurse into what is nested, and take quadratic time for a long dotted key or a long
number. One pass over the text, which knows no more of either language than strings and comments, tells such a
body from one that a person wrote.
"""

import re

from api.rest.problems import ProblemError, ProblemItem

MOST_BYTES = 256 * 1024
MOST_DEPTH = 32  # of arrays and tables in each other; a definition needs three
MOST_PARTS = 32  # of a dotted key
MOST_VALUES = 5000
MOST_BARE = 128  # characters of a number or of a key without quotes

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""'
    r"|'''.*?'''"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[A-Za-z0-9_+-]+"
    r"|[\[\]{}.,=:\n]",
    re.DOTALL,
)


def refuse_unbounded(text: str) -> None:
    """Refuse a definition, in TOML or JSON, that no person needs.

    Args:
        text: the body as it came.

    Raises:
        ProblemError: it is too long, too deep, or has too many values.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise _refused(f"the definition has {size:,} bytes; allowed are {MOST_BYTES:,}")
    depth = parts = values = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in ("[", "{"):
            depth += 1
            if depth > MOST_DEPTH:
                raise _refused(f"lists and tables are nested more than {MOST_DEPTH} deep")
        elif token in ("]", "}"):
            depth -= 1
        elif token == ".":
            parts += 1
            if parts >= MOST_PARTS:
                raise _refused(f"a key has more than {MOST_PARTS} parts")
        elif token in (",", "="):
            values += 1
            if values > MOST_VALUES:
                raise _refused(f"the definition has more than {MOST_VALUES:,} values")
        elif len(token) > MOST_BARE and token[0] not in "\"'#":
            raise _refused(f"a number, or a key without quotes, is longer than {MOST_BARE} characters")
        if token in ("[", "]", "{", "}", ",", "=", ":", "\n"):
            parts = 0


def _refused(detail: str) -> ProblemError:
    return ProblemError("invalid-input", f"#: {detail}.", [ProblemItem(pointer="#", detail=detail)])
