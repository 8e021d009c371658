"""A label task's definition as TOML: what a JSON body becomes on its way to the owner's file."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(document: Mapping[str, Any]) -> str:
    """TOML of what JSON can hold; a null is left out, as TOML has none.

    Raises ValueError for an object inside an array and for a number that is not finite: no definition has
    such, and JSON has not the latter.
    """
    return "".join(_lines(document, ()))


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(name)} = {_value(value)}\n" for name, value in table.items() if _is_value(value)]
    if path and (lines or not table):
        lines.insert(0, f"\n[{'.'.join(map(_key, path))}]\n")
    for name, value in table.items():
        if isinstance(value, Mapping):
            lines += _lines(value, (*path, name))
    return lines


def _is_value(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value, allow_nan=False)
    raise ValueError(f"{value!r} cannot stand in an array of a definition")


def _string(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped, too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
