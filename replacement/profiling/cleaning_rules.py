"""Cleaning rules worth proposing: RE2 patterns for texts that say nothing, and the TOML that holds them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

_SPACE = r"\pZ\pC"
"""Inside of a character class: white space, control characters, and invisible ones such as joiners."""
_PUNCTUATION = r"\pP\p{Sm}\p{Sc}\p{Sk}\pM"
_FILL = r"\pP\pS\pM\pZ\pC"
"""What is neither a letter nor a number: those, and emoji."""
BRACKETED = r"\[[^\[\]]{0,20}\pL[^\[\]]{0,20}\]"
"""An emoticon such as [微笑]."""
_URL = r"(?i:https?://|www\.)[!-~]+"

KINDS = {
    "empty": f"^[{_SPACE}]*$",
    "punctuation": f"^[{_SPACE}]*[{_PUNCTUATION}][{_PUNCTUATION}{_SPACE}]*$",
    "emoji": rf"^[{_FILL}]*\p{{So}}[{_FILL}]*$",
    "bracketed": f"^[{_FILL}]*{BRACKETED}(?:{BRACKETED}|[{_FILL}])*$",
    "digits": rf"^[{_FILL}]*\pN[\pN{_FILL}]*$",
    "urls": f"^[{_SPACE}]*(?:{_URL}[{_SPACE}]*)+$",
}
"""Texts that are nothing but ...; no text is of two kinds. All but the first may hold punctuation too, and
"bracketed" means emoticons such as [微笑]."""

REPEATED = {1: 4, 2: 3, 3: 3}
"""By the length of a unit in characters: how often it must stand in a row to be a repeated pattern."""

Rule = Literal["drop", "negative"]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A pattern for the definition's rules."""

    rule: Rule
    pattern: str
    """RE2."""
    what: str
    """What it matches, in words."""
    rows: int
    """Rows of the corpus that match."""
    new: int
    """Those of them that no rule of the definition matches yet."""
    examples: tuple[str, ...]
    plain: bool
    """Whether such texts say nothing whatever the task; where not, somebody has to look first."""


def repeated(units: Sequence[str]) -> str:
    """RE2 pattern of the texts that are one of the units over and over. RE2 has no back references."""
    runs = (f"(?:{re.escape(unit)}){{{REPEATED[len(unit)]},}}" for unit in units)
    return f"^(?:{'|'.join(runs)})[{_FILL}]*$"


def spaced(texts: pa.Array) -> pa.Array:
    """Texts (n,) without differences of case and white space, as a pattern can tell them."""
    # RE2's \s is ASCII alone; \pZ has the ideographic and the no-break space.
    single: Any = pc.replace_substring_regex(texts, r"[\s\v\x{85}\pZ]+", " ")
    return pc.utf8_lower(pc.utf8_trim_whitespace(single))


def shaped(shape: str) -> str:
    """RE2 pattern of the texts of a shape: ``spaced``, and every run of digits a 0."""
    space = r"[\s\v\x{85}\pZ]"
    parts = (
        r"\p{Nd}+" if character == "0" else f"{space}+" if character == " " else re.escape(character)
        for character in shape
    )
    return f"(?i)^{space}*{''.join(parts)}{space}*$"


def toml(rules: dict[Rule, tuple[str, ...]], proposals: Sequence[Proposal], rows: int) -> str:
    """The section [rules] with the rules that are there and those proposed, each with what it would hit.

    Those that somebody has to look at first are comments.
    """
    lines = ["[rules]"]
    for rule, present in rules.items():
        proposed = [proposal for proposal in proposals if proposal.rule == rule]
        if not present and not proposed:
            continue
        lines.append(f"{rule} = [")
        lines += [f"    {_quoted(pattern)}," for pattern in present]
        for proposal in proposed:
            share = f"{proposal.rows:,} rows, {proposal.rows / max(1, rows):.2%}"
            lines.append(f"    # {proposal.what}: {share}; {', '.join(map(_escaped, proposal.examples))}")
            lines.append(f"    {'' if proposal.plain else '# '}{_quoted(proposal.pattern)},")
        lines.append("]")
    return "\n".join(lines) + "\n"


def _quoted(pattern: str) -> str:
    """A TOML string: as it stands where that is possible, since patterns are full of backslashes."""
    if "'" not in pattern and all(character >= " " and character != "\x7f" for character in pattern):
        return f"'{pattern}'"
    return _escaped(pattern)


def _escaped(text: str) -> str:
    # JSON's escapes are TOML's too; TOML wants the delete character escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
