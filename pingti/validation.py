"""What pydantic finds wrong in a definition, a request or a setting: as faults, and as one sentence.

The only place that words pydantic's errors. Its own words name Python's types ("tuple", "dictionary"), while
whoever wrote a TOML file or a JSON body knows lists, objects, keys and fields.
"""

import datetime
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from pingti.errors import Fault, json_pointer

_MOST_SHOWN = 200  # characters of a value
_LIST_TYPES = ("tuple_type", "list_type", "set_type", "frozen_set_type", "iterable_type")
_OBJECT_TYPES = ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type")
_KEY = "[key]"  # at the end of a location, where a key of an object is wrong
_FAULTS = "faults"  # in the context of an error of ``errors_at``


def faults_of(
    errors: Iterable[Mapping[str, Any]], model: type[BaseModel] | None = None, *, show_values: bool = False
) -> list[Fault]:
    """All faults that a ``ValidationError`` or FastAPI's ``RequestValidationError`` lists, in its order.

    Args:
        errors: its ``errors()``. Where a part of each "loc" is no place in the document (FastAPI's "body"),
            the caller takes it away first.
        model: the model that was validated. Given, the words are those of a TOML file: a fault of an unknown
            key names the keys that are allowed in its place. Absent, those of a JSON body.
        show_values: whether a detail begins with the value that is not allowed. Not where it may be secret.

    Returns:
        A fault each, ``pointer`` set: "" for the whole document.
    """
    return [
        Fault(detail=detail, pointer=json_pointer((*_place(error["loc"]), *place)))
        for error in causes(errors)
        for detail, place in _details(error, model, show_values=show_values)
    ]


def causes(errors: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The errors without what follows from others: a list of a wrong item is too short for pydantic."""
    listed = list(errors)
    within = {tuple(error["loc"][:end]) for error in listed for end in range(len(error["loc"]))}
    return [error for error in listed if error["type"] != "too_short" or tuple(error["loc"]) not in within]


def sentence(faults: Sequence[Fault], name: Callable[[str], str] | None = None) -> str:
    """The first fault in one sentence, and how many more there are: "corpus.files: ... (and 1 more)".

    Args:
        faults: at least one.
        name: how a pointer is called; ``dotted`` where absent. "" leaves the name and its colon out.
    """
    first = faults[0]
    called = (name or dotted)(first.pointer or "")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{called}: {first.detail}{more}" if called else f"{first.detail}{more}"


def dotted(pointer: str) -> str:
    """A JSON pointer as TOML writes a key: ``teacher.map`` of ``/teacher/map``; "" of the whole document."""
    parts = pointer.split("/")[1:]
    return ".".join(part.replace("~1", "/").replace("~0", "~") for part in parts)


def errors_at(faults: Sequence[tuple[str, tuple[str | int, ...]]]) -> PydanticCustomError:
    """The same of several parts, a detail and a place each."""
    return PydanticCustomError("value_at", "{detail}", {"detail": faults[0][0], _FAULTS: faults})


def _place(location: Sequence[str | int]) -> Sequence[str | int]:
    """Where in the document an error is; of a key itself pydantic says so by a part more."""
    return location[:-1] if location and location[-1] == _KEY else location


def _details(
    error: Mapping[str, Any], model: type[BaseModel] | None, *, show_values: bool
) -> Sequence[tuple[str, tuple[str | int, ...]]]:
    """What an error says of its place, or of places below it."""
    if error["type"] == "value_at":
        faults: Sequence[tuple[str, tuple[str | int, ...]]] = error["ctx"][_FAULTS]
        return faults
    return [(_detail(error, model, show_values=show_values), ())]


def _detail(error: Mapping[str, Any], model: type[BaseModel] | None, *, show_values: bool) -> str:
    match error["type"]:
        case "missing":
            return "this is needed" if model is None else "this key is missing"
        case "extra_forbidden" if model is None:
            return "there is no such field"
        case "extra_forbidden":
            return f"unknown key; allowed are {', '.join(_keys_beside(model, error['loc']))}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
    needed = _needed(error["type"], error.get("ctx", {}), "an object" if model is None else "a table")
    needed = needed or str(error["msg"])
    if error["loc"] and error["loc"][-1] == _KEY:
        needed = f"the key itself: {needed}"
    if show_values:
        return f"{_shown(error['input'])} is not allowed: {needed[0].lower()}{needed[1:]}"
    return needed


def _needed(kind: str, context: Mapping[str, Any], keyed: str) -> str:
    """What is needed, where pydantic would name a type of Python; else "". ``keyed``: what holds keys."""
    if kind in _LIST_TYPES:
        return "needed is a list"
    if kind in _OBJECT_TYPES:
        return f"needed is {keyed}"
    if kind in ("too_short", "too_long"):
        what = keyed if context.get("field_type") == "Dictionary" else "a list"
        bound = f"least {context['min_length']}" if kind == "too_short" else f"most {context['max_length']}"
        return f"needed is {what} of at {bound}"
    return ""


def _shown(value: Any) -> str:
    """A value as TOML and JSON spell it, cut where it is long."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif value is None:
        text = "null"
    elif isinstance(value, list):
        text = f"[{', '.join(map(_shown, value))}]"
    elif isinstance(value, dict):
        text = f"{{{', '.join(f'{key} = {_shown(part)}' for key, part in value.items())}}}"
    elif isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
    else:
        text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


def _keys_beside(model: type[BaseModel] | None, location: Sequence[str | int]) -> list[str]:
    """The keys that are allowed where the last one of a location stands."""
    kind: Any = model
    for part in location[:-1]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:  # the values of a dict, the items of a list
            kind = typing.get_args(kind)[1 if typing.get_origin(kind) is dict else 0]
        if typing.get_origin(kind) in (types.UnionType, typing.Union, typing.Annotated):
            kind = typing.get_args(kind)[0]  # Section | None
    return sorted(kind.model_fields)
