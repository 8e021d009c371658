"""A label task's definition as TOML: what a JSON body becomes on its way to the owner's file.

Where there is a file already, it is changed and not written anew: comments, the order of the keys and the
form of every value that stays the same are the owner's.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from typing import Any, TypeAlias

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable, Item, Table

_Tables: TypeAlias = tomlkit.TOMLDocument | AbstractTable


def write_toml(document: Mapping[str, Any], *, over: str = "") -> str:
    """TOML of what JSON can hold; a null is left out, as TOML has none.

    Args:
        document: what the TOML is to say.
        over: the TOML that was there before.

    Returns:
        ``over`` with the keys that are missing added, those that are too much removed, and other values
        replaced. Written anew where ``over`` is no TOML, or cannot be changed so.

    Raises:
        ValueError: an object inside an array, or a number that is not finite: no definition has such, and
            JSON has not the latter.
    """
    plain = {name: _plain(value) for name, value in document.items() if value is not None}
    if over.strip():
        try:
            text = _changed(over, plain)
            if _same(tomllib.loads(text), plain):
                return text
        except (TOMLKitError, tomllib.TOMLDecodeError, RecursionError):
            pass  # a damaged file, or one of a form that tomlkit cannot change: the new definition counts
    return tomlkit.dumps(plain)


def _plain(value: Any) -> Any:
    """A value without nulls in its objects."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_plain_item(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} is no number that JSON has")
    return value


def _plain_item(item: Any) -> Any:
    if item is None or isinstance(item, Mapping):
        raise ValueError(f"{item!r} cannot stand in an array of a definition")
    return _plain(item)


def _same(value: Any, other: Any) -> bool:
    """Whether both say the same; a time and its text do, 1 and true do not."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(_same(value[name], other[name]) for name in value)
    return json.dumps(value, default=str) == json.dumps(other, default=str)


def _changed(text: str, plain: Mapping[str, Any]) -> str:
    document = tomlkit.parse(text)
    _change(document, plain)
    return document.as_string()


def _change(table: _Tables, plain: Mapping[str, Any]) -> None:
    for name in [name for name in table if name not in plain]:
        del table[name]
    before, new = table.unwrap(), dict[str, Any]()
    for name, value in plain.items():
        if name not in table:
            new[name] = value
        elif isinstance(table[name], AbstractTable) and isinstance(value, Mapping):
            _change(table[name], value)
        elif not _same(before[name], value):
            table[name] = value
    _add(table, {name: value for name, value in new.items() if not isinstance(value, Mapping)})
    for name, value in new.items():
        if isinstance(value, Mapping):
            table[name] = value


def _add(table: _Tables, values: Mapping[str, Any]) -> None:
    """Add keys behind the last one of a table, but before a comment that stands above the next table."""
    if not values:
        return
    body = _body(table)
    indents = [(item, item.trivia.indent) for _, item in body if isinstance(item, Table)]
    known = {id(item) for _, item in body}
    for name, value in values.items():
        table[name] = value
    for item, indent in indents:
        item.trivia.indent = indent  # tomlkit sets an added key off by an empty line
    added = [entry for entry in body if id(entry[1]) not in known]
    rest = [entry for entry in body if id(entry[1]) in known]
    first = next((at for at, (_, item) in enumerate(rest) if isinstance(item, Table)), len(rest))
    while first > 0 and rest[first - 1][0] is None:
        first -= 1
    body[:] = [*rest[:first], *added, *rest[first:]]


def _body(table: _Tables) -> list[tuple[tomlkit.items.Key | None, Item]]:
    """Keys, comments and white space in their order; after a change of it only the text is of use."""
    return table.body if isinstance(table, tomlkit.TOMLDocument) else table.value.body
