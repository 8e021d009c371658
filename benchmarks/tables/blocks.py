"""Blocks of a page that a script writes: from ``<!-- table: NAME -->`` to ``<!-- end -->``."""

import re
from collections.abc import Callable
from typing import Final

_MARKER: Final = re.compile(r"^<!--\s*(?:table:\s*(?P<name>[\w-]+)|(?P<end>end))\s*-->$")


class BadPage(Exception):
    """A page whose markers do not fit; the message says where and how."""


def filled(page: str, name_of_page: str, made: Callable[[str], str | None]) -> str:
    """The page with what ``made`` gives for the name of each block; where it gives None the block stays.

    Raises:
        BadPage: a block has no end, an end no block, or ``made`` knows no such table (KeyError).
    """
    lines: list[str] = []
    kept: list[str] = []
    name, begun = "", 0
    for number, line in enumerate(page.split("\n"), 1):
        marker = _MARKER.match(line)
        if marker is None:
            (kept if name else lines).append(line)
        elif marker["end"] is not None:
            if not name:
                raise BadPage(f"{name_of_page}, line {number}: an end without a table before it")
            lines += [*_block(name, kept, made, f"{name_of_page}, line {begun}"), line]
            name = ""
        elif name:
            raise BadPage(f"{name_of_page}, line {begun}: the table {name!r} has no end")
        else:
            name, begun, kept = marker["name"], number, []
            lines.append(line)
    if name:
        raise BadPage(f"{name_of_page}, line {begun}: the table {name!r} has no end")
    return "\n".join(lines)


def _block(name: str, kept: list[str], made: Callable[[str], str | None], where: str) -> list[str]:
    try:
        body = made(name)
    except KeyError:
        raise BadPage(f"{where}: there is no table {name!r}") from None
    # Without the empty lines a table of Markdown would be part of the comment before it.
    return kept if body is None else ["", *body.split("\n"), ""]
