"""JSON lines: the object of a line, and what is wrong with one that holds none."""

import json
from collections.abc import Iterable
from typing import Any

from pingti.corpus.formats import HEAD_BYTES, TOO_LONG, first_line, is_cut
from pingti.corpus.values import spelled_literal
from pingti.errors import InputError


def first_object(path: str, lines: Iterable[bytes]) -> dict[str, Any]:
    """The first JSON object of a file, which has to come within some megabytes: somebody waits for it.

    Args:
        path: of the file.
        lines: its lines, as ``formats.text_lines`` gives them.

    Raises:
        InputError: there is none.
    """
    passed = 0
    for line in lines:
        fields = json_object(line) if line.strip() else None
        if fields is not None:
            return fields
        if is_cut(line):
            raise InputError.in_file(path, TOO_LONG)
        passed += len(line)
        if passed > HEAD_BYTES:
            raise InputError.in_file(
                path,
                f"no line of its first {HEAD_BYTES:,} bytes is a JSON object; one object a line is needed",
            )
    raise InputError.in_file(path, "no line of it is a JSON object; one object a line is needed")


def json_object(line: bytes) -> dict[str, Any] | None:
    """The object that a line holds; None where it holds none."""
    if is_cut(line):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return value if isinstance(value, dict) else None


def exactly(line: bytes, name: str) -> Any:
    """The field of a line that is a number, of which a float would not keep every digit."""
    value = json.loads(line, parse_float=str)[name]
    return spelled_literal(value) if isinstance(value, str) else value


def literal(line: bytes, name: str) -> str:
    """The field of a line that is a number, as the line writes it: 1.10, 1e400."""
    return str(json.loads(line, parse_float=str, parse_constant=str)[name])


def json_problem(line: bytes) -> str:
    """Why a line holds no object, in a clause."""
    if is_cut(line):
        return TOO_LONG
    try:
        json.loads(line)
    except UnicodeDecodeError:
        return "the line is not UTF-8"
    except json.JSONDecodeError as error:
        return f"the line is not JSON: {first_line(error)}"
    except RecursionError:
        return "the line is JSON that is nested too deeply"
    except ValueError:
        return "the line is JSON with a number of too many digits"
    return "the line is not a JSON object"
