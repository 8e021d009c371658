"""Fields of pydantic models as rows of a table: type, bounds, default and meaning, in plain words."""

import ast
import datetime
import inspect
import itertools
import json
import types
import typing
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

NEEDED = "needed"
"""What stands for the default of a field that has none."""


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string literals under a class's fields, by field.

    Args:
        model: a class whose source can be read; inherited fields are not looked at.
    """
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(inspect.getmodule(model) or model)).body
        if isinstance(node, ast.ClassDef) and node.name == model.__name__
    )
    texts: dict[str, str] = {}
    for field, below in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            texts[field.target.id] = one_line(below.value.value)
    return texts


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union but None; of anything else it alone."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [member for member in typing.get_args(annotation) if member is not type(None)]
    return [annotation]


def type_words(annotation: Any, constraints: list[Any]) -> str:
    """An annotation in the words of TOML, with its bounds."""
    (kind,) = alternatives(annotation)
    if typing.get_origin(kind) is typing.Annotated:
        kind, *inner = typing.get_args(kind)
        constraints = [*inner, *constraints]
        (kind,) = alternatives(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return ", ".join(code(toml(value)) for value in arguments)
    if origin is tuple:
        element = type_words(arguments[0], [])
        least = f", at least {_bound(constraints, 'min_length')}" if _bound(constraints, "min_length") else ""
        return f"list of {f'({element})' if ',' in element else element}{least}"
    if origin is dict:
        return f"table of {type_words(arguments[0], [])} to {type_words(arguments[1], [])}"
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return "path"
    return _WORDS.get(kind, "text") + _range(constraints)


_WORDS = {
    bool: "`true` or `false`",
    int: "integer",
    float: "number",
    datetime.time: 'time as `"02:00"`',
    SecretStr: "text, secret",
}


def _range(constraints: list[Any]) -> str:
    """The bounds of a number in words; nothing where it has none."""
    least, most = _bound(constraints, "ge"), _bound(constraints, "le")
    if least is not None and most is not None:
        return f", {least} to {most}"
    words = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
    bounds = [(words, _bound(constraints, name)) for name, words in words]
    return "".join(f", {words} {value:g}" for words, value in bounds if value is not None)


def _bound(constraints: list[Any], name: str) -> Any:
    """A bound's value, in an object of annotated-types or in a FieldInfo that holds some; None: no bound."""
    for constraint in constraints:
        inside = constraint.metadata if isinstance(constraint, FieldInfo) else ()
        value = _bound(inside, name) if inside else getattr(constraint, name, None)
        if value is not None:
            return value
    return None


def default_of(field: FieldInfo, write: Callable[[Any], str]) -> str:
    """A field's default as ``write`` puts it; nothing where it is None."""
    if field.is_required():
        return NEEDED
    value = field.get_default(call_default_factory=False)
    return "" if value is None else write(value)


def toml(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, int | float):
        return _number(value)
    return json.dumps(str(value))


def variable(value: Any) -> str:
    """A default as an environment variable has it."""
    if isinstance(value, tuple):
        return ",".join(map(variable, value))
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float) -> str:
    return str(value).lower().removesuffix(".0")


def code(text: str) -> str:
    """A value as code; nothing and "needed" stay as they are."""
    return text if text in ("", NEEDED) else f"`{text}`"


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return one_line(text).replace("``", "`").replace("|", "\\|")


def summary(described: object) -> str:
    """The first paragraph of the docstring of a class or function."""
    return one_line((inspect.getdoc(described) or "").partition("\n\n")[0])


def one_line(text: str) -> str:
    """A text without line breaks."""
    return " ".join(text.split())
